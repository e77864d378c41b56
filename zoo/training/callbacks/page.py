"""A run's page and curves, kept fresh while it trains, for whoever has no W&B."""

from __future__ import annotations

import time
from typing import Any

import lightning as L

from zoo.shelf.run_folder import RunFolder
from zoo.show.run_page import write_curves, write_page

__all__ = ["Page"]

FRESH = 20.0  # seconds between two pages
SHARE = 0.01  # of the training's time that pages and curves may take


class Page(L.Callback):
    """Writes ``run.html`` now and then, and ``curves.png`` with it; on the first process only.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._next = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Waits for the first figures."""
        self._next = time.monotonic() + FRESH / 4

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Writes when it is time."""
        began = time.monotonic()
        if began < self._next or not trainer.is_global_zero:
            return
        planned = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
        state = f"Training: epoch {trainer.current_epoch + 1}{planned}, batch {batch_idx + 1}."
        write_page(self.folder, state, again=int(FRESH))
        write_curves(self.folder)
        now = time.monotonic()
        self._next = now + max(FRESH, (now - began) / SHARE)
