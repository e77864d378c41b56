"""zoo.fit from the user's side: what it prints, what it leaves, how it ends."""

import csv
import json
import re
import signal

import pytest
import torch
import yaml

import zoo.core.precision
from zoo.fit import main
from zoo.judge.catalogue import row_of
from zoo.models import InfoGAN
from zoo.training.callbacks import Checkpoints

BATCHES = 19  # per epoch
SMALL_OTHER = (
    "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--wandb=off", "--evaluate=false",
    "--model.hidden=[16,16]", "--data.batch_size=600",
)  # fmt: skip
MONITOR = "val/code_error[one-to-one,train->val]"


def weights(checkpoint):
    return checkpoint["state_dict"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---------------------------------------------------------------- without training


def test_print_config_prints_yaml_and_makes_nothing(runs, capsys):
    with pytest.raises(SystemExit) as exit_:
        runs.here("--print_config")
    assert exit_.value.code in (0, None)
    recipe = yaml.safe_load(capsys.readouterr().out)
    assert recipe["model"]["init_args"]["width"] == 4
    assert recipe["trainer"]["log_every_n_steps"] == 5
    assert not list(runs.root.iterdir())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_of_the_command(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for words in ("RECIPE", "--ckpt_path", "--trainer.max_epochs", "--save_every", "--wandb"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100


def test_help_of_a_recipe_explains_its_model_and_data(runs, capsys):
    with pytest.raises(SystemExit) as exit_:
        runs.here("--help")
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.width Channels of the finest feature map." in text
    assert "--model.lr_generator Adam's rate for G. Here: 0.001." in text
    assert "(62 in the paper's MNIST model). Here: 16." in text
    assert "--data.batch_size Images per batch; several devices share it. Here: 64." in text
    assert "--model.spec" not in text and "--data.seed" not in text
    assert not list(runs.root.iterdir())


# ---------------------------------------------------------------- what a run leaves


@pytest.fixture(scope="module")
def left(shared_runs, request):
    """One whole run, its folder and what it printed."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        import contextlib
        import io

        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = shared_runs.here(
                "--pictures_every=2", "--evaluate=true", f"--monitor={MONITOR}", name="left"
            )
    assert code == 0
    return shared_runs.folder("left"), said.getvalue()


def test_a_run_leaves_its_files(left):
    folder, _ = left
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    codes = ["category", "continuous1", "continuous2"]
    sheets = ["samples", *(f"traverse-{code}" for code in codes), "traversals"]
    pictures = {f"pictures/{s}-epoch000{epoch}.png" for s in sheets for epoch in (1, 2, 3)}
    assert names == pictures | {
        "recipe.yaml", "environment.json", "metrics.csv", "evaluation.json",
        "checkpoints/last.ckpt", "checkpoints/best.ckpt", "run.html", "curves.png",
    }  # fmt: skip
    assert "Trained for" in (folder / "run.html").read_text()
    a, b = ((folder / f"pictures/samples-epoch000{e}.png").read_bytes() for e in (1, 3))
    assert a != b


def test_the_environment_tells_what_it_ran_on(left):
    folder, _ = left
    about = json.loads((folder / "environment.json").read_text())
    assert about["seed"] == 0
    assert about["precision"] == "32-true (as asked)"
    assert about["device"] == "cpu"
    assert about["spec"].items() >= {"channels": 1, "height": 8, "width": 8, "classes": 10}.items()
    assert (about["epochs"], about["batches"]) == (3, 3 * BATCHES)
    assert 0 < about["training_seconds"] < 600
    assert about["torch"].startswith(torch.__version__.partition("+")[0])


def epoch_lines(said):
    """Picks the rows of the table of epochs."""
    return [line for line in said.splitlines() if re.match(r" +\d+(/\d+)? ", line)]


def test_the_screen_shows_short_lines(left):
    folder, said = left
    lines = said.splitlines()
    assert f"run folder: {folder}" in lines
    about = r"InfoGAN: [1-9][\d,]* parameters, 32-true \(as asked\)"
    assert any(re.fullmatch(about, line) for line in lines)
    assert [line.split()[0] for line in epoch_lines(said)] == ["1/3", "2/3", "3/3"]
    heads = [line for line in lines if line.split()[:2] == ["epoch", "s"]]
    assert "code_error" not in heads[0] and "code_error" in heads[-1]  # after the second epoch
    assert all(len(line) <= 100 for line in (*heads, *epoch_lines(said)))
    score = json.loads((folder / "evaluation.json").read_text())["scores"][0]
    assert f"{score['name']:45s} {row_of(score).brief(score['value'])}" in said


def test_the_recipe_repeats_the_run(left, shared_runs):
    folder, _ = left
    again = [str(folder / "recipe.yaml"), "--name=again", "--evaluate=false"]
    assert main(again) == 0
    first, second = (shared_runs.checkpoint(name) for name in ("left", "again"))
    assert same(weights(first), weights(second))
    recipes = [
        yaml.safe_load((shared_runs.folder(name) / "recipe.yaml").read_text())
        for name in ("left", "again")
    ]
    assert {**recipes[1], "name": "left", "evaluate": True} == recipes[0]


def test_the_best_epoch_is_kept(left, shared_runs):
    with (left[0] / "metrics.csv").open() as file:
        errors = {int(r["step"]): float(r[MONITOR]) for r in csv.DictReader(file) if r[MONITOR]}
    assert len(errors) == 2
    best = shared_runs.checkpoint("left", "best.ckpt")
    assert best["callbacks"]["Checkpoints"]["batches"] == min(errors, key=errors.get)


def test_an_ended_run_that_lost_its_report_gets_it_again(left, shared_runs):
    """As if it was killed between its last batch and its end; nothing is trained."""
    folder, _ = left
    report = folder / "evaluation.json"
    before, trained = json.loads(report.read_text()), (folder / "metrics.csv").read_text()
    report.unlink()
    arguments = ("--pictures_every=2", "--evaluate=true", f"--monitor={MONITOR}")
    assert shared_runs.here(*arguments, "--ckpt_path=last", name="left") == 0
    assert json.loads(report.read_text())["scores"] == before["scores"]
    assert (folder / "metrics.csv").read_text() == trained
    assert json.loads((folder / "environment.json").read_text())["batches"] == 3 * BATCHES


# ---------------------------------------------------------------- counting


def test_steps_are_batches(runs):
    """With two optimisers Lightning would count 25 steps in 13 batches."""
    assert runs.here("--trainer.max_steps=25", "--trainer.max_epochs=-1") == 0
    checkpoint = runs.checkpoint()
    assert checkpoint["global_step"] == 25
    assert checkpoint["callbacks"]["Checkpoints"]["batches"] == 25
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    assert progress["ready"] == 25


@pytest.fixture
def saved(monkeypatch):
    """Lists the batches after which checkpoints were written."""
    found = []
    save = Checkpoints._save
    monkeypatch.setattr(Checkpoints, "_save", lambda *a: (found.append(a[3]), save(*a)))
    return found


def test_checkpoints_come_every_so_many_batches(runs, saved):
    assert runs.here("--save_every=4", "--trainer.max_epochs=2") == 0
    assert saved == [4, 8, 12, 16, 20, 24, 28, 32, 36, 38]


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [(3600.0, [2 * BATCHES]), (-1.0, list(range(1, 2 * BATCHES + 1)))],
    ids=["run shorter than that", "no time at all"],
)
def test_by_default_checkpoints_come_by_the_clock_and_at_the_end(
    runs, saved, monkeypatch, seconds, batches
):
    monkeypatch.setattr("zoo.training.callbacks.checkpoints.HALF_A_MINUTE", seconds)
    assert runs.here("--trainer.max_epochs=2") == 0
    assert saved == batches


# ---------------------------------------------------------------- endings


def test_a_bad_term_stops_the_run_and_the_last_checkpoint_is_good(runs, capsys, monkeypatch):
    terms = InfoGAN.discriminator_terms

    def bad(self, *args, **options):
        found = terms(self, *args, **options)
        if self.trainer.fit_loop.total_batch_idx == 30:
            found["discriminator_loss"] = found["discriminator_loss"] * float("inf")
        return found

    monkeypatch.setattr(InfoGAN, "discriminator_terms", bad)
    assert runs.here("--save_every=7") == 2
    told = capsys.readouterr().err
    assert "train/discriminator_loss became inf in epoch 2, batch 31" in told
    assert len(told.splitlines()) == 1
    checkpoint = runs.checkpoint()
    assert checkpoint["callbacks"]["Checkpoints"]["batches"] == 28
    assert all(bool(t.isfinite().all()) for t in weights(checkpoint).values())

    monkeypatch.setattr(InfoGAN, "discriminator_terms", terms)
    assert runs.here("--save_every=7", "--ckpt_path=last") == 0
    assert runs.checkpoint()["global_step"] == 3 * BATCHES


def test_weights_that_went_bad_are_not_saved(runs, capsys, monkeypatch):
    """They went bad without any term showing it, just before a checkpoint."""
    step = InfoGAN.training_step

    def spoil(self, batch, batch_idx):
        step(self, batch, batch_idx)
        if self.trainer.fit_loop.total_batch_idx == 34:
            self.code_head[0].weight.data[0, 0] = float("nan")

    monkeypatch.setattr(InfoGAN, "training_step", spoil)
    assert runs.here("--save_every=7") == 2
    assert "code_head.0.weight became nan" in capsys.readouterr().err
    checkpoint = runs.checkpoint()
    assert checkpoint["callbacks"]["Checkpoints"]["batches"] == 28
    assert all(bool(t.isfinite().all()) for t in weights(checkpoint).values())


def test_a_huge_learning_rate_ends_in_words(runs, capsys):
    huge = ("--model.lr_discriminator=1e30", "--model.lr_generator=1e30")
    assert runs.here(*huge) == 2
    assert "became nan in epoch 1" in capsys.readouterr().err


@pytest.fixture(scope="module")
def stopped(shared_runs):
    """Runs that were asked to stop in batch 27, each in a process of its own."""
    plans = [
        {"signal_at": 26, "signal": signal.SIGINT},
        {"signal_at": 26, "signal": signal.SIGTERM},
    ]
    process = shared_runs.start(json.dumps(plans), name="stoppedNAME")
    assert shared_runs.here(name="unstopped") == 0
    output, errors = process.communicate(timeout=300)
    return json.loads(output.splitlines()[-1]), errors


@pytest.mark.parametrize("index", [0, 1], ids=["Ctrl-C", "SIGTERM"])
def test_a_run_that_is_asked_to_stop_saves_first(shared_runs, stopped, index):
    codes, errors = stopped
    name = f"stopped{index}"
    assert codes[index] == (130, 143)[index]
    assert "Traceback" not in errors
    assert errors.count("zoo.fit: stopped after batch 27, which is saved. To continue:") == 2
    assert errors.count("Ctrl-C again stops at once") == 1
    folder = shared_runs.folder(name)
    line = f"python -m zoo.fit {folder}/recipe.yaml --ckpt_path {folder}/checkpoints/last.ckpt"
    assert line in errors
    assert shared_runs.checkpoint(name)["callbacks"]["Checkpoints"]["batches"] == 27

    assert main(line.split()[3:]) == 0
    whole = shared_runs.checkpoint("unstopped")
    assert same(weights(shared_runs.checkpoint(name)), weights(whole))
    with (folder / "metrics.csv").open() as a:
        with (shared_runs.folder("unstopped") / "metrics.csv").open() as b:
            assert a.read() == b.read()


WATCH = ("--trainer.callbacks=EarlyStopping", "--trainer.callbacks.patience=1")


@pytest.mark.parametrize(
    "wrong, option, epochs",
    [
        (("--monitor=elbo",), "--monitor 'elbo'", 0),
        (("--monitor=val/code_eror",), "--monitor 'val/code_eror'", 0),
        (("--monitor=train/generator_los",), "--monitor 'train/generator_los'", 1),
        (("--monitor=val/code_error[train->val]",), "--monitor 'val/code_error[train->val]'", 2),
        ((*WATCH, "--trainer.callbacks.monitor=elbo"), "--trainer.callbacks.monitor 'elbo'", 0),
        (
            (*WATCH, "--trainer.callbacks.monitor=train/elbo"),
            "--trainer.callbacks.monitor 'train/elbo'",
            1,
        ),
        (
            ("--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitor=code_error"),
            "--trainer.callbacks.monitor 'code_error'",
            0,
        ),
    ],
)
def test_a_monitor_that_is_not_logged_is_named(runs, capsys, wrong, option, epochs):
    """A misspelt one is found as early as can be; what was trained until then is saved."""
    assert runs.here(*wrong, "--pictures_every=2") == 2
    captured = capsys.readouterr()
    assert f"zoo.fit: {option} is not logged." in captured.err
    assert len(captured.err.splitlines()) == 1
    assert len(epoch_lines(captured.out)) == epochs
    if epochs:
        assert runs.checkpoint()["callbacks"]["Checkpoints"]["batches"] == epochs * BATCHES
    else:
        assert not list(runs.root.iterdir())


@pytest.mark.parametrize("recipe", ["vae_digits", "made_digits"])
def test_names_of_validation_are_known_before_the_first_batch(runs, capsys, recipe):
    line = [f"recipes/{recipe}.yaml", *SMALL_OTHER, f"--run_root={runs.root}"]
    assert main([*line, "--monitor=val/elbow_nats"]) == 2
    captured = capsys.readouterr()
    assert "--monitor 'val/elbow_nats' is not logged." in captured.err
    assert not epoch_lines(captured.out)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", [MONITOR, "code_error"], ids=["whole", "as-printed"])
def test_early_stopping_looks_at_scores_when_they_are_taken(runs, capsys, every, name):
    """It stops at the second look, since the first one cannot be beaten by so much."""
    more = (f"--trainer.callbacks.monitor={name}", "--trainer.callbacks.min_delta=1.0")
    line = (*WATCH, *more, f"--pictures_every={every}", "--trainer.max_epochs=6")
    assert runs.here(*line) == 0
    batches = 2 * every * BATCHES
    assert runs.checkpoint()["callbacks"]["Checkpoints"]["batches"] == batches
    assert len(epoch_lines(capsys.readouterr().out)) == 2 * every


@pytest.mark.parametrize("name", ["code_error", "generator_loss"])
def test_every_name_that_a_line_prints_can_be_monitored(runs, capsys, name):
    assert runs.here(f"--monitor={name}", *WATCH, f"--trainer.callbacks.monitor={name}") == 0
    assert f"  {name} " in capsys.readouterr().out
    kept = runs.checkpoint()["callbacks"]
    assert kept["Checkpoints"]["best_value"] is not None
    assert (runs.folder() / "checkpoints" / "best.ckpt").is_file()
    (stop,) = (state for key, state in kept.items() if key.startswith("EarlyStopping"))
    assert stop["best_score"] < 100


# ---------------------------------------------------------------- precision and clipping


@pytest.mark.parametrize("fast", [True, False])
def test_the_precision_is_chosen_shown_and_recorded(runs, capsys, monkeypatch, fast):
    monkeypatch.setattr(zoo.core.precision, "has_fast_bf16", lambda device: fast)
    arguments = [
        a for a in runs.arguments("--trainer.max_epochs=1") if "trainer.precision" not in a
    ]
    assert main(arguments) == 0
    chosen = "bf16-mixed" if fast else "32-true"
    assert f"parameters, {chosen} (this cpu" in capsys.readouterr().out
    about = json.loads((runs.folder() / "environment.json").read_text())
    assert about["precision"].startswith(chosen)


def test_gradients_of_both_players_are_clipped(runs, monkeypatch):
    """In mixed precision with fused optimisers, which the trainer's own clipping refuses."""
    norms = []
    from zoo.training.callbacks import ClipGradients

    clip = ClipGradients.on_before_optimizer_step

    def measured(self, trainer, module, optimizer):
        clip(self, trainer, module, optimizer)
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat([g.flatten() for g in grads if g is not None]).norm()))

    monkeypatch.setattr(ClipGradients, "on_before_optimizer_step", measured)
    arguments = ("--trainer.gradient_clip_val=0.01", "--trainer.max_epochs=1")
    assert runs.here(*arguments, "--trainer.precision=bf16-mixed") == 0
    assert len(norms) == 2 * BATCHES
    assert max(norms) == pytest.approx(0.01, rel=1e-3)
