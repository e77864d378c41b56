"""Keeps the processes of a run together: see `zoo.core.processes`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import lightning as L

from zoo.core.processes import Children

__all__ = ["EndTogether", "limit_silence"]


def limit_silence(trainer: L.Trainer, seconds: float) -> None:
    """Limits how long a process waits for the others, whatever strategy has been chosen by name.

    Args:
        trainer: Before it has met the others.
        seconds: As long as this; torch's own limit is half an hour on some back ends.
    """
    if hasattr(trainer.strategy, "_timeout"):
        trainer.strategy._timeout = timedelta(seconds=seconds)  # pyright: ignore


class EndTogether(L.Callback):
    """Takes over the watch on the processes that the trainer has started, if it has.

    The trainer's own watch looks every five seconds and kills this process, too, without a word.
    """

    def __init__(self) -> None:
        self.children = Children()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Takes down that the processes go on."""
        self.children.beat()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Starts to watch."""
        started = getattr(trainer.strategy.launcher, "procs", None)
        if isinstance(started, list) and started and hasattr(started[0], "poll"):
            self.children = Children(started)
            started.clear()  # an empty list is what the trainer's own watch is content with
