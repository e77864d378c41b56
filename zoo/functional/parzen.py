r"""Parzen estimates: the density of a sum of bumps around samples, in the place of a likelihood.

.. math:: \hat p(x) = \frac1n \sum_{i=1}^n N(x; s_i, \sigma^2 I)

It is known to mislead: it is far from the likelihood in hundreds of dimensions, samples copied from
the data score best, and blurred ones better than sharp ones (Theis, van den Oord, Bethge 2016,
arXiv:1511.01844). It is here to be set beside figures of its time.

Reference: Breuleux, Bengio, Vincent 2011, Quickly generating representative samples from an RBM-
derived process; from memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["WIDTHS", "parzen_log_density", "parzen_width"]

WIDTHS = tuple(10 ** (-1.5 + 0.1 * step) for step in range(16))  # tried on validation images
AT_ONCE = 500  # images whose distances to all samples are in memory together


def parzen_log_density(x: Tensor, samples: Tensor, width: float) -> Tensor:
    """Computes the log-density of a sum of bumps.

    Args:
        x: Where, shape (B, D).
        samples: Middles of the bumps, shape (n, D).
        width: Deviation sigma of each along every axis.

    Returns:
        Nats, shape (B,), float64; Lebesgue measure.

    Example:
        >>> one = torch.zeros(1, 2)
        >>> float(parzen_log_density(one, one, 1.0)) + math.log(2 * math.pi)  # the bump's own top
        0.0
    """
    constant = math.log(len(samples)) + x.shape[1] * math.log(width * math.sqrt(2 * math.pi))
    parts = [
        (-torch.cdist(part.double(), samples.double()).square() / (2 * width**2)).logsumexp(dim=1)
        for part in x.split(AT_ONCE)
    ]
    return torch.cat(parts) - constant


def parzen_width(x: Tensor, samples: Tensor, widths: tuple[float, ...] = WIDTHS) -> float:
    """Returns the width that makes images, which are not those to be scored, likeliest.

    Args:
        x: Images, shape (B, D).
        samples: Shape (n, D).
        widths: Those that are tried.
    """
    squares = torch.cdist(x.double(), samples.double()).square()

    def likelihood(width: float) -> float:
        bumps = (-squares / (2 * width**2)).logsumexp(dim=1).mean()
        return float(bumps) - x.shape[1] * math.log(width)

    return max(widths, key=likelihood)
