"""Where in an image its object stands, and how far it wanders among images of one kind."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["centroids", "spread_within"]

FAINT = 0.15  # difference from the ground that does not count: noise, shades


def centroids(images: Tensor) -> Tensor:
    r"""Finds the centre of all that stands out from an image's ground.

    .. math:: \frac{\sum_p w_p\, p}{\sum_p w_p}, \quad
              w_p = \max\big(0,\ \max_c |x_{cp} - m_c| - 0.15\big)

    with m the median of the image's pixels, which is the ground wherever less than half is object.

    Args:
        images: In [0, 1], shape (N, C, H, W).

    Returns:
        Centres (x, y) in pixels from the upper left corner, shape (N, 2); NaN where nothing
        stands out.

    Example:
        >>> image = torch.zeros(1, 1, 4, 4)
        >>> image[0, 0, 2, 1] = 1.0
        >>> centroids(image)
        tensor([[1.5000, 2.5000]])
    """
    ground = images.flatten(2).median(dim=2).values[:, :, None, None]
    weight = ((images - ground).abs().amax(dim=1) - FAINT).clamp(min=0)
    height, width = weight.shape[1:]
    across = torch.arange(width, device=images.device) + 0.5
    down = torch.arange(height, device=images.device) + 0.5
    x, y = (weight.sum(dim=1) * across).sum(dim=1), (weight.sum(dim=2) * down).sum(dim=1)
    return torch.stack([x, y], dim=1) / weight.sum(dim=(1, 2))[:, None]


def spread_within(points: Tensor, groups: Tensor) -> Tensor:
    r"""Computes the standard deviation along an axis of points about the mean of their group.

    .. math:: \sqrt{\frac{\sum_g \sum_{i \in g} \lVert p_i - \bar p_g \rVert^2}
              {D \sum_g (n_g - 1)}}

    Args:
        points: Shape (N, D); those that are not finite are left out.
        groups: Group of each, integers from 0, shape (N,).

    Returns:
        A float64 scalar in the unit of the points.

    Raises:
        ValueError: if no group has two points.

    Example:
        >>> points = torch.tensor([[0.0], [2.0], [9.0], [9.0]])
        >>> spread_within(points, torch.tensor([0, 0, 1, 1]))
        tensor(1., dtype=torch.float64)
    """
    known = points.isfinite().all(dim=1)
    points, groups = points[known].double(), groups[known]
    counts = torch.bincount(groups)
    freedom = int((counts - 1).clamp(min=0).sum())
    if freedom == 0:
        raise ValueError("no group has two points: their spread is unknown")
    sums = points.new_zeros(len(counts), points.shape[1]).index_add_(0, groups, points)
    means = sums / counts.clamp(min=1)[:, None]
    return ((points - means[groups]).square().sum() / (points.shape[1] * freedom)).sqrt()
