"""Advice that names the knobs a model really has, with the values they stand at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["turn"]


def turn(arguments: Mapping[str, Any], *wishes: tuple[str, str]) -> str:
    """Says which arguments of a model to change, and in which direction.

    Args:
        arguments: The model's constructor arguments with their values, its ``hparams``.
        *wishes: Verb and argument; those that the model does not have are left out.

    Returns:
        Words that fit after "try:", empty if the model has none of the arguments.

    Example:
        >>> turn({"dropout": 0.3, "width": 8}, ("raise", "dropout"), ("lower", "lr"))
        'raise --model.dropout (now 0.3)'
    """
    found = [
        f"{verb} --model.{name} (now {_plain(arguments[name])})"
        for verb, name in wishes
        if name in arguments
    ]
    return " or ".join(found)


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
