"""Quantities by which a run is steered: early stopping, and the checkpoint that is kept."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping

from zoo.core.errors import UserError, did_you_mean
from zoo.core.figures import split_name
from zoo.core.text import quoted
from zoo.training.callbacks.scores import Scores

__all__ = ["Monitors", "not_logged"]

OURS = "zoo."  # models whose terms all begin with train/ or val/
OPTION = "--trainer.callbacks.monitor"


def not_logged(option: str, name: str, known: Sequence[str]) -> UserError:
    """Returns the refusal of a name under which nothing is logged."""
    return UserError(f"{option} {quoted(name)} is not logged. {did_you_mean(name, known)}")


class Monitors(L.Callback):
    """Refuses wrong names before the first batch, as far as the right ones are known by then.

    Early stopping looks at its quantity whenever that has been logged anew: some scores are taken
    every few epochs only, and the trainer's own way would raise in between, or count a score
    again.

    Args:
        monitor: What the option ``--monitor`` names, or None.
        given: The user's callbacks.
        scores: The judge's look at the model.
    """

    def __init__(self, monitor: str | None, given: Sequence[Callback], scores: Scores) -> None:
        stops = [one for one in given if isinstance(one, EarlyStopping)]
        self.names = [("--monitor", monitor)] if monitor else []
        self.names += [(OPTION, one.monitor) for one in stops]
        self.scores = scores
        self._all_known = len(stops) == len(given)  # other callbacks may log what they like
        self._validated: list[str] | None = None
        for one in stops:
            _look_when_logged(one)

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes down what validation logs."""
        self._validated = list(trainer.callback_metrics)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forgets the figures of earlier epochs, which the trainer would keep."""
        for _, name in self.names:
            trainer.callback_metrics.pop(name, None)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks at the names.

        Raises:
            UserError: if nothing will be logged under one of them.
        """
        if not (self._all_known and self.names and type(pl_module).__module__.startswith(OURS)):
            return
        validates = trainer.enable_validation
        terms = self._validated if validates else []
        heads = [f"val/{head}" for head in self.scores.heads(trainer, pl_module)]
        for option, name in self.names:
            of_validation = name.startswith("val/")
            known = terms is None or name in terms or split_name(name)[0] in heads
            if not (name.startswith("train/") or (of_validation and known)):
                raise not_logged(option, name, [*(terms or ()), *heads, "train/..."])


def _look_when_logged(stop: EarlyStopping) -> None:
    usual = stop._should_skip_check  # private: the test of early stopping guards it

    def skip(trainer: L.Trainer) -> bool:
        return stop.monitor not in trainer.callback_metrics or usual(trainer)

    stop._should_skip_check = skip  # type: ignore[method-assign]
    if stop._check_on_train_epoch_end is None:
        stop._check_on_train_epoch_end = True
