"""Laws of pixels given those before them, and the shared-weight conditionals of NADE."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from zoo.functional.likelihood import logistic_bin_log_prob

__all__ = [
    "categorical_log_prob",
    "draw_categorical",
    "draw_logistic_mixture",
    "logistic_mixture_log_prob",
    "nade_logits",
    "to_levels",
]

CHUNK = 28  # pixels whose hidden units are computed at once; more only costs memory
LEAST_LOG_SCALE = -7.0  # narrower logistic laws than this are one grey level wide anyway


# ---------------------------------------------------------------- grey levels


def to_levels(x: Tensor, levels: int) -> Tensor:
    """Rounds pixels in [0, 1] to the nearest of so many grey levels.

    Returns:
        Levels 0..levels - 1 of the shape of x, int64.

    Example:
        >>> to_levels(torch.tensor([0.0, 0.4, 1.0]), 2)
        tensor([0, 0, 1])
    """
    return (x * (levels - 1)).round().long().clamp(0, levels - 1)


def categorical_log_prob(level: Tensor, logits: Tensor) -> Tensor:
    """Computes the log-probability of grey levels, each with a logit of its own.

    Args:
        level: Levels 0..L - 1, int64, shape (...).
        logits: Shape (..., L).

    Returns:
        Nats per element, shape (...); counting measure on the levels.

    Reference: van den Oord et al. 2016, arXiv:1601.06759, Section 3.4. Deviations: none.

    Example:
        >>> categorical_log_prob(torch.tensor([1]), torch.zeros(1, 4))  # -log 4
        tensor([-1.3863])
    """
    return logits.log_softmax(dim=-1).gather(-1, level[..., None])[..., 0]


def draw_categorical(logits: Tensor, u: Tensor) -> Tensor:
    """Draws levels by inverting their distribution function.

    Args:
        logits: Shape (..., L).
        u: Uniform on [0, 1), shape (...).

    Returns:
        Levels 0..L - 1, shape (...), int64.

    Example:
        >>> draw_categorical(torch.tensor([0.5, 0.25, 0.25]).log(), torch.tensor(0.6))
        tensor(1)
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    return (cumulative <= u[..., None]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)


# ---------------------------------------------------------------- mixtures of logistic laws


def split_mixture(params: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cuts parameters, shape (..., K (1 + 2C + C(C-1)/2)), into those of a mixture.

    Returns:
        Log-weights of the K components, shape (..., K); means and log scales of each channel, and
        coefficients of pairs of channels, shape (..., C, K) and (..., C(C-1)/2, K).
    """
    pairs = channels * (channels - 1) // 2
    parts = params.unflatten(-1, (1 + 2 * channels + pairs, -1))
    weight, mean, log_scale, pair = parts.split([1, channels, channels, pairs], dim=-2)
    log_scale = log_scale.clamp(min=LEAST_LOG_SCALE)
    return weight[..., 0, :].log_softmax(dim=-1), mean, log_scale, pair.tanh()


def _conditional_mean(mean: Tensor, pair: Tensor, before: Tensor, channel: int) -> Tensor:
    """Moves a channel's means by the channels before it, shape (..., c) in [0, 1]."""
    first = channel * (channel - 1) // 2
    own = pair[..., first : first + channel, :]  # (..., c, K)
    return mean[..., channel, :] + (own * (2 * before[..., None] - 1)).sum(dim=-2) / 2


def logistic_mixture_log_prob(x: Tensor, params: Tensor, levels: int = 256) -> Tensor:
    r"""Computes the log-probability of a pixel's grey levels under a mixture of logistic laws.

    .. math:: p(x) = \sum_k \pi_k \prod_c
              \Big[\sigma\Big(\frac{x_c + h - \mu_{ck}}{s_{ck}}\Big)
              - \sigma\Big(\frac{x_c - h - \mu_{ck}}{s_{ck}}\Big)\Big]

    where a channel's mean is linear in the channels before it, with coefficients of its own for
    every component: mu_ck + sum_{j<c} tanh(a_cjk) (x_j - 1/2).

    Args:
        x: Grey levels in [0, 1], multiples of 1 / (levels - 1), shape (..., C).
        params: For each of K components its logit, C means, C log scales and C(C-1)/2
            coefficients, in the units of x, shape (..., K (1 + 2C + C(C-1)/2)), K fastest.
        levels: Number of grey levels.

    Returns:
        Nats per pixel, shape (...); counting measure on the levels of all channels.

    Reference: Salimans, Karpathy, Chen, Kingma 2017, arXiv:1701.05517.
    Deviations: pixels in [0, 1]; channels around their middle, 1/2, in the means.

    Example:
        >>> params = torch.tensor([[0.0, 0.3, -2.0]])  # one component, one channel
        >>> x = torch.linspace(0, 1, 256)[:, None]
        >>> round(float(logistic_mixture_log_prob(x, params).exp().sum()), 4)
        1.0
    """
    channels = x.shape[-1]
    total, mean, log_scale, pair = split_mixture(params, channels)
    for c in range(channels):
        centre = _conditional_mean(mean, pair, x[..., :c], c)
        total = total + logistic_bin_log_prob(
            x[..., c : c + 1], centre, log_scale[..., c, :], levels
        )
    return total.logsumexp(dim=-1)


def draw_logistic_mixture(
    params: Tensor, u: Tensor, levels: int = 256, given: Tensor | None = None
) -> Tensor:
    """Draws a pixel's grey levels from a mixture of logistic laws.

    Args:
        params: As for `logistic_mixture_log_prob`.
        u: Uniform on (0, 1), shape (..., 1 + C): for the component, then for each channel.
        levels: Number of grey levels.
        given: Channels that are known in [0, 1], the unknown ones negative, shape (..., C). What
            is drawn depends on known channels before it, but the component on none.

    Returns:
        Grey levels in [0, 1], shape (..., C).
    """
    log_weight, mean, log_scale, pair = split_mixture(params, u.shape[-1] - 1)
    k = draw_categorical(log_weight, u[..., 0])[..., None]
    x = u[..., :0]
    for c in range(u.shape[-1] - 1):
        centre = _conditional_mean(mean, pair, x, c).gather(-1, k)[..., 0]
        scale = log_scale[..., c, :].gather(-1, k)[..., 0].exp()
        value = centre + scale * torch.logit(u[..., c + 1], eps=1e-7)
        value = to_levels(value, levels).to(u.dtype) / (levels - 1)
        if given is not None:
            value = torch.where(given[..., c] >= 0, given[..., c], value)
        x = torch.cat([x, value[..., None]], dim=-1)
    return x


# ---------------------------------------------------------------- NADE


def nade_logits(
    x: Tensor, w: Tensor, v: Tensor, b: Tensor, c: Tensor, activation: str = "sigmoid"
) -> Tensor:
    r"""Computes the log-odds of all pixels given those before them, with NADE's shared weights.

    .. math:: l_d = b_d + V_d \cdot \phi\Big(c + \sum_{j<d} x_j W_j\Big)

    Hidden units change at pixels of value 1 only, a few in each chunk of pixels, so they are
    computed once for every stretch between two of these; a product with all V of the chunk then
    holds the log-odds. The backward pass computes hidden units again instead of keeping them.

    Args:
        x: Pixels, 0 or 1, shape (B, D).
        w: Weights W of the pixels as inputs, shape (D, H).
        v: Weights V of the pixels as outputs, shape (D, H).
        b: Offsets of the pixels, shape (D,) or (B, D).
        c: Offsets of the hidden units, shape (H,) or (B, H).
        activation: The nonlinearity phi, ``sigmoid`` or ``relu``.

    Returns:
        Log-odds, shape (B, D).

    Reference: Larochelle & Murray 2011, The Neural Autoregressive Distribution Estimator.
    Deviations: none.
    """
    carried = c.expand(len(x), -1)
    logits = []
    for part, w_part, v_part in zip(x.split(CHUNK, 1), w.split(CHUNK), v.split(CHUNK), strict=True):
        stretches = int(part.sum(dim=1).max()) + 1
        arguments = part, carried, w_part, v_part, stretches, activation
        logits.append(checkpoint(_nade_chunk, *arguments, use_reentrant=False))
        carried = carried + part @ w_part
    return torch.cat(logits, dim=1) + b


def _nade_chunk(
    x: Tensor, carried: Tensor, w: Tensor, v: Tensor, stretches: int, activation: str
) -> Tensor:
    ones_before = (x.cumsum(dim=1) - x)[:, None]  # (B, 1, S)
    stretch = torch.arange(stretches, device=x.device)[:, None]  # (R, 1)
    seen = x[:, None] * (ones_before < stretch)  # (B, R, S): the ones before each stretch
    inner = seen @ w  # (B, R, H), in the number format of the matrix units
    inner = inner + carried[:, None].to(inner.dtype)
    h = inner.sigmoid() if activation == "sigmoid" else inner.relu()
    return ((h @ v.T) * (ones_before == stretch)).sum(dim=1).to(x.dtype)
