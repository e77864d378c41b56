"""Kullback-Leibler divergences in closed form, dimension by dimension; sums are the caller's."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = [
    "categorical_kl",
    "gaussian_kl",
    "log_ratio_to_standard_normal",
    "standard_normal_kl",
]


def standard_normal_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""Computes the divergence of a normal law from the standard normal.

    .. math:: KL(N(\mu, \sigma^2) \,\|\, N(0, 1))
              = \tfrac12 (\mu^2 + \sigma^2 - \log\sigma^2 - 1)

    Args:
        mean: Means, any shape.
        log_var: Log variances (not log standard deviations), same shape.

    Returns:
        Nats per element, same shape, at least 0 up to rounding; for a diagonal law the sum over
        its dimensions is the divergence.

    Reference: Kingma & Welling 2014, arXiv:1312.6114. Deviations: none.

    Example:
        >>> import torch
        >>> standard_normal_kl(torch.tensor([0.0, 2.0]), torch.zeros(2))
        tensor([0., 2.])
    """
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1)


def gaussian_kl(mean_q: Tensor, log_var_q: Tensor, mean_p: Tensor, log_var_p: Tensor) -> Tensor:
    r"""Computes the divergence KL(q || p) of one normal law from another.

    .. math:: KL(q \,\|\, p) = \tfrac12 \Big( \log\frac{\sigma_p^2}{\sigma_q^2}
              + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{\sigma_p^2} - 1 \Big)

    Args:
        mean_q: Means of q; all arguments broadcast.
        log_var_q: Log variances of q.
        mean_p: Means of p.
        log_var_p: Log variances of p.

    Returns:
        Nats per element in the broadcast shape, at least 0 up to rounding.

    Example:
        >>> import torch
        >>> zero = torch.zeros(1)
        >>> gaussian_kl(zero + 3, zero, zero + 1, zero)
        tensor([2.])
    """
    ratio = log_var_q - log_var_p
    return 0.5 * (ratio.exp() + (mean_q - mean_p).square() * (-log_var_p).exp() - ratio - 1)


def categorical_kl(logits_q: Tensor, logits_p: Tensor | None = None) -> Tensor:
    r"""Computes the divergence KL(q || p) of categorical laws.

    .. math:: KL(q \,\|\, p) = \sum_k q_k (\log q_k - \log p_k)

    Args:
        logits_q: Unnormalised log-probabilities of q, shape (..., K).
        logits_p: Those of p, broadcast to the same shape; None for the uniform law.

    Returns:
        Nats, shape (...), at least 0 up to rounding; log K at most against the uniform law.

    Example:
        >>> import torch
        >>> categorical_kl(torch.tensor([0.0, 0.0, -1e4, -1e4]))  # log 4 - log 2
        tensor(0.6931)
    """
    log_q = logits_q.log_softmax(dim=-1)
    if logits_p is None:
        log_p: Tensor | float = -math.log(logits_q.shape[-1])
    else:
        log_p = logits_p.log_softmax(dim=-1)
    return (log_q.exp() * (log_q - log_p)).sum(dim=-1)


def log_ratio_to_standard_normal(
    z: Tensor, noise: Tensor, log_var: Tensor, log_det: Tensor | float = 0.0
) -> Tensor:
    r"""Computes log q(z) - log N(z; 0, I) of a draw from a normal law, moved or not.

    .. math:: z_0 = \mu + \sigma \odot \epsilon, \quad z = f(z_0), \quad
              \log\frac{q(z)}{p(z)} = \tfrac12 \sum_i
              \big(z_i^2 - \epsilon_i^2 - \log\sigma_i^2\big)
              - \log\Big|\det\frac{\partial f}{\partial z_0}\Big|

    since the constants of the two normal laws cancel.

    Args:
        z: Draws, shape (..., D).
        noise: Standard normal numbers that made them, shape (..., D).
        log_var: Log variances (not log standard deviations) of q, shape (..., D).
        log_det: Log-determinant of the map f in nats, shape (...); 0 where z is z_0.

    Returns:
        Nats, shape (...); its expectation is the divergence of q from the standard normal.

    Example:
        >>> import torch
        >>> log_ratio_to_standard_normal(*torch.tensor([[1.0], [1.0], [0.0]]))
        tensor(0.)
    """
    log_q = -0.5 * (noise.square() + log_var).sum(dim=-1) - log_det
    return log_q + 0.5 * z.square().sum(dim=-1)
