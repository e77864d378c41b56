"""Scores as the rows of a table that explains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from zoo.core.figures import shown, split_name
from zoo.judge.catalogue import row_of

__all__ = ["ScoreText", "score_rows"]


class ScoreText(NamedTuple):
    """A score in plain text.

    Args:
        short: What is measured.
        protocol: How.
        value: The figure, or why there is none.
        beside: A figure to compare with; empty if there is none.
        unit: Its unit, if it has one.
        better: Which direction is better, if one is.
        meaning: What it means.
        leading: Whether it is one of those that can stand for a model.
    """

    short: str
    protocol: str
    value: str
    beside: str
    unit: str
    better: str
    meaning: str
    leading: bool = False


def score_rows(
    scores: Sequence[dict[str, Any]], beside: Callable[[dict[str, Any]], str] = lambda _: ""
) -> list[ScoreText]:
    """Takes scores apart for a table.

    Args:
        scores: As in a card.
        beside: Gives a score the figure to compare with.
    """
    rows = []
    for score in scores:
        head, protocol = split_name(score["name"])
        known = row_of(score)
        rows.append(
            ScoreText(
                short=head.replace("_", " "),
                protocol=protocol,
                value=shown(score),
                beside=beside(score),
                unit=known.unit or "",
                better=known.better or "",
                meaning=known.meaning,
                leading=known.rank is not None,
            )
        )
    return rows
