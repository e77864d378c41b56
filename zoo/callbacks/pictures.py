"""Pictures of a model while it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.contracts import Completes, Samples, Traverses
from zoo.errors import UserError
from zoo.evaluation.midpoints import draws_codes, through_origin
from zoo.logs import Tracker, log_step
from zoo.pictures import grid, save_png

__all__ = ["Pictures", "draw"]

SEED = 0  # the same latents in every picture, so that a person sees the same digits sharpen


class Pictures(L.Callback):
    """Writes sample grids and latent traversals as PNG, and sends them to W&B.

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
        for name, sheet in draw(pl_module).items():
            save_png(sheet, self.folder / f"{name}-epoch{epoch:04d}.png")
            for logger in trainer.loggers:
                if isinstance(logger, Tracker):
                    logger.log_picture(f"pictures/{name}", sheet, log_step(trainer))


def draw(model: Any, count: int = 64) -> dict[str, Tensor]:
    """Draws what a model can show: samples, one traversal per code, and completions.

    Args:
        model: A model.
        count: Number of samples; of points of the plane, forty times as many.

    Returns:
        Pictures by name, each a colour image in [0, 1], shape (3, H, W).
    """
    sheets = {}
    if isinstance(model, Samples):
        count *= 40 if _of_points(model) else 1
        sheets["samples"] = grid(model.sample(count, seed=SEED))
    if isinstance(model, Traverses):
        for code in model.codes():
            sheets[f"traverse-{code}"] = grid(model.traverse(code, seed=SEED))
    if isinstance(model, Samples) and isinstance(model, Completes):
        sheets["completions"] = grid(_completions(model))
    if draws_codes(model) and not _of_points(model):
        sheets["origin"] = grid(through_origin(model, seed=SEED))
    return sheets


def _of_points(model: Any) -> bool:
    return model.spec.points


def _completions(model: Any, rows: int = 8, columns: int = 8) -> Tensor:
    """Covers the lower half of samples and has them completed, in several ways each.

    Returns:
        Rows of a sample, its visible half, and completions, shape (rows, columns, C, H, W).
    """
    images = model.sample(rows, seed=SEED).cpu()
    mask = torch.zeros(images.shape[-2:], dtype=torch.bool)
    mask[len(mask) // 2 :] = True
    many = images.repeat_interleave(columns - 2, dim=0)
    done = model.complete(many, mask, seed=SEED).cpu().unflatten(0, (rows, columns - 2))
    seen = images.where(~mask, 0.5)
    return torch.cat([images[:, None], seen[:, None], done], dim=1)
