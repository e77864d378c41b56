"""Lower bounds of log p(x) from importance weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

__all__ = [
    "importance_bound",
    "importance_objective",
    "joined_bound",
    "resample",
    "resampled_objective",
]

LogParts = Callable[[Tensor], tuple[Tensor, Tensor]]


def importance_bound(log_weights: Tensor, dim: int = 0) -> Tensor:
    r"""Averages importance weights in the log domain.

    .. math:: L_k = \log \frac1k \sum_{i=1}^k w_i, \quad
              w_i = \frac{p(x, z_i)}{q(z_i \mid x)}, \quad z_i \sim q(z \mid x)

    In expectation L_1 is the ELBO, L_k grows with k, and no L_k exceeds log p(x).

    Args:
        log_weights: log w_i in nats.
        dim: Dimension of the k samples.

    Returns:
        Nats, the shape without ``dim``.

    Reference: Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519. Deviations: none.

    Example:
        >>> importance_bound(torch.tensor([1.0, 3.0]).log())
        tensor(0.6931)
    """
    return log_weights.logsumexp(dim) - math.log(log_weights.shape[dim])


def joined_bound(bounds: Iterable[tuple[Tensor, int]]) -> Tensor:
    r"""Joins bounds from few importance samples each to the one from all of them.

    .. math:: L_k = \log \frac1k \sum_j n_j \exp(L_{n_j}), \quad k = \sum_j n_j

    Args:
        bounds: Each of the bounds in nats, shape (B,), with its number of samples.

    Returns:
        Nats, shape (B,), in float64 on the CPU.

    Reference: as `importance_bound`, whose value for all weights at once this is.

    Example:
        >>> joined_bound([(torch.tensor([2.0]).log(), 3), (torch.tensor([6.0]).log(), 1)]).exp()
        tensor([3.0000], dtype=torch.float64)
    """
    total, samples = torch.tensor(-math.inf, dtype=torch.float64, device="cpu"), 0
    for bound, count in bounds:
        total = torch.logaddexp(total, bound.detach().double().cpu() + math.log(count))
        samples += count
    return total - math.log(samples)


def resample(weights: Tensor, count: int, start: Tensor) -> Tensor:
    r"""Draws samples by their weights, systematically.

    On the unit interval, cut into pieces as long as the weights, `count` equidistant points choose
    the pieces they fall into. Sample i is chosen count * w_i times in expectation over a uniform
    start, and never more than one time off that.

    Args:
        weights: Weights that sum to 1 over the first dimension, shape (K, B).
        count: How many to draw.
        start: Uniform on [0, 1), shape (B,).

    Returns:
        Chosen samples, in 0..K-1, shape (count, B), int64.

    Reference: Kitagawa 1996, J. Comput. Graph. Stat. 5(1). Deviations: none.

    Example:
        >>> resample(torch.tensor([[0.5], [0.0], [0.5]]), 4, torch.tensor([0.3])).T
        tensor([[0, 0, 2, 2]])
    """
    ends = weights.cumsum(dim=0)
    steps = torch.arange(count, device=weights.device)[:, None]
    points = (steps + start) / count  # (count, B)
    chosen = torch.searchsorted(ends.T.contiguous(), points.T.contiguous(), right=True).T
    return chosen.clamp(max=len(weights) - 1)  # the weights' sum may round below 1


def importance_objective(
    log_parts: LogParts, noise: Tensor, weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""Computes the bound from importance samples and a loss for its ascent.

    .. math:: \log w_i = \log p(x \mid z_i) - \lambda \log\frac{q(z_i \mid x)}{p(z_i)}

    Args:
        log_parts: Computes log p(x | z) and log q(z | x) - log p(z), (K, B) each, of the latents
            that noise makes.
        noise: Standard normal, shape (K, B, D).
        weight: Weight lambda of the second part in the loss, in [0, 1]; at 1 the loss is minus
            the bound.

    Returns:
        The bound's mean over the batch, in nats, without a gradient, and the loss, both scalars.

    Reference: Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519.
    """
    fit, ratio = log_parts(noise)
    bound = importance_bound((fit - ratio).detach())
    return bound.mean(), -importance_bound(fit - weight * ratio).mean()


def resampled_objective(
    log_parts: LogParts,
    noise: Tensor,
    start: Tensor,
    *,
    count: int,
    at_once: int,
    weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""As `importance_objective`, with a gradient through few samples, drawn by their weights.

    .. math:: \nabla L_k = E_{i \sim w}[\nabla \log w_i], \quad w_i \text{ normalised}

    so the gradient's expectation is that of all samples.

    Args:
        log_parts: As there.
        noise: Standard normal, shape (K, B, D).
        start: Uniform on [0, 1), shape (B,): decides the draw.
        count: Samples that the gradient goes through.
        at_once: Samples whose parts are computed together.
        weight: As there.

    Returns:
        The bound's mean over the batch, in nats, and the loss, both scalars.

    Reference: Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519, Section 3. Deviation: drawn
    systematically, see `resample`.
    """
    with torch.no_grad():
        each = [log_parts(part) for part in noise.split(at_once)]
        fit, ratio = (torch.cat(values) for values in zip(*each, strict=True))  # (K, B)
    chosen = resample((fit - weight * ratio).softmax(dim=0), count, start)  # (count, B)
    kept = noise.gather(0, chosen[:, :, None].expand(-1, -1, noise.shape[2]))
    kept_fit, kept_ratio = log_parts(kept)
    return importance_bound(fit - ratio).mean(), -(kept_fit - weight * kept_ratio).mean()
