"""Clusters of points by Lloyd's algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["kmeans", "nearest"]


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Finds the nearest centre of each point.

    Args:
        points: Shape (N, D).
        centres: Shape (K, D).

    Returns:
        Indices of centres, shape (N,), int64; the lowest where several are equally near.

    Example:
        >>> nearest(torch.tensor([[0.0], [3.0]]), torch.tensor([[4.0], [1.0]]))
        tensor([1, 0])
    """
    return _distances(points, centres).argmin(dim=1)


def kmeans(
    points: Tensor, k: int, *, generator: torch.Generator, restarts: int = 5, steps: int = 100
) -> Tensor:
    r"""Finds K centres that make the mean squared distance to the nearest one small.

    .. math:: \min_{c_1 \dots c_K} \frac1N \sum_n \min_k \|x_n - c_k\|^2

    Each restart draws centres among the points, every one with a probability in proportion to
    its squared distance from those drawn before (k-means++), then moves them to the means of their
    points until nothing changes. The best of all restarts is returned.

    Args:
        points: Shape (N, D), at least K of them.
        k: Number K of centres.
        generator: Source of all randomness, on the CPU.
        restarts: Number of starts.
        steps: Largest number of moves from each start.

    Returns:
        Centres, shape (K, D).

    Raises:
        ValueError: if there are fewer points than centres, or a point is not finite.

    References: Lloyd 1982, IEEE Trans. Inf. Theory 28(2); Arthur & Vassilvitskii 2007, SODA.
    Deviations: a centre that loses all its points stays where it is.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> kmeans(points, 2, generator=torch.Generator().manual_seed(0)).sort(dim=0).values
        tensor([[ 0.5000],
                [10.5000]])
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"k-means with {k} centres needs as many points, got {len(points)}.")
    if lost := int((~points.isfinite()).any(dim=1).sum()):
        raise ValueError(f"k-means needs finite points, but {lost} of {len(points)} are not.")
    found: list[tuple[float, Tensor]] = []
    for _ in range(restarts):
        centres = _spread(points, k, generator)
        chosen = nearest(points, centres)
        for _ in range(steps):
            sums = torch.zeros_like(centres).index_add_(0, chosen, points)
            counts = torch.bincount(chosen, minlength=k)[:, None].to(points.dtype)
            centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
            before, chosen = chosen, nearest(points, centres)
            if torch.equal(before, chosen):
                break
        found.append((float((points - centres[chosen]).square().sum(dim=1).mean()), centres))
    return min(found, key=lambda pair: pair[0])[1]


def _spread(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Draws K centres among the points, far apart by k-means++."""
    first = int(torch.randint(len(points), (), generator=generator))
    chosen = [first]
    gaps = _distances(points, points[first : first + 1])[:, 0]
    for _ in range(k - 1):
        weights = gaps.cpu().double()
        even = weights.sum() <= 0  # all points that are left equal a centre
        weights = torch.ones_like(weights) if even else weights
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        gaps = torch.minimum(gaps, _distances(points, points[chosen[-1:]])[:, 0])
    return points[chosen].clone()


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    """Returns squared distances, shape (N, K), at least 0."""
    squares = points.square().sum(dim=1, keepdim=True) + centres.square().sum(dim=1)
    return (squares - 2 * points @ centres.T).clamp(min=0)
