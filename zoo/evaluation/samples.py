"""Scores of generated images against real ones, on the features of a named network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.contracts import Samples
from zoo.data.loader import mix_seed
from zoo.data.module import Split, spread
from zoo.evaluation.modes import StacksDigits
from zoo.evaluation.score import SEED, Score, Task, short
from zoo.functional.gel import gel_one_sample
from zoo.functional.gel_metrics import (
    collapsed_modes,
    dropped_modes,
    effective_share,
    hellinger,
    mode_mass,
    rare_modes,
)
from zoo.functional.gel_moments import kernel_moment_mean, kernel_moments
from zoo.functional.modes import class_balance
from zoo.functional.neighbours import memorisation_gap
from zoo.metrics.features import (
    FrechetDistance,
    InceptionStyleScore,
    KernelDistance,
    NeighbourScores,
)

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
ALONE: dict[str, Any] = {"sync_on_compute": False}  # banks hold what all processes have seen
DROPPED = 0.2  # of a class's due mass, below which kernel GEL takes it for dropped
FEW = 10  # samples of a class from which its variety is judged
TRAINING = 60_000  # training images among which copies are looked for


@dataclass(frozen=True)
class Bank:
    """Features of a set of images, with a class each, on the CPU wherever they were computed.

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

    def first(self, count: int) -> Bank:
        """Returns ``count`` of the images, spread evenly over them."""
        some = spread(len(self.features), count)
        return Bank(self.features[some], self.labels[some], self.probabilities[some])


def sample_chunks(task: Task) -> Iterator[tuple[int, Tensor]]:
    """Draws ``task.count`` samples in numbered chunks; each process draws every world-th one."""
    sizes = [len(part) for part in torch.arange(task.count).split(CHUNK)]
    for number in range(task.rank, len(sizes), task.world):
        yield number, task.model.sample(sizes[number], seed=mix_seed(SEED, number))


def collect(task: Task, source: Split | Literal["samples"], limit: int | None = None) -> Bank:
    """Looks at images through the feature network; all processes get the whole.

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
    rows: dict[int, tuple[Tensor, ...]] = {}
    if source == "samples":
        total = len(range(task.rank, -(-task.count // CHUNK), task.world))
        chunks = task.progress(_Sized(sample_chunks(task), total), "drawing samples")
        for number, images in chunks:
            features, probabilities = (part.cpu() for part in look(images))
            rows[number] = features, probabilities.argmax(dim=1), probabilities
            if task.memory is not None:
                rows[number] += (as_bytes(images),)
    else:
        for number, batch in task.batches(source, f"features of {source} images", limit=limit):
            features, probabilities = (part.cpu() for part in look(batch.image))
            rows[number] = features, batch.label, probabilities
    if task.world > 1:
        rows = _shared(rows)
    return Bank(
        *(torch.cat(column) for column in zip(*(rows[n] for n in sorted(rows)), strict=True))
    )


def _shared(rows: dict[int, tuple[Tensor, ...]]) -> dict[int, tuple[Tensor, ...]]:
    """Gives every process the rows of all."""
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return {number: row for part in parts for number, row in part.items()}


def as_bytes(images: Tensor) -> Tensor:
    """Rounds images in [0, 1] to 8 bits."""
    return (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


class _Sized:
    """Gives an iterator a length, for progress bars."""

    def __init__(self, items: Iterator[tuple[int, Tensor]], length: int) -> None:
        self.items, self.length = items, length

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
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
    return task.features is not None and classes > 1 and task.features.classes == classes


def score_samples(task: Task) -> list[Score]:
    """Scores quality, coverage, classes and memorisation of ``task.count`` samples.

    On several processes each draws its part; all of them then score the whole.
    """
    task, look = as_sampled(task), task.features
    assert look is not None
    fake, real = collect(task, "samples"), collect(task, task.split)
    train = collect(task, "train", TRAINING)
    # What a perfect model would get: real images cut from the training set itself. Test images
    # may be of other writers, and lie farther from training images than what a model learned.
    part = control_split(task)
    control = collect(task, part).first(task.count)
    bits = ",bits" if task.data.binarize != "none" else ""
    tag = f"{look.name},{short(task.count)},{task.split}{bits}"
    scores = quality(real, fake, tag)
    if knows_classes(task):
        scores += _classes(task, real, fake, tag)
        witnesses = witnesses_of(task, train)
        likelihood = _empirical_likelihood(task, real, fake, witnesses, tag)
        scores += likelihood
        if likelihood[-1].value is not None:  # samples unlike all real images belong to no class
            scores.append(_diversity(task, real, fake, control, witnesses, tag))
    gap = memorisation_gap(fake.features, control.features, train.features)
    details = {"p_value": float(gap.p_value), "closer": float(gap.closer)}
    seen = f"{short(len(train.features))}-train/{part}{bits}"
    name = f"memorisation_z[{look.name},{short(task.count)},{seen}]"
    return [*scores, Score(name, float(gap.z), "", "", details)]


def as_sampled(task: Task) -> Task:
    """Returns the task on images of the kind that the model draws.

    Of models of binarised images some draw bits, others the probabilities of bits. The former are
    compared with images whose bits are fixed, the latter with the grey images themselves.
    """
    if task.data.binarize == "none":
        return task
    few = task.model.sample(2, seed=SEED)
    bits = bool(((few == 0) | (few == 1)).all())
    return replace(task, data=task.data.with_bits("static" if bits else "none"))


def control_split(task: Task) -> Split:
    """Names the real images that are nearest in kind to training images, but unseen."""
    return "val" if len(task.data.images("val")) else task.split


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


def _empirical_likelihood(
    task: Task, real: Bank, fake: Bank, witnesses: Witnesses, tag: str
) -> list[Score]:
    """Asks which reweighting of the real images has the model's kernel moments.

    Where there is none, classes are weighed by a quarter of the witnesses, or a quarter of that,
    as long as there is a witness per class.
    """
    classes, scale = task.data.spec.classes, witnesses.scale
    moments = kernel_moments(real.features * scale, witnesses.features)
    target = kernel_moment_mean(fake.features * scale, witnesses.features)
    scores = []
    for few in (1, 4, 16):
        count = len(target) // few
        if count < classes and few > 1:
            break
        name = f"kernel-et,{count}w,{tag}"
        result = gel_one_sample(
            moments[:, ::few][:, :count], target[::few][:count], target_count=len(fake.features)
        )
        details = {"status": result.status, "baseline": result.baseline}
        if result.status != "solved":
            scores.append(Score(f"gel_divergence[{name}]", None, "nats", "lower", details))
            continue
        share = torch.bincount(real.labels, minlength=classes).double() / len(real.labels)
        mass = mode_mass(result.weights, real.labels, classes)
        ratio = [round(v, 4) for v in (mass / share).tolist()]
        dropped = dropped_modes(mass, share, DROPPED)
        rare = rare_modes(mass, share, above=DROPPED)
        return [
            *scores,
            Score(f"gel_divergence[{name}]", result.divergence, "nats", "lower", details),
            Score(f"gel_dropped[{name}]", float(dropped.sum()), "classes", "lower",
                  {"dropped": dropped.nonzero().flatten().tolist()}),
            Score(f"gel_imbalance[{name}]", hellinger(mass.clamp(min=0), share), "", "lower",
                  {"mass_ratio": ratio, "rare": rare.nonzero().flatten().tolist()}),
        ]  # fmt: skip
    return scores


def _diversity(
    task: Task, real: Bank, fake: Bank, control: Bank, witnesses: Witnesses, tag: str
) -> Score:
    """Compares the variety within each class with that of as many unseen real images.

    Where no weights of a class exist, a quarter of its witnesses are tried, or a quarter of that.
    """
    classes = task.data.spec.classes
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
        "status": status,
        "collapsed": collapsed_modes(model, perfect).nonzero().flatten().tolist(),
    }
    worst = float(known.min()) if len(known) else None
    return Score(f"gel_diversity[kernel-et,{tag}]", worst, "", "higher", details)


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
