r"""Annealed importance sampling: the log of the constant that a law lacks, with its error.

Chains walk from draws of a law whose constant is known to another one, along laws between them:

.. math:: \log w = \sum_{k=1}^K \log f_{\beta_k}(x_{k-1}) - \log f_{\beta_{k-1}}(x_{k-1}), \quad
          x_k \sim T_{\beta_k}(\cdot \mid x_{k-1}), \quad E[w] = Z_1 / Z_0

where T_beta leaves f_beta invariant. The mean of w is unbiased, so its logarithm lies below
log Z_1 / Z_0 on average, the more so the fewer laws there are between. The same walk taken backward
from exact draws of f_1 estimates Z_0 / Z_1, so that minus its logarithm lies above: the gap between
both says what the estimate is worth.

References: Neal 2001, Annealed importance sampling; Salakhutdinov & Murray 2008, On the
quantitative analysis of deep belief networks; both directions: Grosse, Ghahramani, Adams 2015,
arXiv:1511.02543; decoders: Wu, Burda, Salakhutdinov, Grosse 2017, arXiv:1611.04273. All of it was
written from memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.functional.draws import normal, uniform

__all__ = [
    "AT_ONCE",
    "BAND",
    "Constant",
    "LogLaw",
    "Step",
    "annealed",
    "between",
    "constant",
    "hmc",
    "ladder",
    "reverse_constant",
    "tuned_rates",
]

AT_ONCE = 500  # chains that walk together, so that memory is bounded
BAND = 3.0  # standard errors of Z to both sides
WANTED = 0.65  # share of Hamiltonian proposals that should be accepted (Neal 2011)

LogLaw = Callable[[Tensor], Tensor]
"""The log of a law up to a constant: chains (n, ..., D) -> nats (n, ...)."""

Step = Callable[[Tensor, int, float, float, torch.Generator], tuple[Tensor, Tensor]]
"""One step of a walk, to the k-th law: (x, k, beta before, beta, generator) -> the log ratio of the
two laws at x, in nats, and the state that a transition of the new law moves x to."""


# ---------------------------------------------------------------- the walk


def annealed(
    start: Callable[[int, torch.Generator], Tensor],
    step: Step,
    betas: Sequence[float],
    chains: int,
    *,
    seed: int,
    at_once: int = AT_ONCE,
) -> Tensor:
    """Walks chains along a ladder of laws and weighs them.

    Args:
        start: Draws so many states of the first law, shape (n, ...).
        step: Weighs and moves; see `Step`.
        betas: The ladder from the first law to the last, both among them, as from `ladder`. From 1
            to 0 it is the reverse walk, whose start draws from the model.
        chains: Number of chains.
        seed: Decides all.
        at_once: Chains that walk together.

    Returns:
        Log weights in nats, float64, shape (chains, ...): one for each chain of each problem.

    Raises:
        ValueError: if there are no chains, or fewer than two laws.

    Example:
        >>> shift = lambda x, k, a, b, g: ((b - a) * x[:, 0], x)  # f_1 = e^x f_0, never moved
        >>> draw = lambda n, g: torch.zeros(n, 1)
        >>> annealed(draw, shift, [0.0, 0.5, 1.0], 3, seed=0)
        tensor([0., 0., 0.], dtype=torch.float64)
    """
    if chains < 1 or len(betas) < 2:
        raise ValueError(f"a walk needs a chain and two laws, got {chains} and {len(betas)}.")
    generator = torch.Generator("cpu").manual_seed(seed)
    parts = []
    for begin in range(0, chains, at_once):
        x = start(min(at_once, chains - begin), generator)
        total: Tensor | None = None
        for k in range(1, len(betas)):
            ratio, x = step(x, k, betas[k - 1], betas[k], generator)
            # In float64: ten thousand small terms are added up to some hundreds of nats.
            total = ratio.double() if total is None else total + ratio.double()
        assert total is not None
        parts.append(total)
    return torch.cat(parts)


def ladder(temperatures: int, bend: float = 0.0) -> list[float]:
    r"""Lists the inverse temperatures of a walk, from 0 to 1.

    Args:
        temperatures: Number K of steps, at least 1; there are K + 1 laws.
        bend: 0 spaces them evenly; otherwise they follow a sigmoid from -bend to bend, whose steps
            are smaller near both ends (4 in Wu et al. 2017, as far as we remember).

    Example:
        >>> ladder(4)
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    even = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64, device="cpu")
    if bend:
        bent = (bend * (2 * even - 1)).sigmoid()
        even = (bent - bent[0]) / (bent[-1] - bent[0])
    return even.tolist()


# ---------------------------------------------------------------- what comes of the weights


class Constant(NamedTuple):
    """An estimate of log Z.

    Args:
        log_z: Nats; the tensors have a number for each problem.
        standard_error: Of log Z, to the first order: that of Z over Z.
        low: Log of Z less `BAND` of its standard errors; -inf if nothing would be left.
        high: Log of Z and as many more.
    """

    log_z: Tensor
    standard_error: Tensor
    low: Tensor
    high: Tensor


def constant(log_weights: Tensor, log_z0: float | Tensor = 0.0) -> Constant:
    r"""Estimates log Z from the weights of a walk that ended at the law in question.

    .. math:: \log \hat Z = \log Z_0 + \log \frac1n \sum_i w_i, \quad
              \hat s = \frac{\mathrm{std}(w)}{\sqrt n}

    Args:
        log_weights: From `annealed`, shape (n, ...).
        log_z0: Log of the constant of the law that the walk began at.

    Example:
        >>> found = constant(torch.tensor([1.0, 3.0], dtype=torch.float64).log())
        >>> [round(float(value), 3) for value in found]  # Z = 2 +- 1; no log of 2 - 3
        [0.693, 0.5, -inf, 1.609]
    """
    n = len(log_weights)
    log_mean = log_weights.logsumexp(dim=0) - math.log(n)
    relative = (log_weights - log_mean).exp()  # w over its mean
    error = relative.std(dim=0) / math.sqrt(n) if n > 1 else torch.full_like(log_mean, math.inf)
    log_z = log_mean + log_z0
    low = (1 - BAND * error).clamp(min=0).log()
    return Constant(log_z, error, log_z + low, log_z + torch.log1p(BAND * error))


def reverse_constant(log_weights: Tensor, log_z0: float | Tensor = 0.0) -> Constant:
    """Estimates log Z from the weights of the walk back to the law whose constant is known.

    On average it lies above log Z if the walk's start was drawn from the law itself; where the
    start comes of chains that miss a mode, it does not.

    Args:
        log_weights: From `annealed` with the ladder from 1 to 0, shape (n, ...).
        log_z0: Log of the constant of the law that the walk ended at.
    """
    back = constant(log_weights)
    log_z = log_z0 - back.log_z
    return Constant(log_z, back.standard_error, log_z0 - back.high, log_z0 - back.low)


# ---------------------------------------------------------------- continuous states


def hmc(
    log_law: LogLaw, x: Tensor, rate: Tensor, leaps: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Makes one step of Hamiltonian Monte Carlo, which leaves a law invariant at any rate.

    Args:
        log_law: The law, differentiable.
        x: States, shape (n, ..., D).
        rate: Length of a leap, broadcasts with (n, ...).
        leaps: Leaps of a proposal.
        generator: Draws momenta and decisions.

    Returns:
        The next states, and the probability with which each proposal was accepted, (n, ...).

    Reference: Neal 2011, arXiv:1206.1901. Deviations: none.
    """
    length = rate[..., None].to(x)
    momentum = normal(*x.shape, generator=generator).to(x)
    value, slope = _with_slope(log_law, x)
    energy = momentum.square().sum(dim=-1) / 2 - value
    there, moving = x, momentum + length / 2 * slope
    for leap in range(leaps):
        there = there + length * moving
        value, slope = _with_slope(log_law, there)
        moving = moving + (length if leap + 1 < leaps else length / 2) * slope
    gained = energy - (moving.square().sum(dim=-1) / 2 - value)
    # A leap so long that it ends nowhere is refused.
    accepted = torch.nan_to_num(gained, nan=-math.inf).clamp(max=0).exp()
    taken = uniform(*accepted.shape, generator=generator).to(accepted) < accepted
    return torch.where(taken[..., None], there, x), accepted


def _with_slope(log_law: LogLaw, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        value = log_law(x)
        (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), slope


def between(
    log_f0: LogLaw,
    log_f1: LogLaw,
    rates: Sequence[Tensor],
    leaps: int = 10,
    transitions: int = 1,
) -> Step:
    r"""Returns the step of a walk along f_0^{1 - beta} f_1^beta, by Hamiltonian Monte Carlo.

    Args:
        log_f0: The first law.
        log_f1: The last law.
        rates: Length of a leap for each law of the ladder, as from `tuned_rates`; in the order of
            the walk.
        leaps: Leaps of a proposal.
        transitions: Proposals at each law.
    """

    def step(
        x: Tensor, k: int, before: float, beta: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            ratio = (beta - before) * (log_f1(x) - log_f0(x))
        law = _geometric(log_f0, log_f1, beta)
        for _ in range(transitions):
            x, _ = hmc(law, x, rates[k], leaps, generator)
        return ratio, x

    return step


def _geometric(log_f0: LogLaw, log_f1: LogLaw, beta: float) -> LogLaw:
    return lambda x: (1 - beta) * log_f0(x) + beta * log_f1(x)


def tuned_rates(
    start: Callable[[int, torch.Generator], Tensor],
    log_f0: LogLaw,
    log_f1: LogLaw,
    betas: Sequence[float],
    *,
    seed: int,
    chains: int = 8,
    leaps: int = 10,
    first: float = 0.1,
) -> list[Tensor]:
    """Finds how long leaps should be at each law of a ladder, by a walk that is thrown away.

    Rates that followed the very chains that are weighed would make their weights biased.

    Args:
        start: Draws states of the first law.
        log_f0: The first law.
        log_f1: The last law.
        betas: The ladder.
        seed: Decides all; another one than that of the walk to be weighed.
        chains: Chains that find out.
        leaps: Leaps of a proposal.
        first: Rate to begin with.

    Returns:
        A rate for each law, shape (...): one for each problem.

    Reference: the rule is Wu et al.'s, which follow the weighed chains: up by 2 % where more than
    the wanted share is accepted, else down; a share of 65 %.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    x = start(chains, generator)
    rate = torch.full(x.shape[1:-1], first, dtype=x.dtype, device=x.device)
    found = [rate]
    for beta in betas[1:]:
        x, accepted = hmc(_geometric(log_f0, log_f1, beta), x, rate, leaps, generator)
        more = accepted.mean(dim=0) > WANTED
        rate = rate * torch.where(more, 1.02, 0.98).to(rate)
        found.append(rate)
    return found
