"""The images behind the scores: covered worst, most spurious, nearest to the training data."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.functional.gel.metrics import extreme_samples
from zoo.show.diagnosis.case import Case
from zoo.show.markup import figure, section, text
from zoo.show.pictures import grid

__all__ = ["neighbours", "spurious", "uncovered"]

EXTREMES = 12
PAIRS = 8


def uncovered(case: Case) -> str:
    """Shows the real images that the model covers worst."""
    if case.fake is None or case.real is None:
        return ""
    weights = case.coverage
    if weights is None:
        return ""
    lowest = extreme_samples(weights.values, EXTREMES)[0]
    images = case.images(case.task.split, lowest)
    labels = case.real.labels[lowest].tolist() if case.task.data.spec.classes > 1 else None
    tiles = _tiles(
        images,
        [
            _weight(weights.values[i]) + (f"\nclass {labels[n]}" if labels else "")
            for n, i in enumerate(lowest.tolist())
        ],
        "real image that the model covers badly, weight",
    )
    about = (
        "<p>Of the real images, the model makes the least like these. The number says for how many "
        "images each counts when the real ones are reweighted to look like the samples "
        "(one-sample kernel GEL); 1 would be its due.</p>"
    )
    return section("Real images covered worst", about, _caution(weights.exact), tiles)


def spurious(case: Case) -> str:
    """Shows the generated images that are least like the data."""
    if case.fake is None or case.fake.images is None:
        return ""
    weights = case.credibility
    if weights is None:
        return ""
    lowest = extreme_samples(weights.values, EXTREMES)[0]
    tiles = _tiles(
        case.generated(lowest),
        [_weight(weights.values[i]) for i in lowest.tolist()],
        "generated image unlike the data, weight",
    )
    about = (
        "<p>Of the samples, these have the least counterpart in the data. The number says for how "
        "many samples each counts when both sets are reweighted to look alike (two-sample kernel "
        "GEL).</p>"
    )
    return section("Most spurious samples", about, _caution(weights.exact), tiles)


def _weight(value: Tensor) -> str:
    return "<0.001" if 0 <= float(value) < 0.001 else f"{float(value):.2g}"


def _caution(exact: bool) -> str:
    if exact:
        return ""
    return (
        '<p class="soft">No weights from 0 on make the two sets agree, so negative ones were '
        "allowed (Euclidean objective): read the order, not the numbers.</p>"
    )


def neighbours(case: Case) -> str:
    """Shows generated images above the nearest training images."""
    found = case.neighbours
    if found is None or case.train is None:
        return ""
    closest = found.distance.argsort()[:PAIRS]
    first = torch.arange(min(PAIRS, len(found.distance)))
    seen, there = len(case.train.features), len(case.task.data.images("train"))
    which = f"all {there:,}" if seen >= there else f"{seen:,} of {there:,}"
    z = case.evidence.value("memorisation_z")
    about = (
        f"<p>Each sample above the nearest of {which} training images, with their distance in "
        f"features. An unseen real image typically has a training image at {found.usual:.3g}. "
        "Pairs far closer than that, and alike to the eye, are copies.</p>"
    )
    says = "" if z is None else f"<p>{text(_z_in_words(z))}</p>"
    return section(
        "Nearest training images", about, says,
        "<h3>The first samples</h3>", _pairs(case, first),
        "<h3>The samples nearest to a training image</h3>", _pairs(case, closest),
    )  # fmt: skip


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


def _pairs(case: Case, chosen: Tensor) -> str:
    found = case.neighbours
    assert found is not None
    generated = case.generated(chosen)
    training = case.images("train", found.index[chosen.to(found.index.device)])
    sheets = []
    for n, i in enumerate(chosen.tolist()):
        distance = f"{found.distance[i]:.3g}"
        sheet = grid(torch.stack([generated[n], training[n]]), columns=1)
        alt = f"sample {i} above its nearest training image, distance {distance}"
        sheets.append(figure(sheet, alt, distance))
    return f'<div class="tiles">{"".join(sheets)}</div>'


def _tiles(images: Tensor, captions: list[str], alt: str) -> str:
    drawn = (
        figure(grid(image[None], gap=0), f"{alt} {', '.join(caption.splitlines())}", caption)
        for image, caption in zip(images, captions, strict=True)
    )
    return f'<div class="tiles">{"".join(drawn)}</div>'
