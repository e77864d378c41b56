"""Losses of adversarial games, as functions of logits (pre-sigmoid values)."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "categorical_information",
    "discriminator_loss",
    "gaussian_information",
    "generator_loss",
]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""Computes the discriminator's binary cross-entropy, the negated value of the game.

    .. math:: -E_x[\log D(x)] - E_z[\log(1 - D(G(z)))], \quad D = \sigma(\mathrm{logits})

    Args:
        real_logits: Logits of real images, any shape.
        fake_logits: Logits of generated images, any shape; detached by the caller.

    Returns:
        Scalar in nats, at least 0; log 4 where D is 1/2 everywhere.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1. Deviations: none.

    Example:
        >>> import torch
        >>> discriminator_loss(torch.zeros(2), torch.zeros(2))  # log 4
        tensor(1.3863)
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor, kind: str = "non-saturating") -> Tensor:
    r"""Computes the generator's loss.

    .. math::
        \text{non-saturating: } -E_z[\log D(G(z))], \qquad
        \text{minimax: } E_z[\log(1 - D(G(z)))]

    Args:
        fake_logits: Logits of generated images, any shape, not detached.
        kind: ``"non-saturating"`` or ``"minimax"``.

    Returns:
        Scalar in nats.

    Raises:
        ValueError: if kind is unknown.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1 and Section 3. Deviations: none.

    Example:
        >>> import torch
        >>> generator_loss(torch.zeros(2))  # log 2
        tensor(0.6931)
    """
    if kind == "non-saturating":
        return F.softplus(-fake_logits).mean()
    if kind == "minimax":
        return -F.softplus(fake_logits).mean()
    raise ValueError(f"kind must be 'non-saturating' or 'minimax', got {kind!r}.")


def categorical_information(logits: Tensor, codes: Tensor) -> Tensor:
    r"""Bounds the mutual information between a uniform categorical code and the image from below.

    .. math:: L_I = E_{c,z}[\log Q(c \mid G(z, c))] + H(c), \quad H(c) = \log K

    Args:
        logits: Unnormalised log Q(c | x), shape (B, K).
        codes: The codes that made the images, shape (B,), int64.

    Returns:
        Scalar in nats, at most log K, 0 where Q equals the prior; to be maximised.

    Reference: Chen et al. 2016, arXiv:1606.03657, Eq. 5. Deviations: none.

    Example:
        >>> import torch
        >>> categorical_information(torch.zeros(4, 10), torch.arange(4)).abs() < 1e-6
        tensor(True)
    """
    return math.log(logits.shape[1]) - F.cross_entropy(logits, codes)


def gaussian_information(mean: Tensor, codes: Tensor, std: float = 1.0) -> Tensor:
    r"""Bounds the mutual information between uniform codes on [-1, 1] and the image from below.

    .. math:: L_I = E_{c,z}\Big[\sum_j \log N(c_j; \mu_j(G(z, c)), \sigma^2)\Big] + M \log 2

    Args:
        mean: Means of Q(c | x), shape (B, M).
        codes: The codes that made the images, shape (B, M), in [-1, 1].
        std: Fixed standard deviation of Q.

    Returns:
        Scalar in nats, to be maximised; largest value M (log 2 - log(std sqrt(2 pi))).

    Reference: Chen et al. 2016, arXiv:1606.03657, Eq. 5 and Appendix C.1 (factored Gaussian Q).
    Deviations: none.

    Example:
        >>> import torch
        >>> gaussian_information(torch.zeros(4, 2), torch.zeros(4, 2))
        tensor(-0.4516)
    """
    squares = ((codes - mean) / std).square().sum(dim=1).mean()
    constant = math.log(2) - math.log(std * math.sqrt(2 * math.pi))
    return mean.shape[1] * constant - 0.5 * squares
