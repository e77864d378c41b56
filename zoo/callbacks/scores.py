"""The judge's quick look at a model while it learns."""

from __future__ import annotations

from pathlib import Path

import lightning as L

from zoo.errors import UserError
from zoo.evaluation import evaluate, fitting
from zoo.files import write_json

__all__ = ["Scores"]


class Scores(L.Callback):
    """Scores the model on validation images every few epochs and logs ``val/<protocol>``.

    Args:
        every: Epochs between scores, and after the last epoch.
        report: File for the scores on all test images after training; None for none.
        limit: Images of each split that are looked at while training.

    Raises:
        UserError: if every is not positive.
    """

    def __init__(self, every: int, report: Path | None, limit: int = 5000) -> None:
        if every < 1:
            raise UserError(f"--pictures_every must be at least 1 epoch, got {every}.")
        self.every = every
        self.report = report
        self.limit = limit

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores on all processes together; every process gets the same figures."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not fitting(pl_module, data):
            return
        for score in evaluate(pl_module, data, split="val", limit=self.limit):
            pl_module.log(f"val/{score.name}", score.value, rank_zero_only=False)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores on the test images, once, and writes the report."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if self.report is None or trainer.fast_dev_run or not fitting(pl_module, data):
            return
        scores = evaluate(pl_module, data, split="test")
        if trainer.is_global_zero:
            write_json(self.report, {"scores": [score.as_dict() for score in scores]})
