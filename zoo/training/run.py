"""A run of `zoo.fit`, from the recipe's words to objects, and from training to its summary."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import lightning as L
import yaml
from jsonargparse import Namespace, set_loader, set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from zoo.core import plugins
from zoo.core.arguments import in_a_sentence, refused_class
from zoo.core.errors import UserError, out_of_memory, user_error_in
from zoo.core.figures import shown
from zoo.core.files import read_json, sweep, write_text
from zoo.core.processes import Terminated, announce_children, held, is_first, parent_run
from zoo.core.text import clean, print_line
from zoo.data import ImageData
from zoo.data.identity import check_identity
from zoo.data.loader import check_share
from zoo.judge.catalogue import row_of
from zoo.recipe.building import with_full_paths
from zoo.recipe.checking import FACTS, LINKED, REGISTRIES, TRUSTED, class_name, differences
from zoo.recipe.help import OPTIONS
from zoo.recipe.reading import read_recipe
from zoo.recipe.trainer_options import check_trainer_options
from zoo.recipe.values import check_values
from zoo.recipe.yaml12 import NotYAML, read_yaml
from zoo.shelf.run_folder import RunFolder, write_environment
from zoo.shelf.run_weights import read_training
from zoo.shelf.weights import check_fit
from zoo.show.run_page import write_curves, write_page
from zoo.training.averages import check_averages
from zoo.training.begin import begin_with
from zoo.training.callbacks import Checkpoints
from zoo.training.choosing import about_size, choose, processes
from zoo.training.continuing import check_loops, check_plan, ended_by
from zoo.training.loggers import MetricsFile, Tracker, WandbMode, start_tracker
from zoo.training.own_loggers import build_loggers, gather_loggers, read_loggers
from zoo.training.sharing import about_sharing
from zoo.training.trainer import Options, build_trainer, callback, train

__all__ = ["Fit"]

# Data arguments that may change when a run continues; of `path`, the files are compared instead.
FREE = {"batch_size", "path", "root", "workers"}

set_loader("zoo", read_yaml, (NotYAML,))
# The shape of the images comes from the data set as an object, not as arguments.
set_parsing_settings(subclasses_enabled=["is_pure_dataclass"])


class _Parser(LightningArgumentParser):
    """Turns the parser's complaints into one sentence."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        raise UserError(in_a_sentence(str(message), ex)) from ex

    def add_class_arguments(self, theclass: Any, *args: Any, **kwargs: Any) -> Any:
        # Loggers are words until there is a folder for them to write to.
        skip = {"skip": {"logger"}} if theclass is L.Trainer else {}
        return super().add_class_arguments(theclass, *args, **kwargs, **skip)


def _as_it_is(value: Any) -> Any:
    """Passes a value through the parser; `zoo.training.own_loggers` reads it."""
    return value


def _without_enums(value: Any) -> Any:
    """Returns settings whose words are plain text: YAML knows no members of an enumeration."""
    if isinstance(value, Namespace):
        return Namespace(**{key: _without_enums(inner) for key, inner in vars(value).items()})
    if isinstance(value, list):
        return [_without_enums(inner) for inner in value]
    return str(value.value) if isinstance(value, Enum) and isinstance(value, str) else value


class Fit(LightningCLI):
    """Builds model and data from a recipe and command-line overrides, then trains.

    Args:
        path: The recipe's file.
        recipe: What it says, checked before.
        overrides: Such as ``--model.width=64``, checked before.

    Raises:
        UserError: if a value is wrong.
    """

    trainer: L.Trainer
    folder: RunFolder

    def __init__(self, path: Path, recipe: dict[str, Any], overrides: Sequence[str]) -> None:
        self.recipe_name, self.recipe_path = path.stem, path
        full, overrides = gather_loggers(with_full_paths(recipe), overrides)
        set_parsing_settings(
            # A recipe cannot name code from elsewhere: nothing else is imported, let alone run.
            import_path_denylist=["*"],
            import_path_allowlist=[*TRUSTED, *plugins.modules()],
        )
        super().__init__(
            L.LightningModule,
            ImageData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            trainer_defaults={"log_every_n_steps": 50, "accelerator": "auto"},
            seed_everything_default=0,
            parser_class=_Parser,
            parser_kwargs={"parser_mode": "zoo"},
            args=["--config", json.dumps(full), *overrides],
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    # ---------------------------------------------------------------- from recipe to objects

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a run needs beyond model, data and trainer."""
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        options: dict[str, tuple[Any, Any]] = {
            "ckpt_path": (str | None, None),
            "from": (str | None, None),
            "run_root": (str, "runs"),
            "name": (str, self.recipe_name),
            "wandb": (WandbMode, "auto"),
            "log_checkpoints": (bool, False),
            "pictures_every": (int, 1),
            "save_every": (int | None, None),
            "monitor": (str | None, None),
            "monitor_mode": (Literal["min", "max"], "min"),
            "evaluate": (bool, True),
            "silence_limit": (float, 600.0),
        }
        self.needed = [name for name, (_, default) in options.items() if default is not None]
        for name, (kind, default) in options.items():
            parser.add_argument(f"--{name}", type=kind, default=default, help=OPTIONS[name])
        parser.add_argument("--trainer.logger", type=_as_it_is, default=None)
        # Known, so that a recipe may state it; a training makes no use of it.
        for fact in FACTS:
            parser.add_argument(f"--{fact}", type=dict[str, Any] | None, default=None)

    def before_instantiate_classes(self) -> None:
        """Checks values that the parser lets pass, and Lightning would only stumble over later."""
        for kind, registry in REGISTRIES.items():
            section = self.config[kind]
            given = vars(section.init_args) if "init_args" in section else {}
            cls = registry[class_name(kind, {"class_path": section.class_path})]
            check_values(cls, given, f"--{kind}.", LINKED[kind])  # null passes the parser anywhere
        trainer = self.config["trainer"]
        check_trainer_options(trainer)
        read_loggers(trainer["logger"])
        for key in ("max_epochs", "max_steps", "devices", "num_nodes"):
            value = trainer[key]
            try:
                number = int(value)
            except (TypeError, ValueError):
                if isinstance(value, str) and not re.fullmatch(r"auto|\d+(,\d*)+", value):
                    raise UserError(f"--trainer.{key} must be a number, got {value!r}.") from None
                continue
            if number < -1 or (key in ("num_nodes", "devices") and number == 0):
                raise UserError(f"--trainer.{key} must be a positive number, got {value}.")
        for key in self.needed:
            if self.config[key] is None:
                raise UserError(f"--{key} must not be null; leave it out for its default.")
        if not self.config["silence_limit"] > 0:
            raise UserError(
                f"--silence_limit must be positive, got {self.config['silence_limit']}."
            )
        for key in ("save_every", "pictures_every"):
            if self.config[key] is not None and self.config[key] < 1:
                raise UserError(f"--{key} must be at least 1, got {self.config[key]}.")

    def instantiate_classes(self) -> None:
        """Builds model and data; the parser wraps what their constructors refuse."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            known = user_error_in(error)
            told = None if known or out_of_memory(error) else refused_class(str(error))
            raise known or (UserError(told) if told else error) from None

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Builds none yet: `fit` does, when model and data are known to be sound."""

    def resolved(self) -> dict[str, Any]:
        """Returns the whole recipe with every default and override, as plain values.

        A folder of the user's own stands there by its absolute path, wherever it is read again.
        """
        recipe = yaml.safe_load(self.parser.dump(_without_enums(self.config), format="yaml"))
        for kind in REGISTRIES:  # by their names: where a class stands may change
            recipe[kind]["class_path"] = class_name(kind, recipe[kind])
        if place := self.datamodule.identity().get("path"):
            recipe["data"]["init_args"]["path"] = place
        return {k: v for k, v in recipe.items() if k not in ("config", "ckpt_path")}

    # ---------------------------------------------------------------- from objects to a run

    def fit(self) -> None:
        """Trains in the run's folder; a run that never began leaves none.

        Raises:
            UserError: if data are missing, or anything does not go together.
            Stopped: if the user or the cluster asked for it.
        """
        with ExitStack() as self._held:
            self._fit()

    def _fit(self) -> None:
        settings = self.config_init["trainer"]
        check_share(self.datamodule.batch_size, processes(settings))
        self.precision = choose(settings, self.model)
        if is_first():  # data that are missing are missed before there is a run folder
            self.datamodule.prepare_data()
            self.datamodule.setup("fit")
        self.checkpoint: Path | None = None
        if self.config["from"] and self.config["ckpt_path"] is None:
            self._begin_with(self.config["from"])
        self.folder = self._find_folder()
        try:
            self.trainer = build_trainer(settings, self.folder, self._options())
            self._kept = callback(self.trainer, Checkpoints)  # a callback that fails may lose it
            if self.checkpoint is not None:
                check_loops(self.trainer, self.checkpoint, self.loops)
            if processes(settings) > 1:
                announce_children(self.folder.path)
            self._train()
        except (UserError, KeyboardInterrupt, Terminated):
            if self.trainer is None or self.trainer.global_step == 0:
                self.folder.discard()
            raise

    def _begin_with(self, source: str) -> None:
        """Fills in weights of a published model, a run or an address, as far as they fit."""
        taken, left = begin_with(self.model, source)
        if is_first():
            count = f"{taken} of {taken + len(left)} tensors"
            rest = f"; these begin anew: {', '.join(left)}" if left else ""
            print_line(clean(f"begins with {count} of {source}{rest}", 500))

    def _options(self) -> Options:
        config = self.config
        return Options(
            seed=int(config["seed_everything"]),
            save_every=config["save_every"],
            pictures_every=config["pictures_every"],
            monitor=config["monitor"],
            monitor_mode=config["monitor_mode"],
            evaluate=config["evaluate"],
            terminal=sys.stdout.isatty(),
            silence_limit=self.config["silence_limit"],
        )

    def _find_folder(self) -> RunFolder:
        """Makes the run's folder, or finds the one to continue and the checkpoint to start from."""
        root, name, wanted = (
            Path(self.config["run_root"]),
            self.config["name"],
            self.config["ckpt_path"],
        )
        given = parent_run()
        found = RunFolder(Path(given)) if given else None
        if wanted == "last":
            found = found or RunFolder.of_recipe(self.recipe_path) or RunFolder.newest(root, name)
            self.checkpoint = found.last
        elif wanted is not None:
            self.checkpoint = Path(wanted)
            if not self.checkpoint.is_file():
                raise UserError(f"checkpoint {wanted} does not exist.")
            found = found or RunFolder.of_checkpoint(self.checkpoint)
        if found is not None and is_first():  # before its checkpoint is read
            self._held.enter_context(held(found.path))
        if self.checkpoint is not None:
            self._check_checkpoint(self.checkpoint)
            if found is not None and found.recipe.is_file():
                self._check_recipe(found.recipe)
                now, run = self.datamodule.identity(), f"the run in {found.path}"
                check_identity(found.learnt_from(), now, run)
        if found is None and not is_first():  # only the first process makes and writes files
            return RunFolder(root / name / "elsewhere")
        if found is None:
            found = RunFolder.create(root, name)
            self._held.enter_context(held(found.path))
        return found

    def _check_checkpoint(self, path: Path) -> None:
        """Refuses a checkpoint that is damaged, unsafe or of another model."""
        checkpoint = read_training(path)
        check_fit(checkpoint["state_dict"], self.model.state_dict(), f"the weights in {path}")
        self.seen = checkpoint["callbacks"]["Checkpoints"]
        self.loops = checkpoint["loops"]["fit_loop"]
        check_averages(path, checkpoint, self.model)
        check_plan(path, checkpoint, self.config_init["trainer"])

    def _check_recipe(self, path: Path) -> None:
        """Refuses to continue a run as another one: its records would tell neither's story."""
        begun, now = (
            {key: full.get(key) for key in ("seed_everything", "model", "data")}
            for full in map(with_full_paths, (read_recipe(path), self.resolved()))
        )
        for key, before, after in differences(begun, now):
            if key.rpartition(".")[2] not in FREE:
                raise UserError(
                    f"the run in {path.parent} began with {key} {before!r}, not {after!r}: "
                    f"continue it with its own recipe, {path}."
                )

    def _train(self) -> None:
        """Trains, with loggers and messages on the first process only."""
        tracker = self._begin() if is_first() else None
        ended_well = False
        try:
            train(self.trainer, self.model, self.datamodule, self.checkpoint)
            ended_well = True
        finally:
            if is_first() and self._kept.batches > 0:
                self._write_environment()
            if tracker is not None:
                send = self.config["log_checkpoints"] and ended_well
                files = (self.folder.last, self.folder.best) if send else ()
                tracker.finish(0 if ended_well else 1, *files)
        if is_first():
            self._summarise()

    def _begin(self) -> Tracker | None:
        """Writes what is known before training, and starts the loggers."""
        folder, recipe = self.folder, self.resolved()
        continued = self.checkpoint is not None and folder.metrics.is_file()
        if continued:
            sweep(folder.path)
        write_text(folder.recipe, yaml.safe_dump(recipe, sort_keys=False))
        if not continued:
            self._write_environment()
        parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        print_line(self.datamodule.report())
        print_line(f"{type(self.model).__name__}: {parameters:,} parameters, {self.precision}")
        if advice := about_size(self.model):
            print_line(advice)
        if self.trainer.world_size > 1:
            print_line(
                about_sharing(
                    self.model, self.datamodule.batch_size, self.trainer.world_size,
                    bool(self.config_init["trainer"]["sync_batchnorm"]),
                )
            )  # fmt: skip
        print_line(f"run folder: {folder.path}")
        if self.checkpoint is not None:
            print_line(f"continuing {self.checkpoint.name} after batch {self.seen['batches']:,}")
        config = {**recipe, "precision": self.precision}
        tracker = start_tracker(folder.path, self.config["name"], self.config["wandb"], config)
        file = MetricsFile(folder.metrics, self.seen["step"] if continued else None)
        own = build_loggers(self.config["trainer"]["logger"], folder.path)
        self.trainer.loggers = [file, *([tracker] if tracker else []), *own]
        sys.stdout.flush()
        return tracker

    def _write_environment(self) -> None:
        checkpoints, trainer = self._kept, self.trainer
        done = {
            "training_seconds": round(checkpoints.seconds, 1),
            "processor_seconds": _rounded(checkpoints.processor_seconds),
            "epochs": trainer.current_epoch,
            "batches": checkpoints.batches,
        }
        write_environment(
            self.folder,
            seed=int(self.config["seed_everything"]),
            spec=asdict(self.datamodule.spec),
            data=self.datamodule.identity(),
            precision=self.precision,
            device=str(trainer.strategy.root_device),
            processes=trainer.world_size,
            **(done if checkpoints.batches else {}),
        )

    def _summarise(self) -> None:
        folder, checkpoints = self.folder, self._kept
        if not folder.last.is_file():
            print_line(f"nothing is saved: {self._why_nothing()}")
            return
        if self.checkpoint is not None and checkpoints.batches == self.seen["batches"]:
            print_line(f"nothing was left to train: {ended_by(self.trainer)}; raise it to continue")
        state = f"Trained for {checkpoints.batches:,} batches, {checkpoints.seconds:,.0f} seconds."
        write_page(folder, state)
        write_curves(folder)
        print_line(f"done in {checkpoints.seconds:.0f} s; look into {folder.path}")
        if folder.evaluation.is_file():
            for score in read_json(folder.evaluation)["scores"]:
                print_line(f"  {_brief(score)}")
        if folder.pictures.is_dir():
            print_line(f"  pictures  {folder.pictures}")
        print_line(f"  curves    {folder.page}")
        for file in sorted(folder.path.glob("*-profile*.txt")):
            print_line(f"  profile   {file}")
        print_line(f"  next      python -m zoo.sample {folder.path} --out grid.png")
        print_line(f"            python -m zoo.evaluate {folder.path}")

    def _why_nothing(self) -> str:
        if self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return "this was a rehearsal; leave out --trainer.fast_dev_run to train"
        return "no batch was trained; raise the limits of --trainer to train"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _brief(score: dict[str, Any]) -> str:
    """Writes a score as the tables of published models do; its record has all digits."""
    value = score["value"]
    return f"{score['name']:45s} {shown(score) if value is None else row_of(score).brief(value)}"
