"""The midpoint's law and the histogram nearest to it, against enumeration, sampling and SLSQP."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from zoo.functional import midpoint
from zoo.functional.midpoint import (
    histogram_variance,
    interpolant_masses,
    kl_to_interpolant,
    largest_variance,
    minimise_midpoint_kl,
)


def histogram(n, seed=0):
    p = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return p / p.sum()


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.8, 1.0])
def test_masses_of_the_interpolant_against_integration(lam):
    p = histogram(5)
    fine = 200  # midpoints of cells inside each bin: converges with the square of their width
    x = (torch.arange(5 * fine, dtype=torch.float64) + 0.5) / (5 * fine)
    weight = p.repeat_interleave(fine) / fine
    place = ((1 - lam) * x[:, None] + lam * x[None, :]).mul(5).floor().long().flatten()
    wanted = torch.bincount(place, (weight[:, None] * weight[None, :]).flatten(), minlength=5)
    torch.testing.assert_close(interpolant_masses(p, lam), wanted, rtol=0, atol=4e-4)
    assert abs(float(interpolant_masses(p, lam).sum()) - 1) < 1e-12


@pytest.mark.parametrize("n", [2, 3, 8, 31])
def test_two_ways_to_the_midpoint_agree(n):
    p = histogram(n)
    torch.testing.assert_close(midpoint._midpoint(p), interpolant_masses(p), rtol=1e-12, atol=0)


def test_mass_between_even_places_is_counted():
    """q_k = 2 c_{2k}, the tempting discretisation, loses it: all mass on one of two bins."""
    p = torch.tensor([0.5, 0.0, 0.5, 0.0], dtype=torch.float64)
    # pairs (0,0), (0,2) twice, (2,2): centres 0, 1, 2, each a triangle that covers one bin
    wanted = torch.tensor([0.25, 0.5, 0.25, 0.0], dtype=torch.float64)
    torch.testing.assert_close(interpolant_masses(p), wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("n", [9, 16])
@pytest.mark.parametrize("symmetric", [True, False])
def test_derivatives_of_the_divergence_against_autograd(n, symmetric):
    p = histogram(n)
    p = (p + p.flip(0)) / 2 if symmetric else p
    _, residual = midpoint._newton_step(p, symmetric)
    q = p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((q * (q / interpolant_masses(q)).log()).sum(), q)
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    bounds = torch.stack([torch.ones(n), (x - (p * x).sum()).square()]).double()
    held = torch.linalg.lstsq((bounds * p.sqrt()).T, (gradient * p.sqrt())[:, None]).solution
    torch.testing.assert_close(residual, gradient - held.flatten() @ bounds, rtol=0, atol=1e-10)


def gradient_length(p):
    """In Fisher's metric, as the method measures it."""
    return float((p * midpoint._newton_step(p, True)[1].square()).sum().sqrt())


@pytest.mark.parametrize("variance", [0.005, 0.02, 0.12])
def test_newtons_step_squares_the_distance(variance):
    """From twice as far, a step ends four times as far from the goal; with a wrong Hessian, two.

    From fixed places near the solution, not along a path: whose steps are shortened, and when the
    line search meets rounding, differs between machines.
    """
    solution = minimise_midpoint_kl(64, variance)
    aside = torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    aside = aside + aside.flip(0)
    ends = []
    for distance in (1e-3, 5e-4):
        p = midpoint._constrained(solution * torch.exp(distance * aside), variance, True)
        step = midpoint._newton_step(p, True)[0]
        ends.append(gradient_length(midpoint._constrained(p * torch.exp(step), variance, True)))
    assert ends[1] > 1e-10, "rounding, not the method, is compared"
    assert ends[0] / ends[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("variance", [0.005, 0.02, 0.12])
def test_newtons_method_ends_soon_and_at_a_solution(monkeypatch, variance):
    """A wrong Hessian still leads downhill, but by hundreds of steps."""
    lengths, step = [], midpoint._newton_step

    def counted(p, symmetric):
        found = step(p, symmetric)
        lengths.append(float((p * found[1].square()).sum().sqrt()))
        return found

    monkeypatch.setattr(midpoint, "_newton_step", counted)
    minimise_midpoint_kl(64, variance)
    # The value falls by the gradient's square: below the root of its rounding nothing is seen.
    assert len(lengths) < 40 and lengths[-1] < 1e-7


def slsqp(n, variance):
    """The same problem by another method, from another start, on the masses themselves."""
    half, x = n // 2, (np.arange(n) + 0.5) / n - 0.5

    def whole(h):
        return np.concatenate([h, h[::-1]])

    def value(h):
        p = torch.tensor(whole(h), requires_grad=True)
        kl = (p * (p / interpolant_masses(p)).log()).sum()
        (g,) = torch.autograd.grad(kl, p)
        g = g.numpy()
        return float(kl.detach()), g[:half] + g[half:][::-1]

    found = minimize(
        value, np.full(half, 1 / n), jac=True, method="SLSQP", bounds=[(1e-12, 1)] * half,
        constraints=[
            {"type": "eq", "fun": lambda h: 2 * h.sum() - 1},
            {"type": "ineq", "fun": lambda h: 2 * (h * x[:half] ** 2).sum() - variance},
        ],
        options={"maxiter": 500, "ftol": 1e-13},
    )  # fmt: skip
    return found.fun


@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")  # SciPy 1.11
@pytest.mark.parametrize("variance", [0.002, 0.02, 0.12])
def test_the_least_divergence_against_another_solver(variance):
    p = minimise_midpoint_kl(32, variance)
    assert abs(float(kl_to_interpolant(p)) - slsqp(32, variance)) < 1e-7
    assert float(histogram_variance(p)) >= variance - 1e-12
    assert torch.equal(p, p.flip(0)) and (p >= 0).all() and abs(float(p.sum()) - 1) < 1e-12


@pytest.mark.parametrize(
    ("n", "variance"),
    [(2, 0.01), (3, 0.01), (5, 0.1), (16, 1e-5), (16, 0.001), (100, 0.24), (255, 0.2), (256, 3e-4)],
)
def test_every_size_and_variance_is_solved(n, variance):
    p = minimise_midpoint_kl(n, variance)
    assert float(histogram_variance(p)) >= variance - 1e-12 and torch.isfinite(p).all()
    assert torch.allclose(p, p.flip(0), rtol=0, atol=1e-15)
    if variance > 1 / (4 * n * n):
        _, residual = midpoint._newton_step(p.clamp(min=1e-140), True)
        assert float((p * residual.square()).sum()) < 1e-12, "no stationary point"


def test_without_symmetry_the_mass_sits_at_an_edge_and_the_divergence_is_less():
    one, both = minimise_midpoint_kl(128, 0.02, False), minimise_midpoint_kl(128, 0.02)
    assert float(kl_to_interpolant(one)) < 0.08 < 0.1063 < float(kl_to_interpolant(both)) < 0.1065
    assert one[:4].sum() > 0.8
    assert abs(float(histogram_variance(one)) - 0.02) < 1e-9


def test_largest_variance_is_that_of_the_end_bins():
    for n in (2, 7, 64):
        p = torch.zeros(n, dtype=torch.float64)
        p[0] = p[-1] = 0.5
        assert abs(float(histogram_variance(p)) - largest_variance(n)) < 1e-15
