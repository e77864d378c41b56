"""GMVAE: its four terms against enumeration, its limits, and what is asked of clusters."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import GMVAE
from zoo.models.variational.gmvae import Code

SPEC = ImageSpec(1, 8, 8, 10)
OPTIONS = {"components": 4, "latent_dim": 3, "style_dim": 2, "hidden": (16,), "prior_hidden": 8}


def make(**options):
    torch.manual_seed(0)
    model = GMVAE(SPEC, **{**OPTIONS, **options}).double()
    with torch.no_grad():
        for parameter in model.components.parameters():
            parameter.normal_(0, 0.7)
    return model


def bits(count):
    return (torch.rand(count, 1, 8, 8, dtype=torch.float64) > 0.5).double()


def components(model, w):
    mean, log_var = model._prior(w)
    return Normal(mean, (log_var / 2).exp())  # (B, K, latent)


@pytest.mark.parametrize("views", [1, 2])
def test_terms_are_those_of_the_paper(views):
    # Everything anew from torch.distributions, with y summed over explicitly.
    model, x = make(), bits(3 * views)
    torch.manual_seed(1)
    terms = model.terms(x, views)
    code = model._read(x)
    torch.manual_seed(1)
    z, w = model._draw(code)
    p = components(model, w)
    joint = p.log_prob(z[:, None]).sum(2).exp().view(3, views, 4).prod(1) / 4
    posterior = joint / joint.sum(1, keepdim=True)
    q = Normal(code.z_mean, (code.z_log_var / 2).exp())
    expected = torch.zeros(3, dtype=torch.float64)
    for k in range(4):
        pk = Normal(p.mean[:, k], p.stddev[:, k])
        expected += posterior[:, k] * kl_divergence(q, pk).sum(1).view(3, views).mean(1)
    torch.testing.assert_close(terms["z_rate_nats"], expected)
    entropy = -(posterior * posterior.log()).sum(1)
    torch.testing.assert_close(terms["y_rate_nats"], (math.log(4) - entropy) / views)
    qw = Normal(code.w_mean, (code.w_log_var / 2).exp())
    w_rate = kl_divergence(qw, Normal(torch.zeros_like(w), torch.ones_like(w))).sum(1)
    torch.testing.assert_close(terms["w_rate_nats"], w_rate.view(3, views).mean(1))
    law = torch.distributions.Bernoulli(logits=model.decoder(z))
    distortion = -law.log_prob(x).flatten(1).sum(1).view(3, views).mean(1)
    torch.testing.assert_close(terms["distortion_nats"], distortion)
    average = posterior.mean(0)
    torch.testing.assert_close(terms["imbalance_nats"], (average * (4 * average).log()).sum())


def test_components_that_are_all_standard_normal_make_a_plain_vae():
    model, x = make(), bits(5)
    last = model.components.layers[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
    terms, code = model.terms(x), model._read(x)
    q = Normal(code.z_mean, (code.z_log_var / 2).exp())
    rate = kl_divergence(q, Normal(torch.zeros_like(q.mean), torch.ones_like(q.mean))).sum(1)
    torch.testing.assert_close(terms["z_rate_nats"], rate)
    assert terms["y_rate_nats"].abs().max() < 1e-12
    with torch.no_grad():
        model.encoder.layers[-1].weight[6:] = 0  # q(w | x) is the prior: w tells nothing either
        model.encoder.layers[-1].bias[6:] = 0
    many = x[:1].expand(20_000, -1, -1, -1)
    with torch.no_grad():
        terms, bound = model.terms(many), model.elbo(many)
    nelbo = sum(terms[name].mean() for name in terms if name != "imbalance_nats")
    error = bound.std().item() / math.sqrt(len(many))
    assert bound.mean().item() == pytest.approx(-nelbo.item(), abs=6 * error)


def test_bound_is_above_the_papers_and_rises_with_samples():
    # The paper's terms take y from one z and pay the rate of another; summing y out does not.
    model, x = make(), bits(1).expand(20_000, -1, -1, -1)
    with torch.no_grad():
        terms = model.terms(x)
        paper = -sum(terms[name].mean() for name in terms if name != "imbalance_nats")
        one = model.elbo(x)
        ten = model.elbo(x[:2000], 10)
    error = 4 * one.std() / math.sqrt(20_000)
    assert one.mean() > paper + error
    assert ten.mean() > one.mean() - error


def test_weights_are_those_of_normalised_laws():
    # E_q[p(z, w) / q(z, w)] = 1: rejects a dropped 1 / K, a missing log q, a half too much.
    model = make()
    model._log_likelihood = lambda x, z: torch.zeros(len(z), dtype=torch.float64)
    wide = Code(*(torch.full((1, n), v).double() for n, v in ((3, 0), (3, 3), (2, 0), (2, 0.7))))
    with torch.no_grad():
        weights = model._log_weights(bits(1), wide, 200_000).exp()
    error = weights.std() / math.sqrt(200_000)
    assert error < 0.03 and (weights.mean() - 1).abs() < 4 * error


def test_posterior_follows_bayes_rule_and_classify_its_largest():
    model, x = make(), bits(6)
    with torch.no_grad():
        code = model._read(x)
        joint = components(model, code.w_mean).log_prob(code.z_mean[:, None]).sum(2).exp()
        known = joint / joint.sum(1, keepdim=True)
    torch.testing.assert_close(model.probabilities_of_codes(x), known)
    assert torch.equal(model.classify(x), known.argmax(1))


def test_samples_of_a_component_come_from_it():
    model = make()
    asked = []
    model.decode = lambda z: asked.append(z) or torch.zeros(len(z), 1, 8, 8)
    model = model.float()
    last = model.components.layers[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.view(4, 2, 3)[:, 0] = torch.arange(4.0)[:, None] * 10
        last.bias.view(4, 2, 3)[:, 1] = -20
    model.sample(5, seed=0, label=2)
    torch.testing.assert_close(asked[-1], torch.full((5, 3), 20.0), atol=1e-2, rtol=0)
    model.traverse("component", rows=2)
    rows = asked[-1].view(2, 4, 3)
    torch.testing.assert_close(rows[1, :, 0], torch.arange(4.0) * 10, atol=1e-2, rtol=0)
    with pytest.raises(UserError, match=r"0\.\.3"):
        model.sample(1, label=4)


@pytest.mark.parametrize("free", [0.0, 0.4, 9.0])
def test_free_nats_cost_nothing(free, monkeypatch):
    model = make(free_nats=free, views=1, jitter=0.0, balance=3.0)
    monkeypatch.setattr("zoo.models.variational.gmvae.record", lambda *a, **k: None)
    terms = {
        "distortion_nats": torch.tensor([5.0, 7.0]),
        "z_rate_nats": torch.tensor([1.0, 1.0]),
        "w_rate_nats": torch.tensor([0.5, 0.5]),
        "y_rate_nats": torch.tensor([0.2, 1.0]),
        "imbalance_nats": torch.tensor(0.1),
    }
    model.terms = lambda x, views: terms
    batch = type("Batch", (), {"image": bits(2)})
    y = (max(0.2, free) + max(1.0, free)) / 2
    assert model.training_step(batch, 0).item() == pytest.approx(6 + 1 + 0.5 + y + 0.3)


@pytest.mark.parametrize(
    "options", [{"components": 1}, {"views": 0}, {"network": "cnv"}, {"jitter": -0.1}]
)
def test_senseless_values_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        GMVAE(SPEC, **options)
