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

with g_i = m(x_i) - c.  Everything runs in float64 and draws no random numbers.

Reference: Ravuri et al. 2023, arXiv:2306.09780.  Deviations: infeasibility is certified by a
separating hyperplane instead of an approximate hull test; moments are whitened with rank
detection, so dependent moments are harmless; unequal sizes work in every two-sample objective.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor

__all__ = [
    "KERNELS",
    "OBJECTIVES",
    "GELResult",
    "PerClassGELResult",
    "TwoSampleGELResult",
    "class_kernel_moments",
    "gel_one_sample",
    "gel_per_class",
    "gel_two_sample",
    "kernel_moment_mean",
    "kernel_moments",
    "label_conditioned_moments",
]

OBJECTIVES = ("et", "el", "euclidean")
KERNELS = ("linear", "exponential", "polynomial", "laplacian", "rbf")

_RESIDUAL = 1e-6  # largest whitened moment error (and mass error) that may be called solved
_MARGIN = 1e-9  # a hyperplane must separate by this (whitened) to prove ET infeasible
_FAR = 1e6  # EL multipliers beyond this mean that the target lies on the hull's boundary
_ITERATIONS = 300
_CHUNK = 4096  # rows handled at once wherever a temporary would otherwise be as tall as the data


@dataclass(frozen=True, eq=False)
class GELResult:
    """Outcome of the one-sample problem; `weights` follow the row order of the test moments."""

    status: str  # "solved" or "infeasible"
    weights: Tensor  # (N,), sums to 1; NaN when infeasible
    divergence: float  # nats, >= 0; +inf when infeasible
    residual: float  # whitened moment error at the last iterate (inf: target off the affine span)
    iterations: int
    rank: int  # linearly independent moments
    baseline: float | None  # divergence expected from a perfect model (needs target_count)
    mode_mass: Tensor | None = None  # (K,), filled by metrics that saw labels
    mode_share: Tensor | None = None  # (K,), label frequencies of the test set
    ids: Tensor | None = None  # (N,), sample ids in the order of the weights, if any were given


@dataclass(frozen=True, eq=False)
class TwoSampleGELResult:
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


@dataclass(frozen=True, eq=False)
class PerClassGELResult:
    """One problem per class, and the label-conditioned problem that they add up to."""

    status: str  # of the label-conditioned problem
    weights: Tensor  # (N,), label-conditioned weights, sum 1
    conditional_weights: Tensor  # (N,), sum 1 within each solved class, NaN elsewhere
    divergence: float  # of the label-conditioned problem
    class_divergence: Tensor  # (K,), NaN where a side has no sample of the class
    model_share: Tensor  # (K,)
    test_share: Tensor  # (K,)
    classes: tuple[GELResult | None, ...]


def kernel_moments(
    x: Tensor, witnesses: Tensor, kernel: str = "exponential", sigma: float = 1.0
) -> Tensor:
    r"""Evaluate the kernel between every sample and every witness.

    .. math:: m(x)_j = k(x, w_j)

    with linear ⟨x,w⟩/d, exponential exp(σ⟨x,w⟩/d), polynomial (⟨x,w⟩/d + 1)³,
    laplacian exp(-σ‖x-w‖₁) and rbf exp(-σ‖x-w‖²).

    Args:
        x: Samples, shape (n, d).
        witnesses: Witness points, shape (W, d).
        kernel: One of `KERNELS`.
        sigma: Positive scale; read by exponential, laplacian and rbf.

    Returns:
        Moments, shape (n, W), float64.

    Raises:
        ValueError: on empty, non-finite or mismatched input, an unknown kernel, or overflow.

    Reference: kernels of the public GEL notebook.   Deviations: rational quadratic is left out.

    Example:
        >>> kernel_moments(torch.ones(1, 2), torch.eye(2), kernel="linear")
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    _check_choice("kernel", kernel, KERNELS)
    _check_matrix("x", x)
    _check_matrix("witnesses", witnesses)
    if x.shape[1] != witnesses.shape[1]:
        raise ValueError(
            f"x has width {x.shape[1]} but the witnesses have width {witnesses.shape[1]}."
        )
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be positive and finite, got {sigma}.")
    anchors = witnesses.detach().to(torch.float64)
    out = torch.empty(len(x), len(anchors), dtype=torch.float64, device=x.device)
    for start in range(0, len(x), _CHUNK):
        rows = x[start : start + _CHUNK].detach().to(torch.float64)
        out[start : start + _CHUNK] = _kernel(rows, anchors, kernel, sigma)
    if not out.isfinite().all():
        raise ValueError(
            f"the {kernel} kernel overflowed (largest |x| {x.abs().max().item():.3g}, "
            f"sigma {sigma}); rescale the features, for instance to mean ‖x‖²/d = 1."
        )
    return out


def kernel_moment_mean(
    x: Tensor, witnesses: Tensor, kernel: str = "exponential", sigma: float = 1.0
) -> Tensor:
    """Average `kernel_moments` over the samples without holding the (n, W) matrix.

    Args:
        x: Samples, shape (n, d).
        witnesses: Witness points, shape (W, d).
        kernel: One of `KERNELS`.
        sigma: Positive scale.

    Returns:
        Mean embedding at the witnesses, shape (W,), float64.

    Example:
        >>> kernel_moment_mean(torch.eye(2), torch.eye(2), kernel="linear")
        tensor([0.2500, 0.2500], dtype=torch.float64)
    """
    _check_matrix("x", x)
    total = torch.zeros(len(witnesses), dtype=torch.float64, device=x.device)
    for start in range(0, len(x), _CHUNK):
        total += kernel_moments(x[start : start + _CHUNK], witnesses, kernel, sigma).sum(0)
    return total / len(x)


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
        off the affine span) gives "infeasible", never an exception.

    Raises:
        ValueError: on empty, non-finite or mismatched input, or an unknown objective.

    Reference: arXiv:2306.09780.   Deviations: see the module docstring.

    Example:
        >>> result = gel_one_sample(torch.tensor([[0.0], [1.0]]), torch.tensor([0.25]))
        >>> result.status, result.weights
        ('solved', tensor([0.7500, 0.2500], dtype=torch.float64))
    """
    _check_choice("objective", objective, OBJECTIVES)
    _check_matrix("test_moments", test_moments)
    if target.shape != test_moments.shape[1:]:
        raise ValueError(
            f"target must have shape ({test_moments.shape[1]},) to match test_moments, "
            f"got {tuple(target.shape)}."
        )
    _check_finite("target", target)
    if target_count is not None and target_count < 1:
        raise ValueError(f"target_count must be at least 1, got {target_count}.")
    n = len(test_moments)
    space = _whiten([test_moments], target, rtol)
    rank = space.rows[0].shape[1]
    baseline = _baseline(objective, rank / 2, n, target_count)
    if not space.in_span:
        return GELResult("infeasible", _nan(n, space), math.inf, math.inf, 0, rank, baseline)
    rows, possible = space.rows[0], True
    if objective == "euclidean":
        weights, iterations = (1 + rows @ space.offset) / n, 1
    else:
        weights, iterations, possible = _newton([rows - space.offset], objective)
    mass = weights.sum()
    weights = weights / mass
    residual = (weights @ rows - space.offset).norm().item()
    if not (possible and residual < _RESIDUAL and abs(mass.item() - 1) < _RESIDUAL):
        return GELResult("infeasible", _nan(n, space), math.inf, residual, iterations, rank, baseline)
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
    _check_choice("objective", objective, OBJECTIVES)
    _check_matrix("model_moments", model_moments)
    _check_matrix("test_moments", test_moments)
    if model_moments.shape[1] != test_moments.shape[1]:
        raise ValueError(
            f"model_moments have width {model_moments.shape[1]} but test_moments have width "
            f"{test_moments.shape[1]}."
        )
    n, m = len(model_moments), len(test_moments)
    space = _whiten([model_moments, test_moments], None, rtol)
    (x, y), gap = space.rows, space.offset
    rank = x.shape[1]
    baseline = _baseline(objective, rank / 4, n, m)
    residual, iterations, possible = math.inf, 0, True
    if space.in_span:
        if objective == "euclidean":
            lam = torch.linalg.solve(x.T @ x / n + y.T @ y / m, gap)
            p, q, iterations = (1 + x @ lam) / n, (1 - y @ lam) / m, 1
        else:
            weights, iterations, possible = _newton([x - gap / 2, -(y + gap / 2)], objective)
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
    inf = math.inf
    return TwoSampleGELResult(
        "infeasible", p, q, inf, inf, inf, residual, iterations, rank, baseline
    )


def class_kernel_moments(
    x: Tensor,
    labels: Tensor,
    witnesses: Tensor,
    witness_labels: Tensor,
    kernel: str = "exponential",
    sigma: float = 1.0,
) -> Tensor:
    """Evaluate each sample's kernel moments at the witnesses of its own class.

    Args:
        x: Samples, shape (n, d).
        labels: Their classes, shape (n,), integers.
        witnesses: Witness points of all classes, shape (W, d).
        witness_labels: Their classes, shape (W,), integers.
        kernel: One of `KERNELS`.
        sigma: Positive scale.

    Returns:
        Moments, shape (n, largest number of witnesses in a class), float64; classes with fewer
        witnesses are padded with zeros, which leave every GEL problem unchanged.

    Example:
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> class_kernel_moments(x, y, torch.ones(3, 2), torch.tensor([0, 1, 1]), kernel="linear")
        tensor([[0.5000, 0.0000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    _check_matrix("x", x)
    _check_matrix("witnesses", witnesses)
    _check_labels("labels", labels, len(x), None)
    _check_labels("witness_labels", witness_labels, len(witnesses), None)
    width = int(witness_labels.unique(return_counts=True)[1].max())
    out = torch.zeros(len(x), width, dtype=torch.float64, device=x.device)
    for k in labels.unique().tolist():
        own = witnesses[witness_labels == k]
        if len(own) == 0:
            raise ValueError(f"class {k} has samples but no witness.")
        rows = (labels == k).nonzero().squeeze(1)
        out[rows, : len(own)] = kernel_moments(x[rows], own, kernel, sigma)
    return out


def label_conditioned_moments(moments: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Spread moments into one block per class, each led by the class indicator.

    .. math:: m(x, y) = [1\\{y=k\\},\\; 1\\{y=k\\}\\, m(x)]_{k=0..K-1}

    Args:
        moments: Shape (n, W).
        labels: Shape (n,), integers in [0, num_classes).
        num_classes: K.

    Returns:
        Shape (n, K (1 + W)), float64; at most 1 + W entries of a row are not zero.

    Example:
        >>> label_conditioned_moments(torch.tensor([[5.0]]), torch.tensor([1]), 2)
        tensor([[0., 0., 1., 5.]], dtype=torch.float64)
    """
    _check_matrix("moments", moments)
    _check_labels("labels", labels, len(moments), num_classes)
    block = torch.cat([torch.ones_like(moments[:, :1]), moments], 1).detach().to(torch.float64)
    out = block.new_zeros(len(block), num_classes, block.shape[1])
    out[torch.arange(len(block), device=labels.device), labels] = block
    return out.flatten(1)


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
    _check_choice("objective", objective, OBJECTIVES)
    _check_matrix("test_moments", test_moments)
    num_classes = len(target)
    _check_labels("test_labels", test_labels, len(test_moments), num_classes)
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
    status = "solved" if math.isfinite(total) else "infeasible"
    if status == "infeasible":
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


@dataclass(frozen=True)
class _Space:
    """Moments in coordinates where the pooled within-side covariance is the identity."""

    rows: list[Tensor]  # each side, centred on its own mean, (n_s, rank)
    offset: Tensor  # (rank,): target - mean, or test mean - model mean
    in_span: bool  # whether the offset lies in the span of the rows


def _whiten(sides: Sequence[Tensor], target: Tensor | None, rtol: float | None) -> _Space:
    """Centre, standardise and rotate the moments; drop linearly dependent directions.

    Columns are standardised first, so that a moment's unit cannot hide it below the cut.  The
    scale has a floor relative to the column's size: rounding is never blown up beyond the cut.
    """
    inputs = [*sides] if target is None else [*sides, target]
    eps = max(torch.finfo(t.dtype).eps if t.is_floating_point() else 0.0 for t in inputs)
    eps = max(eps, torch.finfo(torch.float64).eps)
    if rtol is None:
        rtol = 1e-10 if eps < 1e-15 else max(1e-6, 8 * eps)
    raw = [side.detach().to(torch.float64) for side in sides]
    peak = torch.stack([side.abs().amax(0) for side in raw]).amax(0)
    peak = torch.where(peak > 0, peak, peak.max() if bool(peak.max() > 0) else 1.0)
    scaled = [side / peak for side in raw]
    means = [side.mean(0) for side in scaled]
    ends = (target.detach().to(torch.float64) / peak) if target is not None else means[1]
    pooled = torch.cat([side - mean for side, mean in zip(scaled, means, strict=True)])
    del scaled
    n = len(pooled)
    scale = pooled.square().mean(0).sqrt().clamp(min=5 * eps / rtol)
    pooled /= scale
    # Rank is decided on singular values: those of R, since a Gram matrix would square them.
    factor = torch.linalg.qr(pooled, mode="r").R if n > pooled.shape[1] else pooled
    _, spread, basis = torch.linalg.svd(factor, full_matrices=False)
    keep = spread > rtol * spread.max().clamp(min=math.sqrt(n))
    spread, basis = spread[keep], basis[keep]
    offset = (ends - means[0]) / scale
    outside = (offset - (offset @ basis.T) @ basis).norm()
    noise = 64 * eps * ((ends.abs() + 1) / scale).norm()
    in_span = bool(outside <= max(1e-7, 10 * rtol) * offset.norm() + noise)
    white = basis.T * (math.sqrt(n) / spread)
    rows = list((pooled @ white).split([len(side) for side in sides]))
    return _Space(rows, offset @ white, in_span)


def _newton(sides: list[Tensor], objective: str) -> tuple[Tensor, int, bool]:
    """Minimise the ET or EL dual over λ; each side's rows enter as λ·row (test side negated).

    ET: Σ_sides logsumexp(rows λ).  EL: -Σ log*(1 + rows λ) / n, where log* continues the
    logarithm quadratically below 1/n (Owen 2001, sec. 3.14); a second side adds the coordinate
    ±1 that gives both sides equal mass.

    Returns:
        Weights, (n,), each side summing to 1 at a solution; the number of iterations; and whether
        a solution may exist (False: a separating hyperplane or a boundary was found).
    """
    lengths = [len(side) for side in sides]
    rows = torch.cat(sides)
    if objective == "el":
        if len(sides) == 2:
            sign = torch.ones_like(rows[:, 0])
            sign[lengths[0] :] = -1
            rows = torch.cat([rows, sign[:, None]], 1)
        lengths = [len(rows)]
    lam, u = rows.new_zeros(rows.shape[1]), rows.new_zeros(len(rows))
    settled = 1e-12 if objective == "et" else 1e-12 / len(rows)
    previous, iteration, open_ = math.inf, 0, True
    while open_ and iteration < _ITERATIONS:
        _, slope, curvature = _dual(u, lengths, objective)
        grad = slope @ rows
        size = grad.norm().item()
        if size < 1e-14:
            break
        iteration += 1
        step = -_solve(_hessian(rows, lengths, slope, curvature, objective), grad)
        v, decrement = rows @ step, -(grad @ step).item()
        # Below `settled` the dual's value no longer resolves progress, but its gradient does.
        small = decrement < settled
        if small and (size < 1e-10 or size > 0.5 * previous):
            break
        previous = size
        t = 1.0 if small else _line_search(u, v, lengths, objective, decrement)
        open_ = not _separates(v, step, lengths, objective)
        lam, u = lam + t * step, u + t * v
        open_ = open_ and not _separates(u, lam, lengths, objective)
        if t == 0:
            break
    _, slope, _ = _dual(u, lengths, objective)
    weights = slope if objective == "et" else -slope * len(sides)
    return weights, iteration, open_


def _dual(u: Tensor, lengths: list[int], objective: str) -> tuple[float, Tensor, Tensor]:
    """Dual value at u = rows λ, with its first and second derivative in each u_i.

    For ET the curvature leaves out the rank-one term of each side; `_hessian` centres instead.
    """
    if objective == "et":
        sides = u.split(lengths)
        weights = torch.cat([side.softmax(0) for side in sides])
        return sum(side.logsumexp(0).item() for side in sides), weights, weights
    n = len(u)
    z = 1 + u
    inner = z.clamp(min=1 / n)
    low = z < 1 / n
    value = torch.where(low, math.log(1 / n) - 1.5 + 2 * n * z - (n * z).square() / 2, inner.log())
    slope = torch.where(low, 2 * n - n * n * z, 1 / inner)
    return -value.mean().item(), -slope / n, inner.square().reciprocal() / n


def _hessian(
    rows: Tensor, lengths: list[int], slope: Tensor, curvature: Tensor, objective: str
) -> Tensor:
    """Second derivative of the dual in λ, shape (rank, rank)."""
    out = rows.new_zeros(rows.shape[1], rows.shape[1])
    parts = zip(rows.split(lengths), slope.split(lengths), curvature.split(lengths), strict=True)
    for side, weights, bends in parts:
        centre = weights @ side if objective == "et" else 0.0
        for block, bend in zip(side.split(_CHUNK), bends.split(_CHUNK), strict=True):
            half = (block - centre) * bend.sqrt()[:, None]
            out.addmm_(half.T, half)
    return out


def _solve(hessian: Tensor, grad: Tensor) -> Tensor:
    """Solve the Newton system with the smallest ridge that makes it numerically definite."""
    ridge = max(1e-14 * hessian.diagonal().mean().item(), 1e-30)
    while True:
        hessian.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(hessian)
        if not bool(failed):
            return torch.cholesky_solve(grad[:, None], factor)[:, 0]
        ridge *= 10


def _line_search(
    u: Tensor, v: Tensor, lengths: list[int], objective: str, decrement: float
) -> float:
    """Step length: halve until Armijo's condition holds, or double while the dual still falls."""
    start = _dual(u, lengths, objective)[0]
    rounding = 1e-14 * (1 + abs(start))
    t, now = 1.0, _dual(u + v, lengths, objective)[0]
    if now <= start - 1e-4 * decrement + rounding:
        while t < 1e12:
            further = _dual(u + 2 * t * v, lengths, objective)[0]
            if not further < now - rounding:
                break
            t, now = 2 * t, further
        return t
    while t > 1e-30:
        t /= 2
        if _dual(u + t * v, lengths, objective)[0] <= start - 1e-4 * t * decrement + rounding:
            return t
    return 0.0


def _separates(u: Tensor, lam: Tensor, lengths: list[int], objective: str) -> bool:
    """Whether λ, with u = rows λ, proves that no admissible weights exist."""
    norm = lam.norm().item()
    if objective == "el":
        return norm > _FAR or bool(u.min() > 0)
    return sum(side.max().item() for side in u.split(lengths)) < -_MARGIN * norm


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


def _kernel(x: Tensor, w: Tensor, kernel: str, sigma: float) -> Tensor:
    """One block of `kernel_moments`; no temporary is larger than the block itself."""
    if kernel == "laplacian":
        return torch.cdist(x, w, p=1).mul_(-sigma).exp_()
    if kernel == "rbf":
        centre = w.mean(0)  # distances ignore a shift, and their expansion likes small norms
        x, w = x - centre, w - centre
        square = x.square().sum(1)[:, None] + w.square().sum(1)
        return square.addmm_(x, w.T, alpha=-2).clamp_(min=0).mul_(-sigma).exp_()
    product = (x @ w.T).div_(x.shape[1])
    if kernel == "linear":
        return product
    return product.mul_(sigma).exp_() if kernel == "exponential" else product.add_(1).pow_(3)


def _nan(n: int, space: _Space) -> Tensor:
    return space.offset.new_full((n,), math.nan)


def _check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        near = get_close_matches(str(value), choices, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown {what} {value!r}; did you mean {near!r}? Choices: {', '.join(choices)}."
        )


def _check_finite(name: str, value: Tensor) -> None:
    if not bool(value.isfinite().all()):
        bad = int((~value.isfinite()).sum())
        raise ValueError(f"{name} holds {bad} non-finite values out of {value.numel()}.")


def _check_matrix(name: str, value: Tensor) -> None:
    if value.ndim != 2 or value.numel() == 0:
        raise ValueError(
            f"{name} must be a non-empty matrix (samples, width), got shape {tuple(value.shape)}."
        )
    _check_finite(name, value)


def _check_labels(name: str, labels: Tensor, n: int, num_classes: int | None) -> None:
    if labels.shape != (n,) or labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"{name} must be {n} integers, got shape {tuple(labels.shape)} and {labels.dtype}."
        )
    if num_classes is not None and n and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"{name} must lie in [0, {num_classes}), got {int(labels.min())}..{int(labels.max())}."
        )
