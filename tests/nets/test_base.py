"""Laws of latents: they integrate to 1, draws follow the density, channels see what they may."""

import pytest
import torch

from zoo.nets.base import MixtureLaw, NormalBase

GRID = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
STEP = 120 / 240_000


def mixture(channels=1, context=2, height=1, columns=1):
    torch.manual_seed(0)
    law = MixtureLaw(channels, context, height, columns, width=6, blocks=1, components=3).double()
    with torch.no_grad():
        for parameter in law.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return law.requires_grad_(False)


def of_context(law, context):
    """Density of one number on the grid, given a context of shape (2,)."""
    return law.log_prob(
        GRID[:, None, None, None], context[None, :, None, None].expand(len(GRID), -1, 1, 1)
    ).exp()


@pytest.mark.parametrize("context", [(0.0, 0.0), (1.0, -2.0)])
def test_the_learnt_law_integrates_to_one(context):
    density = of_context(mixture(), torch.tensor(context).double())
    assert (density.sum() * STEP).item() == pytest.approx(1, abs=1e-6)


def test_draws_follow_the_density():
    law, context = mixture(), torch.tensor([1.0, -2.0]).double()
    many = context[None, :, None, None].expand(40_000, -1, 1, 1)
    draws = law.draw(40_000, many, torch.Generator().manual_seed(1), 1.0).flatten()
    cdf = torch.cumsum(of_context(law, context), 0) * STEP
    edges = torch.tensor([-4.0, -2.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, 4.0]).double()
    expected = cdf[((edges + 60) / STEP).round().long()]
    found = (draws[:, None] < edges).double().mean(0)
    assert ((expected > 0.02) & (expected < 0.98)).sum() >= 4  # the edges are where things happen
    torch.testing.assert_close(found, expected, rtol=0, atol=4 * 0.5 / 200)  # four deviations


def test_a_channel_sees_the_context_and_the_channels_before_it_and_all_places():
    law = mixture(channels=3, context=1, height=2, columns=2)
    z, context = torch.randn(1, 3, 2, 2).double(), torch.randn(1, 1, 2, 2).double()

    def weights_of(j, seen):
        return law._numbers(j, seen)[0].flatten()

    for j in range(3):
        seen = torch.cat([context, z[:, :j]], dim=1)
        jacobian = torch.autograd.functional.jacobian(lambda v, j=j: weights_of(j, v), seen)
        assert (jacobian.abs().sum(dim=(0, 1)) > 0).all()


def test_a_map_is_as_likely_as_its_channels_one_after_another():
    law = mixture(channels=2, context=1, height=2, columns=3)
    law.start[:, 2:] += 1.5  # wide, so that the plain difference of sigmoids is exact enough
    z, context = 0.3 * torch.randn(4, 2, 2, 3).double(), torch.randn(4, 1, 2, 3).double()
    total = torch.zeros(4).double()
    for j in range(2):
        seen = torch.cat([context, z[:, :j]], dim=1)
        weight, mean, log_width, log_tail = law._numbers(j, seen)
        h, tau = log_width.exp(), log_tail.exp() * log_width.exp()
        value = z[:, j, None]
        cdf = ((value - mean + h) / tau).sigmoid() - ((value - mean - h) / tau).sigmoid()
        total += (weight.exp() * cdf / (2 * h)).sum(1).log().flatten(1).sum(1)
    torch.testing.assert_close(law.log_prob(z, context), total, rtol=1e-9, atol=1e-9)


def test_without_context_draws_repeat_and_temperature_scales_the_first_channel():
    law = mixture(channels=2, context=0, height=2, columns=2)
    draw = [law.draw(5, None, torch.Generator().manual_seed(1), t) for t in (1.0, 1.0, 0.5)]
    assert draw[0].shape == (5, 2, 2, 2) and torch.equal(draw[0], draw[1])
    assert torch.equal(0.5 * draw[0][:, 0], draw[2][:, 0])


def test_normal_draws_repeat_and_have_unit_variance():
    law = NormalBase(3)
    draws = law.draw(5000, torch.Generator().manual_seed(1))
    assert torch.equal(draws, law.draw(5000, torch.Generator().manual_seed(1)))
    assert draws.var().item() == pytest.approx(1, abs=0.05)
    exact = torch.distributions.Normal(0, 1).log_prob(draws).sum(1)
    torch.testing.assert_close(law.log_prob(draws), exact)
