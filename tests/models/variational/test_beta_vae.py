"""Beta-VAE: what beta and the capacity do to the loss, and nothing else."""

import math

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import BetaVAE
from zoo.models.variational.base import SHOWN

SPEC = ImageSpec(1, 8, 8, 10)


def make(**options):
    torch.manual_seed(0)
    return BetaVAE(SPEC, latent_dim=3, width=4, **options)


def test_beta_weighs_the_rate_and_the_rate_only():
    x = torch.rand(16, 1, 8, 8)
    losses = {}
    for beta in (1.0, 5.0):
        model = make(beta=beta)
        torch.manual_seed(1)
        distortion, rates = model.terms(x)
        losses[beta] = model.objective(distortion, rates.sum(), 0.3)
    torch.testing.assert_close(losses[5.0] - losses[1.0], 4 * rates.sum())


def test_capacity_rises_and_draws_the_rate_from_both_sides():
    model = make(beta=10.0, capacity=20.0, capacity_until=0.5)
    for done, wanted in ((0.0, 0.0), (0.25, 10.0), (0.5, 20.0), (1.0, 20.0)):
        for rate in (5.0, 30.0):
            found = model.objective(torch.tensor(2.0), torch.tensor(rate), done)
            assert found.item() == pytest.approx(2 + 10 * abs(rate - wanted))


@pytest.mark.parametrize("capacity", [None, 20.0])
def test_the_distortion_can_weigh_more_and_nothing_else_does(capacity):
    distortion, rate = torch.tensor(3.0), torch.tensor(7.0)
    light, heavy = (
        make(capacity=capacity, distortion_weight=weight).objective(distortion, rate, 0.3)
        for weight in (1.0, 4.0)
    )
    assert (heavy - light).item() == pytest.approx(9)


def test_terms_are_those_of_the_laws():
    model, x = make(), torch.rand(16, 1, 8, 8)
    with torch.no_grad():
        mean, log_var = model._read(x)
        q = torch.distributions.Normal(mean, (log_var / 2).exp())
        p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        _, rates = model.terms(x)
        known = torch.distributions.kl_divergence(q, p).mean(0)
        torch.testing.assert_close(rates, known, rtol=1e-4, atol=1e-6)
        z = torch.randn(16, 3)
        law = torch.distributions.Bernoulli(logits=model.decoder(z))
        bits = (x > 0.5).float()
        torch.testing.assert_close(
            model._distortion(bits, z), -law.log_prob(bits).flatten(1).sum(1)
        )


def test_bound_has_the_expectation_of_the_terms_whatever_beta_is():
    model = make(beta=7.0)
    x = (torch.rand(1, 1, 8, 8) > 0.5).float().expand(20_000, -1, -1, -1)
    with torch.no_grad():
        distortion, rates = model.terms(x)
        bound = model.elbo(x)
    error = bound.std().item() / math.sqrt(len(x))
    assert bound.mean().item() == pytest.approx(-(distortion + rates.sum()).item(), abs=6 * error)
    assert model.elbo(x[:500], 20).mean() > bound.mean() - 4 * error


def test_units_are_named_by_rate_and_a_traversal_moves_its_own():
    model = BetaVAE(SPEC, latent_dim=12, width=4)
    model.unit_rate.copy_(torch.arange(12.0))
    assert model.codes()[0] == "z12" and len(model.codes()) == SHOWN
    model.unit_rate[2:] = 0.01  # silent
    assert model.codes() == ("z2",)
    model.unit_rate.zero_()
    assert model.codes() == ("z1",)
    asked = []
    model.decode = lambda z: asked.append(z) or torch.zeros(len(z), 1, 8, 8)
    model.traverse("z2", rows=2, steps=5)
    z = asked[0].view(2, 5, 12)
    torch.testing.assert_close(z[1, :, 1], torch.linspace(-2, 2, 5))
    rest = [i for i in range(12) if i != 1]
    assert torch.equal(z[:, :1, rest].expand(-1, 5, -1), z[:, :, rest])


@pytest.mark.parametrize(
    "options", [{"beta": -1.0}, {"capacity": -2.0}, {"capacity_until": 0.0}, {"network": "cnv"}]
)
def test_senseless_values_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        make(**options)
