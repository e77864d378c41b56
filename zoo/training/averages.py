"""Optimisers' averages from a checkpoint, checked before a run goes on with them.

Torch takes over what it is given: a rate that is no number, or an average of another shape, would
end the run in its first step, when its record has been written anew.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.core.errors import UserError
from zoo.core.figures import is_number
from zoo.core.text import clean

__all__ = ["check_averages"]


def check_averages(path: Path, checkpoint: dict[str, Any], model: L.LightningModule) -> None:
    """Refuses averages that do not fit the model's optimisers.

    Args:
        path: Where the checkpoint lies.
        checkpoint: As `zoo.shelf.run_weights.read_training` returns it.
        model: The model that goes on. Where it needs a trainer to make its optimisers, or has
            schedules, nothing is checked.

    Raises:
        UserError: naming the first difference.
    """
    try:
        made = model.configure_optimizers()
    except RuntimeError:  # a person's own model that asks its trainer
        return
    optimizers = made if isinstance(made, (list, tuple)) else (made,)
    if not all(isinstance(optimizer, Optimizer) for optimizer in optimizers):
        return
    try:
        _check_optimizers(checkpoint["optimizer_states"], optimizers)
        if checkpoint["lr_schedulers"]:
            raise UserError("lr_schedulers must be empty, for the model has none.")
    except UserError as error:
        raise UserError(f"the state of training in {path} is damaged: {error}") from None


def _check_optimizers(saved: Sequence[Any], optimizers: Sequence[Any]) -> None:
    if len(saved) != len(optimizers):
        raise UserError(f"optimizer_states must be a list of {len(optimizers)}, got {len(saved)}.")
    for i, (state, optimizer) in enumerate(zip(saved, optimizers, strict=True)):
        name, now = f"optimizer_states[{i}]", optimizer.state_dict()["param_groups"]
        groups = state["param_groups"]
        if [len(_listed(g.get("params"))) for g in groups] != [len(g["params"]) for g in now]:
            raise UserError(f"{name}.param_groups do not have the model's parameters.")
        for j, (group, wanted) in enumerate(zip(groups, now, strict=True)):
            _check_settings(group, wanted, f"{name}.param_groups[{j}]")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        numbers = [number for group in groups for number in group["params"]]
        if len(set(map(str, numbers))) != len(numbers):
            raise UserError(f"{name}.param_groups name a parameter twice.")
        by_number = {str(number): p for number, p in zip(numbers, parameters, strict=True)}
        _check_state(state["state"], by_number, f"{name}.state")
        _check_names(state["state"], optimizer, f"{name}.state")


def _check_settings(group: dict[str, Any], wanted: dict[str, Any], name: str) -> None:
    """Refuses numbers that are none; switches, which differ between versions, may be missing."""
    for key, value in wanted.items():
        kept, inside = group.get(key), f"{clean(name)}.{key}"
        if key == "params":
            continue
        if isinstance(value, bool) or value is None:
            if kept is not None and not isinstance(kept, bool):
                raise UserError(f"{inside} must be true or false.")
        elif isinstance(value, (list, tuple)):
            if len(_listed(kept)) != len(value) or not all(map(is_number, _listed(kept))):
                raise UserError(f"{inside} must be a list of {len(value)} numbers.")
        elif isinstance(value, (int, float)) and not is_number(kept):
            raise UserError(f"{inside} must be a number.")


def _check_state(state: dict[Any, Any], parameters: dict[str, Tensor], name: str) -> None:
    if len({frozenset(averages) for averages in state.values()}) > 1:
        raise UserError(f"{name}: parameters have different averages.")
    for number, averages in state.items():
        parameter = parameters.get(str(number))
        if parameter is None:
            raise UserError(f"{name}[{clean(number)}] belongs to no parameter of the model.")
        for key, average in averages.items():
            # Steps are counted; all else has a number for each of the parameter's.
            shape = () if key == "step" else tuple(parameter.shape)
            if not isinstance(average, Tensor) or tuple(average.shape) != shape:
                where = f"{name}[{number}].{clean(key)}"
                raise UserError(f"{where} must be a tensor of shape {shape}.")
            if not average.is_floating_point():
                raise UserError(f"{name}[{number}].{clean(key)} holds {average.dtype}.")


def _check_names(state: dict[Any, Any], optimizer: Optimizer, name: str) -> None:
    """Refuses a state that lacks an average, which torch would miss in its first step."""
    own = copy.deepcopy(optimizer)  # a step with it shows what it keeps
    for group in own.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    try:
        own.step()
    except Exception:  # a person's own, which may want a closure
        return
    wanted = {key for kept in own.state.values() for key in kept}
    for number, averages in state.items():
        if lost := sorted(wanted - averages.keys()):
            raise UserError(f"{name}[{clean(number)}] has no {', '.join(lost)}.")


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
