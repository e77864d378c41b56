"""How a published model's figures stand beside the paper's, and whether they earn bold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from zoo.core.figures import split_name
from zoo.judge.catalogue import row_of
from zoo.recipe.paper import Paper

__all__ = ["Standing", "earns", "standings"]


@dataclass(frozen=True)
class Standing:
    """One score of a model, over its seeds where there are several, beside the paper's value.

    Args:
        score: The published weights' own score, as the card has it.
        runs: The values that the runs of all seeds scored; empty with one run.
        theirs: The paper's value, None where it has none.
        their_error: The standard error of that, None where it is not known.
    """

    score: Mapping[str, Any]
    runs: tuple[float, ...]
    theirs: float | None = None
    their_error: float | None = None

    @property
    def name(self) -> str:
        """The score's name with its protocol."""
        return self.score["name"]

    @property
    def value(self) -> float:
        """The mean over seeds; with one run, the published weights' value."""
        return mean(self.runs) if self.runs else self.score["value"]

    @property
    def error(self) -> float | None:
        """Standard error of that: over seeds, else over test images; None where it is unknown."""
        if self.runs:
            return stdev(self.runs) / math.sqrt(len(self.runs))
        found = (self.score.get("details") or {}).get("standard_error")
        return found if isinstance(found, (int, float)) else None

    @property
    def meets(self) -> bool:
        """Whether the value is at least as good as the paper's.

        A mean over seeds must still be so when it is moved by its standard error to the worse side;
        less than that is a tie. The error over test images is shared with the paper's figure and
        does not count.
        """
        better = self.score.get("better")
        if self.theirs is None or better not in ("lower", "higher"):
            return False
        doubt = (self.error or 0.0) if self.runs else 0.0
        gain = self.value - self.theirs if better == "higher" else self.theirs - self.value
        return gain >= doubt

    @property
    def ours(self) -> str:
        """The value with its standard error, short, in its unit."""
        return row_of(self.score).brief(self.value, self.error)

    @property
    def paper(self) -> str:
        """The paper's value in the same way; empty where it has none."""
        if self.theirs is None:
            return ""
        return row_of(self.score).brief(self.theirs, self.their_error)


def standings(
    headline: Mapping[str, Any],
    scores: Sequence[Mapping[str, Any]],
    seeds: Sequence[Mapping[str, Any]],
    paper: Paper | None,
) -> list[Standing]:
    """Lists the score that stands for a model, and after it those that show what it hides.

    Args:
        headline: The score that stands for the model.
        scores: All scores of its card.
        seeds: The card's runs of other seeds.
        paper: The paper's figure, if it is one of the headline.
    """
    heads = row_of(headline).beside
    hidden = [
        score
        for head in heads
        for score in scores
        if split_name(score["name"])[0] == head
        and score["value"] is not None
        and score["name"] != headline["name"]
    ]
    first = Standing(
        headline,
        _runs(headline, seeds),
        paper.value if paper else None,
        paper.standard_error if paper else None,
    )
    beside = paper.beside if paper else {}
    return [first, *(Standing(s, _runs(s, seeds), beside.get(s["name"])) for s in hidden)]


def earns(found: Sequence[Standing], paper: Paper | None) -> bool:
    """Says whether a model's row earns bold.

    Only the paper's own objective does, and only where nothing that the paper reports is worse:
    the figure itself and those beside it. One run is not set above a mean over trials.
    """
    if paper is None or paper.objective != "same":
        return False
    if paper.standard_error is not None and not found[0].runs:
        return False
    return all(s.meets for s in found if s.theirs is not None)


def _runs(score: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    values = [run["scores"].get(score["name"]) for run in seeds]
    return tuple(values) if len(values) > 1 and None not in values else ()
