"""The images behind the scores: covered worst, most spurious, nearest to the training data."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.core.figures import digits
from zoo.functional.gel.metrics import extreme_samples
from zoo.show.diagnosis.case import Case
from zoo.show.markup import Figure, drawn
from zoo.show.pictures import grid

__all__ = ["Extremes", "Pairs", "neighbours", "spurious", "uncovered"]

EXTREMES = 12
PAIRS = 8


class Extremes(NamedTuple):
    """Images with the lowest weights.

    Args:
        figures: The images, each with its weight.
        exact: False where negative weights had to be allowed.
    """

    figures: list[Figure]
    exact: bool


class Pairs(NamedTuple):
    """Generated images above the nearest training images.

    Args:
        which: Of how many training images.
        usual: At which distance an unseen real image has a training image.
        verdict: What memorisation z says; empty without one.
        first: Pairs of the first samples.
        closest: The closest pairs.
    """

    which: str
    usual: str
    verdict: str
    first: list[Figure]
    closest: list[Figure]


def uncovered(case: Case) -> Extremes | None:
    """Returns the real images that the model covers worst."""
    if case.fake is None or case.real is None:
        return None
    weights = case.coverage
    if weights is None:
        return None
    lowest = extreme_samples(weights.values, EXTREMES)[0]
    images = case.images(case.task.split, lowest)
    captions = [_weight(weights.values[i]) for i in lowest.tolist()]
    if case.task.data.spec.classes > 1:
        labels = case.real.labels[lowest].tolist()
        captions = [f"{words}\nclass {k}" for words, k in zip(captions, labels, strict=True)]
    figures = _tiles(images, captions, "real image that the model covers badly, weight")
    return Extremes(figures, weights.exact)


def spurious(case: Case) -> Extremes | None:
    """Returns the generated images that are least like the data."""
    if case.fake is None or case.fake.images is None:
        return None
    weights = case.credibility
    if weights is None:
        return None
    lowest = extreme_samples(weights.values, EXTREMES)[0]
    captions = [_weight(weights.values[i]) for i in lowest.tolist()]
    images = case.generated(lowest)
    return Extremes(
        _tiles(images, captions, "generated image unlike the data, weight"), weights.exact
    )


def _weight(value: Tensor) -> str:
    return "<0.001" if 0 <= float(value) < 0.001 else f"{float(value):.2g}"


def neighbours(case: Case) -> Pairs | None:
    """Returns generated images above the nearest training images."""
    found = case.neighbours
    if found is None or case.train is None:
        return None
    seen, there = len(case.train.features), len(case.task.data.images("train"))
    z = case.evidence.value("memorisation_z")
    return Pairs(
        which=f"all {there:,}" if seen >= there else f"{seen:,} of {there:,}",
        usual=digits(found.usual),
        verdict="" if z is None else _z_in_words(z),
        first=_pairs(case, torch.arange(min(PAIRS, len(found.distance)))),
        closest=_pairs(case, found.distance.argsort()[:PAIRS]),
    )


def _z_in_words(z: float) -> str:
    if z < -5:
        verdict = "samples lie far closer than unseen images do, as copies would"
    elif z < -3:
        verdict = "samples lie a little closer than unseen images do"
    elif z <= 3:
        verdict = "samples lie as far from training images as unseen images do"
    else:
        verdict = (
            "samples lie farther from training images than unseen images do, so nothing is "
            "copied, but they miss the data's look"
        )
    return f"Memorisation z = {z:.1f}: {verdict}."


def _pairs(case: Case, chosen: Tensor) -> list[Figure]:
    found = case.neighbours
    assert found is not None
    generated = case.generated(chosen)
    training = case.images("train", found.index[chosen.to(found.index.device)])
    figures = []
    for n, i in enumerate(chosen.tolist()):
        distance = digits(float(found.distance[i]))
        sheet = grid(torch.stack([generated[n], training[n]]), columns=1)
        alt = f"sample {i} above its nearest training image, distance {distance}"
        figures.append(drawn(sheet, alt, distance))
    return figures


def _tiles(images: Tensor, captions: list[str], alt: str) -> list[Figure]:
    return [
        drawn(grid(image[None], gap=0), f"{alt} {', '.join(caption.splitlines())}", caption)
        for image, caption in zip(images, captions, strict=True)
    ]
