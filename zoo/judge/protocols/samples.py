"""Scores of generated images against real ones, on the features of a named network."""

from __future__ import annotations

from typing import Any

import torch

from zoo.contract.capabilities import Samples
from zoo.functional.modes import class_balance
from zoo.functional.neighbours import memorisation_gap
from zoo.judge.banks import Bank, as_sampled, collect, control_split
from zoo.judge.protocols.modes import StacksDigits
from zoo.judge.protocols.reweighting import diversity, empirical_likelihood, witnesses_of
from zoo.judge.score import Score, Task, short
from zoo.metrics.features import (
    FrechetDistance,
    InceptionStyleScore,
    KernelDistance,
    NeighbourScores,
)

__all__ = ["ALONE", "copies", "fits_samples", "knows_classes", "quality", "score_samples"]

ALONE: dict[str, Any] = {"sync_on_compute": False}  # banks hold what all processes have seen
TRAINING = 60_000  # training images among which copies are looked for


def fits_samples(task: Task) -> bool:
    """Models that sample, where a feature network for whole images of the data is at hand."""
    return (
        isinstance(task.model, Samples)
        and task.features is not None
        and not isinstance(task.data, StacksDigits)
    )


def knows_classes(task: Task) -> bool:
    """Says whether the feature network names the classes of the data."""
    classes = task.data.spec.classes
    return task.features is not None and classes > 1 and task.features.classes == classes


def score_samples(task: Task) -> list[Score]:
    """Scores quality, coverage, classes and memorisation of ``task.count`` samples.

    On several processes each draws its part; all of them then score the whole.
    """
    task, look = as_sampled(task), task.features
    assert look is not None
    fake, real = collect(task, "samples"), collect(task, task.split)
    bits = ",bits" if task.data.binarize != "none" else ""
    tag = f"{look.name},{short(task.count)},{task.split}{bits}"
    scores = quality(real, fake, tag)
    if knows_classes(task):
        scores += _classes(task, real, fake, tag)
        witnesses = witnesses_of(task, collect(task, "train", TRAINING))
        control = collect(task, control_split(task)).first(task.count)
        likelihood = empirical_likelihood(task, real, fake, witnesses, tag)
        scores += likelihood
        if likelihood[-1].value is not None:  # samples unlike all real images belong to no class
            scores.append(diversity(task, real, fake, control, witnesses, tag))
    return [*scores, copies(task, fake)]


def copies(task: Task, fake: Bank) -> Score:
    """Says whether generated images lie nearer to training images than unseen real ones do."""
    assert task.features is not None
    train, count = collect(task, "train", TRAINING), len(fake.features)
    # What a perfect model would get: real images cut from the training set itself. Test images
    # may be of other writers, and lie farther from training images than what a model learned.
    part = control_split(task)
    control = collect(task, part).first(count)
    gap = memorisation_gap(fake.features, control.features, train.features)
    bits = ",bits" if task.data.binarize != "none" else ""
    seen = f"{short(len(train.features))}-train/{part}{bits}"
    details = {"p_value": float(gap.p_value), "closer": float(gap.closer)}
    name = f"memorisation_z[{task.features.name},{short(count)},{seen}]"
    return Score(name, float(gap.z), "", "", details)


def quality(real: Bank, fake: Bank, tag: str) -> list[Score]:
    """Compares two sets of images by distances and neighbours of their features."""
    frechet, near = FrechetDistance(real.features.shape[1], **ALONE), NeighbourScores(**ALONE)
    subset = min(1000, len(real.features) // 2)
    kernel = KernelDistance(subsets=50, subset_size=max(2, subset), **ALONE)
    style = InceptionStyleScore(splits=1, **ALONE)
    for bank, is_real in ((real, True), (fake, False)):
        for metric in (frechet, kernel, near):
            metric.update(bank.features, real=is_real)
    style.update(fake.probabilities.double())
    kid, four = kernel.compute(), near.compute()
    return [
        Score(f"fid[{tag}]", float(frechet.compute()), "", "lower"),
        Score(
            f"kid[{tag}]", float(kid.mean), "", "lower",
            {"standard_error": float(kid.standard_error)},
        ),
        Score(f"precision[{tag}]", float(four.precision), "share", "higher"),
        Score(f"recall[{tag}]", float(four.recall), "share", "higher"),
        Score(f"density[{tag}]", float(four.density), "", "higher"),
        Score(f"coverage[{tag}]", float(four.coverage), "share", "higher"),
        Score(f"inception_style[{tag}]", float(style.compute().mean), "", "higher"),
    ]  # fmt: skip


def _classes(task: Task, real: Bank, fake: Bank, tag: str) -> list[Score]:
    classes = task.data.spec.classes
    counts, reference = (torch.bincount(b.labels, minlength=classes) for b in (fake, real))
    found = class_balance(counts, reference.double() / reference.sum())
    shares = [round(v, 5) for v in (counts / counts.sum()).tolist()]
    return [
        Score(f"worst_class_factor[{tag}]", float(found.worst), "", "lower",
              {"class_share": shares}),
        Score(f"class_variation[{tag}]", float(found.total_variation), "share", "lower"),
    ]  # fmt: skip
