"""The judge's quick look at a model while it learns."""

from __future__ import annotations

from pathlib import Path

import lightning as L

from zoo.core.errors import UserError
from zoo.core.files import write_json
from zoo.data.module import Split
from zoo.judge.protocols.registry import PROTOCOLS
from zoo.judge.run import evaluate, fitting
from zoo.judge.score import Task

__all__ = ["Scores"]

FEW_TEMPERATURES = 200  # of annealing: seconds


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

    def heads(self, trainer: L.Trainer, pl_module: L.LightningModule) -> list[str]:
        """Names the scores that will be taken while training, without their protocols' values."""
        task = self._task(trainer, pl_module, "val", self.limit)
        if len(task.data.images("val")) == 0:
            return []
        return [score for name in fitting(task) for score in PROTOCOLS[name].scores]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores on all processes together; every process gets the same figures."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs:
            return
        task = self._task(trainer, pl_module, "val", self.limit)
        if len(task.data.images("val")) == 0 or not fitting(task):
            return
        for score in evaluate(task)[0]:
            if score.value is not None:
                pl_module.log(f"val/{score.name}", score.value)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Removes the report of an earlier end: the run continues, and its weights will change."""
        if self.report is not None and trainer.is_global_zero:
            self.report.unlink(missing_ok=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Scores on the test images, once, and writes the report."""
        self._write_report(trainer, pl_module)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Makes up for the report of a run that was killed between its last batch and its end."""
        missing = self.report is not None and not self.report.is_file()
        if trainer.strategy.broadcast(missing):  # only the first process knows the folder
            self._write_report(trainer, pl_module)

    def _write_report(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]
        if self.report is None or trial or trainer.global_step == 0:  # nothing was learnt
            return
        task = self._task(trainer, pl_module, "test", 10_000)
        if not fitting(task):
            return
        scores, seconds = evaluate(task)
        if trainer.is_global_zero:
            report = {"scores": [score.as_dict() for score in scores], "seconds": seconds}
            write_json(self.report, report)

    def _task(
        self, trainer: L.Trainer, pl_module: L.LightningModule, split: Split, limit: int
    ) -> Task:
        data = trainer.datamodule  # type: ignore[attr-defined]
        return Task(
            pl_module, data, split, limit, importance_samples=1, temperatures=FEW_TEMPERATURES,
            rank=trainer.global_rank, world=trainer.world_size,
        )  # fmt: skip
