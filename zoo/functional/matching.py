"""Images and the texts that belong to them: matching-aware discriminators, joint embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["alike", "contrastive_loss", "matching_aware_loss", "matching_aware_terms"]


def matching_aware_terms(
    real: Tensor, wrong: Tensor, fake: Tensor, differs: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Computes the three terms of a matching-aware discriminator.

    .. math:: E[-\log D(x, t)],\quad E[-\log(1 - D(x, \hat t))],\quad E[-\log(1 - D(G, t))]

    Args:
        real: Logits of real images with their own captions, any shape.
        wrong: Logits of real images with captions of other images.
        fake: Logits of generated images with the captions they were made for.
        differs: Which of the wrong captions are not word for word the right ones, booleans of the
            shape of `wrong`; the others are left out of the second term. None for all.

    Returns:
        Three scalars in nats, each log 2 where D = 1/2.

    Reference: Reed et al. 2016, arXiv:1605.05396 (GAN-CLS).
    """
    mismatched = F.softplus(wrong)
    if differs is None:
        second = mismatched.mean()
    else:
        second = (mismatched * differs).sum() / differs.sum().clamp(min=1)
    return F.softplus(-real).mean(), second, F.softplus(fake).mean()


def matching_aware_loss(real: Tensor, mismatched: Tensor, generated: Tensor) -> Tensor:
    r"""Computes the loss of a matching-aware discriminator, in which both ways to fail weigh half.

    .. math:: E[-\log D(x, t)] + \tfrac12 \big(E[-\log(1 - D(x, \hat t))]
              + E[-\log(1 - D(G, t))]\big)

    Args:
        real: The first of the terms of `matching_aware_terms`.
        mismatched: The second.
        generated: The third.

    Returns:
        A scalar in nats; 2 log 2 where D = 1/2.

    Reference: Reed et al. 2016, arXiv:1605.05396 (GAN-CLS).

    Example:
        >>> half = torch.zeros(3)
        >>> matching_aware_loss(*matching_aware_terms(half, half, half))
        tensor(1.3863)
    """
    return real + (mismatched + generated) / 2


def contrastive_loss(
    images: Tensor, texts: Tensor, same: Tensor | None = None, temperature: float = 0.1
) -> Tensor:
    r"""Computes how badly images find their own texts among others, and texts their images.

    .. math:: -\frac1{2B} \sum_{i=1}^B \left( \log \frac{e^{s_{ii}}}{\sum_{j=1}^N e^{s_{ij}}}
              + \log \frac{e^{s_{ii}}}{\sum_{j=1}^B e^{s_{ji}}} \right),
              \quad s_{ij} = \cos(v_i, t_j) / \tau

    Args:
        images: Embeddings of images v, shape (B, D).
        texts: Embeddings of their texts t, then of N - B further ones, which make the first term
            harder, shape (N, D).
        same: Which pairs have the same text, shape (B, N); they do not count as wrong ones.
        temperature: tau.

    Returns:
        A scalar in nats, (log N + log B) / 2 where nothing is told apart.

    Reference: van den Oord et al. 2018, arXiv:1807.03748, in both directions.

    Example:
        >>> contrastive_loss(torch.ones(4, 2), torch.ones(4, 2))
        tensor(1.3863)
    """
    scores = F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T / temperature
    if same is not None:
        others = same & ~torch.eye(*same.shape, dtype=torch.bool, device=same.device)
        scores = scores.masked_fill(others, -torch.inf)
    own = torch.arange(len(scores), device=scores.device)
    square = scores[:, : len(scores)]
    return (F.cross_entropy(scores, own) + F.cross_entropy(square.T, own)) / 2


def alike(
    texts: Tensor, same: Tensor, temperature: float = 0.1, generator: torch.Generator | None = None
) -> Tensor:
    r"""Draws for each text of a batch another one that says nearly the same.

    .. math:: p(j \mid i) \propto e^{\cos(t_i, t_j) / \tau}

    Mismatched captions drawn evenly differ from the right ones by much, as a rule, and teach
    nothing of what is finer. The cost: a text that says the same in other words is the likeliest
    of all, where a batch has one.

    Args:
        texts: Embeddings t, shape (B, D).
        same: Which pairs have the same text, shape (B, B): drawn only where there is no other.
        temperature: tau; infinite for even draws.
        generator: Source of randomness; None for PyTorch's own.

    Returns:
        The places of the texts drawn, shape (B,), int64.

    Example:
        >>> alike(torch.eye(2), torch.eye(2, dtype=torch.bool))
        tensor([1, 0])
    """
    unit = F.normalize(texts, dim=1)
    # Finite, for a batch of which all texts are the same; e^-1000 is never drawn beside another.
    scores = (unit @ unit.T / temperature).masked_fill(same, -1000.0)
    scores = scores.nan_to_num(0.0)  # bad embeddings are for the losses to report
    return scores.softmax(dim=1).multinomial(1, generator=generator)[:, 0]
