"""How a generator stands codes that its prior does not draw: midpoints, and lines to the origin.

Interpolations leave the prior: see `zoo.contract.priors`. The distance of images at midpoints
of independent pairs, against that of images at the prior itself, says how much that costs.

Reference: Singh et al. 2019, ICML, whose tables compare priors in this way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.contract.codes import PLACES, codes_at, draws_codes
from zoo.contract.priors import PRIORS
from zoo.data.loader import mix_seed
from zoo.judge.banks import CHUNK, as_sampled, collect
from zoo.judge.protocols.registry import protocol
from zoo.judge.protocols.samples import ALONE, knows_classes
from zoo.judge.score import SEED, Score, Task, measure, scored
from zoo.metrics.features import FrechetDistance, InceptionStyleScore

__all__ = ["fits_midpoints", "score_midpoints"]


def fits_midpoints(task: Task) -> bool:
    """Models that decode draws of a named prior, where a feature network is at hand."""
    return task.features is not None and draws_codes(task.model)


@protocol(
    "midpoints", fits_midpoints,
    [*(f"{kind}_at_{place}" for kind in ("fid", "inception_style") for place in PLACES),
     "fid_rise_at_midpoint"],
)  # fmt: skip
def score_midpoints(task: Task) -> list[Score]:
    """Quality of images at prior draws, at midpoints and on lines through the origin.

    Distances, and inception-style scores where the network knows the classes of the data.

    Every process computes the same figures.
    """
    task = as_sampled(task)
    look, model = task.features, task.model
    assert look is not None
    features = collect(task, task.split).features
    tag = {**look.protocol, "count": task.count, "split": task.split,
           "bits": task.data.binarize != "none"}  # fmt: skip
    law: Any = PRIORS[model.prior]
    shape = {"bins": len(law.p), "variance": law.variance} if hasattr(law, "p") else {}
    kinds = ("fid", "inception_style") if knows_classes(task) else ("fid",)
    found: dict[str, Score] = {}
    for place in PLACES:
        measured = measure(
            [f"{kind}_at_{place}" for kind in kinds],
            lambda place=place: _quality_at(place, task, features)[: len(kinds)],
            **tag,
        )
        found |= {score.head: score for score in measured}
        found[f"fid_at_{place}"].details.update(prior=model.prior, **shape)
    middle, start = found["fid_at_midpoint"].value, found["fid_at_prior"].value
    if middle is None or not start:
        rise = scored(
            "fid_rise_at_midpoint", None, {"status": "no distance to compare with"}, **tag
        )
    else:
        rise = scored("fid_rise_at_midpoint", middle / start - 1, **tag)
    ordered = [found[f"{kind}_at_{place}"] for kind in kinds for place in PLACES]
    return [*ordered, rise]


def _quality_at(place: str, task: Task, real: Tensor) -> tuple[float, float]:
    """Returns distance and inception-style score of images from codes at a place."""
    assert task.features is not None
    distance = FrechetDistance(real.shape[1], **ALONE)
    distance.update(real, real=True)
    style = InceptionStyleScore(splits=1, **ALONE)
    parts = torch.arange(task.count).split(CHUNK)
    for number, rows in enumerate(task.progress(parts, f"codes at the {place}")):
        seed = mix_seed(SEED, number, list(PLACES).index(place))
        codes = codes_at(place, task.model, len(rows), seed)
        seen, probabilities = task.features(task.model.decode(codes))
        distance.update(seen.cpu(), real=False)
        style.update(probabilities.cpu().double())
    return float(distance.compute()), float(style.compute().mean)
