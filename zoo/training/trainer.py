"""The trainer of a run: what is chosen for the user, what surrounds training, and how it ends."""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import (
    AdvancedProfiler,
    PassThroughProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

from zoo.contract.model import facts
from zoo.core.errors import UserError, did_you_mean
from zoo.core.files import PACKAGE
from zoo.core.memory import keep_freed_memory
from zoo.core.processes import is_first, lost_others, port_is_taken, silent_others
from zoo.core.text import quoted
from zoo.data import ImageData
from zoo.shelf.run_folder import RunFolder
from zoo.shelf.weights import load
from zoo.training.callbacks import (
    Bar,
    Checkpoints,
    ClipGradients,
    EndTogether,
    EpochLines,
    EqualBuffers,
    Health,
    KeepFinite,
    Monitors,
    Pace,
    Page,
    Pictures,
    Scores,
    SeedEachBatch,
    Stopped,
    Threads,
    atomic_checkpoints,
    limit_silence,
)
from zoo.training.choosing import set_threads
from zoo.training.continuing import EpochLoop

__all__ = ["Options", "build_trainer", "callback", "train"]

PROFILERS = {"advanced": AdvancedProfiler, "pytorch": PyTorchProfiler, "simple": SimpleProfiler}
GRACE = 5.0  # seconds in which a watching process ends one that has lost the others
ONE_VALUE = "Expected more than 1 value per channel"  # torch, of a batch of one


@dataclass(frozen=True)
class Options:
    """What a recipe says about a run, besides model, data and trainer.

    Args:
        seed: Seed of everything.
        save_every: Batches between checkpoints; None for half a minute's worth.
        pictures_every: Epochs between pictures and scores.
        monitor: Quantity whose best checkpoint is kept, or None.
        monitor_mode: Whether small or large is best.
        evaluate: Whether to score the model on test images at the end.
        terminal: Whether a person looks at a terminal.
        silence_limit: Seconds that a process waits for the others of the run.
    """

    seed: int
    save_every: int | None
    pictures_every: int
    monitor: str | None
    monitor_mode: Literal["min", "max"]
    evaluate: bool
    terminal: bool
    silence_limit: float = 600.0


# ---------------------------------------------------------------- the trainer


class _NoProfiler(PassThroughProfiler):
    """Measures nothing; with the trainer's own, doing so costs a tenth of a millisecond a batch."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:
        return self._nothing


def _profiler(wanted: Any, folder: RunFolder) -> Any:
    """Has a profiler write into the run's folder; on the screen it would be lost in a log."""
    if not wanted or not is_first():
        return _NoProfiler()
    if isinstance(wanted, str):
        if wanted not in PROFILERS:
            raise UserError(
                f"--trainer.profiler: unknown profiler {quoted(wanted)}. "
                f"{did_you_mean(wanted, PROFILERS)}"
            )
        wanted = PROFILERS[wanted]()
    if isinstance(wanted, Profiler):
        wanted.dirpath = wanted.dirpath or folder.path
        wanted.filename = wanted.filename or "profile"
    return wanted


def _plugins(wanted: Any) -> list[Any]:
    plugins = _listed(wanted)
    for one in plugins:
        if isinstance(one, CheckpointIO):
            raise UserError(
                "--trainer.plugins cannot say how checkpoints are written: the zoo's own way is "
                "what makes them whole or not there."
            )
        if isinstance(one, Precision):
            raise UserError("--trainer.plugins cannot say the precision: use --trainer.precision.")
    return plugins


def build_trainer(settings: dict[str, Any], folder: RunFolder, options: Options) -> L.Trainer:
    """Builds the trainer with all that surrounds training; its loggers come later.

    Args:
        settings: The trainer's arguments after `choose`.
        folder: The run's folder.
        options: The recipe's other options.

    Raises:
        UserError: if Lightning refuses the settings.
    """
    given: list[Callback] = _listed(settings["callbacks"])
    scores = Scores(options.pictures_every, folder.evaluation if options.evaluate else None)
    monitors = Monitors(options.monitor, given, scores)
    own: list[Callback] = [
        EndTogether(),
        SeedEachBatch(options.seed),
        KeepFinite(),
        EqualBuffers(),
        Pictures(folder.pictures, options.pictures_every),
        scores,
        monitors,
        Health(folder.path, options.pictures_every),
        Page(folder),
        Checkpoints(
            folder.checkpoints, options.save_every, options.monitor, options.monitor_mode,
            patience=options.pictures_every, watched=monitors.names, find=monitors.find,
        ),
    ]  # fmt: skip
    threads = Threads(most) if (most := set_threads(settings)) > 1 else None
    own += [threads] if threads else []
    own.append(Pace(threads.choice if threads else None))  # after what it looks at
    if settings["gradient_clip_val"]:
        by = settings["gradient_clip_algorithm"] or "norm"
        own.append(ClipGradients(float(settings["gradient_clip_val"]), by))
    show = settings["enable_progress_bar"] is not False
    own_bar = any(isinstance(one, ProgressBar) for one in given)
    if show and not own_bar:
        own.append(Bar() if options.terminal else EpochLines())
    arguments = {
        **settings,
        "callbacks": [*own, *given],  # the user's see the scores
        "plugins": [*_plugins(settings["plugins"]), atomic_checkpoints()],
        "logger": False,
        "profiler": _profiler(settings["profiler"], folder),
        "gradient_clip_val": None,
        "gradient_clip_algorithm": None,
        "enable_progress_bar": show and (options.terminal or own_bar),
        "enable_model_summary": bool(settings["enable_model_summary"]),
        "default_root_dir": str(folder.path),
        "use_distributed_sampler": False,  # the loaders share out the data themselves
    }
    try:
        trainer = L.Trainer(**arguments)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise _refusal(error) or error from error
    _go_on_exactly(trainer)
    limit_silence(trainer, options.silence_limit)
    return trainer


def _go_on_exactly(trainer: L.Trainer) -> None:
    own = EpochLoop(trainer, trainer.min_epochs, trainer.max_epochs)
    own.epoch_loop = trainer.fit_loop.epoch_loop
    trainer.fit_loop = own


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def callback(trainer: L.Trainer, kind: type[Any]) -> Any:
    """Returns the trainer's callback of a class."""
    return next(found for found in trainer.callbacks if isinstance(found, kind))  # type: ignore[attr-defined]


# ---------------------------------------------------------------- training


def train(
    trainer: L.Trainer, model: L.LightningModule, data: ImageData, checkpoint: Path | None
) -> None:
    """Trains; however it ends, no process of the run is left behind.

    Args:
        trainer: From `build_trainer`.
        model: The model.
        data: The data set.
        checkpoint: Where to continue, or None.

    Raises:
        UserError: on a wrong request, terms that are not finite, or settings Lightning refuses.
        Stopped: if the user or the cluster asked for it.
    """
    together = callback(trainer, EndTogether)
    if trainer.strategy.root_device.type == "cpu":
        # Lightning has torch look for a driver's library whenever it asks for a GPU, which an
        # optimiser does in every step; torch's own way remembers that there is none.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    keep_freed_memory()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _bring_features(model)
    try:
        with _old_objects_at_rest():
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
    except Stopped:
        together.children.wait(GRACE)
        raise
    except BaseException as error:
        if trainer.world_size > 1 and port_is_taken(error):
            raise UserError(_about_port()) from None
        if trainer.world_size > 1 and silent_others(error):
            together.children.kill()
            raise UserError(
                "another process of the run has not answered within --silence_limit seconds: it is "
                "stopped, or it has lost its way. The last checkpoint stays: --ckpt_path last "
                "continues it."
            ) from None
        if trainer.world_size > 1 and lost_others(error):
            time.sleep(GRACE)  # whoever watches ends this process meanwhile, and says why
            together.children.kill()
            raise UserError(
                "another process of the run has ended, so this one ends, too."
            ) from None
        together.children.kill()
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # Lightning makes an exit of it
        begun = trainer.global_step > 0
        refusal = _of_an_extra(error) or (None if begun else _refusal(error, data))
        raise refusal or error from error.__cause__
    together.children.wait(60)


def _about_port() -> str:
    port = os.environ.get("MASTER_PORT", "of the first process")
    return (
        f"the processes cannot meet: another program listens on port {port}. Set MASTER_PORT to a "
        "free one, or leave it unset and one is found."
    )


@contextmanager
def _old_objects_at_rest() -> Iterator[None]:
    """Has Python's collector pass over what was imported and built before training."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _bring_features(model: Any) -> None:
    """Brings the feature network of the shelf that a model's loss names, if it names one."""
    if name := facts(model).feature_network:
        model.use_feature_network(load(name))


def _of_an_extra(error: BaseException) -> UserError | None:
    """Returns what a class of Lightning's that the recipe names found missing in this run.

    Such as a callback that looks for a part that the model lacks, or for a package: whatever it
    raises itself, and the zoo's sentences about what it did; a defect of ours stays one.
    """
    if not isinstance(error, Exception):
        return None
    steps = list(traceback.walk_tb(error.__traceback__))
    raised_in = Path(steps[-1][0].f_code.co_filename)
    for frame, _ in reversed(steps):
        owner = frame.f_locals.get("self")
        foreign = type(owner).__module__.startswith("lightning.")
        if (
            foreign
            and isinstance(owner, (Callback, Profiler))
            and (isinstance(error, UserError) or not raised_in.is_relative_to(PACKAGE))
        ):
            name, text = type(owner).__name__, " ".join(str(error).split())[:300].rstrip(". ")
            return UserError(f"{name} does not work with this run: {text or repr(error)}.")
    return None


def _refusal(error: BaseException, data: ImageData | None = None) -> UserError | None:
    """Returns what Lightning has against the user's settings, None for any other error."""
    refuses = isinstance(error, MisconfigurationException)
    if isinstance(error, (ValueError, TypeError)) and not isinstance(error, UserError):
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        refuses = "lightning" in Path(raised_in).parts
    text = " ".join(str(error).split())
    if text.startswith(ONE_VALUE):
        few = data is not None and len(data.images("train")) <= data.batch_size
        remedy = (
            "all training images make one batch: it takes more images, or a lower --data.val_size"
            if few
            else "raise --data.batch_size"
        )
        return UserError(
            "this model normalises over the images of a batch, and needs more than one of them, or "
            f"of their packs: {remedy}."
        )
    return UserError(f"the trainer refuses its settings: {text[:300]}") if refuses else None
