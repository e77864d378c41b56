"""Log-likelihoods of pixels, element by element, so that sums and mixtures are the caller's.

All arguments broadcast, and every function returns log p(x | parameters) in nats, never its
negative: a caller sums over the pixels of an image, or adds log-weights and takes `logsumexp` over
the components of a mixture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "bernoulli_log_prob",
    "gaussian_log_prob",
    "logistic_bin_log_prob",
]


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    r"""Computes the log-probability of binary pixels.

    .. math:: \log p(x) = x \log \sigma(l) + (1 - x) \log(1 - \sigma(l)) = x l - \log(1 + e^l)

    Args:
        x: Pixels, 0 or 1. Grey values between them give the expectation over bits drawn with
            these probabilities, which is not a likelihood of the grey values.
        logits: Log-odds l of the value 1.

    Returns:
        Nats per element, at most 0, in the broadcast shape; counting measure on {0, 1}.

    Reference: Kingma & Welling 2014, arXiv:1312.6114. Deviations: none.

    Example:
        >>> bernoulli_log_prob(torch.tensor([0.0, 1.0]), torch.zeros(2))  # -log 2
        tensor([-0.6931, -0.6931])
    """
    return x * logits - F.softplus(logits)


def gaussian_log_prob(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    r"""Computes the log-density of a normal law.

    .. math:: \log p(x) = -\tfrac12 \Big(\frac{x - \mu}{\sigma}\Big)^2 - \log\sigma
              - \tfrac12 \log 2\pi

    Args:
        x: Values, any range.
        mean: Means.
        log_std: Logarithm of the standard deviation (not of the variance).

    Returns:
        Nats per element in the broadcast shape; Lebesgue measure, so it may be positive.

    Reference: Kingma & Welling 2014, arXiv:1312.6114. Deviations: none.

    Example:
        >>> zero = torch.zeros(1)
        >>> gaussian_log_prob(zero, zero, zero)  # -log sqrt(2 pi)
        tensor([-0.9189])
    """
    return -0.5 * ((x - mean) * (-log_std).exp()).square() - log_std - 0.5 * math.log(2 * math.pi)


def logistic_bin_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int = 256) -> Tensor:
    r"""Computes the log-probability of grey levels under a logistic law cut into bins.

    A level's bin reaches half a level to both sides, the lowest bin down to -inf and the highest
    up to inf, so that the levels' probabilities sum to 1:

    .. math:: p(x) = \sigma(b) - \sigma(a), \quad
              b = \frac{x + h - \mu}{s},\; a = \frac{x - h - \mu}{s},\; h = \frac{1}{2 (L - 1)}

    A difference of sigmoids loses all digits in the tails; the identity used here does not:

    .. math:: \log(\sigma(b) - \sigma(a)) = \log\sigma(b) + \log\sigma(-a) + \log(1 - e^{a - b})

    Args:
        x: Grey levels in [0, 1], multiples of 1 / (levels - 1).
        mean: Location of the law, in the units of x.
        log_scale: Logarithm of its scale s, in the units of x.
        levels: Number L of grey levels, at least 2.

    Returns:
        Nats per element, at most 0, in the broadcast shape; counting measure on the levels. Finite
        with useful gradients for any finite arguments of sensible size.

    Raises:
        ValueError: if levels is less than 2.

    Reference: Kingma et al. 2016, arXiv:1606.04934; the edges as in Salimans et al. 2017,
    arXiv:1701.05517. Deviations: no approximation by the density where the bin is unlikely.

    Example:
        >>> x = torch.linspace(0, 1, 256)
        >>> one = torch.ones(256)
        >>> p = logistic_bin_log_prob(x, 0.3 * one, -2 * one).exp()
        >>> bool((p.sum() - 1).abs() < 1e-5)
        True
    """
    if levels < 2:
        raise ValueError(f"a bin needs a neighbour: levels must be at least 2, got {levels}.")
    half = 0.5 / (levels - 1)
    rate = (-log_scale).exp()
    upper = (x - mean + half) * rate
    lower = (x - mean - half) * rate
    below = F.logsigmoid(upper)  # log P(value < upper edge)
    above = F.logsigmoid(-lower)  # log P(value > lower edge)
    inside = below + above + _log1mexp(math.log(2 * half) - log_scale)
    return torch.where(x < half, below, torch.where(x > 1 - half, above, inside))


def _log1mexp(log_d: Tensor) -> Tensor:
    """Computes log(1 - exp(-d)) from log d without loss of digits at either end."""
    small = log_d < -7  # d < 1e-3: log(1 - exp(-d)) = log d - d/2 + O(d^2), 4e-8 at most
    d = log_d.exp()
    # Where the other branch is taken its argument is replaced, or its gradient would be 0 * inf.
    safe = torch.where(small, torch.ones_like(d), d)
    return torch.where(small, log_d - d / 2, torch.log(-torch.expm1(-safe)))
