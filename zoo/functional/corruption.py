"""Noise that denoisers are taught by."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.functional.draws import uniform

__all__ = ["salt_and_pepper"]


def salt_and_pepper(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Replaces a share of the numbers by 0 or 1, as a coin says: half of the share each.

    Args:
        x: Numbers in [0, 1], any shape.
        share: Probability with which each is replaced, whatever it was.
        generator: Draws.

    Reference: as in Bengio, Thibodeau-Laufer, Alain, Yosinski 2014, arXiv:1306.1091.

    Example:
        >>> salt_and_pepper(torch.full((4,), 0.5), 0.0, None)
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    u = uniform(*x.shape, generator=generator).to(x)
    x = torch.where(u < share / 2, torch.zeros_like(x), x)
    return torch.where((u >= share / 2) & (u < share), torch.ones_like(x), x)
