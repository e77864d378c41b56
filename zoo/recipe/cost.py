"""What a recipe's training costs; its one home is the recipe."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from zoo.core.errors import UserError, did_you_mean
from zoo.core.figures import is_number
from zoo.core.text import quoted

__all__ = ["Cost", "read_cost"]


@dataclass(frozen=True)
class Cost:
    """What a training was seen to take.

    Args:
        seconds: From the first batch to the last score, of the whole training as it stands.
        on: What it ran on, and whether the rest of the machine was busy.
        threads: Threads that computed.
        memory_gb: The process's largest memory, in GB of 1e9 bytes, over its first batches; None
            where it was not looked at.
    """

    seconds: float
    on: str
    threads: int = 1
    memory_gb: float | None = None


def read_cost(section: Any, where: str) -> Cost:
    """Reads a recipe's section ``cost``.

    Args:
        section: The section as YAML gives it.
        where: What messages call the recipe.

    Raises:
        UserError: if a key is missing or unknown, or a value is of another kind.

    Example:
        >>> read_cost({"seconds": 62, "on": "one x86-64 core"}, "r.yaml")
        Cost(seconds=62, on='one x86-64 core', threads=1, memory_gb=None)
    """
    keys = [field.name for field in fields(Cost)]
    if not isinstance(section, dict):
        raise UserError(f"{where}: cost must be a mapping with seconds and on, got {section!r}.")
    for key in section:
        if key not in keys:
            near = did_you_mean(str(key), keys)
            raise UserError(f"{where}: cost has an unknown key {key!r}. {near}")
    for key in ("seconds", "on"):
        if key not in section:
            raise UserError(f"{where}: cost has no {key}; it needs seconds and on.")
    cost = Cost(**section)
    for key, unit in (("seconds", "seconds"), ("threads", "threads"), ("memory_gb", "GB")):
        value = getattr(cost, key)
        if key == "memory_gb" and value is None:
            continue
        if not is_number(value) or value <= 0:
            raise UserError(f"{where}: cost.{key} must be a number of {unit}, got {quoted(value)}.")
    if not isinstance(cost.on, str) or not cost.on.strip():
        raise UserError(f"{where}: cost.on must say what it was measured on, got {cost.on!r}.")
    return cost
