r"""Nearest neighbours in feature space: precision, recall, density, coverage, memorisation.

Squared distances come from float64 matrix products of centred features, one tile at a time, so
memory stays at a few tiles however many samples there are. Rounding of :math:`|a|^2 + |b|^2 - 2ab`
is kept away from the answers in two ways: distances that are returned or used as radii are
recomputed from differences, and a sample is inside a ball only if it is so by more than rounding.
Exact copies and ties therefore give the same scores as exact arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.functional.checks import check_pair

__all__ = [
    "DensityCoverage",
    "MemorisationGap",
    "NeighbourScores",
    "PrecisionRecall",
    "density_coverage",
    "improved_precision_recall",
    "memorisation_gap",
    "nearest_neighbours",
    "neighbour_scores",
]

_TILE = 1024
_GATHERED = 1 << 20  # numbers gathered at a time when distances are recomputed
_SLACK = 32 * torch.finfo(torch.float64).eps  # relative rounding of a squared distance


class PrecisionRecall(NamedTuple):
    """Fidelity and variety, each in [0, 1], shape (), float64."""

    precision: Tensor
    recall: Tensor


class DensityCoverage(NamedTuple):
    """Density (1 is expected of the real law, may exceed it) and coverage in [0, 1]."""

    density: Tensor
    coverage: Tensor


class NeighbourScores(NamedTuple):
    """All four neighbour scores, each of shape (), float64."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


class MemorisationGap(NamedTuple):
    """Test of generated samples lying closer to the training set than unseen data does.

    Attributes:
        z: Standardised rank sum; near 0 without copying, strongly negative (say below -5) with it.
        p_value: One-sided probability of a z at most this small if both distances follow one law.
        closer: Share of (generated, test) pairs where the generated sample is the nearer one to
            the training set, ties by half: ½ without copying.
    """

    z: Tensor
    p_value: Tensor
    closer: Tensor


def nearest_neighbours(queries: Tensor, bank: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Finds the k nearest rows of a bank for each query.

    Args:
        queries: Features, shape (N, D).
        bank: Features to search, shape (M, D), M ≥ k.
        k: Number of neighbours.

    Returns:
        Euclidean distances (N, k), float64, ascending, exactly 0 for a copy; and row numbers in
        the bank (N, k). Which of several equidistant rows is named is left open.

    Raises:
        ValueError: if widths differ, a value is not finite, or the bank has fewer than k rows.

    Example:
        >>> bank = torch.tensor([[0.0], [4.0], [10.0]])
        >>> nearest_neighbours(torch.tensor([[3.0]]), bank, k=2)
        (tensor([[1., 3.]], dtype=torch.float64), tensor([[1, 0]]))
    """
    check_pair(queries=queries, bank=bank)
    _check_k(k, bank, "bank", needed=k)
    centre = bank.mean(0, dtype=torch.float64)
    found = []
    for rows in queries.split(_TILE):
        best = _nobody(len(rows), k, centre)
        centred = rows - centre
        for start in range(0, len(bank), _TILE):
            tile = _squared_distances(centred, bank[start : start + _TILE] - centre)
            best = _keep_nearest(best, tile, start)
        found.append(best[1])
    squares, indices = _exact_squares(queries, bank, torch.cat(found))
    return squares.sqrt(), indices


def neighbour_scores(
    real: Tensor, fake: Tensor, *, manifold_k: int = 3, density_k: int = 5
) -> NeighbourScores:
    """Scores precision, recall, density and coverage from one pass over the distances.

    Args:
        real: Features of real samples, shape (N, D).
        fake: Features of generated samples, shape (M, D).
        manifold_k: Neighbours that span the balls of precision and recall.
        density_k: Neighbours that span the balls of density and coverage.

    Returns:
        The scores of `improved_precision_recall` and `density_coverage`.

    Raises:
        ValueError: if widths differ, a value is not finite, or a set has fewer than k + 1 rows.

    Example:
        >>> real = torch.arange(8.0)[:, None]
        >>> neighbour_scores(real, real + 100, manifold_k=1, density_k=1).precision
        tensor(0., dtype=torch.float64)
    """
    _check_sets(real, fake, max(manifold_k, density_k), manifold_k)
    _check_k(min(manifold_k, density_k), real, "real", needed=0)
    real_radii = _squared_radii(real, max(manifold_k, density_k))
    fake_radii = _squared_radii(fake, manifold_k)[:, -1]
    narrow, wide = real_radii[:, manifold_k - 1], real_radii[:, density_k - 1]
    return NeighbourScores(
        *_precision_recall_density_coverage(real, fake, narrow, fake_radii, wide, density_k)
    )


def improved_precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    r"""Measures which share of each set lies within the k-neighbour balls of the other.

    .. math:: \mathrm{precision} = \frac{1}{M} \sum_j \mathbb{1}\,
        \big[\exists i: |r_i - f_j| < \mathrm{NND}_k(r_i)\big]

    and recall with the two sets exchanged; a point is not its own neighbour.

    Args:
        real: Features of real samples, shape (N, D), N > k.
        fake: Features of generated samples, shape (M, D), M > k.
        k: Neighbours that span a ball.

    Returns:
        Precision and recall.

    Raises:
        ValueError: if widths differ, a value is not finite, or a set has fewer than k + 1 rows.

    Reference: Kynkäänniemi et al. 2019, arXiv:1904.06991.   Deviations: the ball is
        open (strictly nearer than the k-th neighbour), as in Naeem et al.'s code.

    Example:
        >>> real = torch.arange(8.0)[:, None]
        >>> improved_precision_recall(real, real[:4], k=1)[1]  # half the line is reached
        tensor(0.5000, dtype=torch.float64)
    """
    _check_sets(real, fake, k, k)
    radii = _squared_radii(real, k)[:, -1], _squared_radii(fake, k)[:, -1]
    scores = _precision_recall_density_coverage(real, fake, *radii, None, k)
    return PrecisionRecall(*scores[:2])


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    r"""Measures how densely the balls around real samples are hit, and how many are hit at all.

    .. math:: \mathrm{density} = \frac{1}{kM} \sum_j \sum_i \mathbb{1}\,
        \big[|r_i - f_j| < \mathrm{NND}_k(r_i)\big], \qquad
        \mathrm{coverage} = \frac{1}{N} \sum_i \mathbb{1}\,
        \big[\exists j: |r_i - f_j| < \mathrm{NND}_k(r_i)\big]

    Args:
        real: Features of real samples, shape (N, D), N > k.
        fake: Features of generated samples, shape (M, D), M ≥ 1.
        k: Neighbours that span a ball.

    Returns:
        Density and coverage.

    Raises:
        ValueError: if widths differ, a value is not finite, or there are not k + 1 real rows.

    Reference: Naeem et al. 2020, arXiv:2002.09797.   Deviations: none.

    Example:
        >>> real = torch.arange(8.0)[:, None]
        >>> density_coverage(real, real[:4], k=1).coverage
        tensor(0.5000, dtype=torch.float64)
    """
    _check_sets(real, fake, k, 0)
    radii = _squared_radii(real, k)[:, -1]
    scores = _precision_recall_density_coverage(real, fake, None, None, radii, k)
    return DensityCoverage(*scores[2:])


def memorisation_gap(generated: Tensor, test: Tensor, train: Tensor) -> MemorisationGap:
    r"""Tests whether generated samples lie closer to the training set than unseen data.

    Both sets are reduced to distances to their nearest training sample and compared by the
    Mann-Whitney rank sum

    .. math:: z = \frac{U - nm/2}{\sigma_U}, \qquad
        U = \#\{(g, t): d(g) > d(t)\} + \tfrac{1}{2}\,\#\{(g, t): d(g) = d(t)\}

    with the variance corrected for ties (exact copies tie at zero) and no continuity correction.

    Args:
        generated: Features of generated samples, shape (M, D).
        test: Features of real samples that were not trained on, shape (N, D).
        train: Features of the training set, shape (T, D).

    Returns:
        The statistic, its one-sided p value, and the share of pairs that favour copying.

    Raises:
        ValueError: if widths differ or a value is not finite.

    Reference: Meehan, Chaudhuri & Dasgupta 2020, arXiv:2004.05675, the statistic Z_U of one cell.
        Deviations: one cell holds the whole space; the paper's C_T averages Z_U over many.

    Example:
        >>> train = torch.arange(50.0)[:, None]
        >>> gap = memorisation_gap(train + 0.01, train + 0.4, train)
        >>> gap.closer
        tensor(1., dtype=torch.float64)
        >>> bool(gap.z < -5)
        True
    """
    near_generated = nearest_neighbours(generated, train)[0][:, 0]
    near_test = nearest_neighbours(test, train)[0][:, 0]
    return _mann_whitney(near_generated, near_test)


def _mann_whitney(first: Tensor, second: Tensor) -> MemorisationGap:
    """Rank sum of `first` (N,) against `second` (M,), standardised."""
    n, m = len(first), len(second)
    _, group, sizes = torch.cat([first, second]).unique(return_inverse=True, return_counts=True)
    sizes = sizes.to(torch.float64)
    ranks = sizes.cumsum(0) - (sizes - 1) / 2
    u = ranks[group[:n]].sum() - n * (n + 1) / 2
    ties = (sizes**3 - sizes).sum() / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - ties)
    z = torch.where(variance > 0, (u - n * m / 2) / variance.sqrt(), torch.zeros_like(u))
    return MemorisationGap(z, torch.special.ndtr(z), 1 - u / (n * m))


def _precision_recall_density_coverage(
    real: Tensor,
    fake: Tensor,
    narrow: Tensor | None,
    fake_radii: Tensor | None,
    wide: Tensor | None,
    density_k: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One pass over the tiles; radii are squared, and None leaves the score that needs it at 0."""
    centre = real.mean(0, dtype=torch.float64)
    n, m = len(real), len(fake)
    believable, hit = real.new_zeros(m, dtype=torch.bool), real.new_zeros(n, dtype=torch.bool)
    reached = torch.zeros_like(hit)
    hits = centre.new_zeros(())
    for top in range(0, n, _TILE):
        rows = slice(top, top + _TILE)
        centred = real[rows] - centre
        for left in range(0, m, _TILE):
            columns = slice(left, left + _TILE)
            tile = _squared_distances(centred, fake[columns] - centre, _SLACK)
            if narrow is not None:
                believable[columns] |= (tile < narrow[rows, None]).any(0)
            if fake_radii is not None:
                reached[rows] |= (tile < fake_radii[columns]).any(1)
            if wide is not None:
                inside = tile < wide[rows, None]
                hit[rows] |= inside.any(1)
                hits += inside.count_nonzero()
    shares = [flags.mean(dtype=torch.float64) for flags in (believable, reached, hit)]
    return shares[0], shares[1], hits / (density_k * m), shares[2]


def _squared_radii(features: Tensor, k: int) -> Tensor:
    """Squared distances to the first k other rows, ascending, shape (N, k), float64."""
    centre = features.mean(0, dtype=torch.float64)
    starts = range(0, len(features), _TILE)
    best = {start: _nobody(len(features[start : start + _TILE]), k, centre) for start in starts}
    for top in starts:
        centred = features[top : top + _TILE] - centre
        for left in range(top, len(features), _TILE):
            tile = _squared_distances(centred, features[left : left + _TILE] - centre)
            if left == top:
                tile.fill_diagonal_(torch.inf)
            else:  # the mirrored tile serves the other rows
                best[left] = _keep_nearest(best[left], tile.T.contiguous(), top)
            best[top] = _keep_nearest(best[top], tile, left)
    indices = torch.cat([best[start][1] for start in starts])
    return _exact_squares(features, features, indices)[0]


def _squared_distances(a: Tensor, b: Tensor, slack: float = 0.0) -> Tensor:
    """Squared distances of centred float64 rows, widened by a relative slack of the norms."""
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    return norms.mul_(1 + slack).addmm_(a, b.T, alpha=-2)


def _nobody(rows: int, k: int, like: Tensor) -> tuple[Tensor, Tensor]:
    return like.new_full((rows, k), torch.inf), like.new_zeros((rows, k), dtype=torch.long)


def _keep_nearest(best: tuple[Tensor, Tensor], tile: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Merges a tile, whose columns are rows `start`... of the bank, into the k best so far."""
    k = best[0].shape[1]
    squares, indices = tile.topk(min(k, tile.shape[1]), largest=False, sorted=False)
    squares = torch.cat([best[0], squares], 1)
    indices = torch.cat([best[1], indices + start], 1)
    squares, order = squares.topk(k, largest=False, sorted=False)
    return squares, indices.gather(1, order)


def _exact_squares(queries: Tensor, bank: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances from differences to the bank rows named by (N, k), both sorted by them."""
    step = max(1, _GATHERED // (indices.shape[1] * bank.shape[1]))
    squares = bank.new_empty(indices.shape, dtype=torch.float64)
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        gap = bank[indices[rows]].to(torch.float64) - queries[rows, None]
        squares[rows] = gap.square_().sum(2)
    squares, order = squares.sort(dim=1)
    return squares, indices.gather(1, order)


def _check_sets(real: Tensor, fake: Tensor, real_k: int, fake_k: int) -> None:
    check_pair(real=real, fake=fake)
    _check_k(real_k, real, "real", needed=real_k + 1)
    _check_k(max(fake_k, 1), fake, "fake", needed=fake_k + 1)


def _check_k(k: int, features: Tensor, name: str, needed: int) -> None:
    if k < 1:
        raise ValueError(f"the number of neighbours must be at least 1, got {k}")
    if len(features) < needed:
        raise ValueError(f"{name} has {len(features)} rows, needs {needed} for {k} neighbours")
