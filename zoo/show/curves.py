"""Curves of runs' figures: as drawings inside a page that follow its colours, and as a picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zoo.core.errors import UserError
from zoo.core.figures import digits
from zoo.core.files import open_text, replacing

__all__ = ["Curve", "Drawing", "draw_curve", "read_curves", "save_curves"]

Curve = list[tuple[int, float]]
Points = list[tuple[float, float]]

WIDTH, HEIGHT, PAD = 320, 130, 8
POINTS = 400  # more are thinned out: a drawing has no more columns
PANELS, COLUMNS = 24, 3  # of a picture
LABEL = 60  # longest name below a picture of several runs
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
        with open_text(path, newline="") as file:
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


def save_curves(runs: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Draws a picture with a panel for each figure, validation first, and a line for each run.

    Args:
        runs: Curves by name, as `read_curves` gives them, by what the legend calls the run.
        path: A PNG file.

    Raises:
        UserError: if there is nothing to draw, or the file cannot be written.
    """
    names = sorted({name for curves in runs.values() for name in curves}, key=_validation_first)
    if not names:
        raise UserError("there are no curves to draw: no run has a metrics.csv with figures yet.")
    # Only here: importing it takes a second. Without pyplot, no window and no global state.
    from matplotlib.figure import Figure

    names = names[:PANELS]
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    height = 2.6 * rows + 0.6  # in inches; the library's own layouts take as long as the drawing
    figure = Figure(figsize=(4.2 * columns, height))
    figure.subplots_adjust(
        left=0.7 / (4.2 * columns), right=1 - 0.2 / (4.2 * columns), wspace=0.22, hspace=0.5,
        bottom=0.9 / height, top=1 - 0.35 / height,
    )  # fmt: skip
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, name in zip(panels, names, strict=False):
        for number, (run, curves) in enumerate(runs.items()):
            if name in curves:
                steps, values = zip(*_thinned(curves[name]), strict=True)
                marker = "." if len(steps) <= MARKED else None
                panel.plot(
                    steps, values, marker=marker, linewidth=1.2, color=f"C{number % 10}", label=run
                )
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.locator_params(nbins=4)  # writing numbers is what takes the time
        panel.set_xlabel("batches", fontsize=8)
        panel.grid(alpha=0.25)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    if len(runs) > 1:
        shown = {label: line for p in panels for line, label in zip(*p.get_legend_handles_labels(),
                                                                    strict=True)}  # fmt: skip
        figure.legend(
            list(shown.values()), [label[-LABEL:] for label in shown], fontsize=8,
            loc="lower center", ncols=min(3, len(shown)),
        )  # fmt: skip
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _validation_first(name: str) -> tuple[bool, str]:
    return not name.startswith("val/"), name
