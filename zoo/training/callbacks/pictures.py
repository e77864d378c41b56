"""Pictures of a model while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L

from zoo.core.errors import UserError
from zoo.data import ImageData
from zoo.show.drawing import unseen
from zoo.show.pictures import save_png
from zoo.show.views import sheets
from zoo.training.loggers import Tracker, log_step

__all__ = ["Pictures"]


class Pictures(L.Callback):
    """Writes samples, traversals, reconstructions... as PNG, and sends them to W&B.

    Args:
        folder: Where the pictures go.
        every: Epochs between pictures; besides, there are some after the first and last epoch.

    Raises:
        UserError: if every is not positive.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise UserError(f"--pictures_every must be at least 1 epoch, got {every}.")
        self.folder = folder
        self.every = every

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draws when the epoch's turn has come; on the first process only."""
        epoch = trainer.current_epoch + 1
        due = epoch == 1 or epoch % self.every == 0 or epoch == trainer.max_epochs
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]
        if not due or not trainer.is_global_zero or trial:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        images = unseen(data, "val") if isinstance(data, ImageData) else None
        for name, sheet in sheets(pl_module, images).items():
            save_png(sheet, self.folder / f"{name}-epoch{epoch:04d}.png")
            for logger in trainer.loggers:
                if isinstance(logger, Tracker):
                    logger.log_picture(f"pictures/{name}", sheet, log_step(trainer))
