"""Curves of a run's figures, as drawings inside a page that follow its colours."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.core.figures import digits

__all__ = ["Curve", "Drawing", "draw_curve", "read_curves"]

Curve = list[tuple[int, float]]
Points = list[tuple[float, float]]

WIDTH, HEIGHT, PAD = 320, 130, 8
POINTS = 400  # more are thinned out: a drawing has no more columns
MARKED = 40  # curves of at most so many points show each of them


class Drawing(NamedTuple):
    """A curve as a page shows it.

    Args:
        points: Where it goes, x to the right and y downwards.
        dots: Which of them are marked.
        alt: What it shows, for those who do not see it.
        name: Of the figure.
        range: From where to where it goes, in words.
    """

    points: Points
    dots: Points
    alt: str
    name: str
    range: str
    width: int = WIDTH
    height: int = HEIGHT


def read_curves(path: Path) -> dict[str, Curve]:
    """Reads a run's ``metrics.csv``.

    Returns:
        Pairs of step and figure by name; nothing if there is no readable file.
    """
    curves: dict[str, Curve] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                row.pop("epoch", None)
                for name, value in row.items():
                    if value and math.isfinite(float(value)):
                        curves.setdefault(name, []).append((step, float(value)))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error):
        return {}
    return dict(sorted(curves.items()))


def draw_curve(name: str, curve: Curve) -> Drawing:
    """Draws one curve with its range.

    Args:
        name: Name of the figure.
        curve: At least one pair of step and value.
    """
    curve = _thinned(curve)
    low, high = min(v for _, v in curve), max(v for _, v in curve)
    begin, end = curve[0][0], curve[-1][0]
    first, last, least, most = (digits(v, 4) for v in (curve[0][1], curve[-1][1], low, high))
    points = _points(curve, low, high)
    return Drawing(
        points=points,
        dots=points if len(curve) <= MARKED else [],
        alt=f"{name}: {first} at step {begin}, {last} at step {end}, between {least} and {most}",
        name=name,
        range=f"from {first} to {last}; lowest {least}, highest {most}; steps {begin:,} to {end:,}",
    )


def _points(curve: Curve, low: float, high: float) -> Points:
    start, end = curve[0][0], curve[-1][0]
    wide, tall = max(end - start, 1), (high - low) or 1.0
    return [
        (
            PAD + (step - start) / wide * (WIDTH - 2 * PAD),
            HEIGHT - PAD - (value - low) / tall * (HEIGHT - 2 * PAD) if high > low else HEIGHT / 2,
        )
        for step, value in curve
    ]


def _thinned(curve: Sequence[tuple[int, float]]) -> Curve:
    """Keeps every n-th point and the last one."""
    every = -(-len(curve) // POINTS)
    kept = list(curve[::every])
    return kept if kept[-1] == curve[-1] else [*kept, curve[-1]]
