"""Scores of generated images against real ones, on the features of a named network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.contracts import Samples
from zoo.data.loader import mix_seed
from zoo.data.module import Split
from zoo.evaluation.modes import StacksDigits
from zoo.evaluation.score import Score, Task, short
from zoo.functional.gel_metrics import dropped_modes, hellinger, intra_class_diversity
from zoo.functional.neighbours import memorisation_gap
from zoo.metrics.features import (
    FrechetDistance,
    InceptionStyleScore,
    KernelDistance,
    NeighbourScores,
)
from zoo.metrics.gel import KernelGEL, PerClassKernelGEL
from zoo.metrics.modes import ClassModes

__all__ = [
    "Bank",
    "Witnesses",
    "collect",
    "fits_samples",
    "knows_classes",
    "quality",
    "score_samples",
    "witnesses_of",
]

CHUNK = 500  # samples drawn from one seed, so that any number of ranks draws the same ones
SEED = 0


@dataclass(frozen=True)
class Bank:
    """Features of a set of images, with a class each.

    Args:
        features: Shape (N, F).
        labels: Shape (N,): true ones of real images, the network's ones of generated images.
        probabilities: Shape (N, K).
        images: Generated images as bytes, shape (N, C, H, W), where the task has a memory.
    """

    features: Tensor
    labels: Tensor
    probabilities: Tensor
    images: Tensor | None = None


def sample_chunks(task: Task) -> Iterator[Tensor]:
    """Draws ``task.count`` samples; each process draws every world-th chunk of the same set."""
    sizes = [len(part) for part in torch.arange(task.count).split(CHUNK)]
    for number, size in enumerate(sizes):
        if number % task.world == task.rank:
            yield task.model.sample(size, seed=mix_seed(SEED, number))


def collect(task: Task, source: Split | Literal["samples"], limit: int | None = None) -> Bank:
    """Looks at images through the feature network.

    Args:
        task: The task, which has features.
        source: ``"samples"``, or a split of the data set.
        limit: Largest number of images; default the task's.
    """
    key = (source, limit or task.limit)
    if task.memory is not None and key in task.memory:
        return task.memory[key]
    bank = _collect(task, source, limit or task.limit)
    if task.memory is not None:
        task.memory[key] = bank
    return bank


def _collect(task: Task, source: Split | Literal["samples"], limit: int) -> Bank:
    look = task.features
    assert look is not None
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    seen: list[Tensor] = []
    if source == "samples":
        total = -(-task.count // CHUNK)
        chunks = task.progress(_Sized(sample_chunks(task), total), "drawing samples")
        for images in chunks:
            features, probabilities = look(images)
            rows.append((features, probabilities.argmax(dim=1), probabilities))
            if task.memory is not None:
                seen.append((images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8))
    else:
        loader = task.data.loader(source, limit=limit)
        for batch in task.progress(loader, f"features of {source} images"):
            features, probabilities = look(batch.image)
            rows.append((features, batch.label.to(features.device), probabilities))
    if not rows:
        width = len(look.network.head.weight[0])
        none = torch.zeros(0, width)
        return Bank(none, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0))
    columns = (torch.cat(column) for column in zip(*rows, strict=True))
    return Bank(*columns, images=torch.cat(seen) if seen else None)


class _Sized:
    """Gives an iterator a length, for progress bars."""

    def __init__(self, items: Iterator[Tensor], length: int) -> None:
        self.items, self.length = items, length

    def __iter__(self) -> Iterator[Tensor]:
        return self.items

    def __len__(self) -> int:
        return self.length


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
    return (
        task.features is not None
        and classes > 1
        and len(task.features.network.head.bias) == classes
    )


def score_samples(task: Task) -> list[Score]:
    """Scores quality, coverage, classes and memorisation of ``task.count`` samples."""
    assert task.features is not None
    fake = collect(task, "samples")
    real = collect(task, task.split)
    train = collect(task, "train")
    tag = f"{task.features.name},{short(task.count)},{task.split}"
    scores = quality(real, fake, tag)
    if knows_classes(task):
        scores += _classes(task, real, fake, tag)
        scores += _empirical_likelihood(task, real, fake, train, tag)
    if task.world == 1:  # a picture of the whole, which needs all features in one place
        gap = memorisation_gap(fake.features, real.features, train.features)
        details = {"p_value": float(gap.p_value), "closer": float(gap.closer)}
        seen = f"{short(len(train.features))}-train/{task.split}"
        name = f"memorisation_z[{task.features.name},{short(task.count)},{seen}]"
        scores.append(Score(name, float(gap.z), "", "", details))
    return scores


def quality(real: Bank, fake: Bank, tag: str) -> list[Score]:
    """Compares two sets of images by distances and neighbours of their features."""
    frechet, near = FrechetDistance(real.features.shape[1]), NeighbourScores()
    subset = min(1000, len(real.features) // 2)
    kernel = KernelDistance(subsets=50, subset_size=max(2, subset))
    style = InceptionStyleScore(splits=1)
    for bank, is_real in ((real, True), (fake, False)):
        for metric in (frechet, kernel, near):
            metric.to(bank.features.device).update(bank.features, real=is_real)
    style.to(fake.features.device).update(fake.probabilities.double())
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
    reference = torch.bincount(real.labels, minlength=classes).double()
    metric = ClassModes(classes, reference=reference / reference.sum()).to(fake.features.device)
    metric.update(fake.labels)
    found = metric.compute()
    counts = torch.bincount(fake.labels, minlength=classes)
    shares = [round(v, 5) for v in (counts / counts.sum()).tolist()]
    return [
        Score(f"worst_class_factor[{tag}]", float(found["worst_factor"]), "", "lower",
              {"class_share": shares}),
        Score(f"class_variation[{tag}]", float(found["total_variation"]), "share", "lower"),
    ]  # fmt: skip


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
    """Chooses the witnesses: the first training images, a tenth as many as there are samples."""
    count = max(task.data.spec.classes, 1, min(1024, task.count // 10))
    scale = scaled_to_kernel(train.features)
    return Witnesses(train.features[:count] * scale, train.labels[:count], scale)


def _empirical_likelihood(task: Task, real: Bank, fake: Bank, train: Bank, tag: str) -> list[Score]:
    """Asks which reweighting of the real images has the model's kernel moments."""
    classes = task.data.spec.classes
    witnesses = witnesses_of(task, train)
    count, scale = len(witnesses.features), witnesses.scale
    whole = KernelGEL(witnesses.features, num_classes=classes).to(real.features.device)
    for bank, is_real in ((real, True), (fake, False)):
        whole.update(bank.features * scale, real=is_real, labels=bank.labels if is_real else None)
    result = whole.compute()
    name = f"kernel-et,{count}w,{tag}"
    if result.status != "solved" or result.mode_mass is None or result.mode_share is None:
        return [Score(f"gel_divergence[{name}]", None, "nats", "lower", {"status": result.status})]
    mass, share = result.mode_mass, result.mode_share
    dropped = dropped_modes(mass, share)
    ratio = [round(v, 4) for v in (mass / share).tolist()]
    details = {"status": result.status, "mass_ratio": ratio, "baseline": result.baseline}
    scores = [
        Score(f"gel_divergence[{name}]", result.divergence, "nats", "lower", details),
        Score(f"gel_dropped[{name}]", float(dropped.sum()), "classes", "lower",
              {"dropped": dropped.nonzero().flatten().tolist()}),
        Score(f"gel_imbalance[{name}]", hellinger(mass.clamp(min=0), share), "", "lower"),
    ]  # fmt: skip
    return scores + _diversity(task, real, fake, witnesses, tag)


def _diversity(task: Task, real: Bank, fake: Bank, witnesses: Witnesses, tag: str) -> list[Score]:
    classes = task.data.spec.classes
    if len(witnesses.labels.unique()) < classes:
        return []
    metric = PerClassKernelGEL(witnesses.features, witnesses.labels, num_classes=classes)
    metric.to(real.features.device)
    for bank, is_real in ((real, True), (fake, False)):
        metric.update(bank.features * witnesses.scale, real=is_real, labels=bank.labels)
    result = metric.compute()
    spread = intra_class_diversity(result.conditional_weights, real.labels, classes)
    ess = [round(v, 4) if v == v else None for v in spread.ess.tolist()]
    worst = min((v for v in ess if v is not None), default=None)
    return [Score(f"gel_diversity[kernel-et,{tag}]", worst, "share", "higher", {"ess": ess})]
