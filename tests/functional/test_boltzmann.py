"""Restricted Boltzmann machines of a few units, against sums over all of their states."""

import math

import pytest
import torch

from zoo.functional.annealing import annealed, constant, ladder, reverse_constant
from zoo.functional.boltzmann import (
    Machine,
    Offsets,
    annealing_step,
    draw_hidden,
    draw_visible,
    free_energy,
    gradient,
    hidden_logits,
    log_base_constant,
    start_of_base,
    visible_mean,
)

V, H = 8, 6
DOUBLE = torch.float64


def machine(seed=0, scale=1.0, sigma=None, visible=V):
    g = torch.Generator().manual_seed(seed)
    w, b, c = (torch.randn(*s, generator=g, dtype=DOUBLE) for s in ((visible, H), (visible,), (H,)))
    return Machine(scale * w, b, c, sigma)


def states(n):
    """All rows of n bits, (2^n, n)."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=DOUBLE)] * n).view(-1, n)


def joint(m):
    """-E(v, h) of all states, (2^V, 2^H), term by term from the definition."""
    v, h = states(len(m.b)), states(H)
    return (v @ m.b)[:, None] + (h @ m.c)[None] + torch.einsum("vi,ij,hj->vh", v, m.w, h)


def log_probabilities(m):
    return joint(m).logsumexp(1) - joint(m).logsumexp((0, 1))


def test_the_free_energy_is_the_sum_over_hidden_units_and_both_sums_give_one_constant():
    """Rejects a sign, a missing bias, and hidden units summed as if each were on."""
    m = machine()
    torch.testing.assert_close(-free_energy(m, states(V)), joint(m).logsumexp(1))
    turned = Machine(m.w.T, m.c, m.b)  # hidden units seen from the other side
    torch.testing.assert_close(-free_energy(turned, states(H)), joint(m).logsumexp(0))
    over_v, over_h = (-free_energy(*pair) for pair in ((m, states(V)), (turned, states(H))))
    torch.testing.assert_close(over_v.logsumexp(0), over_h.logsumexp(0))


def test_conditionals_are_those_of_the_enumerated_law():
    m, law = machine(), joint(machine()).exp()
    on = (law @ states(H)) / law.sum(1, keepdim=True)
    torch.testing.assert_close(hidden_logits(m, states(V)).sigmoid(), on)
    on = (law.T @ states(V)) / law.sum(0)[:, None]
    torch.testing.assert_close(visible_mean(m, states(H)), on)


def test_a_gibbs_step_leaves_the_enumerated_law_invariant():
    """Rejects transposed weights, the other layer's bias, and probabilities in place of draws."""
    m = machine()
    p = log_probabilities(m).exp()
    g = torch.Generator().manual_seed(1)
    v = states(V)[torch.multinomial(p, 100_000, replacement=True, generator=g)]
    for _ in range(3):
        v = draw_visible(m, draw_hidden(m, v, g), g)
    counts = torch.bincount((v @ 2.0 ** torch.arange(V - 1, -1, -1, dtype=DOUBLE)).long(),
                            minlength=2**V)  # fmt: skip
    often = p > 1e-3
    z = (counts / 100_000 - p)[often] / (p * (1 - p) / 100_000)[often].sqrt()
    assert often.sum() > 40 and z.abs().max() < 4.5 and z.square().mean() < 1.6


@pytest.mark.parametrize("offsets", [None, Offsets(torch.rand(V).double(), torch.rand(H).double())])
def test_the_gradient_is_autograds_of_the_enumerated_likelihood(offsets):
    """Rejects swapped phases, a wrong sign, and one phase scaled by the other's number of rows."""
    m = machine()
    leaves = [t.clone().requires_grad_(True) for t in (m.w, m.b, m.c)]
    data = states(V)[[3, 77, 200]]
    loss = -log_probabilities(Machine(*leaves))[[3, 77, 200]].mean()
    w, b, c = torch.autograd.grad(loss, leaves)
    if offsets is not None:  # the chain rule of b = b' - W lam, c = c' - W^T mu, W = W'
        mu, lam = offsets
        centred_w = w - torch.outer(b, lam) - torch.outer(mu, c)
        w, b, c = centred_w, b - centred_w @ lam, c - mu @ centred_w
    # The model's side exactly: every state as often as it is probable, in a thousandth.
    p = log_probabilities(m).exp()
    often = (p * 1e6).round().long()
    model = states(V).repeat_interleave(often, dim=0)
    for ours, theirs in zip(gradient(m, data, model, offsets), (w, b, c), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)


def test_persistent_chains_estimate_the_gradient_without_bias():
    m, data = machine(scale=0.5), states(V)[[3, 77, 200]]
    leaves = [t.clone().requires_grad_(True) for t in (m.w, m.b, m.c)]
    wanted = torch.autograd.grad(-log_probabilities(Machine(*leaves))[[3, 77, 200]].mean(), leaves)
    g = torch.Generator().manual_seed(0)
    v, sums = torch.zeros(1000, V, dtype=DOUBLE), [torch.zeros_like(t) for t in leaves]
    for turn in range(220):
        v = draw_visible(m, draw_hidden(m, v, g), g)
        if turn >= 20:
            for total, part in zip(sums, gradient(m, data, v), strict=True):
                total += part / 200
    for mean, theirs in zip(sums, wanted, strict=True):
        torch.testing.assert_close(mean, theirs, rtol=0, atol=6e-3)


BASE = torch.linspace(-1, 1, V, dtype=DOUBLE)


def walked(m, base, temperatures, chains, back=None, seed=0):
    step, betas = annealing_step(m, base), ladder(temperatures)
    if back is not None:
        return reverse_constant(annealed(back, step, betas[::-1], chains, seed=seed),
                                log_base_constant(m, base))  # fmt: skip
    start = lambda n, g: start_of_base(m, base, n, g)  # noqa: E731
    return constant(annealed(start, step, betas, chains, seed=seed), log_base_constant(m, base))


def test_annealing_finds_the_enumerated_constant_from_both_ends():
    """Rejects the base's constant without its hidden units, and hidden logits not annealed."""
    m = machine()
    exact = float(joint(m).logsumexp((0, 1)))
    p = log_probabilities(m).exp()
    draw = lambda n, g: states(V)[torch.multinomial(p, n, True, generator=g)]  # noqa: E731
    for found in (walked(m, BASE, 300, 400), walked(m, BASE, 300, 400, draw)):
        assert found.standard_error < 0.02
        assert abs(found.log_z - exact) < 3 * found.standard_error


def test_too_few_temperatures_show_in_the_gap():
    m = machine(scale=3.0)
    p = log_probabilities(m).exp()
    draw = lambda n, g: states(V)[torch.multinomial(p, n, True, generator=g)]  # noqa: E731
    gaps = [float(walked(m, BASE, t, 20, draw).log_z - walked(m, BASE, t, 20).log_z)
            for t in (2, 1000)]  # fmt: skip
    assert gaps[0] > 1 and abs(gaps[1]) < 0.3


# ------------------------------------------------------------------ normal visible units

SIGMA = 0.5


def normal_log_joint(m, v):
    """-E(v, h) for all h, (N, 2^H), from the definition."""
    h = states(H)
    pull = torch.einsum("ni,ij,hj->nh", v / m.sigma, m.w, h)
    own = ((v - m.b) ** 2).sum(1) / (2 * m.sigma**2)
    return pull + (h @ m.c)[None] - own[:, None]


def test_normal_units_have_the_free_energy_and_the_gradient_of_their_definition():
    """Rejects a variance in the place of the deviation, in any of the three terms."""
    m = machine(sigma=SIGMA, visible=2)
    g = torch.Generator().manual_seed(3)
    data, model = (torch.randn(n, 2, generator=g, dtype=DOUBLE) for n in (3, 5))
    torch.testing.assert_close(-free_energy(m, data), normal_log_joint(m, data).logsumexp(1))
    leaves = [t.clone().requires_grad_(True) for t in (m.w, m.b, m.c)]
    free = Machine(*leaves, SIGMA)
    loss = free_energy(free, data).mean() - free_energy(free, model).mean()
    for ours, theirs in zip(
        gradient(m, data, model), torch.autograd.grad(loss, leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    w, b, c = torch.autograd.grad(free_energy(free, data).mean() - free_energy(free, model).mean(),
                                  leaves)  # fmt: skip
    mu, lam = torch.tensor([0.3, -0.7], dtype=DOUBLE), torch.linspace(0, 1, H, dtype=DOUBLE)
    # The chain rule of b = b' - sigma W lam, c = c' - W^T mu / sigma, W = W'.
    w = w - SIGMA * torch.outer(b, lam) - torch.outer(mu, c) / SIGMA
    centred = w, b - SIGMA * w @ lam, c - mu @ w / SIGMA
    for ours, theirs in zip(gradient(m, data, model, Offsets(mu, lam)), centred, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_normal_units_are_annealed_to_the_constant_that_a_grid_finds():
    m = machine(sigma=SIGMA, visible=2)
    axis = torch.arange(-12, 12, 0.05, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)
    exact = float((-free_energy(m, grid)).logsumexp(0)) + 2 * math.log(0.05)
    found = walked(m, torch.tensor([0.3, -0.2], dtype=DOUBLE), 300, 600)
    assert found.standard_error < 0.03
    assert abs(found.log_z - exact) < 3 * found.standard_error
