"""What each experiment of the lab trains on, and what is looked at; no torch is needed to know.

Reference: Zhao, Ren, Yuan, Song, Goodman, Ermon 2018, Bias and Generalization in Deep Generative
Models. Which points stand for the paper's curves is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["EXPERIMENTS", "Experiment", "Point"]


@dataclass(frozen=True)
class Point:
    """One training set of an experiment.

    Args:
        name: In words short enough for a folder, such as ``2+4``.
        trained: Values of the feature that are trained on, in the reader's units, rising; or the
            number of combinations.
        data: What its recipe's data set is told.
        quick: Whether the quick form of the experiment has it, too.
    """

    name: str
    trained: tuple[float, ...]
    data: Mapping[str, Any] = field(compare=False)
    quick: bool = False


@dataclass(frozen=True)
class Experiment:
    """A question with the training sets that answer it.

    Args:
        name: What it is called on the command line.
        question: What it asks, in one sentence.
        kind: ``modes``: one feature, one or two values; ``combinations``: how many of many are
            shown; ``joint``: two features with a combination held out.
        data: Name of its data set.
        recipes: End of its recipes' names, ``<model>_<recipes>``.
        features: What is read and looked at.
        points: The training sets.
        edges: Lowest and highest edge and number of the bins of the feature (``modes``), or the
            inner edges of each feature (``joint``).
        tolerance: Farthest that a value may be from the trained one to count as it.
    """

    name: str
    question: str
    kind: Literal["modes", "combinations", "joint"]
    data: str
    recipes: str
    features: tuple[str, ...]
    points: tuple[Point, ...]
    edges: tuple[Any, ...] = ()
    tolerance: float = 0.5


def _counts(*counts: int, quick: bool = False) -> Point:
    name = "+".join(map(str, counts))
    return Point(name, tuple(map(float, counts)), {"counts": list(counts)}, quick)


def _shares(*tenths: int, quick: bool = False) -> Point:
    name = "+".join(f".{e}" for e in tenths)
    trained = tuple(e / 10 for e in tenths)
    return Point(name, trained, {"configurations": [f"4000{e}" for e in tenths]}, quick)


def _sizes(*digits: int, quick: bool = False) -> Point:
    trained = tuple(round(0.35 + b / 20, 3) for b in digits)
    name = "+".join(f"{radius:.2f}"[1:] for radius in trained)
    return Point(name, trained, {"configurations": [f"4{b}000" for b in digits]}, quick)


def _some(count: int, quick: bool = False) -> Point:
    return Point(f"{count}-of-100", (float(count),), {"combinations": count}, quick)


JOINT = (2, 5, 8)  # digits of size and of share of red; the two largest never together

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "numerosity",
            "Trained on images of one or two counts of dots, which counts does a model draw?",
            "modes",
            "Dots",
            "dots",
            ("count",),
            (
                *(_counts(k, quick=k in (2, 4, 7)) for k in range(1, 8)),
                _counts(2, 4, quick=True),
                _counts(2, 7, quick=True),
            ),
            (-0.5, 20.5, 21),
        ),
        Experiment(
            "proportion",
            "Trained on pies of one or two shares of red, which shares does a model draw?",
            "modes",
            "Pie",
            "pies",
            ("red",),
            (
                *(_shares(e, quick=e in (3, 5, 9)) for e in range(1, 10)),
                *(_shares(*sorted((e, 5)), quick=e in (3, 9)) for e in range(1, 10) if e != 5),
            ),
            (0.0, 1.02, 51),
            0.05,
        ),
        Experiment(
            "size",
            "Trained on pies of one or two sizes, which sizes does a model draw?",
            "modes",
            "Pie",
            "pies",
            ("radius",),
            (
                *(_sizes(b, quick=b in (4, 5, 9)) for b in (1, 3, 4, 5, 7, 9)),
                *(_sizes(*sorted((b, 5)), quick=b in (4, 9)) for b in (1, 3, 4, 7, 9)),
            ),
            (0.1, 1.1, 50),
            0.025,
        ),
        Experiment(
            "independence",
            "If the largest pies are never the reddest in training, does a model draw such pies?",
            "joint",
            "Pie",
            "pies",
            ("radius", "red"),
            (
                Point(
                    "8-of-9",
                    (8.0,),
                    {
                        "configurations": [
                            f"4{b}00{e}" for b in JOINT for e in JOINT if (b, e) != (8, 8)
                        ]
                    },
                    True,
                ),
            ),
            ((0.525, 0.675), (0.35, 0.65)),
        ),
        Experiment(
            "combinations",
            "Trained on some of the hundred pairs of digits, which pairs does a model draw?",
            "combinations",
            "DigitPairs",
            "pairs",
            ("first", "second"),
            tuple(_some(n, quick=n in (10, 80)) for n in (10, 20, 40, 80)),
        ),
    )
}
