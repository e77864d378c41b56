"""Generalised empirical likelihood (GEL): how must the test set be reweighted to look generated?

Keep the N test samples and look for weights with Σπ_i = 1 whose moments equal the model's,
Σπ_i m(x_i) = c, while staying as close to 1/N as possible.  Weights near zero mark real samples
that the model does not cover, and the distance from uniform is the score (a divergence, >= 0):

=========  =========================  ===============================
objective  divergence D (nats)        optimal weights
=========  =========================  ===============================
et         Σ π_i ln(N π_i)            π_i ∝ exp(λ·g_i)
el         -(1/N) Σ ln(N π_i)         π_i = 1 / (N (1 + λ·g_i))
euclidean  N Σ (π_i - 1/N)²           π_i = (1 - (m_i - mean)·λ) / N
=========  =========================  ===============================

with g_i = m(x_i) - c.  Everything runs in float64 and draws no random numbers.  One, two and
many samples are told in one file, because their results and baselines are compared.

Reference: Ravuri et al. 2023, arXiv:2306.09780.  Deviations: infeasibility is certified by a
separating hyperplane instead of an approximate hull test; moments are whitened with rank
detection, so dependent moments are harmless; unequal sizes work in every two-sample objective.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.functional.checks import check_one_of
from zoo.functional.gel.metrics import (
    IntraClassDiversity,
    dropped_modes,
    extreme_samples,
    hellinger,
    intra_class_diversity,
    mode_mass,
)
from zoo.functional.gel.moments import (
    KERNELS,
    check_finite,
    check_labels,
    check_matrix,
    class_kernel_moments,
    kernel_moment_mean,
    kernel_moments,
    label_conditioned_moments,
)
from zoo.functional.gel.solver import Space, minimise_dual, whiten

__all__ = [
    "KERNELS",
    "OBJECTIVES",
    "GELResult",
    "IntraClassDiversity",
    "PerClassGELResult",
    "TwoSampleGELResult",
    "class_kernel_moments",
    "dropped_modes",
    "extreme_samples",
    "gel_one_sample",
    "gel_per_class",
    "gel_two_sample",
    "hellinger",
    "intra_class_diversity",
    "kernel_moment_mean",
    "kernel_moments",
    "label_conditioned_moments",
    "mode_mass",
]

OBJECTIVES = ("et", "el", "euclidean")

_RESIDUAL = 1e-6  # largest whitened moment error (and mass error) that may be called solved


class GELResult(NamedTuple):
    """Outcome of the one-sample problem; `weights` follow the row order of the test moments."""

    status: str  # "solved", "infeasible", or "undecided" where only rounding tells
    weights: Tensor  # (N,), sums to 1; NaN unless solved
    divergence: float  # nats, >= 0; +inf when infeasible, NaN when undecided
    residual: float  # whitened moment error at the last iterate (inf: target off the affine span)
    iterations: int
    rank: int  # linearly independent moments
    baseline: float | None  # divergence expected from a perfect model (needs target_count)
    mode_mass: Tensor | None = None  # (K,), filled by metrics that saw labels
    mode_share: Tensor | None = None  # (K,), label frequencies of the test set
    ids: Tensor | None = None  # (N,), sample ids in the order of the weights, if any were given


class TwoSampleGELResult(NamedTuple):
    """Outcome of the two-sample problem; the divergence is the sum of its two parts."""

    status: str
    model_weights: Tensor  # (N,), low: spurious generated samples
    test_weights: Tensor  # (M,), low: real samples not covered
    divergence: float
    model_divergence: float
    test_divergence: float
    residual: float
    iterations: int
    rank: int
    baseline: float | None
    model_mode_mass: Tensor | None = None
    test_mode_mass: Tensor | None = None


class PerClassGELResult(NamedTuple):
    """One problem per class, and the label-conditioned problem that they add up to."""

    status: str  # of the label-conditioned problem
    weights: Tensor  # (N,), label-conditioned weights, sum 1
    conditional_weights: Tensor  # (N,), sum 1 within each solved class, NaN elsewhere
    divergence: float  # of the label-conditioned problem
    class_divergence: Tensor  # (K,), NaN where a side has no sample of the class
    model_share: Tensor  # (K,)
    test_share: Tensor  # (K,)
    classes: tuple[GELResult | None, ...]


def gel_one_sample(
    test_moments: Tensor,
    target: Tensor,
    objective: str = "et",
    *,
    target_count: int | None = None,
    rtol: float | None = None,
) -> GELResult:
    r"""Reweight the test samples so that their mean moments equal the target.

    .. math:: \min_\pi D(\pi) \;\text{s.t.}\; \sum_i \pi_i = 1,\ \sum_i \pi_i m(x_i) = c

    Args:
        test_moments: Moments m(x_i) of the test samples, shape (N, q).
        target: Mean moments c of the model, shape (q,).
        objective: "et" (exponential tilting), "el" (empirical likelihood) or "euclidean".
        target_count: Number M of model samples behind the target; fills `baseline`, about
            (rank/2)(1/N + 1/M), twice that for "euclidean".
        rtol: Singular values below rtol times the largest count as zero; None chooses 1e-10, or
            1e-6 if either input has fewer than 64 bits.

    Returns:
        The result.  "solved" implies a whitened residual below 1e-6; a target that no admissible
        weights can reach (outside the hull; for "el" also on its boundary; for every objective
        off the affine span) gives "infeasible", never an exception; "undecided" says that it
        lies nearer to a face of the hull than the moments' digits tell.

    Raises:
        ValueError: on empty, non-finite or mismatched input, or an unknown objective.

    Reference: arXiv:2306.09780.   Deviations: see the module docstring.

    Example:
        >>> result = gel_one_sample(torch.tensor([[0.0], [1.0]]), torch.tensor([0.25]))
        >>> result.status, result.weights
        ('solved', tensor([0.7500, 0.2500], dtype=torch.float64))
    """
    check_one_of("objective", objective, OBJECTIVES)
    check_matrix("test_moments", test_moments)
    if target.shape != test_moments.shape[1:]:
        raise ValueError(
            f"target must have shape ({test_moments.shape[1]},) to match test_moments, "
            f"got {tuple(target.shape)}."
        )
    check_finite("target", target)
    if target_count is not None and target_count < 1:
        raise ValueError(f"target_count must be at least 1, got {target_count}.")
    n = len(test_moments)
    space = whiten([test_moments], target, rtol)
    rank = space.rows[0].shape[1]
    baseline = _baseline(objective, rank / 2, n, target_count)
    if not space.in_span:
        return GELResult("infeasible", _nan(n, space), math.inf, math.inf, 0, rank, baseline)
    rows, possible = space.rows[0], True
    if objective == "euclidean":
        weights, iterations = (1 + rows @ space.offset) / n, 1
    else:
        weights, iterations, possible = minimise_dual(
            [rows - space.offset], objective, space.rounding
        )
    mass = weights.sum()
    weights = weights / mass
    residual = (weights @ rows - space.offset).norm().item()
    if not (possible and residual < _RESIDUAL and abs(mass.item() - 1) < _RESIDUAL):
        status, divergence = _unsolved(possible and objective != "el")
        return GELResult(status, _nan(n, space), divergence, residual, iterations, rank, baseline)
    divergence = _divergence(weights, objective)
    return GELResult("solved", weights, divergence, residual, iterations, rank, baseline)


def gel_two_sample(
    model_moments: Tensor,
    test_moments: Tensor,
    objective: str = "et",
    *,
    rtol: float | None = None,
) -> TwoSampleGELResult:
    r"""Reweight both sample sets so that their mean moments agree.

    .. math:: \min_{p, q} D(p) + D(q) \;\text{s.t.}\; \sum_i p_i m(x_i) = \sum_j q_j m(y_j)

    Empirical likelihood maximises Σ ln p_i + Σ ln q_j (each sample counts once); the reported
    parts are still the per-side means of the module's table.

    Args:
        model_moments: Moments of the generated samples, shape (N, q).
        test_moments: Moments of the test samples, shape (M, q); M may differ from N.
        objective: "et", "el" or "euclidean".
        rtol: As in `gel_one_sample`.

    Returns:
        The result; infeasible if the two hulls (for "el": their interiors) do not meet.
        `baseline` is about (rank/4)(1/N + 1/M), twice that for "euclidean".

    Raises:
        ValueError: on empty, non-finite or mismatched input, or an unknown objective.

    Reference: arXiv:2306.09780.   Deviations: see the module docstring.

    Example:
        >>> a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
        >>> gel_two_sample(a, b, "el").status  # the hulls share only the point 1
        'infeasible'
        >>> gel_two_sample(a, b, "euclidean").divergence
        2.0
    """
    check_one_of("objective", objective, OBJECTIVES)
    check_matrix("model_moments", model_moments)
    check_matrix("test_moments", test_moments)
    if model_moments.shape[1] != test_moments.shape[1]:
        raise ValueError(
            f"model_moments have width {model_moments.shape[1]} but test_moments have width "
            f"{test_moments.shape[1]}."
        )
    n, m = len(model_moments), len(test_moments)
    space = whiten([model_moments, test_moments], None, rtol)
    (x, y), gap = space.rows, space.offset
    rank = x.shape[1]
    baseline = _baseline(objective, rank / 4, n, m)
    residual, iterations, possible = math.inf, 0, True
    if space.in_span:
        if objective == "euclidean":
            lam = torch.linalg.solve(x.T @ x / n + y.T @ y / m, gap)
            p, q, iterations = (1 + x @ lam) / n, (1 - y @ lam) / m, 1
        else:
            weights, iterations, possible = minimise_dual(
                [x - gap / 2, -(y + gap / 2)], objective, space.rounding
            )
            p, q = weights[:n], weights[n:]
        mass = torch.stack([p.sum(), q.sum()])
        p, q = p / mass[0], q / mass[1]
        residual = (p @ x - q @ y - gap).norm().item()
        mass_error = (mass - 1).abs().max().item()
        if possible and residual < _RESIDUAL and mass_error < _RESIDUAL:
            parts = _divergence(p, objective), _divergence(q, objective)
            return TwoSampleGELResult(
                "solved", p, q, sum(parts), *parts, residual, iterations, rank, baseline
            )
    p, q = _nan(n, space), _nan(m, space)
    status, none = _unsolved(possible and space.in_span and objective != "el")
    return TwoSampleGELResult(status, p, q, none, none, none, residual, iterations, rank, baseline)


def gel_per_class(
    test_moments: Tensor,
    test_labels: Tensor,
    target: Tensor,
    target_count: Tensor,
    objective: str = "et",
) -> PerClassGELResult:
    r"""Solve one problem per class and assemble the label-conditioned problem exactly.

    With model and test class shares p_k and s_k, the joint weights are π_i = p_k π_{i|k}, and

    .. math::
        D_{ET} = KL(p \| s) + \sum_k p_k D_k, \quad
        D_{EL} = KL(s \| p) + \sum_k s_k D_k, \quad
        D_{euclidean} = \sum_k (1 + D_k)\, p_k^2 / s_k - 1

    Args:
        test_moments: Class-wise moments, shape (N, W), as from `class_kernel_moments`.
        test_labels: Shape (N,), integers in [0, K).
        target: Mean model moments of each class, shape (K, W); rows of empty classes are ignored.
        target_count: Model samples of each class, shape (K,).
        objective: "et", "el" or "euclidean".

    Returns:
        Per-class and joint outcome.  The joint problem is infeasible if a class that the model
        produces is infeasible or absent from the test set or, for "el", if the model never
        produces a class of the test set.

    Raises:
        ValueError: on empty, non-finite or mismatched input, or an unknown objective.

    Reference: chain rule of the Kullback-Leibler divergence; for ET this equals
        `gel_one_sample` on `label_conditioned_moments`, and so do the other two.
    """
    check_one_of("objective", objective, OBJECTIVES)
    check_matrix("test_moments", test_moments)
    num_classes = len(target)
    check_labels("test_labels", test_labels, len(test_moments), num_classes)
    if target_count.shape != (num_classes,) or target.shape[1:] != test_moments.shape[1:]:
        raise ValueError(
            f"target must have shape (K, {test_moments.shape[1]}) and target_count shape (K,), "
            f"got {tuple(target.shape)} and {tuple(target_count.shape)}."
        )
    if not int(target_count.sum()) > 0:
        raise ValueError("target_count is zero for every class: the model side is empty.")
    n = len(test_moments)
    p = target_count.to(torch.float64) / target_count.sum()
    s = torch.bincount(test_labels, minlength=num_classes).to(torch.float64) / n
    within = torch.full((n,), math.nan, dtype=torch.float64, device=test_moments.device)
    divergence = torch.full_like(p, math.nan)
    classes: list[GELResult | None] = []
    for k in range(num_classes):
        rows, count = test_labels == k, int(target_count[k])
        if count == 0 or not bool(rows.any()):
            classes.append(None)
            continue
        result = gel_one_sample(test_moments[rows], target[k], objective, target_count=count)
        within[rows], divergence[k] = result.weights, result.divergence
        classes.append(result)
    total = _chain_rule(p, s, divergence, objective)
    weights = torch.where(p[test_labels] > 0, p[test_labels] * within, 0.0)
    status = "solved" if math.isfinite(total) else _unsolved(math.isnan(total))[0]
    if status != "solved":
        weights = torch.full_like(weights, math.nan)
    return PerClassGELResult(status, weights, within, total, divergence, p, s, tuple(classes))


def _chain_rule(p: Tensor, s: Tensor, divergence: Tensor, objective: str) -> float:
    """Divergence of the label-conditioned problem from shares and class divergences."""
    if bool(((p > 0) & (s == 0)).any()) or (objective == "el" and bool(((s > 0) & (p == 0)).any())):
        return math.inf
    live = (p > 0) & (s > 0)
    p, s, parts = p[live], s[live], divergence[live]
    if objective == "et":
        return (p * ((p / s).log() + parts)).sum().item()
    if objective == "el":
        return (s * ((s / p).log() + parts)).sum().item()
    return ((1 + parts) * p.square() / s).sum().item() - 1


def _divergence(weights: Tensor, objective: str) -> float:
    """Distance of the weights from uniform, in the units of the module's table."""
    n = len(weights)
    if objective == "et":
        value = torch.xlogy(weights, n * weights).sum()
    elif objective == "el":
        value = -(n * weights).log().mean()
    else:
        value = n * (weights - 1 / n).square().sum()
    return max(value.item(), 0.0)


def _baseline(objective: str, factor: float, n: int, m: int | None) -> float | None:
    """Divergence to expect when model and test samples follow the same law."""
    if m is None:
        return None
    return (2 if objective == "euclidean" else 1) * factor * (1 / n + 1 / m)


def _unsolved(possible: bool) -> tuple[str, float]:
    """Status and divergence where there is no solution: proven, or not to be told from rounding."""
    return ("undecided", math.nan) if possible else ("infeasible", math.inf)


def _nan(n: int, space: Space) -> Tensor:
    return space.offset.new_full((n,), math.nan)
