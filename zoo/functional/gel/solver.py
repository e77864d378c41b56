"""Whitening and the dual Newton method behind `zoo.functional.gel.one_sample`.

Divergence and weights do not change under invertible linear maps of the moments, so the problem
is solved in coordinates with unit covariance, where dependent moments have been dropped and a
step's length has a meaning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ROWS_AT_ONCE", "Space", "minimise_dual", "whiten"]

_MARGIN = 1e-9  # a hyperplane must separate by this (whitened) to prove ET infeasible
_DIGITS = 16  # and by so many times the rounding of the moments
_REACH = 10.0  # a step is at most so much longer than the multipliers, which begin at 0
_FAR = 1e6  # EL multipliers longer than this mean a target on the hull's boundary
_ITERATIONS = 300
ROWS_AT_ONCE = 4096  # wherever a temporary would otherwise be as tall as the data


class Space(NamedTuple):
    """Moments in coordinates where the pooled within-side covariance is the identity."""

    rows: list[Tensor]  # each side, centred on its own mean, (n_s, rank)
    offset: Tensor  # (rank,): target - mean, or test mean - model mean
    in_span: bool  # whether the offset lies in the span of the rows
    rounding: Tensor  # (q, rank): |rounding @ λ| is the error of a row's product with λ


def whiten(sides: Sequence[Tensor], target: Tensor | None, rtol: float | None) -> Space:
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
    # A target 1e12 standard deviations away has no digits left: call it off the span as well.
    in_span = bool(outside <= max(1e-7, 10 * rtol) * offset.norm() + noise)
    in_span = in_span and bool(offset.norm() < 1e12)
    white = basis.T * (math.sqrt(n) / spread)
    rows = list((pooled @ white).split([len(side) for side in sides]))
    return Space(rows, offset @ white, in_span, (eps / scale)[:, None] * white)


def minimise_dual(
    sides: list[Tensor], objective: str, rounding: Tensor
) -> tuple[Tensor, int, bool]:
    """Minimise the ET or EL dual over λ; each side's rows enter as λ·row (test side negated).

    ET: Σ_sides logsumexp(rows λ).  EL: -Σ log*(1 + rows λ) / n, where log* continues the
    logarithm quadratically below 1/n (Owen 2001, sec. 3.14); a second side adds the coordinate
    ±1 that gives both sides equal mass.

    Returns:
        Weights, (n,), each side summing to 1 at a solution; the number of iterations; and whether
        a solution may exist (False: a hyperplane that separates by more than rounding, or a
        boundary, was found).
    """
    lengths = [len(side) for side in sides]
    rows = torch.cat(sides)
    if objective == "el":
        if len(sides) == 2:
            sign = rows.new_ones(len(rows))
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
        bend = _hessian(rows, lengths, slope, curvature, objective)
        longest = _REACH * (_REACH + lam.norm().item()) if objective == "et" else math.inf
        step = -_solve(bend, grad, longest)
        v, decrement = rows @ step, -(grad @ step).item()
        # Below `settled` the dual's value no longer resolves progress, but its gradient does.
        small = decrement < settled
        if small and (size < 1e-10 or size > 0.5 * previous):
            break
        previous = size if small else math.inf
        if small:
            t = _gradient_search(rows, u, v, lengths, objective)
        else:
            t = _line_search(u, v, lengths, objective, decrement)
        open_ = not _separates(v, step, lengths, objective, rounding)
        lam, u = lam + t * step, u + t * v
        open_ = open_ and not _separates(u, lam, lengths, objective, rounding)
        far = lam.norm().item()
        if t == 0 or far > 1e9:  # no progress, or on the boundary as far as floats tell
            break
        if objective == "el" and far > _FAR:
            open_ = False
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
        for block, bend in zip(side.split(ROWS_AT_ONCE), bends.split(ROWS_AT_ONCE), strict=True):
            half = (block - centre) * bend.sqrt()[:, None]
            out.addmm_(half.T, half)
    return out


def _solve(hessian: Tensor, grad: Tensor, longest: float) -> Tensor:
    """Solve the Newton system with the smallest ridge that makes it definite and its step short.

    On a face of the hull all curvature across the face vanishes; without a bound on the step,
    rounding of the gradient there would become multipliers of any size.
    """
    ridge = max(1e-14 * hessian.diagonal().mean().item(), 1e-30)
    while ridge < 1e150:
        hessian.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(hessian)
        if not bool(failed):
            step = torch.cholesky_solve(grad[:, None], factor)[:, 0]
            if step.norm().item() <= longest:
                return step
        ridge *= 10
    return grad


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


def _gradient_search(
    rows: Tensor, u: Tensor, v: Tensor, lengths: list[int], objective: str
) -> float:
    """Step length where the dual's value is flat to rounding: double while the gradient halves.

    Towards a face of the hull a Newton step divides the gradient by e at most.
    """

    def size(t: float) -> float:
        return (_dual(u + t * v, lengths, objective)[1] @ rows).norm().item()

    t, now = 1.0, size(1.0)
    while t < 1e6 and (further := size(2 * t)) < now / 2:
        t, now = 2 * t, further
    return t


def _separates(
    u: Tensor, lam: Tensor, lengths: list[int], objective: str, rounding: Tensor
) -> bool:
    """Whether λ, with u = rows λ, proves that no admissible weights exist."""
    if objective == "el":
        return bool(u.min() > 0)
    error = (rounding @ lam).norm().item()
    margin = max(_MARGIN * lam.norm().item(), _DIGITS * error)
    return sum(side.max().item() for side in u.split(lengths)) < -margin
