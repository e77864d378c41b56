r"""Restricted Boltzmann machines in closed form: energies, conditionals, gradients, annealing.

.. math:: E(v, h) = -b \cdot v - c \cdot h - v^\top W h, \quad p(v, h) = e^{-E(v, h)} / Z

for bits v and h. With the hidden units summed out, p(v) = exp(-F(v)) / Z with the free energy

.. math:: F(v) = -b \cdot v - \sum_j \log\big(1 + e^{c_j + (v^\top W)_j}\big)

Visible units with a normal law of a fixed deviation sigma have
:math:`\frac{|v - b|^2}{2 \sigma^2}` in the place of :math:`-b \cdot v`, and :math:`v / \sigma` in
the place of v elsewhere.

References: Smolensky 1986; Hinton 2002, Training products of experts by minimizing contrastive
divergence; persistent chains: Tieleman 2008; normal units: Hinton & Salakhutdinov 2006; centred
gradients: Montavon & Mueller 2012, and Melchior, Fischer, Wiskott 2016, arXiv:1311.1354.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.functional.annealing import Step
from zoo.functional.draws import normal, uniform

__all__ = [
    "Machine",
    "Offsets",
    "annealing_step",
    "bits",
    "draw_hidden",
    "draw_visible",
    "free_energy",
    "gradient",
    "hidden_logits",
    "log_base_constant",
    "start_of_base",
    "visible_mean",
]


class Machine(NamedTuple):
    """The weights of a restricted Boltzmann machine.

    Args:
        w: Weights W, shape (V, H).
        b: Biases of the visible units, shape (V,); their means where they are normal.
        c: Biases of the hidden units, shape (H,).
        sigma: Deviation of normal visible units; None for bits.
    """

    w: Tensor
    b: Tensor
    c: Tensor
    sigma: float | None = None


class Offsets(NamedTuple):
    """What is taken off units before they are correlated; zeros for the plain gradient.

    Args:
        visible: Shape (V,).
        hidden: Shape (H,).
    """

    visible: Tensor
    hidden: Tensor


# ---------------------------------------------------------------- the law


def hidden_logits(machine: Machine, v: Tensor) -> Tensor:
    """Returns the log-odds of hidden units, (..., H), given visible ones, (..., V)."""
    return machine.c + (v if machine.sigma is None else v / machine.sigma) @ machine.w


def visible_mean(
    machine: Machine, h: Tensor, beta: float = 1.0, base: Tensor | None = None
) -> Tensor:
    """Returns the means of visible units, (..., V), given hidden ones, (..., H).

    Args:
        machine: The machine.
        h: Hidden units; numbers between 0 and 1 where they stand for expectations.
        beta: Share of the machine in the law on the way from the base.
        base: Biases of the base; see `annealing_step`.
    """
    pull = machine.b + (1.0 if machine.sigma is None else machine.sigma) * (h @ machine.w.t())
    if base is not None:
        pull = (1 - beta) * base + beta * pull
    return pull.sigmoid() if machine.sigma is None else pull


def free_energy(machine: Machine, v: Tensor) -> Tensor:
    """Computes F(v) in nats, (...), of visible units, (..., V): small where v is likely.

    Example:
        >>> none = Machine(torch.zeros(2, 3), torch.zeros(2), torch.zeros(3))
        >>> free_energy(none, torch.zeros(2)) / math.log(2)  # three hidden coins
        tensor(-3.)
    """
    if machine.sigma is None:
        own = -(v @ machine.b)
    else:
        own = ((v - machine.b) / machine.sigma).square().sum(dim=-1) / 2
    return own - _softplus(hidden_logits(machine, v)).sum(dim=-1)


def _softplus(x: Tensor) -> Tensor:
    """Computes log(1 + e^x) in a third of torch's time: annealing does little else."""
    return x.relu() + (1 + (-x.abs()).exp()).log()


def bits(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws bits with these log-odds, on the CPU's stream; 0 and 1 in the format of the logits."""
    drawn = uniform(*logits.shape, generator=generator).to(logits)
    return (drawn < logits.sigmoid()).to(logits)


def draw_hidden(machine: Machine, v: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws hidden units, (..., H), given visible ones, (..., V)."""
    return bits(hidden_logits(machine, v), generator)


def draw_visible(
    machine: Machine,
    h: Tensor,
    generator: torch.Generator | None,
    beta: float = 1.0,
    base: Tensor | None = None,
) -> Tensor:
    """Draws visible units, (..., V), given hidden ones, (..., H); see `visible_mean`."""
    mean = visible_mean(machine, h, beta, base)
    if machine.sigma is None:
        return (uniform(*mean.shape, generator=generator).to(mean) < mean).to(mean)
    return mean + machine.sigma * normal(*mean.shape, generator=generator).to(mean)


# ---------------------------------------------------------------- learning


def gradient(
    machine: Machine, data: Tensor, model: Tensor, offsets: Offsets | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Computes the gradient of -log p in closed form: the data's statistics against the model's.

    .. math:: \frac{\partial (-\log p)}{\partial \theta} =
              E_\mathrm{data}\Big[\frac{\partial F}{\partial \theta}\Big]
              - E_\mathrm{model}\Big[\frac{\partial F}{\partial \theta}\Big]

    Hidden units enter by their probabilities, which have the expectation of draws and less
    noise. With offsets, the gradient is that in the parameters of the same machine written with
    centred units, brought back to these ones (Melchior et al. 2016): another path to the same
    optimum.

    Args:
        machine: The machine.
        data: Visible units of data, shape (B, V).
        model: Those of draws from the model, shape (N, V); N need not be B.
        offsets: Of the centred gradient, or None.

    Returns:
        Gradients of W, b and c, to be descended.
    """
    scale = 1.0 if machine.sigma is None else machine.sigma
    hidden = [hidden_logits(machine, v).sigmoid() for v in (data, model)]
    means = [
        (v.mean(dim=0) / scale, h.mean(dim=0)) for v, h in zip((data, model), hidden, strict=True)
    ]
    products = [v.t() @ h / (len(v) * scale) for v, h in zip((data, model), hidden, strict=True)]
    w = products[1] - products[0]
    b, c = (theirs - ours for ours, theirs in zip(*means, strict=True))
    if offsets is not None:
        mu, lam = offsets.visible / scale, offsets.hidden
        w = w - torch.outer(mu, c) - torch.outer(b, lam)
        return w, b / scale - scale * (w @ lam), c - mu @ w
    return w, b / scale, c


# ---------------------------------------------------------------- annealing


def annealing_step(machine: Machine, base: Tensor) -> Step:
    r"""Returns the step of a walk to a machine from one without weights, hidden units summed out.

    .. math:: E_\beta = (1 - \beta) E_0 + \beta E, \quad E_0(v, h) = -a \cdot v

    or :math:`|v - a|^2 / (2 \sigma^2)` of normal units. The transition draws hidden units and then
    visible ones; the chain of visible units is reversible.

    Args:
        machine: The machine.
        base: Biases a of the base, shape (V,); those of the data's own rates are the best
            (Salakhutdinov & Murray 2008).
    """

    def step(
        v: Tensor, k: int, before: float, beta: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        logits = hidden_logits(machine, v)
        if machine.sigma is None:
            own = v @ (machine.b - base)
        else:
            apart = (v - base).square() - (v - machine.b).square()
            own = apart.sum(dim=-1) / (2 * machine.sigma**2)
        of_hidden = _softplus(beta * logits) - _softplus(before * logits)
        h = bits(beta * logits, generator)
        ratio = (beta - before) * own + of_hidden.sum(dim=-1)
        return ratio, draw_visible(machine, h, generator, beta, base)

    return step


def start_of_base(
    machine: Machine, base: Tensor, n: int, generator: torch.Generator | None
) -> Tensor:
    """Draws n states of the base of `annealing_step`, shape (n, V)."""
    nothing = machine.c.new_zeros(n, len(machine.c))
    return draw_visible(machine, nothing, generator, 0.0, base)


def log_base_constant(machine: Machine, base: Tensor) -> float:
    """Computes log Z of the base of `annealing_step`, hidden units counted in."""
    hidden = len(machine.c) * math.log(2)
    if machine.sigma is None:
        return float(_softplus(base.double()).sum()) + hidden
    return len(base) * math.log(machine.sigma * math.sqrt(2 * math.pi)) + hidden
