"""Walks between latent codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["arc", "great_circle", "line", "other_classes"]


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


def other_classes(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Moves classes on by one where they are those that a walk begins with.

    Args:
        start: Classes in [0, count), shape (N,).
        end: Classes drawn for the other ends, shape (N,).
        count: Number of classes, at least 2.

    Returns:
        Classes, shape (N,), none of which is that of its start.

    Example:
        >>> other_classes(torch.tensor([3, 1]), torch.tensor([3, 2]), 4).tolist()
        [0, 2]
    """
    return torch.where(start == end, (end + 1) % count, end)


def great_circle(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""Walks at a steady angle from one direction to the other; straight if they are one line.

    .. math:: \frac{\sin((1 - t)\,\Omega)\, a + \sin(t\,\Omega)\, b}{\sin \Omega}, \quad
              \cos\Omega = \frac{a \cdot b}{|a|\,|b|}

    Unlike on an `arc`, a walk between two codes that are alike stays near them; unlike on a `line`,
    the length of one between two that have nothing in common stays typical.

    Args:
        start: Codes a, shape (N, D).
        end: Codes b, shape (N, D).
        steps: Number S of codes along a walk, both ends among them.

    Returns:
        Codes, shape (N, S, D).

    Reference: Shoemake 1985, SIGGRAPH; for latent codes White 2016, arXiv:1609.04468.

    Example:
        >>> great_circle(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 3)[0, 1]
        tensor([0.7071, 0.7071])
    """
    straight = line(start, end, steps)
    lengths = start.norm(dim=1) * end.norm(dim=1)
    cosine = (start * end).sum(dim=1) / lengths.clamp_min(torch.finfo(start.dtype).tiny)
    angle = cosine.clamp(-1, 1).acos()[:, None, None]  # (N, 1, 1)
    t = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
    over = ((1 - t) * angle).sin() * start[:, None] + (t * angle).sin() * end[:, None]
    sine = angle.sin()
    return torch.where(sine > 1e-3, over / sine.clamp_min(1e-3), straight)
