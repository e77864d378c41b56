"""What a run shows while it learns: a bar on a terminal, a table of some lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor

from zoo.core.figures import digits, split_name
from zoo.core.text import print_line
from zoo.judge.catalogue import row_of

__all__ = ["Bar", "EpochLines", "brief_name", "brief_terms"]

WIDTH = 100  # longest line
LINES = 15  # of a long run's table
COLUMN = 10  # least width of one
SILENCE = 60.0  # seconds without a line, at most an epoch more
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
    """Prints a table while a run learns, where there is no terminal to draw a bar on.

    A long run has some fifteen lines, and one a minute at least. A column that begins later, such
    as a score of every tenth epoch, has the heads printed again.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        self._start = self._said = time.perf_counter()
        self._fresh = _Fresh()
        self._since: dict[str, str] = {}  # what came since the last line
        self._heads: list[str] | None = None
        self._unsaid = ""  # the last epoch, until it has a line

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the epoch, the seconds so far and the newest terms, as many as fit."""
        self._since.update(_cells(self._fresh(trainer)))
        if not trainer.is_global_zero:
            return
        self._unsaid = _epoch(trainer).removeprefix("epoch ")
        if self._due(trainer.current_epoch + 1, trainer.max_epochs):
            self._print()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the last epoch, if something ended the run before its time."""
        if self._unsaid:
            self._print()

    def _due(self, epoch: int, planned: int | None) -> bool:
        late = time.perf_counter() - self._said
        if planned in (None, -1):
            return late > SILENCE / 6 or epoch & (epoch - 1) == 0
        every = -(-planned // LINES)
        return late > SILENCE or epoch in (1, planned) or epoch % every == 0

    def _print(self) -> None:
        heads = list(dict.fromkeys([*(self._heads or ()), *self._since]))
        heads.sort(key=lambda name: not name.startswith("val/"))
        if heads != self._heads:
            self._heads = heads
            print_line(_row("epoch", "s", [(brief_name(name), brief_name(name)) for name in heads]))
        seconds = f"{time.perf_counter() - self._start:,.0f}"
        cells = [(brief_name(name), self._since.get(name, "")) for name in heads]
        print_line(_row(self._unsaid, seconds, cells))
        self._since, self._unsaid, self._said = {}, "", time.perf_counter()


def _cells(figures: Mapping[str, float | Tensor]) -> dict[str, str]:
    return {name: _cell(name, float(value)) for name, value in figures.items()}


def _cell(name: str, value: float) -> str:
    """Writes a figure as the tables of published models do: an error of .1 is 10 %."""
    if name.startswith("val/") and math.isfinite(value):
        return row_of({"name": name.removeprefix("val/")}).brief(value)
    return digits(value, 4)


def _row(epoch: str, seconds: str, cells: list[tuple[str, str]]) -> str:
    line = f"{epoch:>9} {seconds:>6}"
    for head, cell in cells:
        wide = max(len(head), COLUMN)
        if len(line) + 2 + wide > WIDTH:
            break
        line += f"  {cell:>{wide}}"
    return line.rstrip()


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
