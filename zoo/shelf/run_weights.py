"""Weights of runs: Lightning's checkpoints, read without running code from them."""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.recipe.reading import read_recipe
from zoo.shelf.card import NAME
from zoo.shelf.run_folder import RunFolder
from zoo.shelf.weights import build_model, check_fit, load

__all__ = ["is_run", "load_any", "load_run", "read_checkpoint"]


def load_any(name_or_run: str) -> Any:
    """Loads a published model by name or address, or a run by its folder."""
    return load_run(name_or_run) if is_run(name_or_run) else load(name_or_run)


def is_run(name_or_run: str) -> bool:
    """Says whether a folder is meant; a model's name is one only if a run lies there."""
    path = Path(name_or_run)
    return path.is_dir() and (not NAME.fullmatch(name_or_run) or (path / "recipe.yaml").is_file())


def load_run(path: str | Path) -> Any:
    """Loads the last weights of a run's folder, in evaluation mode.

    Raises:
        UserError: if the folder is no run, has no checkpoint, or its checkpoint is unsafe.
    """
    folder = RunFolder(Path(path))
    if not folder.recipe.is_file() or not folder.environment.is_file():
        raise UserError(f"{path} is no run: it has no recipe.yaml and environment.json.")
    if not folder.last.is_file():
        raise UserError(f"the run {path} has no checkpoint yet.")
    recipe = read_recipe(folder.recipe)
    try:
        spec = ImageSpec(**json.loads(folder.environment.read_text(encoding="utf-8"))["spec"])
    except (ValueError, KeyError, TypeError):
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
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise UserError(
            f"{path} is damaged, or holds more than tensors and plain values, which could run "
            "foreign code; refused."
        ) from None
    except Exception as error:  # damaged bytes make the reader fail in every way there is
        reason = str(error).partition("\n")[0].strip()[:150] or type(error).__name__
        raise UserError(f"{path} is no readable checkpoint: {reason.rstrip('.')}.") from None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path} is no checkpoint of a run.")
    return checkpoint
