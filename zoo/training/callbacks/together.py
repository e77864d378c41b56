"""Keeps the processes of a run together: see `zoo.core.processes`."""

from __future__ import annotations

import lightning as L

from zoo.core.processes import Children

__all__ = ["EndTogether"]


class EndTogether(L.Callback):
    """Takes over the watch on the processes that the trainer has started, if it has.

    The trainer's own watch looks every five seconds and kills this process, too, without a word.
    """

    def __init__(self) -> None:
        self.children = Children()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Starts to watch."""
        started = getattr(trainer.strategy.launcher, "procs", None)
        if isinstance(started, list) and started and hasattr(started[0], "poll"):
            self.children = Children(started)
            started.clear()  # an empty list is what the trainer's own watch is content with
