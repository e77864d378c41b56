"""The number of threads of a run: found out from its first batches, and watched from then on."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import lightning as L
import torch

from zoo.core.figures import duration

__all__ = ["Choice", "Threads"]

WINDOW = 3  # batches in a row with one number of threads, the first of which is not counted
TURNS = 3  # windows for each number
HOPELESS = 3.0  # times the other's time, from which on one look is enough
LATE = 1.25  # times what one thread took, from which on several threads wait for another program
WATCHED = 16  # batches between two looks


class Choice:
    """Decides between several threads and one, from how long batches take.

    It tries both by turns, at the same batches in every run, so that two runs which decide alike
    compute alike. Afterwards it only ever goes down to one thread: when another program has taken
    a core, and several threads have become slower than one was.

    Args:
        most: Number of threads beside one.

    Example:
        >>> choice = Choice(2)
        >>> while not choice.settled:
        ...     decided = choice.took(0.5 if choice.number == 2 else 0.8)
        >>> choice.number
        2
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.number = most
        self.settled = most == 1
        self.batches = 0
        self.seconds: dict[int, list[float]] = {most: [], 1: []}
        self._recent: list[float] = []

    def took(self, seconds: float) -> bool:
        """Takes the seconds of a batch, computed by `number` threads.

        Returns:
            Whether something was decided by it.
        """
        return self._watch(seconds) if self.settled else self._try(seconds)

    def typical(self, number: int) -> float:
        """Returns the seconds of a batch with so many threads, NaN if it was never tried."""
        return median(self.seconds[number]) if self.seconds[number] else float("nan")

    def _try(self, seconds: float) -> bool:
        if self.batches % WINDOW:
            self.seconds[self.number].append(seconds)
        self.batches += 1
        turn, place = divmod(self.batches, WINDOW)
        if place:
            return False
        several, one = self.typical(self.most), self.typical(1)
        clear = turn >= 2 and not 1 / HOPELESS < several / one < HOPELESS
        self.settled = turn == 2 * TURNS or clear
        if self.settled:
            self.number = self.most if several < one else 1
        else:
            self.number = 1 if turn % 2 else self.most
        return self.settled

    def _watch(self, seconds: float) -> bool:
        if self.number == 1:
            return False
        self._recent.append(seconds)
        if len(self._recent) < WATCHED:
            return False
        late = median(self._recent) > LATE * self.typical(1)
        self._recent.clear()
        if late:
            self.number = 1
        return late

    def state(self) -> dict[str, Any]:
        """Returns what a continued run needs to know."""
        return {"number": self.number, "settled": self.settled, "batches": self.batches,
                "several": self.seconds[self.most], "one": self.seconds[1]}  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from there; with fewer cores than then, with what there is."""
        if self.most == 1:
            return
        self.number = min(self.most, int(state["number"]))
        self.settled, self.batches = bool(state["settled"]), int(state["batches"])
        self.seconds = {self.most: list(state["several"]), 1: list(state["one"])}


class Threads(L.Callback):
    """Has a run on the CPU use as many threads as train fastest, and says how many.

    Args:
        most: Number of cores that the run may use.
    """

    def __init__(self, most: int) -> None:
        self.choice = Choice(most)
        self._began = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begins with as many threads as the run's last batch had, or all."""
        torch.set_num_threads(self.choice.number)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Looks at the clock."""
        choice, settled = self.choice, self.choice.settled
        if choice.took(time.perf_counter() - self._began):
            trainer.print(self._lost() if settled else self._found())
        if torch.get_num_threads() != choice.number:
            torch.set_num_threads(choice.number)

    def _found(self) -> str:
        choice = self.choice
        used, other = choice.number, choice.most if choice.number == 1 else 1
        told = f"{_threads(used)}: {duration(choice.typical(used))} a batch"
        return f"{told} ({_threads(other)}: {duration(choice.typical(other))})"

    def _lost(self) -> str:
        return "1 thread from here on: another program keeps the others waiting"

    def state_dict(self) -> dict[str, Any]:
        """Keeps the choice."""
        return self.choice.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the choice of the run that is continued."""
        self.choice.restore(state_dict)


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
