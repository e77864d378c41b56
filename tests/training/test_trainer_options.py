"""Every option of Lightning's Trainer works in a run, or is refused before anything is built."""

import contextlib
import csv
import importlib.util
import inspect
import io
import logging
from collections.abc import Callable
from types import SimpleNamespace

import lightning as L
import pytest
import torch

from zoo.core.errors import UserError
from zoo.fit import main
from zoo.recipe.reading import read_recipe
from zoo.recipe.trainer_options import REFUSED, VALIDATION, check_trainer_options
from zoo.training.choosing import choose
from zoo.training.run import Fit

OPTIONS = inspect.signature(L.Trainer).parameters
BATCHES = 3  # per epoch
SMALL = [
    "--trainer.accelerator=cpu", f"--trainer.limit_train_batches={BATCHES}", "--wandb=off",
    "--evaluate=false", "--pictures_every=100", "--model.hidden=[8]",
]  # fmt: skip


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Runs zoo.fit for two epochs; returns what came of it."""
    trainers = []
    before = Fit.fit
    monkeypatch.setattr(Fit, "fit", lambda self: (trainers.append(self), before(self))[1])

    def go(*arguments):
        out, err = io.StringIO(), io.StringIO()
        arguments = ["--trainer.max_epochs=2", *SMALL, *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["vae_digits", f"--run_root={tmp_path}", *arguments])
        folders = list((tmp_path / "vae_digits").glob("*"))
        return SimpleNamespace(
            code=code, out=out.getvalue(), err=err.getvalue(), folders=folders,
            folder=folders[-1] if folders else None,
            trainer=trainers[-1].trainer if trainers else None,
            model=trainers[-1].model if trainers else None,
        )  # fmt: skip

    return go


def files(run, pattern):
    return [path.relative_to(run.folder).as_posix() for path in run.folder.glob(pattern)]


def batches(run):
    return run.trainer.fit_loop.epoch_loop.total_batch_idx + 1


def rows(run):
    with (run.folder / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


# An option, a value other than its default, and what is true of a run that was given it.
WORKS: dict[str, tuple[str, Callable]] = {
    "accelerator": ("cpu", lambda run: run.trainer.strategy.root_device.type == "cpu"),
    "strategy": ("ddp", lambda run: type(run.trainer.strategy).__name__ == "DDPStrategy"),
    "devices": ("1", lambda run: run.trainer.world_size == 1),
    "precision": ("64-true", lambda run: next(run.model.parameters()).dtype == torch.float64),
    "logger": ("CSVLogger", lambda run: files(run, "lightning_logs/version_0/metrics.csv")),
    "callbacks": ("ModelCheckpoint", lambda run: files(run, "checkpoints/epoch=1*.ckpt")),
    "fast_dev_run": ("2", lambda run: batches(run) == 2 and not files(run, "checkpoints")),
    "max_epochs": ("3", lambda run: batches(run) == 3 * BATCHES),
    "min_epochs": ("2", lambda run: run.trainer.min_epochs == 2),
    "max_steps": ("4", lambda run: batches(run) == 4),
    "min_steps": ("2", lambda run: run.trainer.min_steps == 2),
    "max_time": ("00:00:00:00", lambda run: batches(run) == 0),
    "limit_train_batches": ("2", lambda run: batches(run) == 4),
    "log_every_n_steps": ("2", lambda run: rows(run)[:3] == [2, 4, 6]),
    "enable_progress_bar": ("false", lambda run: " 1/2 " not in run.out),
    "enable_model_summary": ("true", lambda run: "Trainable params" in run.out + run.err),
    "accumulate_grad_batches": ("3", lambda run: run.trainer.global_step == 2),
    "gradient_clip_val": ("0.5", lambda run: "ClipGradients" in names_of_callbacks(run)),
    "gradient_clip_algorithm": (
        "value --trainer.gradient_clip_val=0.5",
        lambda run: "ClipGradients" in names_of_callbacks(run),
    ),
    "deterministic": ("true", lambda run: torch.are_deterministic_algorithms_enabled()),
    "benchmark": ("true", lambda run: torch.backends.cudnn.benchmark),
    "profiler": ("simple", lambda run: "training_step" in profile(run)),
    "detect_anomaly": ("true", lambda run: run.trainer._detect_anomaly),
    "plugins": ("LightningEnvironment", lambda run: environment(run) == "LightningEnvironment"),
    "reload_dataloaders_every_n_epochs": ("1", lambda run: run.loaders > 1),
    "enable_autolog_hparams": (
        "false --trainer.logger=CSVLogger",
        lambda run: not files(run, "lightning_logs/version_0/hparams.yaml"),
    ),
}
# Only several processes or machines show what these do; tests/commands/test_ddp.py has them.
SEVERAL = {"num_nodes", "sync_batchnorm"}


def names_of_callbacks(run):
    return {type(one).__name__ for one in run.trainer.callbacks}


def environment(run):
    return type(run.trainer._accelerator_connector.cluster_environment).__name__


def profile(run):
    assert f"profile   {run.folder}" in run.out
    return (run.folder / "fit-profile.txt").read_text()


def test_every_option_stands_on_one_side():
    """A release of Lightning with a new one turns this red: try what it does, and say so."""
    sides = [*WORKS, *SEVERAL, *REFUSED, *VALIDATION]
    assert sorted(sides) == sorted(OPTIONS)


@pytest.fixture
def as_before(monkeypatch):
    """Leaves no switch of torch turned that Lightning turns for good."""
    flags = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    yield
    torch.backends.cudnn.benchmark = flags[0]
    torch.use_deterministic_algorithms(flags[1])
    torch.autograd.set_detect_anomaly(False)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", WORKS)
def test_an_option_works(fit, as_before, monkeypatch, option):
    loaded = []
    from zoo.data import ImageData

    whole = ImageData.train_dataloader
    monkeypatch.setattr(
        ImageData, "train_dataloader", lambda self: (loaded.append(1), whole(self))[1]
    )
    value, holds = WORKS[option]
    run = fit(*f"--trainer.{option}={value}".split())
    assert run.code == 0, run.err
    run.loaders = len(loaded)
    assert holds(run), (run.out, run.err, files(run, "**/*"))


WRONG = {
    "barebones": ["true"],
    "default_root_dir": ["elsewhere"],
    "enable_checkpointing": ["false"],
    "limit_predict_batches": ["2"],
    "limit_test_batches": ["1", "0.5"],
    "model_registry": ["name"],
    "overfit_batches": ["1", "0.5"],
    "use_distributed_sampler": ["false"],
    "check_val_every_n_epoch": ["2", "null"],
    "inference_mode": ["false"],
    "limit_val_batches": ["0", "1"],
    "num_sanity_val_steps": ["0"],
    "val_check_interval": ["1", "0.5"],
}


@pytest.mark.parametrize(
    "option, value", [(option, value) for option, values in WRONG.items() for value in values]
)
def test_an_option_without_effect_is_refused(fit, option, value):
    run = fit(f"--trainer.{option}={value}")
    assert run.code == 2
    assert f"--trainer.{option}" in run.err and len(run.err.splitlines()) == 1
    assert run.out == "" and not run.folders


def test_each_refusal_is_tried():
    assert WRONG.keys() == REFUSED.keys() | VALIDATION.keys()


def test_defaults_are_accepted():
    check_trainer_options({name: option.default for name, option in OPTIONS.items()})


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"gradient_clip_algorithm": "foo", "gradient_clip_val": 1.0}, "must be norm or value"),
        ({"gradient_clip_algorithm": "norm"}, "needs --trainer.gradient_clip_val"),
        ({"min_epochs": 3, "max_epochs": 2}, "min_epochs 3 is more than --trainer.max_epochs 2"),
        ({"min_steps": 30, "max_steps": 20}, "min_steps 30 is more than --trainer.max_steps 20"),
    ],
)
def test_options_that_do_not_go_together(settings, words):
    with pytest.raises(UserError, match=words):
        check_trainer_options(settings)


def test_a_model_with_validation_has_its_options():
    class Validated(L.LightningModule):
        def validation_step(self, batch, batch_idx): ...

    settings = {name: option.default for name, option in OPTIONS.items()}
    wanted = {**settings, "accelerator": "cpu", "devices": 1, "limit_val_batches": 2}
    choose(wanted, Validated())
    with pytest.raises(UserError, match="does not reach LightningModule"):
        choose({**wanted, "precision": None}, L.LightningModule())


# ---------------------------------------------------------------- loggers


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboardX 2.6 uses old names
def test_tensorboard_and_csv_write_into_the_folder(fit):
    run = fit(
        "--trainer.logger=[CSVLogger, {class_path: TensorBoardLogger, init_args: {name: tb}}]",
        "--trainer.log_every_n_steps=1",
    )
    assert run.code == 0, run.err
    (events,) = run.folder.glob("tb/version_0/events.out.tfevents*")
    assert b"train/rate_nats" in events.read_bytes()
    with (run.folder / "lightning_logs/version_0/metrics.csv").open() as file:
        assert "train/rate_nats" in next(csv.reader(file))
    assert (run.folder / "metrics.csv").is_file()


def test_a_continued_run_keeps_the_files_of_its_loggers(fit):
    line = ["--trainer.logger=CSVLogger", "--trainer.logger.name=own"]
    first = fit(*line)
    before = (first.folder / "own/version_0/metrics.csv").read_text()
    recipe = str(first.folder / "recipe.yaml")
    last = str(first.folder / "checkpoints/last.ckpt")
    assert main([recipe, "--ckpt_path", last, "--trainer.max_epochs=4"]) == 0
    assert (first.folder / "own/version_0/metrics.csv").read_text() == before
    assert (first.folder / "own/version_1/metrics.csv").is_file()


@pytest.mark.parametrize(
    "wanted, words",
    [
        ("false", "--trainer.logger false is refused"),
        ("WandbLogger", "--wandb online"),
        ("CSVLoger", "Did you mean CSVLogger?"),
        ("5", "must name a class"),
        ("[CSVLogger, 5]", "must name a class"),
        ("{class_path: CSVLogger, init_args: {nam: a}}", "CSVLogger has no argument 'nam'"),
        ("{class_path: CSVLogger, init_args: 5}", "init_args must be a mapping"),
        ("{class_path: CSVLogger, args: {}}", "a mapping of class_path and init_args"),
        ("{class_path: os.system}", "is refused"),
    ],
)
def test_a_wrong_logger_is_refused(fit, wanted, words):
    run = fit(f"--trainer.logger={wanted}")
    assert run.code == 2
    assert words in run.err and len(run.err.splitlines()) == 1
    assert not run.folders


@pytest.mark.parametrize(
    "name, package",
    [("TensorBoardLogger", "tensorboard"), ("MLFlowLogger", "mlflow"), ("CometLogger", "comet-ml")]
    + [("LitLogger", "litlogger")] * hasattr(L.pytorch.loggers, "LitLogger"),  # from 2.6.1 on
)  # fmt: skip
def test_a_logger_without_its_package_names_it(fit, monkeypatch, name, package):
    found = importlib.util.find_spec
    absent = ("tensorboard", "tensorboardX", "mlflow", "comet_ml", "litlogger")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in absent else found(name, *a)
    )
    run = fit(f"--trainer.logger={name}")
    assert run.code == 2
    assert f"--trainer.logger {name} needs a package that is not installed: pip install " in run.err
    assert package in run.err
    assert not run.folders


# ---------------------------------------------------------------- profilers and other guests


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wanted",
    ["advanced", "{class_path: SimpleProfiler, init_args: {extended: false}}",
     "{class_path: AdvancedProfiler, init_args: {filename: mine}}"],
)  # fmt: skip
def test_a_profiler_writes_into_the_folder(fit, wanted):
    run = fit(f"--trainer.profiler={wanted}")
    assert run.code == 0, run.err
    name = "fit-mine.txt" if "mine" in wanted else "fit-profile.txt"
    assert "training_step" in (run.folder / name).read_text()


def test_an_unknown_profiler_is_named(fit):
    run = fit("--trainer.profiler=simpel")
    assert run.code == 2 and "Did you mean simple?" in run.err
    assert not run.folders


def test_a_bar_of_ones_own_takes_the_place_of_ours(fit):
    run = fit("--trainer.callbacks=TQDMProgressBar")
    assert run.code == 0, run.err
    assert " 1/2 " not in run.out
    assert "Epoch" in run.err + run.out


def test_callbacks_that_speak_are_heard():
    """A summary or an early stop asked for is worth nothing where its log is kept quiet."""
    import zoo.fit

    zoo.fit._quieten()
    assert logging.getLogger("lightning.pytorch.callbacks.model_summary").isEnabledFor(logging.INFO)
    assert not logging.getLogger("lightning.pytorch.utilities").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    "plugin, words",
    [("AsyncCheckpointIO", "whole or not there"), ("HalfPrecision", "use --trainer.precision")],
)
def test_a_plugin_that_is_chosen_elsewhere_is_refused(fit, plugin, words):
    run = fit(f"--trainer.plugins={plugin}")
    assert run.code == 2 and words in run.err and "--trainer.plugins" in run.err
    assert not run.folders


# Classes of Lightning's that a recipe names, with what they find missing in a run of the zoo.
EXTRAS = {
    "a part of the model": ("callbacks=BackboneFinetuning", "has no attribute 'backbone'"),
    "a method of its own": ("callbacks=BaseFinetuning", "BaseFinetuning does not work"),
    "an argument of the model": ("callbacks=LearningRateFinder", "LearningRateFinder"),
    "a loss that a step returns": (
        "callbacks=SpikeDetection --model=InfoGAN --model.width=4", "SpikeDetection does not work"
    ),
    "automatic optimisation": (
        "callbacks=[{class_path:~GradientAccumulationScheduler,~init_args:~{scheduling:~{1:~2}}}] "
        "--model=InfoGAN --model.width=4", "GradientAccumulationScheduler",
    ),
    "a quantity": (
        "callbacks=[{class_path:~ModelCheckpoint,~init_args:~{save_top_k:~3}}]", "No quantity"
    ),
    "a duration": (
        "callbacks=[{class_path:~Timer,~init_args:~{duration:~x}}]", "Timer(duration='x')"
    ),
    "a mode": (
        "callbacks=[{class_path:~EarlyStopping,~init_args:~{monitor:~a,~mode:~x}}]", "min, max"
    ),
    "a package of a profiler": ("profiler=XLAProfiler", "torch_xla"),
    "a package of a plug-in": ("plugins=XLAPrecision", "torch_xla"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lacks", EXTRAS)
def test_what_a_class_of_lightnings_lacks_is_a_sentence(fit, lacks):
    given, words = EXTRAS[lacks]
    line = [word.replace("~", " ") for word in f"--trainer.{given}".split(" ")]
    if any("InfoGAN" in word for word in line):
        line.append("--model.hidden=8")
    run = fit(*line)
    assert run.code == 2 and words in run.err and run.err.strip().count("\n") == 0, run.err


def test_an_error_of_the_zoos_own_below_a_callback_stays_one():
    """Else a defect would be told as a person's mistake."""
    from zoo.training.trainer import _of_an_extra

    class Below(L.pytorch.callbacks.Timer):
        def on_fit_start(self, *_):
            check_trainer_options({"max_steps": "x", "min_steps": 1})  # compares text and number

    Below.__module__ = "lightning.below"
    timer = Below()
    with pytest.raises(TypeError) as caught:
        timer.on_fit_start()
    assert _of_an_extra(caught.value) is None


def test_a_member_of_an_enumeration_is_written_as_its_word(fit):
    run = fit("--trainer.callbacks=Timer")
    assert run.code == 0, run.err
    timer = read_recipe(run.folder / "recipe.yaml")["trainer"]["callbacks"]
    timer = timer[0] if isinstance(timer, list) else timer  # as the parser's release has it
    assert timer["init_args"]["interval"] == "step"
