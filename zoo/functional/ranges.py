"""Between the range of data, [0, 1], and the range that networks like, around 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["at_least_float32", "centred", "to_unit"]

SPREAD = math.sqrt(12)  # brings what is uniform on [0, 1] to unit variance


def centred(x: Tensor, *, points: bool) -> Tensor:
    r"""Maps data in [0, 1] to the input of a network.

    .. math:: 2 x - 1 \text{ for pixels}, \qquad \sqrt{12}\,(x - 1/2) \text{ for points}

    Args:
        x: Data in [0, 1], any shape.
        points: Whether these are points of the plane and not pixels.

    Returns:
        The shape of x; pixels in [-1, 1].

    Example:
        >>> import torch
        >>> centred(torch.tensor([0.0, 0.5, 1.0]), points=False)
        tensor([-1.,  0.,  1.])
    """
    return SPREAD * (x - 0.5) if points else 2 * x - 1


def to_unit(raw: Tensor, *, points: bool) -> Tensor:
    r"""Maps the output of a network to the range of data.

    .. math:: \sigma(r) \text{ for pixels}, \qquad r / \sqrt{12} + 1/2 \text{ for points}

    Points are not squashed: a sigmoid would press together those near the border.

    Args:
        raw: Output of a network, any shape.
        points: Whether these are points of the plane and not pixels.

    Returns:
        The shape of raw, float32 at least; pixels in [0, 1], points around it.

    Example:
        >>> import torch
        >>> to_unit(torch.zeros(2), points=True)
        tensor([0.5000, 0.5000])
    """
    raw = at_least_float32(raw)
    return raw / SPREAD + 0.5 if points else raw.sigmoid()


def at_least_float32(x: Tensor) -> Tensor:
    """Returns what a network computed in half precision as float32; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
