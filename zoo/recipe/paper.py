"""The figure of a paper that a recipe is measured against; its one home is the recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast, get_args

from zoo.core.errors import UserError, did_you_mean
from zoo.core.figures import is_name, is_number
from zoo.core.text import quoted

__all__ = ["QUOTED_BY", "Objective", "Paper", "read_paper"]

Objective = Literal["same", "extended", "other"]
QUOTED_BY = "quoted by "


@dataclass(frozen=True)
class Paper:
    """What a paper reports, and what may be compared with it.

    Args:
        figure: The score as the zoo's cards name it, such as ``nll[static,10k,test]``.
        value: The paper's value, in the unit of that score.
        source: Authors, year, where to find it, and the table. Where the paper itself has no such
            figure or could not be read, ``..., quoted by`` and the source that was read.
        method: Whose figure it is: the name of the method and of its variant in the paper.
        objective: ``same``: what is trained, and on which images, is what the paper says;
            ``extended``: something was added to it, such as moved images or a warm-up; ``other``:
            another method than the figure's. Only ``same`` can earn bold in the table of models.
        differences: In a few words, what else differs: networks, data, schedule.
        standard_error: The paper's standard error over its trials, where it has one.
        beside: The paper's values of other scores, by their names: those that show what the first
            one hides.
    """

    figure: str
    value: float
    source: str
    method: str = ""
    objective: Objective = "other"  # a record of an old run does not say
    differences: str = ""
    standard_error: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def quoted_by(self) -> str:
        """Where the figure was read, if not in the paper itself; else empty."""
        return self.source.partition(QUOTED_BY)[2]


KEYS = tuple(key.name for key in fields(Paper))
NEEDED = ("figure", "value", "source")


def read_paper(section: Any, where: str) -> Paper:
    """Reads a recipe's section ``paper``.

    Args:
        section: The section as YAML gives it.
        where: What messages call the recipe.

    Raises:
        UserError: if a key is missing or unknown, or a value is of another kind.

    Example:
        >>> read_paper({"figure": "nll", "value": 86, "source": "Germain et al. 2015"}, "r").value
        86.0
    """
    if not isinstance(section, dict):
        raise UserError(
            f"{where}: paper must be a mapping with figure, value and source, got {section!r}."
        )
    for key in section:
        if key not in KEYS:
            raise UserError(
                f"{where}: paper has an unknown key {key!r}. {did_you_mean(str(key), KEYS)}"
            )
    for key in NEEDED:
        if key not in section:
            raise UserError(f"{where}: paper has no {key}; it needs figure, value and source.")
    said = {key: value for key, value in section.items() if value is not None or key in NEEDED}
    read = {key: READERS[key](value, f"{where}: paper.{key}") for key, value in said.items()}
    return Paper(**read)


def _name(name: Any, what: str) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise UserError(
            f"{what} must be the name of a score, such as nll[static,10k,test], got {name!r}."
        )
    return name


def _number(value: Any, what: str) -> float:
    if not is_number(value):
        raise UserError(f"{what} must be a number, got {quoted(value)}.")
    return float(value)


def _error(value: Any, what: str) -> float:
    if (error := _number(value, what)) < 0:
        raise UserError(f"{what} must not be negative, got {value!r}.")
    return error


def _text(must: str) -> Callable[[Any, str], str]:
    """Returns what reads a text and puts it on one line."""

    def read(text: Any, what: str) -> str:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{what} must say {must}, got {text!r}.")
        return " ".join(text.split())

    return read


def _objective(value: Any, what: str) -> Objective:
    if value not in get_args(Objective):
        raise UserError(f"{what} must be one of {', '.join(get_args(Objective))}, got {value!r}.")
    return cast(Objective, value)


def _beside(section: Any, what: str) -> dict[str, float]:
    if not isinstance(section, dict):
        raise UserError(f"{what} must be a mapping from scores to values, got {section!r}.")
    return {_name(key, what): _number(value, f"{what}.{key}") for key, value in section.items()}


READERS: dict[str, Callable[[Any, str], Any]] = {
    "figure": _name,
    "value": _number,
    "source": _text("where the figure stands"),
    "method": _text("whose figure it is"),
    "objective": _objective,
    "differences": _text("what differs"),
    "standard_error": _error,
    "beside": _beside,
}
