"""What GEL weights say about a model: lost modes, imbalance, collapse inside a class, odd samples.

All functions read weights that sum to 1 over a labelled sample set, as
`zoo.functional.gel.one_sample` returns them, and never look at the moments.  NaN weights (an
infeasible problem) give NaN.

Reference: Ravuri et al. 2023, arXiv:2306.09780.   Deviations: the threshold 0.25 for a dropped
mode and the diversity measures are the zoo's own; truly dropped modes kept ratios up to 0.2 in
balanced ten-mode tests, because smooth moments leak mass between neighbours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "IntraClassDiversity",
    "collapsed_modes",
    "dropped_modes",
    "effective_share",
    "extreme_samples",
    "hellinger",
    "intra_class_diversity",
    "mode_mass",
    "rare_modes",
]


class IntraClassDiversity(NamedTuple):
    """Spread of the weights inside each class; every field has shape (K,), NaN if absent."""

    divergence: Tensor  # of the weights within the class from uniform, nats
    ess: Tensor  # effective sample size over class size, in (0, 1]
    entropy_ratio: Tensor  # entropy over ln(class size), in [0, 1]


def mode_mass(weights: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    r"""Sum the weights of each label.

    .. math:: mass_k = \sum_{i: y_i = k} \pi_i

    Args:
        weights: Shape (n,).
        labels: Shape (n,), integers in [0, num_classes).
        num_classes: K.

    Returns:
        Masses, shape (K,), float64; may be negative for the Euclidean objective.

    Raises:
        ValueError: if shapes differ or a label is out of range.

    Example:
        >>> mode_mass(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0, 1, 0]), 2)
        tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    _check(weights, labels, num_classes)
    mass = torch.zeros(num_classes, dtype=torch.float64, device=weights.device)
    return mass.index_add_(0, labels, weights.detach().to(torch.float64))


def dropped_modes(mass: Tensor, share: Tensor, threshold: float = 0.25) -> Tensor:
    """Flag modes whose mass fell below a fraction of their share of the test set.

    Args:
        mass: Reweighted masses, shape (K,).
        share: Label frequencies of the test set, shape (K,).
        threshold: Flag mass / share below this.

    Returns:
        Boolean, shape (K,); False where the test set lacks the mode or the mass is NaN.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> dropped_modes(torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.5]))
        tensor([False,  True])
    """
    if mass.shape != share.shape:
        raise ValueError(f"mass has shape {tuple(mass.shape)}, share {tuple(share.shape)}.")
    return (share > 0) & (mass < threshold * share)


def rare_modes(mass: Tensor, share: Tensor, below: float = 0.6, above: float = 0.25) -> Tensor:
    """Flag modes that are there, but have clearly less mass than their share.

    Args:
        mass: Reweighted masses, shape (K,).
        share: Label frequencies of the test set, shape (K,).
        below: Flag mass / share below this,
        above: and not below this, where `dropped_modes` speaks.

    Returns:
        Boolean, shape (K,).

    Example:
        >>> rare_modes(torch.tensor([0.6, 0.2, 0.2]), torch.tensor([0.3, 0.2, 0.5]))
        tensor([False, False,  True])
    """
    return dropped_modes(mass, share, below) & ~dropped_modes(mass, share, above)


def collapsed_modes(ess: Tensor, ess_of_real: Tensor, threshold: float = 0.6) -> Tensor:
    """Flag classes whose samples vary less than unseen real images of the class do.

    Args:
        ess: Effective sample size over class size of the model, shape (K,).
        ess_of_real: The same of real images in the place of the model's, shape (K,).
        threshold: Flag ratios below this.

    Returns:
        Boolean, shape (K,); False where either is NaN.

    Example:
        >>> collapsed_modes(torch.tensor([0.1, 0.5]), torch.tensor([0.5, 0.5]))
        tensor([ True, False])
    """
    return ess < threshold * ess_of_real


def hellinger(p: Tensor, q: Tensor) -> float:
    r"""Hellinger distance of two vectors of masses.

    .. math:: H(p, q) = \sqrt{1 - \sum_k \sqrt{p_k q_k}}

    Args:
        p: Masses, shape (K,); negative ones count as zero, then the vector is normalised.
        q: Same.

    Returns:
        Distance in [0, 1]; NaN if either vector holds NaN.

    Raises:
        ValueError: if the shapes differ or a vector has no positive mass.

    Example:
        >>> hellinger(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]))
        1.0
    """
    if p.shape != q.shape or p.ndim != 1:
        raise ValueError(
            f"masses must share one shape (K,), got {tuple(p.shape)}, {tuple(q.shape)}."
        )
    if bool(p.isnan().any() | q.isnan().any()):
        return math.nan
    p, q = (v.detach().to(torch.float64).clamp(min=0) for v in (p, q))
    if not (float(p.sum()) > 0 and float(q.sum()) > 0):
        raise ValueError(f"masses need a positive sum, got {p.tolist()} and {q.tolist()}.")
    # 1 - Σ√(pq) = Σ(√p - √q)² / 2, without the cancellation when p is close to q.
    gap = (p / p.sum()).sqrt() - (q / q.sum()).sqrt()
    return math.sqrt(gap.square().sum().item() / 2)


def effective_share(weights: Tensor) -> float:
    r"""Effective sample size of weights over their number.

    .. math:: \frac{1}{n \sum_i \pi_i^2}, \quad \textstyle\sum_i \pi_i = 1

    Args:
        weights: Shape (n,), with a positive sum.

    Returns:
        A share in (0, 1], NaN for NaN weights.

    Example:
        >>> effective_share(torch.tensor([0.5, 0.5, 0.0, 0.0]))
        0.5
    """
    own = weights.detach().to(torch.float64)
    own = own / own.sum()
    return float(1 / (len(own) * own.square().sum()))


def intra_class_diversity(
    weights: Tensor, labels: Tensor, num_classes: int, objective: str = "et"
) -> IntraClassDiversity:
    r"""Measure how evenly the weights of a class spread over its n_k samples.

    .. math::
        ESS_k = \frac{1}{n_k \sum_i \pi_{i|k}^2}, \qquad
        H_k = \frac{-\sum_i \pi_{i|k} \ln \pi_{i|k}}{\ln n_k}

    with :math:`\pi_{i|k}` the weights normalised inside the class.  A low value beside a correct
    class mass means collapse within the class.

    Args:
        weights: Shape (n,), joint or class-conditional.
        labels: Shape (n,), integers in [0, num_classes).
        num_classes: K.
        objective: Which divergence to report: "et", "el" or "euclidean".

    Returns:
        Divergence, ESS and entropy ratio per class.  NaN where the class is absent, has NaN
        weights or no positive mass.  Negative weights count as zero in the entropy alone; a
        class of one sample has entropy ratio 1.

    Raises:
        ValueError: if shapes differ, a label is out of range or the objective is unknown.

    Example:
        >>> weights, labels = torch.tensor([0.25, 0.25, 0.5, 0.0]), torch.tensor([0, 0, 1, 1])
        >>> intra_class_diversity(weights, labels, 2).ess
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    if objective not in ("et", "el", "euclidean"):
        raise ValueError(f"objective must be et, el or euclidean, got {objective!r}.")
    _check(weights, labels, num_classes)
    out = torch.full((3, num_classes), math.nan, dtype=torch.float64, device=weights.device)
    for k in labels.unique().tolist():
        own = weights[labels == k].detach().to(torch.float64)
        if not float(own.sum()) > 0:
            continue
        n, own = len(own), own / own.sum()
        entropy = torch.special.entr(own.clamp(min=0) / own.clamp(min=0).sum()).sum()
        if objective == "et":
            out[0, k] = torch.xlogy(own, n * own).sum().clamp(min=0)
        elif objective == "el":
            out[0, k] = -(n * own).log().mean()
        else:
            out[0, k] = n * (own - 1 / n).square().sum()
        out[1, k] = effective_share(own)
        out[2, k] = entropy / math.log(n) if n > 1 else 1.0
    return IntraClassDiversity(*out)


def extreme_samples(weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Find the samples with the lowest and with the highest weights.

    Args:
        weights: Shape (n,).
        count: How many of each; at most n are returned.

    Returns:
        Indices, lowest weight first, and indices, highest weight first.

    Example:
        >>> extreme_samples(torch.tensor([0.2, 0.1, 0.7]), 1)
        (tensor([1]), tensor([2]))
    """
    order = weights.argsort(stable=True)
    count = min(count, len(weights))
    return order[:count], order.flip(0)[:count]


def _check(weights: Tensor, labels: Tensor, num_classes: int) -> None:
    if weights.ndim != 1 or labels.shape != weights.shape or labels.is_floating_point():
        raise ValueError(
            f"weights and integer labels must share one shape (n,), got {tuple(weights.shape)} "
            f"and {tuple(labels.shape)} of {labels.dtype}."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"labels must lie in [0, {num_classes}), got {int(labels.min())}..{int(labels.max())}."
        )
