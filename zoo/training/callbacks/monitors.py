"""Quantities by which a run is steered: early stopping, and the checkpoint that is kept.

They may be called as the log prints them, such as ``code_error``, or by their whole names, such as
``val/code_error[one-to-one,val]``, which are those of the columns of ``metrics.csv``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from zoo.core.errors import UserError, did_you_mean
from zoo.core.figures import split_name
from zoo.core.text import quoted
from zoo.training.callbacks.progress import brief_name
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
        keeps = [one for one in given if isinstance(one, ModelCheckpoint)]
        # Lightning's own checkpoints look up whole names, and only warn of wrong ones.
        self._whole = [(OPTION, one.monitor) for one in keeps if one.monitor]
        self.scores = scores
        # Other callbacks may log what they like.
        self._all_known = len(stops) + len(keeps) == len(given)
        self._validated: list[str] | None = None
        self._splits: dict[str, str] = {}  # of names as the log prints them
        for one in stops:
            self._look_when_logged(one)

    def find(self, name: str, logged: Mapping[str, Any]) -> str | None:
        """Returns the whole name of a logged quantity; None if it was not logged."""
        return next(iter(self._all(name, logged)), None)

    def _all(self, name: str, logged: Mapping[str, Any]) -> list[str]:
        """Lists the whole names that a name may stand for."""
        if name in logged:
            return [name]
        split = self._splits.get(name, "")
        return [key for key in logged if key.startswith(split) and brief_name(key) == name]

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes down what validation logs."""
        self._validated = list(trainer.callback_metrics)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forgets the figures of earlier epochs, which the trainer would keep."""
        for _, name in self.names:
            for found in self._all(name, trainer.callback_metrics):
                trainer.callback_metrics.pop(found)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks at the names.

        Raises:
            UserError: if nothing will be logged under one of them.
        """
        names = [*self.names, *self._whole]
        if not (self._all_known and names and type(pl_module).__module__.startswith(OURS)):
            return
        validates = trainer.enable_validation
        terms = self._validated if validates else []
        heads = [f"val/{head}" for head in self.scores.heads(trainer, pl_module)]
        of_validation = {brief_name(name) for name in (*(terms or ()), *heads)}
        for option, name in names:
            whole = name.startswith("val/")
            known = whole and (terms is None or name in terms or split_name(name)[0] in heads)
            if "/" not in name and (option, name) not in self._whole:
                self._splits[name] = "val/" if name in of_validation else "train/"
                known = name in of_validation or _is_written(name, type(pl_module).__mro__)
            if not (known or name.startswith("train/")):
                raise not_logged(option, name, [*(terms or ()), *heads, "train/..."])

    def _look_when_logged(self, stop: EarlyStopping) -> None:
        # Private: the test of early stopping guards both. Its state is kept under the name that
        # was given, so that a continued run finds it.
        usual, check, given = stop._should_skip_check, stop._run_early_stopping_check, stop.monitor

        def skip(trainer: L.Trainer) -> bool:
            return self.find(given, trainer.callback_metrics) is None or usual(trainer)

        def look(trainer: L.Trainer) -> None:
            stop.monitor = self.find(given, trainer.callback_metrics) or given
            try:
                check(trainer)
            finally:
                stop.monitor = given

        stop._should_skip_check = skip  # type: ignore[method-assign]
        stop._run_early_stopping_check = look  # type: ignore[method-assign]
        if stop._check_on_train_epoch_end is None:
            stop._check_on_train_epoch_end = True


def _is_written(term: str, classes: Iterable[type]) -> bool:
    """Says whether a model may log a term in training: then its source has the name in quotes."""
    modules = {one.__module__ for one in classes if one.__module__.startswith(OURS)}
    return any(f'"{term}"' in inspect.getsource(sys.modules[name]) for name in modules)
