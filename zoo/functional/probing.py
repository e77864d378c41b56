r"""What a model made of designed data: the statistics of the lab, from features that were read.

A *law* is a vector of shares over bins. Values that could not be read (NaN, or -1 for a count) and
values outside of all bins are never dropped silently: they are counted beside.

Reference: Zhao, Ren, Yuan, Song, Goodman, Ermon 2018, Bias and Generalization in Deep Generative
Models. Statistics that the sources which we read leave open (Weber's exponent, enhancement, when a
combination counts as present) are our choice and say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "PIE_EDGES",
    "Cells",
    "Law",
    "Novelty",
    "Response",
    "Retrieval",
    "additive",
    "combination_cells",
    "enhancement",
    "law_of",
    "log_normal_shares",
    "novelty",
    "precision_at_recall",
    "product_of_marginals",
    "response",
    "retrieval",
    "total_variation",
    "valley",
    "weber",
]

PIE_EDGES = {
    "radius": (0.45, 0.55, 0.65, 0.75),
    "row": tuple(round(-0.175 + 0.05 * k, 3) for k in range(8)),
    "column": tuple(round(-0.175 + 0.05 * k, 3) for k in range(8)),
    "red": (0.2, 0.4, 0.6, 0.8),
}
"""Inner edges of the public code's histogram of pies: 5 x 9 x 9 x 5 = 2,025 cells."""


class Response(NamedTuple):
    """How a model answers one value of a feature; see `response`."""

    read: int
    """Images whose feature could be read."""
    unread: int
    """Those whose could not."""
    mean: float
    sd: float
    """Standard deviation about the mean, with n - 1."""
    mean_log: float
    """Mean of the logarithm, of values above 0."""
    sd_log: float
    """Standard deviation of the logarithm, of values above 0: both fit a log-normal law."""
    hit: float
    """Share of those read that lie within the tolerance of the trained value."""


class Law(NamedTuple):
    """Shares of bins, shape (K,), float64, that sum to 1 with what lies outside."""

    shares: Tensor
    outside: float
    """Share of values that could be read but lie in no bin."""
    unread: float
    """Share of images that could not be read, of all; the other shares leave them out."""


class Cells(NamedTuple):
    """Combinations as one number each."""

    counts: Tensor
    """Samples of each combination, shape (K_1, ..., K_A), int64."""
    unread: int
    """Samples of which some feature could not be read."""


class Retrieval(NamedTuple):
    """How the likeliest combinations agree with the trained ones, for each number kept."""

    kept: Tensor
    """Combinations kept, |S|, rising, shape (T,), int64."""
    precision: Tensor
    """|S and T| / |S|, shape (T,)."""
    recall: Tensor
    """|S and T| / |T|, shape (T,)."""
    overlap: Tensor
    """|S and T| / |S or T|, shape (T,)."""


class Novelty(NamedTuple):
    """Which combinations a model draws; see `novelty`."""

    present: int
    novel: int
    """Present without having been trained on."""
    filled: float
    """Share of the combinations never trained on that are present; NaN if there are none."""
    lost: int
    """Trained on, but not present."""
    novel_mass: float
    """Share of the samples that show a combination never trained on."""


def _read(values: Tensor) -> Tensor:
    """Keeps what could be read, as float64: neither NaN nor, of counts, -1."""
    if values.ndim != 1:
        raise ValueError(f"values must have shape (N,), got {tuple(values.shape)}")
    if not values.is_floating_point():
        return values[values >= 0].double()
    return values[values.isfinite()].double()


def response(values: Tensor, trained: float, tolerance: float = 0.5) -> Response:
    """Describes the answers to one trained value of a feature.

    Args:
        values: What was read, shape (N,): counts, -1 where unknown, or numbers, NaN where unknown.
        trained: The value that was trained on.
        tolerance: Farthest that an answer may be from it to count as a hit.

    Returns:
        Moments of the values and of their logarithms; NaN where too few could be read.

    Example:
        >>> width = response(torch.tensor([2, 2, 3, 2, 2, 2, -1]), trained=2)
        >>> width.unread, round(width.mean, 2), round(width.sd, 2), round(width.hit, 2)
        (1, 2.17, 0.41, 0.83)
    """
    read = _read(values)
    logs = read[read > 0].log()
    near = (read - trained).abs() <= tolerance

    def mean(x: Tensor) -> float:
        return x.mean().item() if len(x) else math.nan

    def sd(x: Tensor) -> float:
        return x.std().item() if len(x) > 1 else math.nan

    return Response(
        len(read), len(values) - len(read), mean(read), sd(read), mean(logs), sd(logs),
        mean(near.double()),
    )  # fmt: skip


def log_normal_shares(mean_log: float, sd_log: float, edges: Tensor) -> Tensor:
    """Shares that a log-normal law has between edges.

    Args:
        mean_log: Mean of the logarithm.
        sd_log: Its standard deviation; with 0 all lies at one value.
        edges: Rising, not negative, shape (K + 1,).

    Returns:
        Shares, shape (K,), float64; they sum to less than 1 where the law goes on beyond.

    Example:
        >>> log_normal_shares(0.0, 1.0, torch.tensor([0.0, 1.0, torch.inf])).tolist()
        [0.5, 0.5]
    """
    z = (edges.double().log() - mean_log) / max(sd_log, 1e-12)
    return torch.special.ndtr(z).diff()


def weber(levels: Sequence[float], widths: Sequence[float]) -> float:
    r"""Exponent with which widths grow with levels: the slope of ln sd against ln level.

    It is 1 where the width is a constant share of the level (Weber's law), and 0 where it is the
    same everywhere. Levels whose width is 0 or unknown have no logarithm and are left out.

    Args:
        levels: Trained values, above 0.
        widths: Standard deviation of the answers to each.

    Returns:
        The exponent; NaN with fewer than two levels to go by.

    Example:
        >>> round(weber([1, 2, 4], [0.2, 0.4, 0.8]), 6), round(weber([1, 2, 4], [0.3] * 3), 6)
        (1.0, 0.0)
    """
    pairs = [
        (math.log(level), math.log(width))
        for level, width in zip(levels, widths, strict=True)
        if level > 0 and width > 0 and math.isfinite(width)
    ]
    if len({x for x, _ in pairs}) < 2:
        return math.nan
    x, y = torch.tensor(pairs, dtype=torch.float64).T
    x = x - x.mean()
    return ((x * y).sum() / x.square().sum()).item()


def law_of(values: Tensor, edges: Tensor) -> Law:
    """Sorts values into bins, each of which holds its lower edge.

    Args:
        values: What was read, shape (N,), with -1 or NaN where it could not be.
        edges: Rising, shape (K + 1,).

    Returns:
        Shares of those that could be read; all 0 if none could.

    Example:
        >>> law = law_of(torch.tensor([0.1, 0.3, 0.9, torch.nan]), torch.tensor([0.0, 0.2, 0.4]))
        >>> [round(share, 3) for share in law.shares.tolist()], round(law.outside, 3), law.unread
        ([0.333, 0.333], 0.333, 0.25)
    """
    read = _read(values)
    edges = edges.double()
    place = torch.bucketize(read, edges, right=True) - 1
    inside = (place >= 0) & (place < len(edges) - 1)
    counts = torch.bincount(place[inside], minlength=len(edges) - 1).double()
    total = max(len(read), 1)
    unread = (len(values) - len(read)) / max(len(values), 1)
    return Law(counts / total, (len(read) - counts.sum().item()) / total, unread)


def additive(laws: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Predicts the answer to several modes as the mean of the answers to each alone.

    Args:
        laws: Shares of bins, each of shape (K,).
        weights: Of the modes in training; equal if not given.

    Returns:
        Shares, shape (K,), that sum to 1 if those of the laws do.

    Example:
        >>> additive([torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])]).tolist()
        [0.75, 0.25]
    """
    stacked = torch.stack([law.double() for law in laws])
    weight = torch.ones(len(laws)) if weights is None else torch.tensor(list(weights))
    weight = weight.double()
    return (weight / weight.sum()) @ stacked


def total_variation(first: Tensor, second: Tensor) -> float:
    """Half of the summed differences of two laws: 0 for equal ones, 1 for disjoint ones.

    Example:
        >>> total_variation(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
        0.5
    """
    if first.shape != second.shape:
        raise ValueError(f"laws have shapes {tuple(first.shape)} and {tuple(second.shape)}")
    return 0.5 * (first.double() - second.double()).abs().sum().item()


def enhancement(observed: Tensor, predicted: Tensor, middle: Tensor) -> float:
    r"""How much likelier the middle between two modes is than their mixture predicts.

    .. math:: \frac{\sum_{k \in m} P_{obs}(k)}{\sum_{k \in m} P_{add}(k)}

    1 for a model that adds its modes up, above 1 where it prefers what lies between them.

    Args:
        observed: Law of a model trained on both modes, shape (K,).
        predicted: What `additive` gives, shape (K,).
        middle: Which bins lie in the middle, shape (K,), bool.

    Returns:
        The ratio: infinite if only the model has anything there, NaN if neither has.

    Example:
        >>> middle = torch.tensor([False, True, False])
        >>> enhancement(torch.tensor([0.2, 0.6, 0.2]), torch.tensor([0.35, 0.3, 0.35]), middle)
        2.0
    """
    seen, wanted = observed.double()[middle].sum(), predicted.double()[middle].sum()
    return (seen / wanted).item()


def valley(law: Tensor, low: int, high: int) -> float:
    """Lowest share between two bins over the lower of the two peaks: 1 where they have merged.

    Args:
        law: Shares of bins, shape (K,).
        low: Bin of the lower trained value.
        high: Bin of the higher one.

    Returns:
        In [0, 1]. A peak is looked for at a trained bin and beside it, within half of the way.

    Example:
        >>> valley(torch.tensor([0.1, 0.4, 0.1, 0.3, 0.1]), 1, 3)
        0.333...
        >>> valley(torch.tensor([0.0, 0.2, 0.6, 0.2, 0.0]), 1, 3)
        1.0
    """
    if not 0 <= low < high < len(law):
        raise ValueError(f"bins must rise within the {len(law)} there are, got {low} and {high}")
    law = law.double()
    between = law[low : high + 1]
    reach = (high - low) // 2
    first = law[max(0, low - reach) : low + reach + 1].max()
    second = law[high - reach : high + reach + 1].max()
    peak = torch.minimum(first, second)
    if peak == 0:
        return math.nan
    top_first, top_second = between[: reach + 1].argmax(), between[reach:].argmax() + reach
    floor = between[int(top_first) : int(top_second) + 1].min()
    return (floor / peak).clamp(max=1).item()


def combination_cells(features: Tensor, edges: Sequence[Sequence[float]]) -> Cells:
    """Counts combinations of features, each cut at inner edges; the outer cells are open.

    Args:
        features: What was read of each sample, shape (N, A); one NaN makes a sample unread.
        edges: Inner edges of each feature, rising; K - 1 of them make K cells.

    Returns:
        Counts of all combinations, and how many samples could not be read.

    Example:
        >>> cells = combination_cells(torch.tensor([[0.1, 5.0], [0.9, 1.0], [torch.nan, 1.0]]),
        ...                           [(0.5,), (2.0, 4.0)])
        >>> cells.counts.tolist(), cells.unread
        ([[0, 0, 1], [1, 0, 0]], 1)
    """
    if features.ndim != 2 or features.shape[1] != len(edges):
        raise ValueError(f"features must be (N, {len(edges)}), got {tuple(features.shape)}")
    read = features.double().isfinite().all(dim=1)
    sizes = [len(some) + 1 for some in edges]
    cell = torch.zeros(int(read.sum()), dtype=torch.int64)
    for column, (some, size) in enumerate(zip(edges, sizes, strict=True)):
        at = torch.tensor(list(some), dtype=torch.float64)
        cell = cell * size + torch.bucketize(features[read, column].double(), at, right=True)
    counts = torch.bincount(cell, minlength=math.prod(sizes)).view(sizes)
    return Cells(counts, len(features) - int(read.sum()))


def retrieval(counts: Tensor, trained: Tensor) -> Retrieval:
    """Ranks combinations by their samples, and compares the first of them with the trained ones.

    Every threshold on the number of samples keeps some combinations S; T are the trained ones.
    Combinations with equally many samples are kept together, those with none never.

    Args:
        counts: Samples of each combination, any shape.
        trained: Which were trained on, the same shape, bool.

    Returns:
        A row for each threshold, the highest first.

    Example:
        >>> found = retrieval(torch.tensor([5, 3, 3, 0]), torch.tensor([True, True, False, True]))
        >>> found.kept.tolist(), found.precision.tolist()
        ([1, 3], [1.0, 0.666...])
    """
    if counts.shape != trained.shape:
        raise ValueError(f"shapes differ: {tuple(counts.shape)} and {tuple(trained.shape)}")
    flat, mine = counts.flatten(), trained.flatten().bool()
    if not mine.any():
        raise ValueError("no combination was trained on")
    levels = flat[flat > 0].unique().flip(0)
    kept = flat[None] >= levels[:, None]
    size = kept.sum(dim=1)
    both = (kept & mine).sum(dim=1).double()
    either = (kept | mine).sum(dim=1)
    return Retrieval(size, both / size, both / mine.sum(), both / either)


def precision_at_recall(
    found: Retrieval, least: float = 0.9, *, legacy_names: bool = False
) -> dict[str, float]:
    """Returns precision and recall at the first threshold that reaches a recall.

    The public code calls our recall "precision" and our precision "recall", and its function of
    recall at precision returns what is called so here: precision at 90 % recall.

    Args:
        found: From `retrieval`.
        least: The recall to be reached.
        legacy_names: Whether to use the public code's names, for comparisons with its figures.

    Returns:
        Both figures by name; NaN if the recall is never reached.

    Example:
        >>> found = retrieval(torch.tensor([5, 3, 3, 0]), torch.tensor([True, True, False, False]))
        >>> precision_at_recall(found)
        {'precision': 0.666..., 'recall': 1.0}
        >>> precision_at_recall(found, legacy_names=True)
        {'recall': 0.666..., 'precision': 1.0}
    """
    reached = (found.recall >= least).nonzero().flatten()
    precision = recall = math.nan
    if len(reached):
        precision, recall = (x[reached[0]].item() for x in (found.precision, found.recall))
    names = ("recall", "precision") if legacy_names else ("precision", "recall")
    return dict(zip(names, (precision, recall), strict=True))


def novelty(counts: Tensor, trained: Tensor, share: float = 0.1, least: int = 5) -> Novelty:
    """Counts combinations that a model draws without having been trained on them.

    A combination is present if it has at least ``least`` samples and at least ``share`` of what
    each would have if all of the universe were equally likely. The sources that we read do not say
    when a combination counts as present: this is our choice.

    Args:
        counts: Samples of each combination of the universe, any shape.
        trained: Which were trained on, the same shape, bool.
        share: Least frequency, in units of the uniform law's.
        least: Least number of samples.

    Example:
        >>> novelty(torch.tensor([50, 40, 10, 0]), torch.tensor([True, True, False, False]))
        Novelty(present=3, novel=1, filled=0.5, lost=0, novel_mass=0.1)
    """
    if counts.shape != trained.shape:
        raise ValueError(f"shapes differ: {tuple(counts.shape)} and {tuple(trained.shape)}")
    flat, mine = counts.flatten().double(), trained.flatten().bool()
    total = flat.sum()
    present = (flat >= least) & (flat >= share * total / len(flat))
    novel, missing = int((present & ~mine).sum()), int((~mine).sum())
    return Novelty(
        present=int(present.sum()),
        novel=novel,
        filled=novel / missing if missing else math.nan,
        lost=int((mine & ~present).sum()),
        novel_mass=(flat[~mine].sum() / total).item() if total > 0 else math.nan,
    )


def product_of_marginals(joint: Tensor) -> Tensor:
    """Returns the law of independent features with the same marginals, of the joint's shape.

    Args:
        joint: Counts or shares of combinations, shape (K_1, ..., K_A), not all 0.

    Returns:
        Shares that sum to 1, float64.

    Example:
        >>> product_of_marginals(torch.tensor([[2, 0], [1, 1]])).tolist()
        [[0.375, 0.125], [0.375, 0.125]]
    """
    shares = joint.double() / joint.sum()
    axes = range(shares.ndim)
    product = torch.ones((), dtype=torch.float64)
    for axis in axes:
        others = [other for other in axes if other != axis]
        marginal = shares.sum(dim=others) if others else shares
        product = product[..., None] * marginal
    return product
