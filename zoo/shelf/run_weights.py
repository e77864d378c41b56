"""Weights of runs: Lightning's checkpoints, read without running code from them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypedDict

import torch
from torch import Tensor

from zoo.core.errors import UserError
from zoo.core.files import open_regular, read_json
from zoo.core.text import clean
from zoo.recipe.reading import read_recipe
from zoo.recipe.values import misfit
from zoo.shelf.card import NAME, open_entry
from zoo.shelf.find import is_saved, place_of
from zoo.shelf.run_folder import RunFolder
from zoo.shelf.weights import build_model, check_fit, image_spec, is_plain, load_entry

__all__ = ["is_run", "load_any", "load_run", "read_checkpoint", "read_training"]

COUNTS = ("it.loops.", "it.callbacks.Checkpoints.", "it.epoch", "it.global_step")
VERSION = re.compile(r"([2-9]|\d\d+)\.\d+[\w.+-]*")  # of Lightning, since it names its loops so


def load_any(name_or_run: str) -> Any:
    """Loads a published model by name or address, or a run or a saved model by its folder."""
    if is_run(name_or_run):
        return load_run(name_or_run)
    return load_entry(open_entry(place_of(name_or_run)))


def is_run(name_or_run: str) -> bool:
    """Says whether a folder is meant; a model's name is one only if a run lies there."""
    path = Path(name_or_run)
    if not path.is_dir() or is_saved(name_or_run):
        return False
    return not NAME.fullmatch(name_or_run) or (path / "recipe.yaml").is_file()


def load_run(path: str | Path) -> Any:
    """Loads the last weights of a run's folder, in evaluation mode.

    Raises:
        UserError: if the folder is not a run, has no checkpoint, or its checkpoint is unsafe.
    """
    folder = RunFolder(Path(path))
    if not folder.recipe.is_file() or not folder.environment.is_file():
        raise UserError(f"{path} is not a run: it has no recipe.yaml and environment.json.")
    if not folder.last.is_file():
        raise UserError(f"the run {path} has no checkpoint yet.")
    recipe = read_recipe(folder.recipe)
    try:
        spec = image_spec(read_json(folder.environment)["spec"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{folder.environment} does not say what images the run had.") from None
    model = build_model(recipe["model"], spec)
    state = read_checkpoint(folder.last)["state_dict"]
    check_fit(state, model.state_dict(), f"the weights of the run {path}")
    model.load_state_dict(state)
    return model.eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a Lightning checkpoint without running code from it.

    Raises:
        UserError: if the file is damaged, or holds anything but tensors and plain values.
    """
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            # Of damaged files, sparse tensors and other versions of pickle torch has more to say
            # than is said below.
            warnings.simplefilter("ignore")
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise UserError(
            f"{path} is damaged, or holds more than tensors and plain values, which could run "
            "foreign code; refused."
        ) from None
    except Exception as error:  # damaged bytes make the reader fail in every way there is
        reason = str(error).partition("\n")[0].strip()[:150] or type(error).__name__
        raise UserError(f"{path} is not a readable checkpoint: {reason.rstrip('.')}.") from None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path} is not a checkpoint of a run.")
    if not all(isinstance(key, str) for key in (*checkpoint, *state)):
        raise UserError(f"{path} is not a checkpoint of a run: a name in it is not text.")
    return checkpoint


# ---------------------------------------------------------------- the state of training


class _Kept(TypedDict):
    batches: int
    step: int
    seconds: float
    best_value: float | None


class Kept(_Kept, total=False):
    """What the zoo's callback keeps; checkpoints of older versions lack the last."""

    processor_seconds: float | None


class Seeded(TypedDict):
    """The seed of the run's noise."""

    seed: int


class Watched(TypedDict):
    """What was seen of the run's health."""

    history: dict[str, list[float]]
    findings: dict[str, Any]


class Chosen(TypedDict):
    """How many threads it computes with, and what that was found out from."""

    number: int
    settled: bool
    batches: int
    several: list[float]
    one: list[float]


class Callbacks(TypedDict, total=False):
    """Those of the zoo; a person's own keep what they like."""

    SeedEachBatch: Seeded
    Threads: Chosen
    Health: Watched


class AllCallbacks(Callbacks):
    """With the one that every run of the zoo has."""

    Checkpoints: Kept


class Counted(TypedDict):
    """How much was begun and how much completed."""

    ready: int
    completed: int


class Progress(TypedDict):
    """Over the whole run, and in this epoch."""

    total: Counted
    current: Counted


class BatchProgress(Progress):
    """And whether the epoch is over."""

    is_last_batch: bool


class LoaderStates(TypedDict, total=False):
    """Where each loader stands."""

    combined_loader: list[dict[str, int]]


FitLoop = TypedDict(
    "FitLoop",
    {
        "state_dict": LoaderStates,
        "epoch_loop.batch_progress": BatchProgress,
        "epoch_loop.state_dict": dict[str, Any],
        "epoch_progress": Progress,
    },
)


class Loops(TypedDict):
    """Lightning's loops."""

    fit_loop: FitLoop


class Optimizer(TypedDict):
    """An optimiser's averages, by the number of the parameter."""

    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


Training = TypedDict(
    "Training",
    {
        "epoch": int,
        "global_step": int,
        "pytorch-lightning_version": str,
        "loops": Loops,
        "callbacks": AllCallbacks,
        "optimizer_states": list[Optimizer],
        "lr_schedulers": list[dict[str, Any]],
    },
)


def read_training(path: Path) -> dict[str, Any]:
    """Reads a checkpoint from which training can go on.

    Raises:
        UserError: as `read_checkpoint`, or if the state of training is missing or damaged.
    """
    checkpoint = read_checkpoint(path)
    callbacks = checkpoint.get("callbacks")
    lost = not {"loops", "optimizer_states"} <= checkpoint.keys()
    if lost or (isinstance(callbacks, dict) and "Checkpoints" not in callbacks):
        raise UserError(f"{path} holds weights but no state of training; it cannot be continued.")
    found = misfit(checkpoint, Training, "it") or _strange(checkpoint, "it")
    if found is None and not VERSION.fullmatch(checkpoint["pytorch-lightning_version"]):
        found = "it was written by no known version of Lightning."
    if found is not None:
        raise UserError(f"the state of training in {path} is damaged: {found.removeprefix('it.')}")
    return checkpoint


def _strange(value: Any, name: str) -> str | None:
    """Finds what no training has: a count below zero, or a tensor that is not plain."""
    if isinstance(value, Tensor):
        return None if is_plain(value) else f"{clean(name)} is not a plain tensor."
    if type(value) is int and value < -1 and name.startswith(COUNTS):
        return f"{clean(name)} must not be below zero, got {value}."
    if isinstance(value, (dict, list, tuple)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            if found := _strange(part, f"{name}.{key}"):
                return found
    return None
