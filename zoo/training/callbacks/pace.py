"""How long a run will take, told from its first batches, and what to do where that is very long."""

from __future__ import annotations

import inspect
import math
import time
from statistics import median
from typing import Any

import lightning as L
import torch

from zoo.core.figures import duration
from zoo.training.callbacks.threads import Choice

__all__ = ["Pace"]

SEEN = 8  # batches after which their seconds are known well enough
PATIENCE = 10.0  # seconds after which a few slow batches, or one, must do
LONG = 600.0  # seconds of an epoch from which on a person is warned
SMALL = 32  # pixels of a side; to go below it is no advice


class Pace(L.Callback):
    """Says early how long an epoch and the run will take, and warns where an epoch is very long.

    It also sees to it that every epoch logs its terms, however few batches it has.

    Args:
        choice: What decides the number of threads by the run's first batches; None if nothing does.
    """

    def __init__(self, choice: Choice | None = None) -> None:
        self.choice = choice

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._told = False
        self._began = self._ended = math.nan
        self._seconds: list[float] = []  # of each batch, with what lies between it and the next
        batches = trainer.num_training_batches
        # Fewer batches between two rows than an epoch has: no epoch is without a row.
        trainer.log_every_n_steps = max(1, int(min(trainer.log_every_n_steps, batches)))  # type: ignore[attr-defined]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Notes when the first batch began."""
        if not self._told and math.isnan(self._began):
            self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Looks at the clock until there is something to tell."""
        if self._told:
            return
        now = time.perf_counter()
        before = self._began if math.isnan(self._ended) else self._ended
        self._seconds.append(now - before)
        self._ended = now
        known = self.choice is None or self.choice.settled
        if sum(self._seconds) >= PATIENCE or (known and len(self._seconds) > SEEN):
            self._told = True
            self._tell(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock anew: pictures and scores are no batch."""
        self._ended = self._began = math.nan

    # ---------------------------------------------------------------- what is told

    def _each(self) -> float:
        """Returns the seconds of a batch; the first one, which prepares much, counts if alone."""
        if self.choice is not None:
            tried = (self.choice.typical(number) for number in (self.choice.most, 1))
            if known := [seconds for seconds in tried if not math.isnan(seconds)]:
                return min(known)
        return median(self._seconds[1:] or self._seconds)

    def _tell(self, trainer: L.Trainer) -> None:
        each, batches = self._each(), trainer.num_training_batches
        left = _planned(trainer) - trainer.fit_loop.total_batch_idx - 1
        if math.isinf(batches):
            trainer.print(f"about {duration(each)} a batch")
            return
        epoch = each * batches
        told = f"about {duration(epoch)} an epoch"
        if left < math.inf:
            told += f", {duration(each * left)} for what is left, pictures and scores aside"
        trainer.print(told)
        if epoch > LONG:
            trainer.print(f"an epoch of {duration(epoch)} is long: {_advice(trainer)}")


def _planned(trainer: L.Trainer) -> float:
    """Counts the batches of the whole run; infinite if nothing ends it."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    by_epochs = math.inf if epochs in (None, -1) else epochs * trainer.num_training_batches
    by_steps = math.inf if steps == -1 else steps * trainer.accumulate_grad_batches
    return min(by_epochs, by_steps)


def _advice(trainer: L.Trainer) -> str:
    """Names what makes an epoch shorter: smaller images and a GPU."""
    ways = []
    data = trainer.datamodule  # type: ignore[attr-defined]
    spec = data.spec
    side = min(spec.height, spec.width)
    if side >= 2 * SMALL:
        option = "size" if "size" in inspect.signature(type(data)).parameters else "resize"
        ways.append(
            f"--data.{option} {side // 2} has a quarter of the {spec.height}x{spec.width} pixels"
        )
    if trainer.strategy.root_device.type == "cpu":
        there = torch.cuda.is_available()
        ways.append(f"{'--trainer.accelerator gpu' if there else 'a GPU'} is many times faster")
    ways.append("--trainer.limit_train_batches .1 trains on a tenth of the images an epoch")
    return "; ".join(ways)
