"""Laws of latent codes, by name: what a model draws its noise from.

A code drawn halfway between two draws of a prior does not follow the prior: the root of its mean
square is too short by 1/sqrt(2) under every law of finite variance, and a generator has seen few
such codes, or none. The priors differ in how much that matters:

- ``normal``: N(0, I). Norms concentrate near sqrt(dim), so midpoints lie where no draw does.
- ``uniform``: uniform on [-1, 1], each coordinate by itself.
- ``gamma``: direction uniform on the sphere, squared radius Gamma(1/2, scale 2), so that the
  radius is half-normal in any dimension and the origin a likely place (Kilcher, Lucchi, Hofmann
  2018, "Semantic interpolation in implicit models").
- ``cauchy``: standard Cauchy, each coordinate by itself; midpoints follow the very same law.
  Nothing is clipped, so draws can be huge; models that read them prefer float32
  (Lesniak, Sieradzki, Podolak 2019, "Distribution-interpolation trade off in generative models").
- ``nonparametric``: the histogram on [0, 1] whose midpoints differ least from it in
  Kullback-Leibler divergence at a given variance, shifted and scaled to mean 0 and variance 1,
  each coordinate by itself (Singh et al. 2019, "Non-parametric priors for generative adversarial
  networks"). Deviation: the paper's variance is not known; ours is 0.005 of [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.core.errors import UserError, check_interval
from zoo.core.registry import Registry
from zoo.functional.draws import normal, uniform
from zoo.functional.midpoint import (
    histogram_variance,
    kl_to_interpolant,
    largest_variance,
    minimise_midpoint_kl,
)
from zoo.functional.paths import arc, line

__all__ = [
    "PRIORS",
    "Cauchy",
    "Gamma",
    "Nonparametric",
    "Normal",
    "Prior",
    "Uniform",
    "midpoint_kl",
    "solve_nonparametric",
    "walk",
]

BINS, VARIANCE = 1024, 0.005  # of the table that ships with the zoo
MOST_BINS = 4096  # the solver's memory and time grow with the square and the cube of the bins
TABLE = Path(__file__).with_name("nonparametric_prior.npy")  # its left half, float64


class Prior(Protocol):
    """A law of latent codes."""

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes.

        Args:
            n: Number of codes.
            dim: Length of each.
            generator: Source of randomness on the CPU; None draws from the global stream.

        Returns:
            Codes, shape (n, dim), float32, on the CPU.
        """
        ...


PRIORS: Registry[Prior] = Registry("prior")


def walk(law: Prior, start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Walks between codes of a law: straight, but on an arc under the normal law.

    The arc keeps the length of normal codes typical. Under the other laws it would leave what a
    decoder has seen.

    Args:
        law: The law that the codes were drawn from.
        start: Codes, shape (N, D).
        end: Codes, shape (N, D).
        steps: Number S of codes along a walk, both ends among them.

    Returns:
        Codes, shape (N, S, D).
    """
    return (arc if isinstance(law, Normal) else line)(start, end, steps)


class Normal:
    """Standard normal: mean 0, variance 1 in each coordinate."""

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes, shape (n, dim)."""
        return normal(n, dim, generator=generator)


class Uniform:
    """Uniform on [-1, 1]: mean 0, variance 1/3 in each coordinate."""

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes, shape (n, dim)."""
        return uniform(n, dim, generator=generator) * 2 - 1


class Gamma:
    """Uniform direction, half-normal radius: E|z|^2 = 1, so variance 1/dim in each coordinate."""

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes, shape (n, dim)."""
        direction = normal(n, dim, generator=generator)
        radius = normal(n, 1, generator=generator)  # its square is Gamma(1/2, scale 2)
        return radius.abs() * torch.nn.functional.normalize(direction, dim=1)


class Cauchy:
    """Standard Cauchy: median 0, quartiles at -1 and 1, no mean, no variance."""

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes, shape (n, dim)."""
        u = torch.rand(n, dim, generator=generator, dtype=torch.float64, device="cpu")
        return torch.tan(torch.pi * (u - 0.5)).float()


@dataclass(frozen=True)
class Nonparametric:
    """A histogram on [0, 1], uniform inside each of its equal bins, as a prior.

    Args:
        p: Masses of the bins, shape (bins,), float64.
        kl: KL(prior || midpoint) of one coordinate in nats; coordinates add up.
        variance: Variance of the bins' centres in units of [0, 1].
    """

    p: Tensor
    kl: float
    variance: float

    @cached_property
    def cdf(self) -> Tensor:
        """Mass up to the end of each bin, shape (bins,), ending with 1."""
        cdf = self.p.cumsum(0)
        return cdf / cdf[-1]

    @cached_property
    def std(self) -> float:
        """Standard deviation of a draw from [0, 1]: of the centres, and inside the bins."""
        return (self.variance + 1 / (12 * len(self.p) ** 2)) ** 0.5

    @cached_property
    def mean(self) -> float:
        """Mean of a draw from [0, 1]; 1/2 for symmetric histograms."""
        centres = torch.arange(len(self.p), dtype=self.p.dtype, device=self.p.device) + 0.5
        return float((self.p * centres).sum()) / len(self.p)

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes of mean 0 and variance 1 in each coordinate, shape (n, dim)."""
        return ((self.sample_raw(n, dim, generator) - self.mean) / self.std).float()

    def sample_raw(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws from the histogram itself, in [0, 1], by inverting its distribution function.

        Returns:
            Draws, shape (n, dim), float64.
        """
        u = torch.rand(n, dim, generator=generator, dtype=torch.float64, device="cpu")
        bin_ = torch.searchsorted(self.cdf, u, right=True).clamp(max=len(self.p) - 1)
        below = torch.cat([self.cdf.new_zeros(1), self.cdf[:-1]])
        width = self.cdf - below
        inside = ((u - below[bin_]) / width[bin_]).clamp(0, 1)
        return (bin_ + inside) / len(self.p)


def midpoint_kl(p: Sequence[float] | np.ndarray[Any, Any] | Tensor, lam: float = 0.5) -> float:
    """Computes KL(prior || interpolant) of a histogram density on [0, 1] in nats.

    The interpolant is (1 - lam) X_1 + lam X_2 of two independent draws, and both laws are compared
    by their exact masses of the same bins.

    Args:
        p: Masses of n equal bins, shape (n,), non-negative, summing to 1; symmetric or not.
        lam: Place between the two draws, in [0, 1].

    Raises:
        UserError: if p is no histogram or lam lies outside [0, 1].

    Example:
        >>> round(midpoint_kl([0.25] * 4), 4)
        0.1438
    """
    check_interval("lam", lam, "[0, 1]")
    try:
        given = p if isinstance(p, Tensor) else torch.from_numpy(np.array(p, dtype=np.float64))
        masses = given.detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UserError("p must be a sequence of numbers, the masses of equal bins.") from None
    if masses.ndim != 1 or len(masses) == 0 or not bool((masses >= 0).all()):
        raise UserError("p must be one row of masses of bins, none of them negative or NaN.")
    if abs(float(masses.sum()) - 1) > 1e-6:
        raise UserError(f"the masses in p must sum to 1, their sum is {float(masses.sum()):g}.")
    with torch.device("cpu"):
        return float(kl_to_interpolant(masses, float(lam)))


def solve_nonparametric(
    bins: int = BINS, variance: float = VARIANCE, symmetric: bool = True
) -> Nonparametric:
    """Finds the histogram on [0, 1] whose midpoints differ least from it, at some variance.

    Answers are kept, so asking again costs nothing.

    Args:
        bins: Number of bins n, from 2 to 4096; the default takes seconds, 4096 many minutes.
        variance: Least variance of the bins' centres, in units of [0, 1]: a point has no
            divergence at all. It must be possible with that many bins.
        symmetric: Whether the histogram is its own mirror image. Without it the problem has many
            local minima with most of the mass at one edge, one of which is returned.

    Raises:
        UserError: if there is no such histogram.

    Reference: Singh et al. 2019, ICML.
    """
    check_interval("bins", bins, f"[2, {MOST_BINS}]")
    check_interval("variance", variance, "(0, inf)")
    if variance >= largest_variance(bins):
        raise UserError(
            f"the variance must be below {largest_variance(bins):g}, the largest that {bins} bins "
            f"on [0, 1] can have, got {variance:g}."
        )
    return _solved(int(bins), float(variance), bool(symmetric))


@lru_cache(maxsize=16)
def _solved(bins: int, variance: float, symmetric: bool) -> Nonparametric:
    with torch.device("cpu"):  # whatever torch's default is
        return _described(minimise_midpoint_kl(bins, variance, symmetric))


def _described(p: Tensor) -> Nonparametric:
    return Nonparametric(p, float(kl_to_interpolant(p)), float(histogram_variance(p)))


class _Shipped:
    """The histogram of 1024 bins and variance 0.005 from its table, read at the first draw."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_table(), name)

    def sample(self, n: int, dim: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws codes of mean 0 and variance 1 in each coordinate, shape (n, dim)."""
        return _table().sample(n, dim, generator)


@lru_cache(maxsize=1)
def _table() -> Nonparametric:
    half = torch.from_numpy(np.load(TABLE, allow_pickle=False))
    with torch.device("cpu"):
        return _described(torch.cat([half, half.flip(0)]))


PRIORS.register_as("normal")(Normal())
PRIORS.register_as("uniform")(Uniform())
PRIORS.register_as("gamma")(Gamma())
PRIORS.register_as("cauchy")(Cauchy())
PRIORS.register_as("nonparametric")(_Shipped())
