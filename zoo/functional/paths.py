"""Walks between latent codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["arc", "line"]


def line(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""Walks straight.

    .. math:: (1 - t)\, a + t\, b, \quad t \in [0, 1]

    Args:
        start: Codes a, shape (N, D).
        end: Codes b, shape (N, D).
        steps: Number S of codes along a walk, both ends among them.

    Returns:
        Codes, shape (N, S, D).

    Example:
        >>> line(torch.tensor([[0.0]]), torch.tensor([[4.0]]), 3).flatten().tolist()
        [0.0, 2.0, 4.0]
    """
    t = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]  # (S, 1)
    return (1 - t) * start[:, None] + t * end[:, None]


def arc(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""Walks on a quarter of an ellipse, so that standard normal codes stay standard normal.

    .. math:: \cos(t)\, a + \sin(t)\, b, \quad t \in [0, \pi / 2]

    On a straight walk between independent codes the middle is shorter by a factor of
    :math:`\sqrt{2}` than any code that the decoder has met.

    Args:
        start: Codes a, shape (N, D).
        end: Codes b, shape (N, D).
        steps: Number S of codes along a walk, both ends among them.

    Returns:
        Codes, shape (N, S, D).

    Example:
        >>> arc(torch.tensor([[1.0]]), torch.tensor([[1.0]]), 3).flatten()
        tensor([1.0000, 1.4142, 1.0000])
    """
    t = torch.linspace(0, math.pi / 2, steps, dtype=start.dtype, device=start.device)[:, None]
    return t.cos() * start[:, None] + t.sin() * end[:, None]
