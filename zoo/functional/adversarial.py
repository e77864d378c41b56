"""Losses of adversarial games, as functions of logits (pre-sigmoid values)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "categorical_information",
    "discriminator_loss",
    "gaussian_information",
    "generator_loss",
    "gradient_penalty",
    "packed",
    "wasserstein_estimate",
]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""Computes the discriminator's binary cross-entropy, the negated value of the game.

    .. math:: -E_x[\log D(x)] - E_z[\log(1 - D(G(z)))], \quad D = \sigma(\mathrm{logits})

    Args:
        real_logits: Logits of real images, any shape.
        fake_logits: Logits of generated images, any shape; detached by the caller.

    Returns:
        Scalar in nats, at least 0; log 4 where D is 1/2 everywhere.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661. Deviations: none.

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

    Reference: Goodfellow et al. 2014, arXiv:1406.2661, Section 3. Deviations: none.

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


def packed(x: Tensor, size: int) -> Tensor:
    """Joins each ``size`` consecutive examples to one, along the channels.

    Args:
        x: Examples, shape (B, C, ...), B a multiple of size.
        size: Examples in a pack.

    Returns:
        Packs, shape (B / size, size * C, ...).

    Raises:
        ValueError: if examples are left over.

    Reference: Lin et al. 2018 (PacGAN), arXiv:1712.04086, Section 2. Deviations: none.

    Example:
        >>> packed(torch.arange(4.0).view(4, 1), 2)
        tensor([[0., 1.],
                [2., 3.]])
    """
    if size < 1 or len(x) % size:
        raise ValueError(f"{len(x)} examples cannot be packed by {size} without a rest.")
    return x.reshape(len(x) // size, size * x.shape[1], *x.shape[2:])


def wasserstein_estimate(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    r"""Computes what a critic makes of the distance between data and model.

    .. math:: E_x[f(x)] - E_z[f(G(z))] \;\le\; W_1 \text{ if } f \text{ is 1-Lipschitz}

    Args:
        real_scores: Scores of real examples, any shape.
        fake_scores: Scores of generated examples, any shape.

    Returns:
        Scalar; the critic maximises it, the generator minimises it. A constant added to f
        changes nothing.

    Reference: Arjovsky et al. 2017, arXiv:1701.07875. Deviations: none.

    Example:
        >>> wasserstein_estimate(torch.tensor([3.0]), torch.tensor([1.0]))
        tensor(2.)
    """
    return real_scores.mean() - fake_scores.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor
) -> Tensor:
    r"""Computes how far the critic's slopes are from 1 between real and generated examples.

    .. math:: E_{\hat x}\big[(\lVert \nabla_{\hat x} f(\hat x) \rVert_2 - 1)^2\big], \quad
        \hat x = \epsilon x + (1 - \epsilon) \tilde x

    The slope is taken for each example by itself, over all of its numbers, so no score may depend
    on another example, as it would with batch normalisation.

    Args:
        critic: Maps examples to scores, shape (B,) or (B, 1).
        real: Real examples x, shape (B, ...).
        fake: Generated examples, shape of real; no gradient reaches them.
        mix: Weights epsilon of the real examples in [0, 1], shape (B,).

    Returns:
        Scalar, at least 0; 0 for a linear critic of slope 1. It can be differentiated with respect
        to the critic's weights.

    Raises:
        ValueError: if the shapes differ.

    Reference: Gulrajani et al. 2017, arXiv:1704.00028. Deviations: none.

    Example:
        >>> x = torch.zeros(4, 2)
        >>> gradient_penalty(lambda x: 3 * x[:, 0], x, x + 1, torch.rand(4))
        tensor(4.)
    """
    if real.shape != fake.shape or mix.shape != real.shape[:1]:
        raise ValueError(
            "real, fake and mix must be (B, ...), (B, ...) and (B,), got shapes "
            f"{tuple(real.shape)}, {tuple(fake.shape)} and {tuple(mix.shape)}"
        )
    mix = mix.view(-1, *[1] * (real.ndim - 1))
    between = (mix * real.detach() + (1 - mix) * fake.detach()).requires_grad_(True)
    # Scores of a batch may be summed: each depends on its own example only.
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slopes.flatten(1).norm(dim=1) - 1).square().mean()


def categorical_information(logits: Tensor, codes: Tensor) -> Tensor:
    r"""Bounds the mutual information between a uniform categorical code and the image from below.

    .. math:: L_I = E_{c,z}[\log Q(c \mid G(z, c))] + H(c), \quad H(c) = \log K

    Args:
        logits: Unnormalised log Q(c | x), shape (B, K).
        codes: The codes that made the images, shape (B,), int64.

    Returns:
        Scalar in nats, at most log K, 0 where Q equals the prior; to be maximised.

    Reference: Chen et al. 2016, arXiv:1606.03657. Deviations: none.

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

    Reference: Chen et al. 2016, arXiv:1606.03657 (factored Gaussian Q).
    Deviations: none.

    Example:
        >>> import torch
        >>> gaussian_information(torch.zeros(4, 2), torch.zeros(4, 2))
        tensor(-0.4516)
    """
    squares = ((codes - mean) / std).square().sum(dim=1).mean()
    constant = math.log(2) - math.log(std * math.sqrt(2 * math.pi))
    return mean.shape[1] * constant - 0.5 * squares
