r"""Does each dimension of a code follow one factor of variation? Published answers.

They take codes z of shape (N, D) and the true factors v that were rendered, of shape (N, F).
Every score is in [0, 1], 1 for a code that is perfect in its sense; they reward different senses,
and their values are not comparable with each other. All arithmetic is in float64. Scores from
interventions on a factor are in :mod:`zoo.functional.interventions`.

The protocols (sample sizes, bins, classifiers) are those of Locatello et al. 2019,
arXiv:1811.12359; where they depart from the paper that proposed the score, the function says
so. Sampling and encoding live in :mod:`zoo.metrics.disentanglement`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "DCI",
    "check_factors",
    "dci_scores",
    "discretise",
    "live_units",
    "mig_score",
    "mutual_information",
    "sap_score",
    "squared_correlations",
]


class DCI(NamedTuple):
    """What :func:`dci_scores` returns, float64 scalars in [0, 1]."""

    disentanglement: Tensor
    """1 if each dimension of the code matters to one factor only."""
    completeness: Tensor
    """1 if each factor is told by one dimension of the code only."""


def _check_pair(codes: Tensor, factors: Tensor) -> None:
    """Raise unless codes (N, D) and integer factors (N, F) belong together."""
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise ValueError(
            "codes and factors must be (N, D) and (N, F) with one N, got shapes "
            f"{tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    if codes.numel() == 0 or factors.numel() == 0:
        raise ValueError(
            f"codes and factors are empty: shapes {tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    check_factors("factors", factors)


def check_factors(name: str, factors: Tensor) -> None:
    """Raise unless ``factors`` is a tensor of non-negative integers."""
    if factors.is_floating_point() or factors.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, got dtype {factors.dtype}")
    if int(factors.min()) < 0:
        raise ValueError(f"{name} must be non-negative, got a minimum of {int(factors.min())}")


def _top_two_gap(scores: Tensor) -> Tensor:
    """Best minus second-best dimension for each factor: (D, F) to (F,)."""
    if scores.ndim != 2 or scores.shape[0] < 2 or scores.shape[1] < 1:
        raise ValueError(
            "a gap needs a score for each of at least 2 dimensions and 1 factor, "
            f"got shape {tuple(scores.shape)}"
        )
    best = scores.topk(2, dim=0).values
    return best[0] - best[1]


def _entropy(shares: Tensor) -> Tensor:
    """Entropy in nats over the last axis, with 0 log 0 = 0."""
    return -torch.special.xlogy(shares, shares).sum(-1)


def discretise(codes: Tensor, num_bins: int = 20) -> Tensor:
    """Cut every dimension into bins of equal width, from its least to its largest value.

    Args:
        codes: Codes, shape (N, D), finite.
        num_bins: Number of bins per dimension.

    Returns:
        Bin of every entry, shape (N, D), int64 in [0, num_bins). The largest value belongs to
        the last bin; a constant dimension is in one bin.

    Raises:
        ValueError: If a code is not finite, or ``num_bins`` is below 1.

    Example:
        >>> discretise(torch.tensor([[0.0], [0.4], [0.5], [1.0]]), num_bins=2).squeeze(1)
        tensor([0, 0, 1, 1])
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    if codes.ndim != 2 or codes.numel() == 0:
        raise ValueError(f"codes must have shape (N, D), got shape {tuple(codes.shape)}")
    codes = codes.double()
    if not torch.isfinite(codes).all():
        raise ValueError(
            f"codes must be finite, got {int((~torch.isfinite(codes)).sum())} "
            f"of {codes.numel()} values that are not"
        )
    low, high = codes.amin(0), codes.amax(0)
    steps = torch.arange(num_bins, dtype=codes.dtype, device=codes.device)
    edges = low[:, None] + ((high - low) / num_bins)[:, None] * steps  # left edges, (D, bins)
    bins = torch.searchsorted(edges, codes.T.contiguous(), right=True).T - 1
    return torch.where(high > low, bins, torch.zeros_like(bins)).clamp(min=0)


def live_units(codes: Tensor, least: float = 0.01) -> Tensor:
    r"""Count the dimensions of a code that images move at all.

    .. math:: \#\{j : \mathrm{Var}_x\big(E_{q(z_j \mid x)}[z_j]\big) > \text{least}\}

    Args:
        codes: Posterior means in units of the prior's deviation, shape (N, D), N at least 2.
        least: Variance over the images that a live dimension exceeds.

    Returns:
        The number in [0, D], an int64 scalar.

    Raises:
        ValueError: If there is no variance to take.

    Reference: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, Section 5.2 (active units).
    Deviations: none.

    Example:
        >>> live_units(torch.tensor([[0.0, 0.00, 1.0], [1.0, 0.05, 1.0]]))
        tensor(1)
    """
    if codes.ndim != 2 or len(codes) < 2:
        raise ValueError(f"codes must have shape (N, D), N at least 2, got {tuple(codes.shape)}")
    return (codes.double().var(dim=0) > least).sum()


def mutual_information(codes: Tensor, factors: Tensor) -> Tensor:
    r"""Mutual information of every discrete code dimension with every factor.

    .. math:: I(z_j; v_k) = H(z_j) + H(v_k) - H(z_j, v_k)

    Plug-in estimate from counts: biased upwards by about (B - 1)(V - 1) / 2N nats.

    Args:
        codes: Discrete codes in [0, B), integers, shape (N, D).
        factors: Factors in [0, V), integers, shape (N, F).

    Returns:
        Mutual information in nats, shape (D, F), float64, at least 0.

    Raises:
        ValueError: If the lengths differ, or an entry is negative or no integer.

    Example:
        >>> v = torch.tensor([[0], [0], [1], [1]])
        >>> mutual_information(torch.cat([v, torch.tensor([[0], [1], [0], [1]])], dim=1), v)
        tensor([[0.6931],
                [0.0000]], dtype=torch.float64)
    """
    _check_pair(codes, factors)
    check_factors("discrete codes", codes)
    num_bins, num_values = int(codes.max()) + 1, int(factors.max()) + 1
    shape = (codes.shape[1], factors.shape[1], num_bins, num_values)
    pair = torch.arange(shape[0] * shape[1], device=codes.device).view(shape[:2])
    cell = codes.long()[:, :, None] * num_values + factors.long()[:, None, :]  # (N, D, F)
    cell = cell + pair * num_bins * num_values
    joint = torch.bincount(cell.flatten(), minlength=shape[0] * shape[1] * num_bins * num_values)
    joint = joint.view(shape).double() / len(codes)
    information = _entropy(joint.sum(3)) + _entropy(joint.sum(2)) - _entropy(joint.flatten(2))
    return information.clamp(min=0)


def mig_score(codes: Tensor, factors: Tensor, num_bins: int = 20) -> Tensor:
    r"""Mutual information gap.

    .. math::
        \frac1F \sum_k \frac{1}{H(v_k)}
        \Bigl( I(z_{j_k}; v_k) - \max_{j \ne j_k} I(z_j; v_k) \Bigr),
        \quad j_k = \arg\max_j I(z_j; v_k)

    Args:
        codes: One code per example, by custom the posterior mean, shape (N, D), D at least 2.
        factors: Factors, integers, shape (N, F).
        num_bins: Bins per dimension of the code.

    Returns:
        The score in [0, 1], a float64 scalar.

    Raises:
        ValueError: If the lengths differ, D is below 2, or a factor is constant.

    Reference: Chen et al. 2018, arXiv:1802.04942, Section 4.   Deviations: that paper
    integrates over q(z|x); this is the binned protocol of arXiv:1811.12359, which sees one
    value per example and so ignores posterior noise. The two are not interchangeable.

    Example:
        >>> v = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        >>> mig_score(v.float(), v)
        tensor(1., dtype=torch.float64)
    """
    _check_pair(codes, factors)
    information = mutual_information(discretise(codes, num_bins), factors)
    entropy = mutual_information(factors, factors).diagonal()
    if (entropy <= 0).any():
        constant = [k for k, value in enumerate(entropy.tolist()) if value <= 0]
        raise ValueError(f"factors must vary, but columns {constant} are constant")
    return (_top_two_gap(information) / entropy).mean()


def squared_correlations(codes: Tensor, factors: Tensor) -> Tensor:
    r"""Share of each factor's variance that a line in one code dimension explains.

    .. math:: R^2_{jk} = \frac{\mathrm{cov}(z_j, v_k)^2}{\mathrm{var}(z_j)\,\mathrm{var}(v_k)}

    Args:
        codes: Codes, shape (N, D).
        factors: Factors on an ordered scale, integers, shape (N, F).

    Returns:
        The squared correlations, shape (D, F), float64 in [0, 1]; 0 for a constant dimension
        (variance below 1e-12).

    Raises:
        ValueError: If the lengths differ, or a factor is constant.

    Example:
        >>> v = torch.tensor([[0], [1], [2]])
        >>> squared_correlations(1 - 2.0 * v, v)
        tensor([[1.]], dtype=torch.float64)
    """
    _check_pair(codes, factors)
    z, v = codes.double(), factors.double()
    z, v = z - z.mean(0), v - v.mean(0)
    z_variance, v_variance = z.square().mean(0), v.square().mean(0)
    if (v_variance == 0).any():
        constant = [k for k, value in enumerate(v_variance.tolist()) if value == 0]
        raise ValueError(f"factors must vary, but columns {constant} are constant")
    covariance = z.T @ v / len(z)
    squared = covariance.square() / (z_variance[:, None].clamp(min=1e-12) * v_variance)
    return torch.where(z_variance[:, None] > 1e-12, squared, torch.zeros_like(squared)).clamp(max=1)


def sap_score(scores: Tensor) -> Tensor:
    r"""Separated attribute predictability: how far the best dimension leads the second best.

    .. math:: \frac1F \sum_k \bigl( S_{(1)k} - S_{(2)k} \bigr)

    Args:
        scores: How well dimension j alone predicts factor k, shape (D, F), D at least 2:
            :func:`squared_correlations` for ordered factors, test accuracies of a linear
            classifier for categories. (With the latter even a perfect score stays below 1, as
            the second best dimension is right by chance.)

    Returns:
        The score in [0, 1], a float64 scalar.

    Raises:
        ValueError: If there are fewer than two dimensions.

    Reference: Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848, Section 3.
    Deviations: none.

    Example:
        >>> sap_score(torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.25, 0.0]]))
        tensor(0.6250, dtype=torch.float64)
    """
    return _top_two_gap(scores.double()).mean()


def dci_scores(importance: Tensor) -> DCI:
    r"""Disentanglement and completeness, from how much each dimension helps predict each factor.

    .. math::
        \mathcal D = \sum_j \rho_j \Bigl(1 - H_F\bigl(R_{j\cdot} / \textstyle\sum_k R_{jk}\bigr)
        \Bigr), \quad
        \mathcal C = \sum_k \sigma_k \Bigl(1 - H_D\bigl(R_{\cdot k} / \textstyle\sum_j R_{jk}
        \bigr)\Bigr)

    Here :math:`H_F` is the entropy to base F, and :math:`\rho_j` and :math:`\sigma_k` are the
    shares of row j and column k in the sum of R. A dimension that helps nobody weighs nothing.

    Args:
        importance: Importance R of dimension j for factor k, shape (D, F), both at least 2,
            non-negative.

    Returns:
        Disentanglement and completeness; both 0 if all importances are.

    Raises:
        ValueError: If there are fewer than two dimensions or factors, or an entry is negative.

    Reference: Eastwood & Williams 2018, "A framework for the quantitative evaluation of
    disentangled representations", ICLR, Section 2; weighted by importance in both directions,
    as in arXiv:1811.12359. (The importances of trees sum to 1 for every factor, which makes
    the weights of :math:`\mathcal C` equal.)

    Example:
        >>> disentanglement, completeness = dci_scores(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        >>> disentanglement.item(), completeness.item()
        (1.0, 0.0)
    """
    if importance.ndim != 2 or min(importance.shape) < 2:
        raise ValueError(
            "importance must be (D, F) with at least 2 dimensions and 2 factors, "
            f"got shape {tuple(importance.shape)}"
        )
    importance = importance.double()
    if not (torch.isfinite(importance).all() and (importance >= 0).all()):
        raise ValueError(
            "importance must be finite and non-negative, got values from "
            f"{importance.min().item():g} to {importance.max().item():g}"
        )

    def concentration(rows: Tensor) -> Tensor:
        total = rows.sum(1, keepdim=True)
        shares = rows / torch.where(total > 0, total, torch.ones_like(total))
        base = torch.tensor(rows.shape[1], dtype=rows.dtype, device=rows.device)
        weight = (total / total.sum().clamp(min=torch.finfo(rows.dtype).tiny)).squeeze(1)
        return (weight * (1 - _entropy(shares) / base.log())).sum().clamp(0, 1)

    return DCI(concentration(importance), concentration(importance.T))
