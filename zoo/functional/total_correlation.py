r"""How much the units of a code depend on one another: total correlation, and what it is part of.

.. math:: TC(z) = KL\Big(q(z) \,\Big\|\, \prod_d q(z_d)\Big), \quad
          q(z) = \frac1N \sum_{n=1}^N q(z \mid x_n)

A batch holds a few of the N examples, so q(z) has to be estimated: by a discriminator that tells
codes from codes with permuted units (Kim & Mnih 2018), or by weighing the laws of a batch (Chen et
al. 2018).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.functional.likelihood import gaussian_log_prob

__all__ = ["ESTIMATORS", "Decomposition", "Estimator", "batch_log_weights", "decompose",
           "density_ratio_tc", "permute_units"]  # fmt: skip

Estimator = Literal["weighted", "stratified"]
ESTIMATORS: tuple[Estimator, ...] = ("weighted", "stratified")


class Decomposition(NamedTuple):
    """The parts of the rate of a code, scalars in nats; their sum is the rate."""

    index_code: Tensor
    """Mutual information of example and code, KL(q(z, n) || q(z) p(n))."""
    total_correlation: Tensor
    """KL(q(z) || prod_d q(z_d))."""
    unit_wise: Tensor
    """sum_d KL(q(z_d) || p(z_d)) from the standard normal law."""


def permute_units(z: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Permutes each unit over the batch by itself: draws from the product of the marginals.

    Args:
        z: Codes, shape (B, D).
        generator: Source of randomness on the device of z; None for PyTorch's own.

    Returns:
        Codes of which each column holds the values of z's, in an order of its own, shape (B, D).

    Reference: Kim & Mnih 2018, arXiv:1802.05983, Algorithm 1. Deviations: none.

    Example:
        >>> permute_units(torch.ones(3, 2)).shape
        torch.Size([3, 2])
    """
    order = torch.rand(z.shape, generator=generator, device=z.device).argsort(dim=0)
    return z.gather(0, order)


def density_ratio_tc(logits: Tensor) -> Tensor:
    r"""Estimates the total correlation from what a discriminator says of codes.

    .. math:: TC(z) \approx E_{q(z)}\Big[\log\frac{D(z)}{1 - D(z)}\Big]

    with D(z) the probability that z is a code and none with permuted units.

    Args:
        logits: Of D for codes from q(z), log D - log(1 - D), any shape.

    Returns:
        Scalar in nats, exact for the best D; may be negative for others.

    Reference: Kim & Mnih 2018, arXiv:1802.05983, Eq. 3. Deviations: none.

    Example:
        >>> density_ratio_tc(torch.tensor([0.5, 1.5]))
        tensor(1.)
    """
    return logits.mean()


def batch_log_weights(batch: int, examples: int, estimator: Estimator = "weighted") -> Tensor:
    r"""Returns the log weights w_ij by which a batch estimates q(z_i), where z_i ~ q(z | x_i).

    .. math:: \hat q(z_i) = \sum_j w_{ij}\, q(z_i \mid x_j)

    ``weighted``: 1 / NB throughout. Its log is too low in the mean, by a constant as far as
    gradients go. ``stratified``: 1 / N for x_i itself, which is always in the batch though but one
    of N, (N - B + 1) / N(B - 1) for one other, 1 / (B - 1) for the rest: in the mean over batches
    without repetition this is q(z_i) itself.

    Args:
        batch: Size B of the batch, at least 2 for ``stratified``.
        examples: Number N of examples that the batch is drawn from, at least B.
        estimator: ``weighted`` or ``stratified``.

    Returns:
        Shape (B, B), float32.

    Raises:
        ValueError: if the sizes or the estimator make no sense.

    Reference: Chen, Li, Grosse, Duvenaud 2018, arXiv:1802.04942, Appendix C (there, a batch of the
    stratified estimator has M + 1 examples). Deviations: none.

    Example:
        >>> batch_log_weights(3, 10, "stratified").exp()
        tensor([[0.1000, 0.4000, 0.5000],
                [0.5000, 0.1000, 0.4000],
                [0.4000, 0.5000, 0.1000]])
    """
    if not 1 <= batch <= examples:
        raise ValueError(f"a batch of {batch} cannot be drawn from {examples} examples.")
    if estimator == "weighted":
        return torch.full((batch, batch), -math.log(examples * batch))
    if estimator != "stratified":
        raise ValueError(f"estimator must be one of {ESTIMATORS}, got {estimator!r}.")
    if batch < 2:
        raise ValueError("the stratified estimator needs at least 2 examples in a batch.")
    others = batch - 1
    weights = torch.full((batch, batch), 1 / others)
    place = torch.arange(batch)
    weights[place, place] = 1 / examples
    weights[place, (place + 1) % batch] = (examples - others) / (examples * others)
    return weights.log()


def decompose(z: Tensor, mean: Tensor, log_var: Tensor, log_weights: Tensor) -> Decomposition:
    r"""Takes the rate apart, with q(z) estimated from the batch.

    .. math:: E[\log q(z \mid x) - \log p(z)] =
        E\Big[\log\frac{q(z \mid x)}{q(z)}\Big] + E\Big[\log\frac{q(z)}{\prod_d q(z_d)}\Big]
        + E\Big[\sum_d \log\frac{q(z_d)}{p(z_d)}\Big]

    Args:
        z: Codes, z_i from q(z | x_i), shape (B, D).
        mean: Means of q(z | x_j), shape (B, D).
        log_var: Their log variances, shape (B, D).
        log_weights: As of `batch_log_weights`, shape (B, B).

    Returns:
        Three scalars in nats.

    Reference: Chen, Li, Grosse, Duvenaud 2018, arXiv:1802.04942, Eq. 2. Deviations: none.

    Example:
        >>> zero = torch.zeros(1, 2)  # one example: nothing is told apart, q is the prior
        >>> [part.item() for part in decompose(zero, zero, zero, torch.zeros(1, 1))]
        [0.0, 0.0, 0.0]
    """
    pairs = gaussian_log_prob(z[:, None], mean[None], log_var[None] / 2)  # (B of z, B of q, D)
    own = pairs.diagonal(dim1=0, dim2=1).sum(dim=0)  # log q(z_i | x_i), (B,)
    log_weights = log_weights.to(pairs)
    joint = (pairs.sum(dim=2) + log_weights).logsumexp(dim=1)
    product = (pairs + log_weights[:, :, None]).logsumexp(dim=1).sum(dim=1)
    prior = gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z)).sum(dim=1)
    return Decomposition((own - joint).mean(), (joint - product).mean(), (product - prior).mean())
