"""How a generator stands codes that its prior does not draw: midpoints, and lines to the origin.

Interpolations leave the prior: see `zoo.contract.priors`. The distance of images at midpoints
of independent pairs, against that of images at the prior itself, says how much that costs.

Reference: Singh et al. 2019, ICML, whose tables compare priors in this way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.contract.capabilities import DrawsCodes
from zoo.contract.priors import PRIORS
from zoo.data.loader import mix_seed
from zoo.judge.banks import as_sampled, collect
from zoo.judge.protocols.samples import ALONE, knows_classes
from zoo.judge.score import SEED, Score, Task, short
from zoo.metrics.features import FrechetDistance, InceptionStyleScore

__all__ = ["PLACES", "fits_midpoints", "score_midpoints", "through_origin"]

CHUNK = 500  # codes drawn from one seed


def _prior(draw: Callable[[int], Tensor], n: int, generator: torch.Generator) -> Tensor:
    return draw(n)


def _midpoint(draw: Callable[[int], Tensor], n: int, generator: torch.Generator) -> Tensor:
    return (draw(n) + draw(n)) / 2


def _line(draw: Callable[[int], Tensor], n: int, generator: torch.Generator) -> Tensor:
    return draw(n) * (torch.rand(n, 1, generator=generator) * 2 - 1)


PLACES = {"prior": _prior, "midpoint": _midpoint, "line": _line}  # where codes are taken from


def codes_at(place: str, model: Any, n: int, seed: int) -> Tensor:
    """Draws codes.

    Args:
        place: ``prior``: as in training; ``midpoint``: halfway between two independent draws;
            ``line``: anywhere between a draw and its opposite, on the line through the origin.
        model: A model with a prior.
        n: Number of codes.
        seed: Decides them.

    Returns:
        Shape (n, latent_dim).
    """
    generator = torch.Generator().manual_seed(seed)
    law, dim = PRIORS[model.prior], model.latent_dim
    return PLACES[place](lambda count: law.sample(count, dim, generator), n, generator)


def fits_midpoints(task: Task) -> bool:
    """Models that decode draws of a named prior, where a feature network is at hand."""
    return task.features is not None and draws_codes(task.model)


def draws_codes(model: Any) -> bool:
    """Says whether a model decodes draws of a named prior, and needs nothing besides."""
    return (
        isinstance(model, DrawsCodes)
        and model.prior in PRIORS
        and getattr(model, "num_labels", 0) == 0
    )


def score_midpoints(task: Task) -> list[Score]:
    """Quality of images at prior draws, at midpoints and on lines through the origin.

    Distances, and inception-style scores where the network knows the classes of the data.

    Every process computes the same figures.
    """
    task = as_sampled(task)
    look, model = task.features, task.model
    assert look is not None
    features = collect(task, task.split).features
    found: dict[str, float] = {}
    styles: dict[str, float] = {}
    for place in PLACES:
        distance = FrechetDistance(features.shape[1], **ALONE)
        distance.update(features, real=True)
        style = InceptionStyleScore(splits=1, **ALONE)
        parts = torch.arange(task.count).split(CHUNK)
        for number, rows in enumerate(task.progress(parts, f"codes at the {place}")):
            codes = codes_at(place, model, len(rows), mix_seed(SEED, number, len(found)))
            seen, probabilities = look(model.decode(codes))
            distance.update(seen.cpu(), real=False)
            style.update(probabilities.cpu().double())
        found[place] = float(distance.compute())
        if knows_classes(task):
            styles[place] = float(style.compute().mean)
    bits = ",bits" if task.data.binarize != "none" else ""
    tag = f"{look.name},{short(task.count)},{task.split}{bits}"
    law: Any = PRIORS[model.prior]
    shape = {"bins": len(law.p), "variance": law.variance} if hasattr(law, "p") else {}
    details = {"prior": model.prior, **shape}
    scores = [
        *(Score(f"fid_at_{p}[{tag}]", v, "", "lower", details) for p, v in found.items()),
        *(Score(f"inception_style_at_{p}[{tag}]", v, "", "higher") for p, v in styles.items()),
    ]
    rise = found["midpoint"] / found["prior"] - 1
    return [*scores, Score(f"fid_rise_at_midpoint[{tag}]", rise, "share", "lower")]


def through_origin(model: Any, *, rows: int = 8, steps: int = 11, seed: int = 0) -> Tensor:
    """Draws images along lines from a draw of the prior through the origin to its opposite.

    Args:
        model: A model with a prior.
        rows: Number of lines.
        steps: Images along each; with an odd number, the middle one is the origin's.
        seed: Decides the draws.

    Returns:
        Images in [0, 1], shape (rows, steps, C, H, W).
    """
    z = codes_at("prior", model, rows, seed)
    place = torch.linspace(1, -1, steps)
    codes = place[None, :, None] * z[:, None]
    return model.decode(codes.flatten(0, 1)).unflatten(0, (rows, steps))
