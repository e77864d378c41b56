"""Laws of latents: they integrate to 1, and draws follow the density."""

import math

import pytest
import torch

from zoo.nets.base import NormalBase, PlateauBase


def plateau():
    torch.manual_seed(0)
    law = PlateauBase(3).double()
    with torch.no_grad():
        law.weight_logit.copy_(torch.tensor([0.5, -1.0, 3.0]))
        law.log_tail.copy_(torch.tensor([-3.0, -1.0, -2.0]))
        law.mean.copy_(torch.tensor([4.0, -2.0, 0.5]))
        law.log_scale.copy_(torch.tensor([0.5, 1.0, -1.0]))
    return law.requires_grad_(False)


def marginal(law, index, grid):
    """Density of one latent: the others stay at 0, where theirs divides out."""
    points = torch.zeros(len(grid), 3, dtype=torch.float64)
    points[:, index] = grid
    alone = law.log_prob(points)
    total = torch.trapezoid(alone.exp(), grid)
    return alone.exp() / total, total


def test_the_learnt_law_integrates_to_one():
    law, grid = plateau(), torch.linspace(-80, 80, 160_001, dtype=torch.float64)
    at_zero = law.log_prob(torch.zeros(1, 3).double()).exp()
    totals = [marginal(law, i, grid)[1] for i in range(3)]
    zeros = [marginal(law, i, grid)[0][80_000] for i in range(3)]
    # total_i = the product of the other two densities at 0, if each law's mass is 1
    for i, total in enumerate(totals):
        assert (total * zeros[i]).item() == pytest.approx(at_zero.item(), rel=1e-9)
    assert math.prod(float(t) for t in totals) == pytest.approx(at_zero.item() ** 2, rel=1e-6)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_draws_follow_the_density(index):
    law, grid = plateau(), torch.linspace(-80, 80, 160_001, dtype=torch.float64)
    draws = law.draw(40_000, torch.Generator().manual_seed(1))[:, index]
    density, _ = marginal(law, index, grid)
    cdf = torch.cumsum(density, 0) * 0.001
    edges = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0])
    expected = cdf[((edges + 80) * 1000).long()]
    found = (draws[:, None] < edges).double().mean(0)
    torch.testing.assert_close(found, expected, rtol=0, atol=4 * 0.5 / 200)  # four deviations


def test_normal_draws_repeat_and_have_unit_variance():
    law = NormalBase(3)
    draws = law.draw(5000, torch.Generator().manual_seed(1))
    assert torch.equal(draws, law.draw(5000, torch.Generator().manual_seed(1)))
    assert draws.var().item() == pytest.approx(1, abs=0.05)
    exact = torch.distributions.Normal(0, 1).log_prob(draws).sum(1)
    torch.testing.assert_close(law.log_prob(draws), exact)
