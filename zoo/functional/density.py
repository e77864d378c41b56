r"""From 8-bit pixels to the real line and back, with every log-Jacobian; simple base densities.

A flow models a density, and 8-bit images have none: each level is first spread over its own
interval. Pixels arrive as x = k / 255 in [0, 1], k in 0..255; the dequantised pixel is

.. math:: y = \frac{255 x + u}{256} = \frac{k + u}{256} \in [0, 1), \quad u \sim U[0, 1)

so that one unit of y holds 256 levels. All densities here are with respect to y (Lebesgue measure
on [0, 1]); then E_u[log p(y)] + D log(1/256) bounds the log-probability of the levels from below.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "dequantise",
    "from_logits",
    "plateau_log_prob",
    "quantise",
    "standard_logistic_log_prob",
    "standard_normal_log_prob",
    "to_logits",
]


def dequantise(x: Tensor, noise: Tensor | float, levels: int = 256) -> Tensor:
    r"""Spreads each grey level over its own interval.

    .. math:: y = ((L - 1) x + u) / L

    With uniform noise, the mean of log p(y) - D log L over draws bounds the log-probability of the
    D grey levels from below.

    Args:
        x: Pixels k / (L - 1) in [0, 1], any shape.
        noise: u in [0, 1), uniform for likelihoods, 1/2 for the middle of the interval.
        levels: Number of grey levels L.

    Returns:
        y in [0, 1], of the shape of x.

    Reference: Theis et al. 2016, arXiv:1511.01844, Section 3.1; Dinh et al. 2014,
    arXiv:1410.8516, Section 5.1. Deviations: none.

    Example:
        >>> dequantise(torch.tensor([0.0, 1.0]), 0.5, levels=2)
        tensor([0.2500, 0.7500])
    """
    return ((levels - 1) * x + noise) / levels


def quantise(y: Tensor, levels: int = 256) -> Tensor:
    r"""Undoes `dequantise` with u = 1/2: the middle of a level's interval becomes the level.

    .. math:: x = (L y - 1/2) / (L - 1), \text{ cut to } [0, 1]

    Args:
        y: Dequantised pixels in [0, 1], any shape.
        levels: Number of grey levels L.

    Returns:
        Pixels in [0, 1]; rounding them to L levels gives the level whose interval y lies in.

    Example:
        >>> quantise(torch.tensor([0.25, 0.75]), levels=2)
        tensor([0., 1.])
    """
    return ((levels * y - 0.5) / (levels - 1)).clamp(0, 1)


def to_logits(y: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    r"""Maps the unit interval to the real line, and gives the log-Jacobian.

    .. math::
        z = \mathrm{logit}(p), \quad p = \alpha + (1 - 2 \alpha) y, \qquad
        \log\Big|\frac{dz}{dy}\Big| = \log(1 - 2 \alpha) - \log p - \log(1 - p)

    Args:
        y: Values in [0, 1], shape (B, ...); with alpha = 0 strictly inside.
        alpha: Distance kept from 0 and 1, in [0, 1/2).

    Returns:
        z, of the shape of y, and the log-determinant per example, shape (B,), in nats.

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 4.1, with alpha = 0.05. Deviations: the
    text keeps from 0 only, its code from both ends, as here.

    Example:
        >>> to_logits(torch.tensor([[0.5, 0.5]]), 0.0)  # 2 log 4
        (tensor([[0., 0.]]), tensor([2.7726]))
    """
    z = torch.logit(alpha + (1 - 2 * alpha) * y)
    # -log p - log(1 - p) = softplus(-z) + softplus(z)
    log_slope = F.softplus(z) + F.softplus(-z) + math.log1p(-2 * alpha)
    return z, log_slope.flatten(1).sum(dim=1)


def from_logits(z: Tensor, alpha: float) -> Tensor:
    """Undoes `to_logits`; what lies beyond its range becomes 0 or 1.

    Example:
        >>> from_logits(torch.tensor([-9.0, 0.0, 9.0]), 0.05)
        tensor([0.0000, 0.5000, 1.0000])
    """
    return ((z.sigmoid() - alpha) / (1 - 2 * alpha)).clamp(0, 1)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    r"""Sums the standard normal log-density over all but the first dimension.

    .. math:: \log p(z) = -\tfrac12 \sum_i (z_i^2 + \log 2 \pi)

    Args:
        z: Values, shape (B, ...).

    Returns:
        Nats per example, shape (B,).

    Example:
        >>> standard_normal_log_prob(torch.zeros(1, 2))  # -log 2 pi
        tensor([-1.8379])
    """
    return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(dim=1)


def standard_logistic_log_prob(z: Tensor) -> Tensor:
    r"""Sums the standard logistic log-density over all but the first dimension.

    .. math:: \log p(z) = -\sum_i \log(1 + e^{z_i}) + \log(1 + e^{-z_i})

    Args:
        z: Values, shape (B, ...).

    Returns:
        Nats per example, shape (B,).

    Reference: Dinh et al. 2014, arXiv:1410.8516, Section 3.4. Deviations: none.

    Example:
        >>> standard_logistic_log_prob(torch.zeros(1, 2))  # -2 log 4
        tensor([-2.7726])
    """
    return -(F.softplus(z) + F.softplus(-z)).flatten(1).sum(dim=1)


def plateau_log_prob(z: Tensor, log_tail: Tensor) -> Tensor:
    r"""Computes the log-density of a uniform law on [-1, 1] blurred by a logistic law.

    .. math:: p(z) = \tfrac12 \left[ \sigma\Big(\frac{z + 1}{\tau}\Big)
              - \sigma\Big(\frac{z - 1}{\tau}\Big) \right], \qquad
              z = u + \tau \epsilon, \; u \sim U(-1, 1), \; \epsilon \sim \mathrm{Logistic}(0, 1)

    A pixel whose level is certain is uniform once dequantised. A small tau fits that; a normal law
    stretched over it loses 0.25 bits. The difference of sigmoids is computed without cancellation:

    .. math:: \log(\sigma(b) - \sigma(a)) = \log\sigma(b) + \log\sigma(-a) + \log(1 - e^{a - b})

    Args:
        z: Values, any shape.
        log_tail: Logarithm of tau; broadcasts against z.

    Returns:
        Nats per element, in the broadcast shape.

    Example:
        >>> plateau_log_prob(torch.tensor([0.0, 0.9]), torch.tensor(-5.0))  # -log 2
        tensor([-0.6931, -0.6931])
    """
    rate = (-log_tail).exp()
    edges = F.softplus(-(z + 1) * rate) + F.softplus((z - 1) * rate)
    return torch.log1p(-torch.exp(-2 * rate)) - edges - math.log(2)
