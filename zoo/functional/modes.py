r"""How many modes a sampler reaches, how evenly, how widely, and how many samples belong to any.

All statistics are functions of the counts :math:`n_k` of samples per mode, shape (K,), and of sums
over them, which add up over batches and processes. On a Gaussian mixture, a sample belongs to a
mode by its distance; on images, by the class that a recognition network gives it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Balance",
    "Coverage",
    "Moments",
    "class_balance",
    "mode_counts",
    "mode_coverage",
    "mode_kl",
    "mode_moments",
    "mode_spread",
]


class Coverage(NamedTuple):
    """What :func:`mode_coverage` returns."""

    captured: Tensor
    """Number of modes with at least one high-quality sample, an int64 scalar."""
    high_quality: Tensor
    """Share of the samples that are of high quality, in [0, 1], a float64 scalar."""
    counts: Tensor
    """High-quality samples of each mode, shape (K,), int64."""


class Moments(NamedTuple):
    """What :func:`mode_moments` returns: sums over the high-quality samples of each mode."""

    counts: Tensor
    """Their number, shape (K,), int64."""
    offsets: Tensor
    """Sum of their distances from the centre in standard deviations, shape (K, D), float64."""
    squares: Tensor
    """Sum of the squared lengths of these, shape (K,), float64."""


class Balance(NamedTuple):
    """What :func:`class_balance` returns."""

    ratio: Tensor
    """Share of each class over its share in the reference, shape (K,), float64."""
    worst: Tensor
    """The largest factor by which a class is over- or under-represented, at least 1."""
    total_variation: Tensor
    """Total variation distance of the two laws, in [0, 1]."""


def _shares(name: str, weights: Tensor) -> Tensor:
    """Normalise non-negative weights of shape (K,) to float64 shares that sum to 1."""
    if weights.ndim != 1 or len(weights) == 0:
        raise ValueError(f"{name} must have shape (K,), got shape {tuple(weights.shape)}")
    shares = weights.double()
    if not (torch.isfinite(shares).all() and (shares >= 0).all()):
        raise ValueError(
            f"{name} must be finite and non-negative, got values from "
            f"{weights.min().item():g} to {weights.max().item():g}"
        )
    total = shares.sum()
    if total == 0:
        raise ValueError(f"{name} of {len(weights)} modes are empty: they sum to 0")
    return shares / total


def mode_counts(samples: Tensor, centres: Tensor, sigma: float, within: float = 3.0) -> Tensor:
    r"""Count the high-quality samples of each mode of an isotropic Gaussian mixture.

    .. math::
        n_k = \#\{i : k = \arg\min_j \lVert x_i - c_j \rVert,\
        \lVert x_i - c_k \rVert \le \text{within} \cdot \sigma\}

    Args:
        samples: Samples x, shape (N, D), floating point. One that is not finite belongs to no
            mode.
        centres: Centres c of the modes, shape (K, D).
        sigma: Standard deviation of every mode along each axis.
        within: Radius that still counts as high quality, in standard deviations.

    Returns:
        High-quality samples of each mode, shape (K,), int64.

    Raises:
        ValueError: If the dimensions differ, nothing was sampled, or a radius is not positive.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
        >>> samples = torch.tensor([[0.1, 0.0], [2.0, 0.2], [1.9, 0.0], [1.0, 0.0]])
        >>> mode_counts(samples, centres, sigma=0.1)
        tensor([1, 2])
    """
    mode, near = _nearest(samples, centres, sigma, within)
    return torch.bincount(mode[near], minlength=len(centres))


def mode_moments(samples: Tensor, centres: Tensor, sigma: float, within: float = 3.0) -> Moments:
    """Sum up where the high-quality samples of each mode lie, for :func:`mode_spread`.

    Args:
        samples: Samples, shape (N, D), floating point.
        centres: Centres of the modes, shape (K, D).
        sigma: Standard deviation of every mode along each axis.
        within: Radius that still counts as high quality, in standard deviations.

    Returns:
        Counts and sums per mode; those of several batches may be added.

    Raises:
        ValueError: As :func:`mode_counts`.
    """
    mode, near = _nearest(samples, centres, sigma, within)
    mode = mode[near]
    offset = (samples[near].double() - centres.to(samples).double()[mode]) / sigma
    sums = offset.new_zeros(centres.shape).index_add_(0, mode, offset)
    squares = offset.new_zeros(len(centres)).index_add_(0, mode, offset.square().sum(dim=1))
    return Moments(torch.bincount(mode, minlength=len(centres)), sums, squares)


def mode_spread(moments: Moments, within: float = 3.0) -> Tensor:
    r"""Compare the spread of the samples inside their modes with that of the true law.

    .. math::
        \sqrt{\frac{\sum_k \sum_{i \in k} \lVert x_i - \bar x_k \rVert^2}
        {D \sigma^2 c \sum_k (n_k - 1)}}, \quad
        c = \frac{P(\chi^2_{D+2} \le w^2)}{P(\chi^2_D \le w^2)}

    about the samples' own mean in each mode, so that a point is a point wherever it lies. Only
    samples within w standard deviations belong to a mode, and c is the variance that a normal
    law has there. Shares of high quality reward a sampler that collapses inside its modes.

    Args:
        moments: Sums over the samples of each mode, in standard deviations.
        within: The radius w that they were taken with.

    Returns:
        1 for perfect samples, 0 for one point per mode; a float64 scalar.

    Raises:
        ValueError: If no mode has two samples.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
        >>> points = torch.tensor([[0.01, 0.0], [0.01, 0.0], [2.0, 0.0], [2.0, 0.0]])
        >>> round(mode_spread(mode_moments(points, centres, sigma=0.05)).item(), 4)
        0.0
    """
    counts, offsets, squares = (part.double() for part in moments)
    freedom = (counts - 1).clamp(min=0).sum()
    if freedom == 0:
        raise ValueError("no mode has two samples of high quality: their spread is unknown")
    about_mean = squares - offsets.square().sum(dim=1) / counts.clamp(min=1)
    half = torch.tensor(offsets.shape[1] / 2, dtype=torch.float64)
    reach = torch.tensor(within**2 / 2, dtype=torch.float64)
    truncated = torch.special.gammainc(half + 1, reach) / torch.special.gammainc(half, reach)
    variance = about_mean.clamp(min=0).sum() / (offsets.shape[1] * freedom)
    return (variance / truncated.to(variance)).sqrt()


def _nearest(
    samples: Tensor, centres: Tensor, sigma: float, within: float
) -> tuple[Tensor, Tensor]:
    """Return each sample's nearest mode, and whether it is near enough to belong to it."""
    if samples.ndim != 2 or centres.ndim != 2 or samples.shape[1] != centres.shape[1]:
        raise ValueError(
            "samples and centres must be (N, D) and (K, D) with one D, got shapes "
            f"{tuple(samples.shape)} and {tuple(centres.shape)}"
        )
    if len(samples) == 0 or len(centres) == 0:
        raise ValueError(f"got {len(samples)} samples and {len(centres)} centres: need both")
    if not samples.is_floating_point():
        raise ValueError(f"samples must be floating point, got dtype {samples.dtype}")
    if not (sigma > 0 and within > 0):
        raise ValueError(f"sigma and within must be positive, got {sigma} and {within}")
    if samples.dtype in (torch.float16, torch.bfloat16):  # which round the centres' places, too
        samples = samples.float()
    # The product form of the distance cancels for samples near a centre: take differences.
    distance = torch.cdist(
        samples, centres.to(samples), compute_mode="donot_use_mm_for_euclid_dist"
    )
    nearest, mode = distance.min(dim=1)
    return mode, nearest <= within * sigma


def mode_coverage(samples: Tensor, centres: Tensor, sigma: float, within: float = 3.0) -> Coverage:
    r"""Report the modes captured and the share of high-quality samples of a mixture model.

    A sample is of high quality if it lies within three standard deviations of the nearest
    centre; a mode is captured if it is nearest to at least one such sample. Perfect samples
    are not all of high quality: in D = 2, a share of :math:`1 - e^{-9/2} = .9889` is. With
    more dimensions the radius must grow (VEEGAN takes 10 for its 1200-dimensional mixture).

    Args:
        samples: Samples, shape (N, D), floating point.
        centres: Centres of the modes, shape (K, D).
        sigma: Standard deviation of every mode along each axis.
        within: Radius that still counts as high quality, in standard deviations.

    Returns:
        The number captured, the share of high quality, and the counts per mode.

    Raises:
        ValueError: As :func:`mode_counts`.

    Reference: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761; Lin et al. 2018 (PacGAN),
    arXiv:1712.04086: 25 modes 2 apart, sigma .05.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
        >>> samples = torch.tensor([[0.1, 0.0], [2.0, 0.2], [1.9, 0.0], [1.0, 0.0]])
        >>> captured, high_quality, counts = mode_coverage(samples, centres, sigma=0.1)
        >>> captured.item(), high_quality.item(), counts.tolist()
        (2, 0.75, [1, 2, 0])
    """
    counts = mode_counts(samples, centres, sigma, within)
    return Coverage((counts > 0).sum(), counts.sum().double() / len(samples), counts)


def mode_kl(counts: Tensor, target: Tensor | None = None) -> Tensor:
    r"""Divergence of the generated law over modes from the true one.

    .. math:: \mathrm{KL}(p \,\Vert\, q) = \sum_k p_k \log \frac{p_k}{q_k},
        \quad p_k = n_k / \textstyle\sum_j n_j

    The modes that are missed add nothing by themselves; a uniform p on M of K equal modes has
    a divergence of log(K / M). Nor does a perfect sampler reach 0 with finitely many samples:
    it has about (K - 1) / 2N nats, .019 for the 26 000 samples on 1000 modes of the protocol.

    Args:
        counts: Generated samples per mode, shape (K,), non-negative.
        target: Counts or shares of the true law, shape (K,); uniform if not given.

    Returns:
        The divergence in nats, at least 0, infinite if a mode was generated that has no share
        in the target; a float64 scalar.

    Raises:
        ValueError: If a law is empty or negative, or the lengths differ.

    Reference: Metz et al. 2017 (unrolled GAN), arXiv:1611.02163, and Srivastava et al. 2017
    (VEEGAN), arXiv:1705.07761: stacked MNIST, 1000 modes named by a digit classifier.

    Example:
        >>> mode_kl(torch.tensor([5, 5, 0, 0]))  # log 2
        tensor(0.6931, dtype=torch.float64)
    """
    generated = _shares("counts", counts)
    true = _shares("target", torch.ones_like(generated) if target is None else target)
    if generated.shape != true.shape:
        raise ValueError(
            f"counts and target must have one length, got {len(generated)} and {len(true)}"
        )
    ratio = generated / torch.where(generated > 0, true, torch.ones_like(true))
    return torch.special.xlogy(generated, ratio).sum().clamp(min=0)


def class_balance(counts: Tensor, reference: Tensor) -> Balance:
    r"""Compare the shares of the classes among the samples with those of a reference.

    .. math::
        r_k = \frac{p_k}{q_k}, \quad \max_k \max(r_k, 1 / r_k), \quad
        \tfrac12 \sum_k |p_k - q_k|

    Args:
        counts: Samples per class, shape (K,), non-negative.
        reference: Counts or shares of the reference, shape (K,), non-negative.

    Returns:
        The ratio per class (1 for a class that both lack), the worst factor (infinite for a
        class that only one has), and the total variation distance.

    Raises:
        ValueError: If a law is empty or negative, or the lengths differ.

    Example:
        >>> balance = class_balance(torch.tensor([10, 30]), torch.tensor([50, 50]))
        >>> balance.ratio.tolist(), balance.worst.item(), balance.total_variation.item()
        ([0.5, 1.5], 2.0, 0.25)
    """
    generated, true = _shares("counts", counts), _shares("reference", reference)
    if generated.shape != true.shape:
        raise ValueError(
            f"counts and reference must have one length, got {len(generated)} and {len(true)}"
        )
    ratio = torch.where((generated == 0) & (true == 0), torch.ones_like(true), generated / true)
    worst = torch.maximum(ratio, 1 / ratio).max()
    return Balance(ratio, worst, (generated - true).abs().sum() / 2)
