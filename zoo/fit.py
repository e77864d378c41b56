"""Trains the model of a recipe: ``python -m zoo.fit recipes/infogan_digits.yaml``."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import yaml
from jsonargparse import set_parsing_settings
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from zoo.callbacks import KeepFinite, Pictures, Scores, SeedEachBatch, atomic_checkpoints
from zoo.data import ImageData
from zoo.errors import UserError, exit_on_user_error
from zoo.files import write_text
from zoo.logs import WandbMode, csv_logger, wandb_logger
from zoo.precision import automatic_precision
from zoo.recipe import check_arguments, find_recipe, read_recipe
from zoo.runs import RunFolder, write_environment

__all__ = ["Fit", "main", "run"]

USAGE = "python -m zoo.fit RECIPE [--key value ...]"
ABOUT = """Trains the model of a recipe.

RECIPE is a YAML file, or the name of one in recipes/. Any value in it can be overridden:
  python -m zoo.fit recipes/infogan_digits.yaml --trainer.max_epochs 3 --model.width 16
  python -m zoo.fit infogan_digits --ckpt_path last     (continue the newest run)
  python -m zoo.fit infogan_digits --print_config       (show every value, run nothing)
"""


# The shape of the images comes from the data set as an object, not as arguments.
set_parsing_settings(subclasses_enabled=["is_pure_dataclass"])


class _Parser(LightningArgumentParser):
    """Turns the parser's complaints into one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        lines = [line.strip(" -\n") for line in str(message).splitlines() if line.strip(" -\n")]
        raise UserError(" ".join(lines[:4])) from ex


class Fit(LightningCLI):
    """Builds model, data and trainer from a recipe and command-line overrides."""

    def __init__(self, arguments: Sequence[str], name: str) -> None:
        self.recipe_name = name
        super().__init__(
            L.LightningModule,
            ImageData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            trainer_defaults={"log_every_n_steps": 50, "accelerator": "auto"},
            seed_everything_default=0,
            parser_class=_Parser,
            parser_kwargs={"description": ABOUT, "usage": USAGE},
            args=list(arguments),
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a run needs beyond model, data and trainer."""
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        parser.add_argument(
            "--ckpt_path", type=str | None, help="Continue from this checkpoint; 'last': newest run."
        )
        parser.add_argument("--run_root", type=str, default="runs", help="Folder of all runs.")
        parser.add_argument(
            "--name", type=str, default=self.recipe_name, help="Name of the run; default: recipe's."
        )
        parser.add_argument(
            "--wandb", type=WandbMode, default="auto",
            help="Weights & Biases: auto is online if you are logged in, else offline.",
        )  # fmt: skip
        parser.add_argument(
            "--log_checkpoints", type=bool, default=False, help="Send checkpoints to W&B."
        )
        parser.add_argument(
            "--pictures_every", type=int, default=1, help="Epochs between pictures and scores."
        )
        parser.add_argument(
            "--save_every", type=int, default=1000, help="Batches between checkpoints, besides "
            "one at each epoch's end.",
        )  # fmt: skip
        parser.add_argument(
            "--monitor", type=str | None, help="Logged quantity whose best checkpoint is kept."
        )
        parser.add_argument(
            "--monitor_mode", type=Literal["min", "max"], default="min", help="Which is best."
        )
        parser.add_argument(
            "--evaluate", type=bool, default=True, help="Score the model on test images at the end."
        )

    def before_instantiate_classes(self) -> None:
        """Checks numbers that Lightning would only stumble over later."""
        trainer = self.config["trainer"]
        for key in ("max_epochs", "max_steps", "devices", "num_nodes"):
            value = trainer[key]
            try:
                number = int(value)
            except (TypeError, ValueError):
                continue
            if number < -1 or (key in ("num_nodes", "devices") and number == 0):
                raise UserError(f"--trainer.{key} must be a positive number, got {value}.")
        if self.config["save_every"] < 1:
            raise UserError(f"--save_every must be at least 1, got {self.config['save_every']}.")

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Builds the trainer last, when model and data are known to be sound."""
        trainer = self.config_init["trainer"]
        device = "cuda" if _on_cuda(trainer["accelerator"]) else "cpu"
        reason = "as asked"
        if trainer["precision"] is None:
            trainer["precision"], reason = automatic_precision(self.model, device)
        if trainer["strategy"] == "auto" and _processes(trainer, device) > 1:
            # With several optimisers each backward pass leaves the other player's weights unused.
            manual = not self.model.automatic_optimization
            trainer["strategy"] = "ddp_find_unused_parameters_true" if manual else "ddp"
        self.precision_note = f"{trainer['precision']} ({reason})"
        self.folder, self.checkpoint = self._find_folder()
        if trainer["callbacks"] is None:
            trainer["callbacks"] = []
        trainer["callbacks"] += self._callbacks(trainer)
        trainer["logger"] = self._loggers() if rank_zero_only.rank == 0 else False
        trainer["plugins"] = [*(trainer["plugins"] or []), atomic_checkpoints()]
        # The loaders share out the data themselves.
        return L.Trainer(
            **{**trainer, "use_distributed_sampler": False, "enable_model_summary": False},
            **kwargs,
        )

    def _find_folder(self) -> tuple[RunFolder, Path | None]:
        """Makes the run's folder, or finds the one to continue; and the checkpoint to start from."""
        root, name = Path(self.config["run_root"]), self.config["name"]
        wanted = self.config["ckpt_path"]
        checkpoint = None
        if wanted == "last":
            folder = RunFolder.newest(root, name)
            return folder, folder.last
        if wanted is not None:
            checkpoint = Path(wanted)
            if not checkpoint.is_file():
                raise UserError(f"checkpoint {wanted} does not exist.")
            own = RunFolder.of_checkpoint(checkpoint)
            if own is not None:
                return own, checkpoint
        if rank_zero_only.rank > 0:  # the first process makes the folder and writes all files
            return RunFolder(root / name / "elsewhere"), checkpoint
        return RunFolder.create(root, name), checkpoint

    def _callbacks(self, trainer: Any) -> list[Callback]:
        config, folder = self.config, self.folder
        common = {"dirpath": folder.checkpoints, "enable_version_counter": False}
        found: list[Callback] = [
            SeedEachBatch(int(config["seed_everything"])),
            KeepFinite(),
            Pictures(folder.pictures, config["pictures_every"]),
            Scores(config["pictures_every"], folder.evaluation if config["evaluate"] else None),
            ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **common),
            ModelCheckpoint(filename="last", every_n_train_steps=config["save_every"], **common),
        ]
        if config["monitor"]:
            found.append(
                ModelCheckpoint(
                    filename="best", monitor=config["monitor"], mode=config["monitor_mode"],
                    save_on_train_epoch_end=True, **common,
                )  # fmt: skip
            )
        if trainer["enable_progress_bar"] is not False:
            found.append(TQDMProgressBar(refresh_rate=20) if sys.stdout.isatty() else EpochLines())
            trainer["enable_progress_bar"] = sys.stdout.isatty()
        return found

    def _loggers(self) -> list[Logger]:
        step = None
        if self.checkpoint is not None and self.folder.recipe.is_file():
            saved = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
            step = saved["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"]
        loggers: list[Logger] = [csv_logger(self.folder, step)]
        tracker = wandb_logger(
            self.folder, self.config["name"], self.config["wandb"], self.resolved(),
            self.config["log_checkpoints"],
        )  # fmt: skip
        return [*loggers, tracker] if tracker else loggers

    def resolved(self) -> dict[str, Any]:
        """Returns the whole recipe with every default and override, as plain values."""
        text = self.parser.dump(self.config, format="yaml")
        recipe = yaml.safe_load(text)
        return {k: v for k, v in recipe.items() if k not in ("config", "ckpt_path")}


class EpochLines(Callback):
    """Prints one line per epoch, where there is no terminal to draw a bar on."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the epoch and its last terms."""
        if trainer.is_global_zero:
            terms = "  ".join(f"{k} {v:.3f}" for k, v in trainer.callback_metrics.items())
            seconds = time.perf_counter() - self.start
            epoch = trainer.current_epoch + 1
            print(f"epoch {epoch}/{trainer.max_epochs}  {seconds:.0f} s  {terms}", flush=True)


def _on_cuda(accelerator: Any) -> bool:
    return accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def _processes(trainer: Any, device: str) -> int:
    devices = trainer["devices"]
    if isinstance(devices, list):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = torch.cuda.device_count() if device == "cuda" else 1
    else:
        count = int(devices)
    return count * trainer["num_nodes"]


def _quieten() -> None:
    """Silences what Lightning says to developers; it would bury what the user needs."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Found .* module.s. in eval mode.*",
        ".*The dirpath has changed from.*",
        ".*mid-epoch.*",
        ".*You passed in a `val_dataloader`.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*smaller than the logging interval.*",
        "LightningCLI's args parameter.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def run(arguments: Sequence[str]) -> Fit:
    """Trains and returns what was built, the trained model in ``.model``.

    Args:
        arguments: A recipe, then overrides.

    Raises:
        UserError: if anything in the request is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {USAGE}\n\n{ABOUT}")
        raise SystemExit(0)
    if arguments[0].startswith("-"):
        raise UserError(f"the recipe comes first: {USAGE}")
    _quieten()
    path = find_recipe(arguments[0])
    overrides = list(arguments[1:])
    check_arguments(overrides, read_recipe(path))
    fit = Fit(["--config", str(path), *overrides], path.stem)
    folder, first = fit.folder, rank_zero_only.rank == 0
    if first:
        write_text(folder.recipe, yaml.safe_dump(fit.resolved(), sort_keys=False))
        write_environment(folder, **_conditions(fit))
    fit.datamodule.prepare_data()
    fit.datamodule.setup("fit")
    if first:
        parameters = sum(p.numel() for p in fit.model.parameters() if p.requires_grad)
        print(fit.datamodule.report())
        print(f"{type(fit.model).__name__}: {parameters:,} parameters, {fit.precision_note}")
        print(f"run folder: {folder.path}", flush=True)
    fit.model.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    fit.trainer.fit(fit.model, datamodule=fit.datamodule, ckpt_path=fit.checkpoint)
    if first:
        _summarise(fit, time.perf_counter() - start)
    return fit


def _conditions(fit: Fit) -> dict[str, Any]:
    return {
        "seed": int(fit.config["seed_everything"]),
        "spec": asdict(fit.datamodule.spec),
        "precision": fit.precision_note,
        "device": str(fit.trainer.strategy.root_device),
        "processes": fit.trainer.world_size,
    }


def _summarise(fit: Fit, seconds: float) -> None:
    folder = fit.folder
    write_environment(
        folder, **_conditions(fit), training_seconds=round(seconds, 1),
        epochs=fit.trainer.current_epoch, batches=fit.trainer.global_step,
    )  # fmt: skip
    print(f"done in {seconds:.0f} s; look into {folder.path}")
    if folder.evaluation.is_file():
        for score in json.loads(folder.evaluation.read_text())["scores"]:
            print(f"  {score['name']:45s} {score['value']:.4f} {score['unit']}")
    print(f"  pictures  {folder.pictures}")
    print(f"  next      python -m zoo.sample {folder.path} --out grid.png", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_on_user_error("zoo.fit", lambda: run(given) and None)


if __name__ == "__main__":
    sys.exit(main())
