"""Which weights give real images the moments of generated ones: what these lack shows there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.functional.gel.metrics import (
    collapsed_modes,
    dropped_modes,
    effective_share,
    hellinger,
    mode_mass,
    rare_modes,
)
from zoo.functional.gel.moments import kernel_moment_mean, kernel_moments
from zoo.functional.gel.one_sample import gel_one_sample
from zoo.judge.banks import Bank
from zoo.judge.score import Score, Task, attempt, measure, scored

__all__ = ["DROPPED", "Witnesses", "diversity", "empirical_likelihood", "witnesses_of"]

DROPPED = 0.2  # of a class's due mass, below which kernel GEL takes it for dropped
KERNEL = {"objective": "kernel-et"}
FEW = 10  # samples of a class from which its variety is judged


def scaled_to_kernel(reference: Tensor) -> float:
    """Returns the factor that brings the mean of |x|^2 / d of features to 1."""
    return float(reference.double().square().mean().rsqrt())


@dataclass(frozen=True)
class Witnesses:
    """Training images at which kernel moments are compared.

    Args:
        features: Shape (W, F), scaled.
        labels: Shape (W,).
        scale: Factor that all features are scaled by.
    """

    features: Tensor
    labels: Tensor
    scale: float


def witnesses_of(task: Task, train: Bank) -> Witnesses:
    """Chooses training images as witnesses, a tenth as many as there are samples."""
    count = max(task.data.spec.classes, 1, min(1024, task.count // 10))
    some, scale = train.first(count), scaled_to_kernel(train.features)
    return Witnesses(some.features * scale, some.labels, scale)


def empirical_likelihood(
    task: Task, real: Bank, fake: Bank, witnesses: Witnesses, tag: Mapping[str, Any]
) -> list[Score]:
    """Asks which reweighting of the real images has the model's kernel moments.

    Where there is none, classes are weighed by a quarter of the witnesses, or a quarter of that,
    as long as there is a witness per class.
    """
    return attempt(
        ["gel_divergence"], lambda: _likelihood(task, real, fake, witnesses, tag),
        **KERNEL, witnesses=len(witnesses.features), **tag,
    )  # fmt: skip


def _likelihood(
    task: Task, real: Bank, fake: Bank, witnesses: Witnesses, tag: Mapping[str, Any]
) -> list[Score]:
    classes, scale = task.data.spec.classes, witnesses.scale
    moments = kernel_moments(real.features * scale, witnesses.features)
    target = kernel_moment_mean(fake.features * scale, witnesses.features)
    scores = []
    for few in (1, 4, 16):
        count = len(target) // few
        if count < classes and few > 1:
            break
        how = {**KERNEL, "witnesses": count, **tag}
        result = gel_one_sample(
            moments[:, ::few][:, :count], target[::few][:count], target_count=len(fake.features)
        )
        details = {"status": result.status, "baseline": result.baseline}
        if result.status != "solved":
            scores.append(scored("gel_divergence", None, details, **how))
            continue
        share = torch.bincount(real.labels, minlength=classes).double() / len(real.labels)
        mass = mode_mass(result.weights, real.labels, classes)
        ratio = [round(v, 4) for v in (mass / share).tolist()]
        dropped = dropped_modes(mass, share, DROPPED)
        rare = rare_modes(mass, share, above=DROPPED)
        return [
            *scores,
            scored("gel_divergence", result.divergence, details, **how),
            scored("gel_dropped", float(dropped.sum()), {"dropped": _places(dropped)}, **how),
            scored("gel_imbalance", hellinger(mass.clamp(min=0), share),
                   {"mass_ratio": ratio, "rare": _places(rare)}, **how),
        ]  # fmt: skip
    return scores


def _places(flags: Tensor) -> list[int]:
    return flags.nonzero().flatten().tolist()


def diversity(
    task: Task, real: Bank, fake: Bank, control: Bank, witnesses: Witnesses, tag: Mapping[str, Any]
) -> list[Score]:
    """Compares the variety within each class with that of as many unseen real images.

    Where no weights of a class exist, a quarter of its witnesses are tried, or a quarter of that.
    """
    classes = task.data.spec.classes
    return measure(
        ["gel_diversity"], lambda: [_variety(classes, real, fake, control, witnesses)],
        **KERNEL, **tag,
    )  # fmt: skip


def _variety(
    classes: int, real: Bank, fake: Bank, control: Bank, witnesses: Witnesses
) -> tuple[float | None, dict[str, Any]]:
    ess, ess_of_real, status = [], [], []
    for k in range(classes):
        x, samples, unseen, anchors = (
            bank.features[bank.labels == k] for bank in (real, fake, control, witnesses)
        )
        found = math.nan, math.nan, "too few"
        if len(samples) >= FEW and len(x) and len(unseen) and len(anchors):
            unseen, scale = unseen[: len(samples)], witnesses.scale
            found = _spread(x * scale, samples * scale, unseen * scale, anchors)
        for column, value in zip((ess, ess_of_real, status), found, strict=True):
            column.append(value)
    model, perfect = torch.tensor(ess), torch.tensor(ess_of_real)
    ratio = model / perfect
    known = ratio[~ratio.isnan()]
    details = {
        "ess": [round(v, 4) if v == v else None for v in ess],
        "ess_of_real": [round(v, 4) if v == v else None for v in ess_of_real],
        "by_class": status,
        "collapsed": _places(collapsed_modes(model, perfect)),
    }
    if not len(known):
        return None, {
            **details,
            "status": f"no class has weights: {', '.join(sorted(set(status)))}",
        }
    return float(known.min()), details


def _spread(
    x: Tensor, samples: Tensor, unseen: Tensor, witnesses: Tensor
) -> tuple[float, float, str]:
    """Returns the effective share of x under the samples' moments, under real ones, and a status.

    The status is ``solved`` or ``infeasible``, where only fewer witnesses had a solution or none.
    """
    moments = kernel_moments(x, witnesses)
    targets = [kernel_moment_mean(part, witnesses) for part in (samples, unseen)]
    for few in (1, 4, 16):
        ess = [
            effective_share(gel_one_sample(moments[:, ::few], target[::few]).weights)
            for target in targets
        ]
        if not any(map(math.isnan, ess)):
            return ess[0], ess[1], "solved" if few == 1 else "infeasible"
    return math.nan, math.nan, "infeasible"
