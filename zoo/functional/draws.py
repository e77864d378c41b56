"""Random numbers that a seed decides alone: float32 on the CPU, whatever torch's defaults are.

They are moved to a model's device and number format afterwards, so that a seed means the same
picture everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["integers", "normal", "permutation", "uniform"]


def normal(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Draws from the standard normal law; without a generator, from the CPU's global stream.

    Example:
        >>> normal(2, 3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")


def uniform(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Draws uniformly from [0, 1); without a generator, from the CPU's global stream."""
    return torch.rand(*shape, generator=generator, dtype=torch.float32, device="cpu")


def integers(high: int, n: int, *, generator: torch.Generator | None) -> Tensor:
    """Draws n whole numbers uniformly from 0..high - 1, int64."""
    return torch.randint(high, (n,), generator=generator, dtype=torch.int64, device="cpu")


def permutation(n: int, *, generator: torch.Generator | None) -> Tensor:
    """Draws an order of 0..n - 1, int64."""
    return torch.randperm(n, generator=generator, dtype=torch.int64, device="cpu")
