"""What a run shows while it learns: a bar on a terminal, one short line per epoch elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor

from zoo.core.figures import digits, split_name

__all__ = ["Bar", "EpochLines", "brief_name", "brief_terms"]

WIDTH = 100  # longest line
TERMS_ON_BAR = 4
REDRAW = 0.2  # seconds between two looks of a bar


def brief_terms(figures: Mapping[str, float | Tensor]) -> list[str]:
    """Writes figures briefly, those of validation first.

    Example:
        >>> brief_terms({"train/generator_loss": 0.71649, "val/code_error[one-to-one,val]": 0.05})
        ['code_error 0.05', 'generator_loss 0.7165']
    """
    ordered = sorted(figures, key=lambda name: not name.startswith("val/"))
    return [f"{brief_name(name)} {digits(float(figures[name]), 4)}" for name in ordered]


def brief_name(name: str) -> str:
    """Returns what a line calls a logged quantity.

    Example:
        >>> brief_name("val/code_error[one-to-one,val]")
        'code_error'
    """
    return split_name(name.removeprefix("train/").removeprefix("val/"))[0]


class _Fresh:
    """Tells the figures that were logged since the last look from older ones."""

    def __init__(self) -> None:
        self._seen: dict[str, Tensor] = {}

    def __call__(self, trainer: L.Trainer) -> dict[str, float]:
        now = dict(trainer.callback_metrics)
        fresh = {name: float(v) for name, v in now.items() if self._seen.get(name) is not v}
        self._seen = now
        return fresh


def _epoch(trainer: L.Trainer) -> str:
    planned = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
    return f"epoch {trainer.current_epoch + 1}{planned}"


class EpochLines(L.Callback):
    """Prints one line per epoch, where there is no terminal to draw a bar on."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()
        self._fresh = _Fresh()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the epoch, the seconds so far and the terms of this epoch, as many as fit."""
        terms = brief_terms(self._fresh(trainer))
        if trainer.is_global_zero:
            line = f"{_epoch(trainer)}  {time.perf_counter() - self._start:.0f} s"
            for term in terms:
                if len(line) + 2 + len(term) <= WIDTH:
                    line += f"  {term}"
            print(line, flush=True)


class Bar(TQDMProgressBar):
    """A bar with a few terms, redrawn a few times a second, however long a batch takes."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=1, leave=True)
        self._drawn = 0.0

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """Returns the terms beside the bar, in a few letters each."""
        terms = [term.rsplit(" ", 1) for term in brief_terms(dict(trainer.callback_metrics))]
        return dict(terms[:TERMS_ON_BAR])

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Begins the epoch's bar, which stays."""
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(_epoch(trainer))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Redraws, if the last time is a while ago or the epoch is over."""
        now = time.monotonic()
        if now - self._drawn >= REDRAW or batch_idx + 1 == self.total_train_batches:
            self._drawn = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
