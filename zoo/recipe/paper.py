"""The figure of a paper that a recipe is measured against; its one home is the recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from zoo.core.errors import UserError, did_you_mean
from zoo.core.figures import is_name

__all__ = ["Paper", "read_paper"]


@dataclass(frozen=True)
class Paper:
    """What a paper reports.

    Args:
        figure: The score as the zoo's cards name it, such as ``nll[static,10k,test]``.
        value: The paper's value, in the unit of that score.
        source: Authors, year, where to find it, and the table.
    """

    figure: str
    value: float
    source: str


def read_paper(section: Any, where: str) -> Paper:
    """Reads a recipe's section ``paper``.

    Args:
        section: The section as YAML gives it.
        where: What messages call the recipe.

    Raises:
        UserError: if a key is missing or unknown, or a value is of another kind.

    Example:
        >>> read_paper({"figure": "nll", "value": 86, "source": "Germain et al. 2015"}, "r.yaml")
        Paper(figure='nll', value=86.0, source='Germain et al. 2015')
    """
    keys = [field.name for field in fields(Paper)]
    if not isinstance(section, dict):
        raise UserError(
            f"{where}: paper must be a mapping with figure, value and source, got {section!r}."
        )
    for key in section:
        if key not in keys:
            raise UserError(
                f"{where}: paper has an unknown key {key!r}. {did_you_mean(str(key), keys)}"
            )
    for key in keys:
        if key not in section:
            raise UserError(f"{where}: paper has no {key}; it needs figure, value and source.")
    figure, value, source = (section[key] for key in keys)
    if not isinstance(figure, str) or not is_name(figure):
        raise UserError(
            f"{where}: paper.figure must be the name of a score, such as nll[static,10k,test], "
            f"got {figure!r}."
        )
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise UserError(f"{where}: paper.value must be a number, got {value!r}.")
    if not isinstance(source, str) or not source.strip():
        raise UserError(f"{where}: paper.source must say where the figure stands, got {source!r}.")
    return Paper(figure, float(value), " ".join(source.split()))
