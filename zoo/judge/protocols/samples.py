"""Scores of generated images against real ones, on the features of a named network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from zoo.contract.capabilities import can
from zoo.functional.modes import class_balance
from zoo.functional.neighbours import memorisation_gap
from zoo.judge.banks import Bank, as_sampled, collect, control_split
from zoo.judge.protocols.modes import StacksDigits
from zoo.judge.protocols.registry import protocol
from zoo.judge.protocols.reweighting import diversity, empirical_likelihood, witnesses_of
from zoo.judge.score import Score, Task, measure
from zoo.metrics.features import (
    FrechetDistance,
    InceptionStyleScore,
    KernelDistance,
    NeighbourScores,
)

__all__ = ["ALONE", "copies", "fits_samples", "frechet", "knows_classes", "quality",
           "score_samples"]  # fmt: skip

ALONE: dict[str, Any] = {"sync_on_compute": False}  # banks hold what all processes have seen
NEIGHBOURS = ("precision", "recall", "density", "coverage")
TRAINING = 60_000  # training images among which copies are looked for


def fits_samples(task: Task) -> bool:
    """Models that sample, where a feature network for whole images of the data is at hand."""
    return (
        can(task.model, "sample")
        and task.features is not None
        and not isinstance(task.data, StacksDigits)
    )


def knows_classes(task: Task) -> bool:
    """Says whether the feature network names the classes of the data."""
    classes = task.data.spec.classes
    return task.features is not None and classes > 1 and task.features.classes == classes


@protocol(
    "samples", fits_samples,
    ["fid", "kid", "precision", "recall", "density", "coverage", "inception_style",
     "worst_class_factor", "class_variation", "gel_divergence", "gel_dropped", "gel_imbalance",
     "gel_diversity", "memorisation_z"],
)  # fmt: skip
def score_samples(task: Task) -> list[Score]:
    """Scores quality, coverage, classes and memorisation of ``task.count`` samples.

    On several processes each draws its part; all of them then score the whole.
    """
    task, look = as_sampled(task), task.features
    assert look is not None
    fake, real = collect(task, "samples"), collect(task, task.split)
    tag = {**look.protocol, "count": task.count, "split": task.split,
           "bits": task.data.binarize != "none"}  # fmt: skip
    scores = quality(real, fake, tag)
    if knows_classes(task):
        scores += _classes(task, real, fake, tag)
        witnesses = witnesses_of(task, collect(task, "train", TRAINING))
        control = collect(task, control_split(task)).first(task.count)
        likelihood = empirical_likelihood(task, real, fake, witnesses, tag)
        scores += likelihood
        if likelihood[-1].value is not None:  # samples unlike all real images belong to no class
            scores += diversity(task, real, fake, control, witnesses, tag)
    return [*scores, *copies(task, fake)]


def copies(task: Task, fake: Bank) -> list[Score]:
    """Says whether generated images lie nearer to training images than unseen real ones do."""
    assert task.features is not None
    train, count = collect(task, "train", TRAINING), len(fake.features)
    # What a perfect model would get: real images cut from the training set itself. Test images
    # may be of other writers, and lie farther from training images than what a model learned.
    part = control_split(task)
    control = collect(task, part).first(count)

    def gap() -> list[tuple[float, dict[str, float]]]:
        found = memorisation_gap(fake.features, control.features, train.features)
        told = {"p_value": float(found.p_value), "closer": float(found.closer)}
        return [(float(found.z), told)]

    return measure(
        ["memorisation_z"], gap, **task.features.protocol, count=count,
        train=len(train.features), control=part, bits=task.data.binarize != "none",
    )  # fmt: skip


def quality(real: Bank, fake: Bank, tag: Mapping[str, Any]) -> list[Score]:
    """Compares two sets of images by distances and neighbours of their features.

    Args:
        real: Real images.
        fake: Generated images.
        tag: What the protocols of these scores have in common.
    """

    def kernel() -> list[tuple[float, dict[str, float]]]:
        subset = min(1000, len(real.features) // 2)
        found = _seen(KernelDistance(subsets=50, subset_size=max(2, subset), **ALONE), real, fake)
        return [(float(found.mean), {"standard_error": float(found.standard_error)})]

    def near() -> list[float]:
        found = _seen(NeighbourScores(**ALONE), real, fake)
        return [float(getattr(found, name)) for name in NEIGHBOURS]

    def style() -> list[float]:
        metric = InceptionStyleScore(splits=1, **ALONE)
        metric.update(fake.probabilities.double())
        return [float(metric.compute().mean)]

    knows_some = fake.probabilities.shape[1] > 1  # classes, be they the data's or not
    return [
        *frechet(real, fake, tag),
        *measure(["kid"], kernel, **tag),
        *measure(NEIGHBOURS, near, **tag),
        *(measure(["inception_style"], style, **tag) if knows_some else ()),
    ]


def frechet(real: Bank, fake: Bank, tag: Mapping[str, Any]) -> list[Score]:
    """Computes the Frechet distance of two sets of images, in a list; see `quality`."""

    def compute() -> list[float]:
        return [float(_seen(FrechetDistance(real.features.shape[1], **ALONE), real, fake))]

    return measure(["fid"], compute, **tag)


def _seen(metric: Any, real: Bank, fake: Bank) -> Any:
    """Shows a metric both sets, and returns what it computes."""
    for bank, is_real in ((real, True), (fake, False)):
        metric.update(bank.features, real=is_real)
    return metric.compute()


def _classes(task: Task, real: Bank, fake: Bank, tag: Mapping[str, Any]) -> list[Score]:
    def compute() -> list[tuple[float, dict[str, Any]]]:
        classes = task.data.spec.classes
        counts, reference = (torch.bincount(b.labels, minlength=classes) for b in (fake, real))
        found = class_balance(counts, reference.double() / reference.sum())
        shares = [round(v, 5) for v in (counts / counts.sum()).tolist()]
        return [(float(found.worst), {"class_share": shares}), (float(found.total_variation), {})]

    return measure(["worst_class_factor", "class_variation"], compute, **tag)
