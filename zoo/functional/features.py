r"""The kernel distance of two sets of features, and the score of a set of class probabilities.

The features come from any network; nothing here looks at an image. Rows are samples: every set
has shape (N, D) and the sums over samples run in float64. The Frechet distance lives in
`zoo.functional.frechet`, scores that need nearest neighbours in `zoo.functional.neighbours`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.functional.checks import check_matrix, check_pair

__all__ = [
    "InceptionStyle",
    "Kernel",
    "inception_style_score",
    "kernel_distance",
    "kernel_distance_full",
]

_SUBSET_TILE = 250  # small, so that skipping half of a symmetric kernel saves work
_FULL_TILE = 1024


class Kernel(NamedTuple):
    """Kernel distance over random subsets.

    Attributes:
        mean: Mean over subsets of the unbiased squared discrepancy; may be slightly negative.
        standard_error: Sample standard deviation over subsets divided by the root of their number:
            the error that choosing subsets makes, blind to the finite sets themselves.
    """

    mean: Tensor
    standard_error: Tensor


class InceptionStyle(NamedTuple):
    """Score of class probabilities over splits.

    Attributes:
        mean: Mean of the splits' scores, in [1, classes].
        standard_deviation: Population standard deviation over splits (divisor: the number of
            splits), as customarily printed after the ±; it is not a standard error.
    """

    mean: Tensor
    standard_deviation: Tensor


def kernel_distance(
    x: Tensor,
    y: Tensor,
    *,
    generator: torch.Generator | None,
    subsets: int = 100,
    subset_size: int = 1000,
) -> Kernel:
    r"""Measures the kernel distance (KID), averaged over random subsets of both sets.

    .. math:: k(a, b) = (a^\top b / D + 1)^3

    A subset holds distinct samples; different subsets may overlap.

    Args:
        x: Features, shape (N, D).
        y: Features, shape (M, D).
        generator: Source of the subsets, on the CPU; None draws from the global one.
        subsets: Number of subsets, at least 2.
        subset_size: Samples in a subset, between 2 and the smaller of N and M.

    Returns:
        Mean and its standard error over subsets, float64.

    Raises:
        ValueError: if the widths differ, a set is smaller than a subset, or a number is too small.

    Reference: Bińkowski et al. 2018, arXiv:1801.01401, Sec. 4.   Deviations: none.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 200, 8, generator=draw)
        >>> score = kernel_distance(x, y + 1, generator=draw, subsets=9, subset_size=50)
        >>> bool(score.mean > 5 * score.standard_error)
        True
    """
    check_pair(x=x, y=y)
    if subsets < 2 or not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            f"needs subsets ≥ 2 and 2 ≤ subset_size ≤ samples, got subsets={subsets}, "
            f"subset_size={subset_size}, {len(x)} and {len(y)} samples"
        )
    real, fake = _around_centre(x, y)
    scores = []
    for _ in range(subsets):
        pick_x = torch.randperm(len(x), generator=generator)[:subset_size].to(x.device)
        pick_y = torch.randperm(len(y), generator=generator)[:subset_size].to(y.device)
        scores.append(_unbiased_mmd(real.at(pick_x), fake.at(pick_y), _SUBSET_TILE))
    values = torch.stack(scores)
    return Kernel(values.mean(), values.std() / subsets**0.5)


def kernel_distance_full(x: Tensor, y: Tensor) -> Tensor:
    """Measures the kernel distance from every pair of samples: no subsets, no chance.

    Args:
        x: Features, shape (N, D), N ≥ 2.
        y: Features, shape (M, D), M ≥ 2.

    Returns:
        Unbiased squared discrepancy, shape (), float64; may be slightly negative.

    Raises:
        ValueError: if the widths differ or a set has fewer than two samples.

    Reference: Gretton et al. 2012, Lemma 6; kernel of arXiv:1801.01401.   Deviations: none.

    Example:
        >>> kernel_distance_full(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
        tensor(9.5000, dtype=torch.float64)
    """
    check_pair(x=x, y=y)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"needs 2 samples in each set, got {len(x)} and {len(y)}")
    real, fake = _around_centre(x, y)
    return _unbiased_mmd(real, fake, _FULL_TILE)


def inception_style_score(
    probabilities: Tensor, splits: int = 10, *, generator: torch.Generator | None = None
) -> InceptionStyle:
    r"""Scores how sure each prediction and how even all of them are, per split.

    .. math:: \exp\, \frac{1}{n} \sum_i \mathrm{KL}\big(p(y | x_i) \,\|\, p(y)\big),
        \qquad p(y) = \frac{1}{n} \sum_i p(y | x_i)

    Args:
        probabilities: Class probabilities (not logits), shape (N, K), rows summing to one.
        splits: Number of consecutive, nearly equal parts that are scored apart, 1 ≤ splits ≤ N.
        generator: If given, the rows are shuffled first, as they must be where their order means
            something (sorted by class, say); None keeps the order.

    Returns:
        Mean and population standard deviation over splits, float64.

    Raises:
        ValueError: if a row is no distribution, or there are fewer rows than splits.

    Reference: Salimans et al. 2016, arXiv:1606.03498, Sec. 4.   Deviations: any classifier.

    Example:
        >>> inception_style_score(torch.eye(4), splits=1).mean
        tensor(4., dtype=torch.float64)
    """
    check_matrix(probabilities=probabilities)
    rows = probabilities.to(torch.float64)
    count = len(rows)
    if not 1 <= splits <= count:
        raise ValueError(f"needs 1 ≤ splits ≤ rows, got splits={splits}, rows={count}")
    excess = (rows.sum(1) - 1).abs().amax()
    if not (rows.amin() >= 0 and excess < 1e-2):  # nan fails both; half precision passes
        raise ValueError(
            "rows must be probabilities, not logits: "
            f"smallest entry {rows.amin():.4g}, sums off one by up to {excess:.4g}"
        )
    if generator is not None:
        rows = rows[torch.randperm(count, generator=generator).to(rows.device)]
    scores = []
    for split in range(splits):
        part = rows[split * count // splits : (split + 1) * count // splits]
        marginal = part.mean(0)
        divergence = torch.xlogy(part, part) - torch.xlogy(part, marginal)  # 0 log 0 is 0
        scores.append(divergence.sum(1).mean().exp())
    values = torch.stack(scores)
    return InceptionStyle(values.mean(), values.std(correction=0))


class _Rows(NamedTuple):
    r"""Features around a common centre c: :math:`a^\top b = a'^\top b' + s_a + s_b`.

    Attributes:
        near: The differences a' to the centre, shape (N, D), float32 or float64.
        side: Their inner products with the centre, and half of its square, shape (N,), float64.
    """

    near: Tensor
    side: Tensor

    def at(self, rows: Tensor | slice) -> _Rows:
        """Returns some of the rows."""
        return _Rows(self.near[rows], self.side[rows])


def _around_centre(*sets: Tensor) -> list[_Rows]:
    """Centres sets of features (N, D) on one point, so that their distance to 0 costs no digits.

    The kernel is not the same after a shift, but float32 only has to hold products of small
    differences; the large parts are added in float64.
    """
    exact = _float32_is_exact(sets[0])
    centre = torch.stack([x.mean(0, dtype=torch.float64) for x in sets]).mean(0)
    found = []
    for x in sets:
        near = x.to(torch.float64) - centre
        side = near @ centre + centre.square().sum() / 2
        found.append(_Rows(near.to(torch.float32) if exact else near, side))
    return found


def _float32_is_exact(features: Tensor) -> bool:
    """Says whether products are full float32; TF32 or bfloat16 would show."""
    return (
        features.device.type == "cpu"
        and features.dtype != torch.float64
        and torch.get_float32_matmul_precision() == "highest"
        and not torch.is_autocast_enabled("cpu")
    )


def _unbiased_mmd(x: _Rows, y: _Rows, tile: int) -> Tensor:
    """Unbiased squared maximum mean discrepancy of two sets, shape ()."""
    n, m = len(x.near), len(y.near)
    cross = x.side.new_zeros(())
    for a in _tiles(n, tile):
        for b in _tiles(m, _FULL_TILE):
            cross += _kernel(x.at(a), y.at(b)).sum()
    within_x, within_y = _off_diagonal_sum(x, tile), _off_diagonal_sum(y, tile)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * cross / (n * m)


def _tiles(count: int, tile: int, start: int = 0) -> list[slice]:
    return [slice(left, left + tile) for left in range(start, count, tile)]


def _off_diagonal_sum(x: _Rows, tile: int) -> Tensor:
    """Sum of the kernel over ordered pairs of different rows, shape (); each tile once."""
    total, count = x.side.new_zeros(()), len(x.near)
    for rows in _tiles(count, tile):
        strip = x.at(rows)
        total += _kernel(strip, strip).fill_diagonal_(0).sum()
        for others in _tiles(count, _FULL_TILE, rows.stop):
            total += 2 * _kernel(strip, x.at(others)).sum()
    return total


def _kernel(a: _Rows, b: _Rows) -> Tensor:
    """Cubic kernel of every row of `a` with every row of `b`, float64, (len(a), len(b))."""
    if a.near.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # The same product; measured up to twice as fast as @ on processors MKL does not favour.
        inner = torch.nn.functional.linear(a.near.to_mkldnn(), b.near).to_dense()
    else:
        inner = a.near @ b.near.T
    inner = inner.to(torch.float64).add_(a.side[:, None]).add_(b.side)
    return inner.div_(a.near.shape[1]).add_(1).pow_(3)
