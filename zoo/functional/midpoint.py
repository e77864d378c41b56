r"""How far the midpoint of two independent draws is from a draw, for a histogram density.

For X_1, X_2 ~ p iid, the interpolant (1 - lam) X_1 + lam X_2 has another law q than p. A histogram
density on [0, 1] with n equal bins, uniform inside each, has exact bin masses of q; at lam = 1/2

.. math:: q_k = c_{2k} + \tfrac12 (c_{2k-1} + c_{2k+1}), \quad c = p * p

Taking c at even places only would lose the mass between them, and a solver would exploit it.

Reference: Singh, Turaga, Jayasuriya, Garg, Braun 2019, "Non-parametric priors for generative
adversarial networks", ICML. Deviations: symmetric densities by default (the best one without that
constraint is one-sided), exact bin masses instead of samples of the density.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "histogram_variance",
    "interpolant_masses",
    "kl_to_interpolant",
    "largest_variance",
    "minimise_midpoint_kl",
]

ROUNDS = 500  # Newton steps at most; a few dozen are usual
CLIP = 2.0  # largest change of a log-mass in one step
SMALLEST = 1e-140  # mass of an empty bin: its square can still be divided by
GRADIENT = 1e-10  # length of the gradient, in Fisher's metric, at which a solution is reached


def interpolant_masses(p: Tensor, lam: float = 0.5) -> Tensor:
    """Returns the exact bin masses of (1 - lam) X_1 + lam X_2 for X_1, X_2 ~ p iid.

    Args:
        p: Masses of n equal bins of [0, 1], shape (n,), float64, summing to 1.
        lam: Place between the two draws, in [0, 1].

    Returns:
        Masses, shape (n,), summing to 1.
    """
    n = len(p)
    index = torch.arange(n, dtype=p.dtype)
    masses = p.new_zeros(n + 1)
    for start in range(0, n, 256):  # rows of pairs at a time, to bound the memory
        rows = slice(start, start + 256)
        left = (1 - lam) * index[rows, None] + lam * index[None, :]  # of the pair's trapezoid
        low = left.floor()
        inside = _trapezoid_cdf(low + 1 - left, lam)  # share that falls into bin `low`
        pair = p[rows, None] * p[None, :]
        place = low.long().clamp(0, n - 1).flatten()
        masses.index_add_(0, place, (pair * inside).flatten())
        masses.index_add_(0, place + 1, (pair * (1 - inside)).flatten())
    masses[n - 1] += masses[n]  # rounding only: nothing lies beyond the last bin
    return masses[:n]


def _trapezoid_cdf(t: Tensor, lam: float) -> Tensor:
    """Distribution function of (1 - lam) U_1 + lam U_2 for U_1, U_2 uniform on [0, 1]."""
    short, long = min(lam, 1 - lam), max(lam, 1 - lam)
    t = t.clamp(0, 1)
    if short == 0:
        return t
    middle = (t - short / 2) / long
    rising, falling = t.square() / (2 * short * long), 1 - (1 - t).square() / (2 * short * long)
    return torch.where(t < short, rising, torch.where(t > long, falling, middle))


def kl_to_interpolant(p: Tensor, lam: float = 0.5) -> Tensor:
    r"""Computes KL(p || q) in nats between a histogram and its interpolant.

    .. math:: \sum_k p_k \log(p_k / q_k)

    Args:
        p: Masses of n equal bins of [0, 1], shape (n,), float64, summing to 1; bins may be empty.
        lam: Place between the two draws, in [0, 1].

    Returns:
        A scalar, at least 0 up to rounding.
    """
    return _kl(p, interpolant_masses(p, lam))


def _kl(p: Tensor, q: Tensor) -> Tensor:
    tiny = torch.finfo(p.dtype).tiny
    return torch.xlogy(p, p).sum() - torch.xlogy(p, q.clamp(min=tiny)).sum()


def _places(n: int) -> Tensor:
    """Centres of the bins, measured from 1/2."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5


def histogram_variance(p: Tensor) -> Tensor:
    """Variance of a histogram's bin centres; the density's own is larger by 1 / (12 n^2)."""
    x = _places(len(p))
    mean = (p * x).sum()
    return (p * (x - mean).square()).sum()


def largest_variance(n: int) -> float:
    """Returns the variance that n bins cannot exceed: half of the mass in either end bin."""
    return ((n - 1) / (2 * n)) ** 2


# ------------------------------------------------------------------ the density of least KL


def minimise_midpoint_kl(n: int, variance: float, symmetric: bool = True) -> Tensor:
    r"""Minimises the midpoint KL of a histogram under a lower bound on its variance.

    .. math:: \min_p KL(p \| q(p)) \quad\text{s.t.}\quad \sum_i p_i = 1,\; p \ge 0,\; Var(p) \ge v

    Newton's method on log-masses: the Hessian is scaled by Fisher's metric and made positive where
    it is not, and each step returns to both constraints by an exponential tilt. From symmetric
    starts the iterates reach one solution; without symmetry the problem has many local minima,
    one of which is returned.

    Args:
        n: Number of bins, at least 2.
        variance: v, in units of the domain [0, 1], below `largest_variance`.
        symmetric: Whether p_i = p_{n-1-i}.

    Returns:
        Masses, shape (n,), float64.
    """
    if symmetric and variance <= 1 / (4 * n * n) and n % 2 == 0:
        p = torch.zeros(n, dtype=torch.float64)  # the two central bins have that much, and no KL
        p[n // 2 - 1 : n // 2 + 1] = 0.5
        return p
    if n >= 256 and n % 2 == 0:  # the coarse solution is a good start
        coarse = minimise_midpoint_kl(n // 2, variance, symmetric)
        p = _constrained(coarse.repeat_interleave(2), variance, symmetric)
    else:
        p = _start(n, variance, symmetric)
    value = _kl(p, _midpoint(p))
    for _ in range(ROUNDS):
        step, residual = _newton_step(p, symmetric)
        if float((p * residual.square()).sum()) < GRADIENT**2:
            break
        step = step.clamp(-CLIP, CLIP)
        if (p * residual) @ step >= 0:  # clipped uphill; a step of plain descent never is
            step = (-residual).clamp(-CLIP, CLIP)
        slope, length = float((p * residual) @ step), 1.0
        while length > 1e-9:
            trial = _constrained(p * torch.exp(length * step), variance, symmetric)
            found = _kl(trial, _midpoint(trial))
            if found < value + 1e-4 * length * slope:
                break
            length /= 2
        else:
            break  # rounding is all that is left
        p, value = trial, found
    return p


def _midpoint(p: Tensor) -> Tensor:
    """Masses of the midpoint by direct convolution: an FFT's rounding would drown small masses."""
    n = len(p)
    c = F.conv1d(p.view(1, 1, -1), p.flip(0).view(1, 1, -1), padding=n - 1).flatten()  # (2n - 1,)
    q = c[0::2].clone()
    q[1:] += c[1::2] / 2  # c_{2k-1}
    q[:-1] += c[1::2] / 2  # c_{2k+1}
    return q


def _newton_step(p: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Returns the change of log-masses that Newton's method asks for, and the KL's derivatives.

    The latter are by mass, without what the constraints hold up; all 0 at a solution.

    Coordinates d with dp = sqrt(p) d, in which the entropy's Hessian is the identity.
    """
    n, root, x = len(p), p.sqrt(), _places(len(p))
    x = x - (p * x).sum()
    q = _midpoint(p)
    r = p / q
    # dq_k / dp_i = 2 g_{2k-i}: a pair with one draw in bin i and its midpoint in bin k
    g = F.pad(p, (1, 1))
    g = g + (F.pad(p, (0, 2)) + F.pad(p, (2, 0))) / 2  # (n + 2,), g[j + 1] belongs to j = -1..n
    lag = 2 * torch.arange(n)[:, None] - torch.arange(n)[None, :] + 1
    jacobian = 2 * torch.where((lag >= 0) & (lag < n + 2), g[lag.clamp(0, n + 1)], 0.0)  # (k, i)
    gradient = torch.log(p / q) + 1 - jacobian.T @ r

    bounds = torch.stack([root, root * x.square()])  # gradients of total mass and variance
    multipliers = torch.linalg.lstsq(bounds.T, (root * gradient)[:, None]).solution.flatten()
    residual = gradient - multipliers[0] - multipliers[1] * x.square()

    m = (n + 1) // 2 if symmetric else n  # bins that move freely; the others are their mirror
    scaled = jacobian / q[:, None]
    hessian = -scaled[:m] - scaled.T[:m]
    hessian += (jacobian[:, :m] * (p / q.square())[:, None]).T @ jacobian
    s = torch.zeros(2 * n, dtype=p.dtype)  # s_{i+j}: half the second derivatives of sum p log q
    s[0 : 2 * n : 2] = r
    s[1 : 2 * n - 1 : 2] = (r[1:] + r[:-1]) / 2
    hessian -= 2 * s[torch.arange(m)[:, None] + torch.arange(n)[None, :]]
    if not symmetric:  # the mean moves, so the variance is not linear
        hessian += 2 * multipliers[1] * torch.outer(x, x)
    hessian = root[:m, None] * hessian * root
    hessian.diagonal()[:] += 1 + residual[:m]  # entropy, and the bend of the logarithm
    if symmetric:
        hessian = hessian[:, :m] + hessian[:, n - m :].flip(1)
    scale = torch.full((m,), math.sqrt(2) if symmetric else 1.0, dtype=p.dtype)
    if symmetric and n % 2:
        scale[-1] = 1.0
        hessian[-1] /= math.sqrt(2)
        hessian[:, -1] /= math.sqrt(2)
    normal = torch.linalg.qr((bounds[:, :m] * scale).T).Q  # (m, 2)
    slope = scale * root[:m] * residual[:m]
    slope = slope - normal @ (normal.T @ slope)
    d = -_positive_solve(_tangent(hessian, normal), slope)
    d = d - normal @ (normal.T @ d)
    step = d / scale / root[:m]
    whole = torch.cat([step, step.flip(0)[n % 2 :]]) if symmetric else step
    return whole, residual


def _tangent(hessian: Tensor, normal: Tensor) -> Tensor:
    """Makes a Hessian the identity across the constraints."""
    side = normal.T @ hessian  # (2, m)
    inner = side @ normal
    cross = normal @ side
    return hessian - cross - cross.T + normal @ (inner + torch.eye(2, dtype=inner.dtype)) @ normal.T


def _positive_solve(hessian: Tensor, slope: Tensor) -> Tensor:
    """Solves with the Hessian, made positive by as much of the identity as that takes."""
    eye = torch.eye(len(slope), dtype=slope.dtype)
    for shift in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0):
        factor, failed = torch.linalg.cholesky_ex(hessian + shift * eye)
        if not failed:
            return torch.cholesky_solve(slope[:, None], factor).flatten()
    return slope


def _start(n: int, variance: float, symmetric: bool) -> Tensor:
    """Returns a smooth histogram of the variance, peaked at the centre, or at the lower edge."""
    x = _places(n)
    centre = 0.0 if symmetric else -0.5
    width = math.sqrt(min(variance, 1 / 12)) / 4
    cauchy = 1 / (1 + ((x - centre) / width).square())
    return _constrained(cauchy, variance, symmetric)


def _constrained(p: Tensor, variance: float, symmetric: bool) -> Tensor:
    """Tilts a positive histogram exponentially in (x - mean)^2 until it has the variance."""
    if symmetric:
        p = p + p.flip(0)
    p = (p / p.sum()).clamp(min=SMALLEST)
    x = _places(len(p))
    w = (x - (p * x).sum()).square()
    log_p = p.log()

    def tilted(b: float) -> Tensor:
        return torch.softmax(log_p + b * w, dim=0)

    def excess(b: float) -> float:
        return float(histogram_variance(tilted(b))) - variance

    return tilted(_root(excess, scale=1.0))


def _root(f: Callable[[float], float], scale: float) -> float:
    """Finds the zero of an increasing function by regula falsi with halving (Illinois)."""
    low, high = 0.0, 0.0
    f_low = f_high = f(0.0)
    while f_low > 0 and low > -1e12:
        high, f_high = low, f_low
        low, scale = low - scale, scale * 4
        f_low = f(low)
    while f_high < 0 and high < 1e12:
        low, f_low = high, f_high
        high, scale = high + scale, scale * 4
        f_high = f(high)
    for _ in range(200):
        if f_low == f_high:
            break
        middle = (low * f_high - high * f_low) / (f_high - f_low)
        if not low < middle < high:
            break
        value = f(middle)
        if value == 0:
            return middle
        if value < 0:
            low, f_low, f_high = middle, value, f_high / 2
        else:
            high, f_high, f_low = middle, value, f_low / 2
    return low if abs(f(low)) < abs(f(high)) else high
