"""Checkpoints that are whole or not there, at moments from which a run continues exactly."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from zoo.core.errors import UserError
from zoo.core.files import replacing
from zoo.training.callbacks.monitors import not_logged
from zoo.training.loggers import MetricsFile, log_step

__all__ = ["Checkpoints", "Stopped", "atomic_checkpoints"]

ASK_EVERY = 10  # batches between questions to the other processes
HALF_A_MINUTE = 30.0  # so much work a kill may cost; a checkpoint waits for the disk


class Stopped(Exception):
    """The user or the cluster asked the run to stop, and its state is saved.

    Args:
        signum: The signal that asked.
        batches: Batches seen.
    """

    def __init__(self, signum: int, batches: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name} after batch {batches}")
        self.signum, self.batches = signum, batches


class _Signals:
    """Ctrl-C and the cluster's SIGTERM, held back until a batch is complete."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        if threading.current_thread() is threading.main_thread() and not self._before:
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._receive)

    def release(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.received is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is None and signum == signal.SIGINT:
            message = "\nfinishing this batch and saving; Ctrl-C again stops at once"
            print(message, file=sys.stderr, flush=True)
        self.received = signum


class Checkpoints(Checkpoint):
    """Writes ``last.ckpt`` every so often and at the end, and ``best.ckpt``.

    Lightning's own callback counts optimiser steps instead of batches, and writes before the
    figures of a batch have reached the loggers, so that they are lost if the run is killed there.

    Ctrl-C and SIGTERM make it save after the batch at hand and raise `Stopped`.

    Args:
        folder: Where they go.
        every: Batches between checkpoints; None for half a minute's worth.
        monitor: Logged quantity whose best epoch is kept, or None.
        watched: Options that name logged quantities, and the names; a wrong one is refused when
            it should have been logged, and everything is saved before.
        mode: Whether small or large is best.
        find: Returns the whole name under which a quantity was logged; None if it was not.
        patience: Epochs after which a quantity of validation must have been logged.

    Raises:
        UserError: if every is not positive.
    """

    def __init__(
        self, folder: Path, every: int | None = None, monitor: str | None = None,
        mode: Literal["min", "max"] = "min", patience: int = 1,
        watched: Sequence[tuple[str, str]] = (),
        find: Callable[[str, Mapping[str, Any]], str | None] | None = None,
    ) -> None:  # fmt: skip
        if every is not None and every < 1:
            raise UserError(f"--save_every must be at least 1, got {every}.")
        self.last, self.best = folder / "last.ckpt", folder / "best.ckpt"
        self.every, self.monitor, self.patience = every, monitor, patience
        self.watched = watched
        self._find = find or (lambda name, logged: name if name in logged else None)
        self._begun = 0
        self.sign = 1 if mode == "min" else -1
        self.best_value: float | None = None
        self.seconds = 0.0
        self.processor_seconds: float | None = 0.0  # None if an older checkpoint did not keep them
        self._worked = time.process_time()
        self.batches, self.step = 0, -1
        self._signals = _Signals()
        self._since = time.perf_counter()

    # ---------------------------------------------------------------- when

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock, and listens for requests to stop."""
        self._begun = trainer.fit_loop.total_batch_idx + 1
        self._since, self._worked = time.perf_counter(), time.process_time()
        self._signals.listen()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Saves when a batch's turn has come; the last one of an epoch is left to its end."""
        seen = trainer.fit_loop.total_batch_idx + 1
        if trainer.is_last_batch or trainer.fit_loop._should_accumulate():
            return
        stop = self._asked_to_stop(trainer, seen)
        if stop is not None or self._due(trainer, seen):
            self._save(trainer, self.last, seen)
        if stop is not None:
            raise Stopped(stop, seen)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the best, so that the last one knows of it, and the last one at the end."""
        seen = trainer.fit_loop.total_batch_idx + 1
        best, stop = self._is_best(trainer), self._asked_to_stop(trainer, 0)
        wrong = self._wrong_name(trainer)
        if best:
            self._save(trainer, self.best, seen)
        due = stop is not None or _ends(trainer) or self._due(trainer, seen, ask=True)
        if best or due or wrong is not None:
            self._save(trainer, self.last, seen)
        if wrong is not None:
            raise wrong
        if stop is not None:
            raise Stopped(stop, seen)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves what no other moment has saved, and gives the signals back."""
        seen = trainer.fit_loop.total_batch_idx + 1
        if seen > self.batches:
            self._save(trainer, self.last, seen)
        self._take_time()
        self._signals.release()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._signals.release()

    def _due(self, trainer: L.Trainer, seen: int, ask: bool = False) -> bool:
        """Says whether a checkpoint's turn has come; the same on all processes."""
        if self.every is not None:
            return seen // self.every > self.batches // self.every
        late = time.perf_counter() - self._since > HALF_A_MINUTE  # the start or the last save
        if trainer.world_size == 1:
            return late
        if seen % ASK_EVERY and not ask:
            return False
        return trainer.strategy.reduce_boolean_decision(late, all=False)

    def _asked_to_stop(self, trainer: L.Trainer, seen: int) -> int | None:
        """Returns the signal by which any process was asked to stop; the same on all of them."""
        received = self._signals.received
        if trainer.world_size == 1:
            return received
        if seen % ASK_EVERY:
            return None
        any_process = trainer.strategy.reduce_boolean_decision(received is not None, all=False)
        return (received or signal.SIGTERM) if any_process else None

    def _is_best(self, trainer: L.Trainer) -> bool:
        if self.monitor is None:
            return False
        found = self._find(self.monitor, trainer.callback_metrics)
        if found is None:
            return False
        score = self.sign * float(trainer.callback_metrics[found])
        if math.isnan(score) or (self.best_value is not None and score >= self.best_value):
            return False
        self.best_value = score
        return True

    def _wrong_name(self, trainer: L.Trainer) -> UserError | None:
        """Returns the refusal of a quantity that should have been logged by now."""
        logged, epoch = trainer.callback_metrics, trainer.current_epoch + 1
        rows = trainer.log_every_n_steps  # type: ignore[attr-defined]
        loop = trainer.fit_loop
        seen = loop.total_batch_idx + 1
        due = {
            True: epoch % self.patience == 0 or epoch == trainer.max_epochs,
            False: seen // rows > max(self._begun, seen - loop.batch_idx - 1) // rows,
        }
        for option, name in self.watched if trainer.is_last_batch else ():
            if self._find(name, logged) is None and due[not name.startswith("train/")]:
                return not_logged(option, name, list(logged))
        return None

    # ---------------------------------------------------------------- what

    def _save(self, trainer: L.Trainer, path: Path, seen: int) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._take_time()
        self.batches, self.step = seen, log_step(trainer)
        figures = _figures(trainer)
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                if figures:
                    logger.log_metrics(figures, self.step)
                logger.flush()
        trainer.save_checkpoint(path)

    def _take_time(self) -> None:
        """Adds the seconds since the last time, by the clock and of this process's own work."""
        now, worked = time.perf_counter(), time.process_time()
        self.seconds += now - self._since
        if self.processor_seconds is not None:
            self.processor_seconds += worked - self._worked
        self._since, self._worked = now, worked

    def state_dict(self) -> dict[str, Any]:
        """Keeps the batches seen, the step of the loggers, the seconds spent, the best value."""
        return {
            "batches": self.batches,
            "step": self.step,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "best_value": self.best_value,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Brings them back."""
        self.batches, self.step = state_dict["batches"], state_dict["step"]
        self.seconds, self.best_value = state_dict["seconds"], state_dict["best_value"]
        self.processor_seconds = state_dict.get("processor_seconds")


def _ends(trainer: L.Trainer) -> bool:
    """Says whether the epoch that ends is the last one."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    by_epochs = epochs not in (None, -1) and trainer.current_epoch + 1 >= epochs
    by_steps = steps != -1 and trainer.global_step >= steps
    return bool(trainer.should_stop or by_epochs or by_steps)


def _figures(trainer: L.Trainer) -> dict[str, float]:
    """Returns what the trainer is about to hand to its loggers, once its callbacks have run."""
    connector = trainer._logger_connector
    in_epoch = connector._first_loop_iter is not None
    if in_epoch and not connector.should_update_logs:
        return {}
    figures = {name: float(value) for name, value in connector.metrics["log"].items()}
    return {**figures, "epoch": trainer.current_epoch} if figures else {}


class _AtomicCheckpoints(TorchCheckpointIO):
    """Writes checkpoints to a temporary name in the same folder and renames them.

    Lightning's own way writes to the system's temporary folder and moves, which is a copy when
    that folder is another disk, and a kill during the copy leaves a torn checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        # Through a file of Python's own, whose errors say what was wrong, such as a full disk.
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, *_: Any, **__: Any
    ) -> Any:
        # On the CPU: the trainer moves things to where they belong.
        return torch.load(path, map_location="cpu", weights_only=True)


def atomic_checkpoints() -> TorchCheckpointIO:
    """Returns the plugin that makes the trainer's checkpoints whole or not there."""
    return _AtomicCheckpoints()
