"""Where a run goes on: always between two batches, whatever ended it before.

A limit (``max_steps``, ``max_time``, ``limit_train_batches``, early stopping) may end a run in the
middle of an epoch. The trainer's own loop takes such an epoch for a complete one, and with
``max_steps`` it takes a complete one for one under way, so that batches are left out or counted
twice. Here an epoch is complete when it has as many batches as the run that goes on gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.loop import _Loop

from zoo.core.errors import UserError

__all__ = ["EpochLoop", "Place", "check_loops", "check_plan", "ended_by", "place_of"]

BATCHES = "epoch_loop.batch_progress"
INNER = "epoch_loop.state_dict"
STEPPED = "_batches_that_stepped"  # what the loggers count by


@dataclass(frozen=True)
class Place:
    """A moment of a run, between two batches.

    Args:
        epochs: Complete epochs.
        batch: Batches of the next epoch that are done; 0 at its start.
        lost: Batches that were seen and must come again: gradients gathered from them, but not
            used yet, are in no checkpoint.
        length: Batches of a whole epoch, however many of them are used.
    """

    epochs: int
    batch: int
    lost: int
    length: int


def place_of(state: dict[str, Any], limit: float | None, accumulate: int = 1) -> Place:
    """Finds the place at which a checkpoint was written.

    Args:
        state: The checkpoint's ``loops/fit_loop``.
        limit: ``limit_train_batches`` of the run that goes on: a number of batches, or a share.
        accumulate: Batches whose gradients make one step.

    Raises:
        UserError: if the state is none of a training by the zoo.
    """
    try:
        return _place(state, limit, accumulate)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError("the checkpoint does not say how far its training was.") from error


def _place(state: dict[str, Any], limit: float | None, accumulate: int) -> Place:
    epoch, batch = state["epoch_progress"]["current"], state[BATCHES]["current"]
    length = int(state["state_dict"]["combined_loader"][0]["batches"])
    begun, done = int(epoch["ready"]), int(batch["processed"])
    planned = length
    if limit is not None:
        planned = min(length, limit) if isinstance(limit, int) else int(length * limit)
    if done >= planned or begun == 0:
        return Place(begun, 0, 0, length)
    lost = 0 if state[BATCHES]["is_last_batch"] else done % accumulate
    return Place(begun - 1, done - lost, lost, length)


def check_loops(trainer: L.Trainer, path: Path, state: dict[str, Any]) -> None:
    """Refuses counts of loops that the trainer could not take up.

    Args:
        trainer: The trainer, before it has begun.
        path: What messages call the checkpoint.
        state: The checkpoint's state of the loop over epochs.

    Raises:
        UserError: naming the first that is missing or of another kind.
    """
    if (lost := _lost(trainer.fit_loop.state_dict(), state, "fit_loop")) is not None:
        raise UserError(f"the state of training in {path} is damaged: {lost}")


def _lost(mine: Any, given: Any, name: str) -> str | None:
    """Compares what a loop would write with what a file holds, part by part."""
    if isinstance(mine, dict):
        if not isinstance(given, dict):
            return f"{name} is not a mapping."
        for key, value in mine.items():
            if key not in given and not key.endswith(STEPPED):
                return f"{name} has no {key}."
            if key in given and (found := _lost(value, given[key], f"{name}.{key}")):
                return found
    elif isinstance(mine, (bool, int)) and not isinstance(given, (bool, int)):
        return f"{name} must be a whole number, got {given!r}."
    return None


def check_plan(path: Path, checkpoint: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuses a plan that asks for less than is done.

    Args:
        path: The checkpoint's file, for the message.
        checkpoint: What it holds.
        plan: The trainer's arguments.

    Raises:
        UserError: if it has more epochs or steps than the plan.
    """
    place = place_of(checkpoint["loops"]["fit_loop"], plan["limit_train_batches"])
    steps = int(checkpoint["global_step"])
    for key, done in (("max_epochs", place.epochs), ("max_steps", steps)):
        if plan[key] not in (None, -1) and plan[key] < done:
            raise UserError(
                f"{path} was written after {done:,} {key.removeprefix('max_')}, more than "
                f"--trainer.{key} {plan[key]}: raise it to continue."
            )


class EpochLoop(_FitLoop):
    """The trainer's loop over epochs, which goes on exactly where a checkpoint was written."""

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        """Brings the counters of all loops to the place of the checkpoint."""
        trainer = self.trainer
        accumulate = trainer.accumulate_grad_batches
        place = place_of(state_dict, trainer.limit_train_batches, accumulate)
        super().load_state_dict(_moved(state_dict, place, accumulate), prefix)
        _Loop.restarting.fset(self, place.batch > 0)  # type: ignore[attr-defined]


def _moved(state: dict[str, Any], place: Place, accumulate: int) -> dict[str, Any]:
    """Returns the state as if it had been written after the place's last batch.

    In mid-epoch that is how a callback's ``on_train_batch_end`` leaves it, which Lightning
    continues exactly; at the start of an epoch there is nothing under way.
    """
    total = state[BATCHES]["total"]["processed"] - place.lost
    epoch, batches = state["epoch_progress"]["current"], state[BATCHES]
    over = epoch["processed"] == epoch["ready"]  # its last batch has been counted
    step = batches["is_last_batch"] or batches["current"]["processed"] % accumulate == 0
    stepped = state[INNER][STEPPED] + (step and not over)
    middle = place.batch > 0
    return {
        **state,
        "epoch_progress": _counted(place.epochs + middle, place.epochs, place.epochs),
        BATCHES: {
            "total": _count(total, total, total - middle),
            "current": _count(place.batch, place.batch, place.batch - middle),
            "is_last_batch": False,
        },
        INNER: {**state[INNER], STEPPED: stepped - middle},
        "state_dict": {
            **state["state_dict"],
            "combined_loader": [
                {"epoch": place.epochs, "batch": place.batch, "batches": place.length}
            ],
        },
    }


def _count(begun: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": begun, "started": begun, "processed": processed, "completed": completed}


def _counted(begun: int, processed: int, completed: int) -> dict[str, dict[str, int]]:
    return {name: _count(begun, processed, completed) for name in ("total", "current")}


def ended_by(trainer: L.Trainer) -> str:
    """Names the limit that a run has reached."""
    for one in trainer.callbacks:  # type: ignore[attr-defined]
        left = one.time_remaining() if isinstance(one, Timer) else None
        if left is not None and left <= 0:
            return "the time of --trainer.max_time is spent"
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return f"the {trainer.global_step:,} steps of --trainer.max_steps are done"
    return f"the {trainer.current_epoch:,} epochs of --trainer.max_epochs are done"
