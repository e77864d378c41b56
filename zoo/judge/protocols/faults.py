"""Real images with faults planted in them: what each score sees, and what it is blind to.

A score is worth what it notices. Unseen real images stand in for a model's samples: as they are,
with classes missing, rare or collapsed, blurred, or copied from the training set. All scores then
run as they do on any model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.data.images import unit_range
from zoo.data.loader import mix_seed
from zoo.judge.protocols.samples import knows_classes, score_samples
from zoo.judge.score import SEED, Score, Task

__all__ = ["FAULTS", "Finding", "Planted", "plant", "score_faults"]

DRAWS = 5  # fault-free draws that say what chance does to a score
SEEN = 5.0  # their standard deviations beyond which a score has seen a fault
DROPPED, RARE, COLLAPSED = (3, 7), 1, 5  # classes
KEPT = 0.2  # share that remains of the rare class
COPIES = 20  # images that remain of the collapsed class
BLUR = 1.0  # standard deviation in pixels at 28 pixels; in proportion to that elsewhere


class Planted:
    """A 'model' that shows prepared images in turn, for the judge's scores.

    Args:
        images: Images in [0, 1], shape (N, C, H, W).
        spec: Their shape.
    """

    device = torch.device("cpu")

    def __init__(self, images: Tensor, spec: ImageSpec) -> None:
        self.images, self.spec = images, spec
        self.shown = 0

    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Returns the next n images; the seed changes nothing."""
        self.shown += n
        return self.images[self.shown - n : self.shown]


Images = tuple[Tensor, Tensor]  # images in [0, 1] and labels


def _dropped(x: Tensor, labels: Tensor, dice: torch.Generator) -> Images:
    kept = ~torch.isin(labels, torch.tensor(DROPPED))
    return x[kept], labels[kept]


def _rare(x: Tensor, labels: Tensor, dice: torch.Generator) -> Images:
    kept = (labels != RARE) | (torch.rand(len(labels), generator=dice) < KEPT)
    return x[kept], labels[kept]


def _collapsed(x: Tensor, labels: Tensor, dice: torch.Generator) -> Images:
    places = torch.arange(len(labels))
    own = (labels == COLLAPSED).nonzero().flatten()
    places[own] = own[:COPIES][torch.randint(min(COPIES, len(own)), (len(own),), generator=dice)]
    return x[places], labels


def _blurred(x: Tensor, labels: Tensor, dice: torch.Generator) -> Images:
    sigma = max(0.7, BLUR * x.shape[-1] / 28)
    return gaussian_blur(x, [2 * math.ceil(3 * sigma) + 1] * 2, [sigma]), labels


FAULTS: dict[str, Callable[[Tensor, Tensor, torch.Generator], Images]] = {
    "dropped": _dropped,
    "rare": _rare,
    "collapsed": _collapsed,
    "blurred": _blurred,
}


def plant(task: Task, fault: str, draw: int = 0) -> Planted:
    """Draws ``task.count`` unseen real images with a fault in them.

    Args:
        task: The data, and how many images are scored.
        fault: One of `FAULTS`; ``memorised`` for copies of training images, ``none`` for none.
        draw: Number of the draw; draws differ in which images they take.

    Raises:
        UserError: if the data set has too few validation images.
    """
    dice = torch.Generator().manual_seed(mix_seed(SEED, draw))
    source = task.data.images("train" if fault == "memorised" else "val")
    order = torch.randperm(len(source), generator=dice)[: 2 * task.count]
    x, labels = unit_range(source.fetch(order)), source.labels[order]
    if fault in FAULTS:
        x, labels = FAULTS[fault](x, labels, dice)
    if len(x) < task.count:
        raise UserError(
            f"{len(x)} validation images are left with the fault {fault!r}, but {task.count} are "
            "scored; use --protocol quick, or a data set with more."
        )
    return Planted(x[: task.count], task.data.spec)


@dataclass(frozen=True)
class Finding:
    """One score under every fault.

    Args:
        name: The score's name.
        none: Mean over the fault-free draws, None where it was not defined in all of them.
        chance: Standard deviation over them.
        values: The score by fault.
        seen: Which faults it has seen.
    """

    name: str
    none: float | None
    chance: float | None
    values: dict[str, float | None]
    seen: tuple[str, ...]


def score_faults(task: Task) -> tuple[list[Finding], dict[str, dict[str, Any]]]:
    """Scores fault-free images several times and each fault once.

    A score has seen a fault if it lies more than five standard deviations from the mean of the
    fault-free draws, or stops to exist.

    Args:
        task: Data with at least ten classes, a feature network that knows them, and a memory.

    Returns:
        The findings, one per score, and what kernel GEL names: per fault the lists ``dropped``,
        ``rare`` and ``collapsed``.

    Raises:
        UserError: if the data have too few classes, or no feature network knows them.
    """
    if task.data.spec.classes < 10 or not knows_classes(task):
        raise UserError("planting faults needs ten classes and a feature network for the data.")
    clean = [_scores(task, "none", draw) for draw in range(DRAWS)]
    found = {fault: _scores(task, fault, DRAWS) for fault in (*FAULTS, "memorised")}
    findings = [_finding(name, clean, found) for name in clean[0]]
    return findings, {
        fault: _named(scores) for fault, scores in {"none": clean[0], **found}.items()
    }


def _scores(task: Task, fault: str, draw: int) -> dict[str, Score]:
    memory = {key: bank for key, bank in (task.memory or {}).items() if key[0] != "samples"}
    own = replace(task, model=plant(task, fault, draw), memory=memory)
    scores = {score.name: score.finite() for score in score_samples(own)}
    if task.memory is not None:
        task.memory.update(memory)
    return scores


def _finding(
    name: str, clean: list[dict[str, Score]], found: dict[str, dict[str, Score]]
) -> Finding:
    usual = [scores[name].value for scores in clean if name in scores]
    known = [value for value in usual if value is not None]
    values = {fault: scores[name].value if name in scores else None
              for fault, scores in found.items()}  # fmt: skip
    if len(known) < DRAWS:
        return Finding(name, None, None, values, ())
    centre, chance = mean(known), stdev(known)
    seen = (
        fault for fault, value in values.items()
        if value is None or abs(value - centre) > max(SEEN * chance, 1e-9)
    )  # fmt: skip
    return Finding(name, centre, chance, values, tuple(seen))


def _named(scores: dict[str, Score]) -> dict[str, Any]:
    details = {score.head: score.details for score in scores.values()}
    return {
        what: details.get(score, {}).get(what)
        for score, what in (
            ("gel_dropped", "dropped"), ("gel_imbalance", "rare"), ("gel_diversity", "collapsed"),
        )
    }  # fmt: skip


def columns() -> Iterator[tuple[str, str]]:
    """Yields each fault with a title for tables."""
    yield "dropped", f"classes {' and '.join(map(str, DROPPED))} dropped"
    yield "rare", f"class {RARE} at a fifth"
    yield "collapsed", f"class {COLLAPSED} only {COPIES} images"
    yield "blurred", "blurred"
    yield "memorised", "memorised"
