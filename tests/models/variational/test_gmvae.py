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
TERMS = ("distortion_nats", "z_rate_nats", "w_rate_nats", "y_rate_nats")
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


@pytest.mark.parametrize(("views", "samples"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_terms_are_those_of_the_paper(views, samples):
    # Everything anew from torch.distributions, with y summed over explicitly and the samples in a
    # loop; rejects a posterior of averaged samples, in the place of the average over posteriors,
    # and a sum over samples.
    model, x = make(), bits(3 * views)
    torch.manual_seed(1)
    terms = model.terms(x, samples) if views == 1 else model.view_terms(x, views, samples)
    code = model._read(x)
    torch.manual_seed(1)
    z, w = model._draw(Code(*(part.repeat(samples, 1) for part in code)))
    q = Normal(code.z_mean, (code.z_log_var / 2).exp())
    qw = Normal(code.w_mean, (code.w_log_var / 2).exp())
    expected = {name: torch.zeros(3, dtype=torch.float64) for name in TERMS}
    average = torch.zeros(4, dtype=torch.float64)
    for z_s, w_s in zip(z.chunk(samples), w.chunk(samples), strict=True):
        p = components(model, w_s)
        joint = p.log_prob(z_s[:, None]).sum(2).exp().view(3, views, 4).prod(1) / 4
        posterior = joint / joint.sum(1, keepdim=True)
        for k in range(4):
            pk = Normal(p.mean[:, k], p.stddev[:, k])
            rate = kl_divergence(q, pk).sum(1).view(3, views).mean(1)
            expected["z_rate_nats"] += posterior[:, k] * rate / samples
        entropy = -(posterior * posterior.log()).sum(1)
        expected["y_rate_nats"] += (math.log(4) - entropy) / views / samples
        w_rate = kl_divergence(qw, Normal(torch.zeros_like(w_s), torch.ones_like(w_s))).sum(1)
        expected["w_rate_nats"] += w_rate.view(3, views).mean(1) / samples
        law = torch.distributions.Bernoulli(logits=model.decoder(z_s))
        distortion = -law.log_prob(x).flatten(1).sum(1).view(3, views).mean(1)
        expected["distortion_nats"] += distortion / samples
        average += posterior.mean(0) / samples
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)
    if views > 1:
        imbalance = (average * (4 * average).log()).sum()
        torch.testing.assert_close(terms["imbalance_nats"], imbalance)


def test_more_samples_estimate_the_same_bound():
    # Rejects samples that share their noise: then the spread would not shrink with their number.
    model, x = make(), bits(1).expand(4000, -1, -1, -1)
    with torch.no_grad():
        one, ten = (torch.stack([*model.terms(x, m).values()]).sum(0) for m in (1, 10))
    assert ten.var().item() == pytest.approx(one.var().item() / 10, rel=0.2)
    assert ten.mean().item() == pytest.approx(one.mean().item(), abs=5 * one.std().item() / 60)


def test_all_four_terms_have_a_gradient_under_the_defaults(monkeypatch):
    # The y-prior above lambda pulls; rejects a default lambda from log K on, under which the
    # fourth term is a constant.
    plain = GMVAE(SPEC)
    assert not plain.goes_beyond and plain.free_nats < math.log(plain.num_codes)
    model, x = make(), bits(32)
    assert model.free_nats == plain.free_nats
    terms = model.terms(x)
    assert terms["y_rate_nats"].mean() > model.free_nats
    for name in TERMS:
        slopes = torch.autograd.grad(
            terms[name].mean(), list(model.parameters()), retain_graph=True, allow_unused=True
        )
        assert sum(s.abs().sum() for s in slopes if s is not None) > 1e-3, name
    # and the loss has each of them with weight 1
    monkeypatch.setattr("zoo.models.variational.gmvae.record", lambda *a, **k: None)
    model.terms = lambda x, samples: terms
    loss = model.training_step(type("Batch", (), {"image": x}), 0)
    torch.testing.assert_close(loss, sum(term.mean() for term in terms.values()))
    for slope in torch.autograd.grad(loss, [terms[name] for name in TERMS]):
        torch.testing.assert_close(slope, torch.full_like(slope, 1 / 32))


SWITCHES = {"views": 2, "jitter": 0.2, "balance": 3.0, "warmup": 0.5, "samples": 4}


@pytest.mark.parametrize("switch", sorted(SWITCHES))
def test_each_switch_changes_the_loss(switch, monkeypatch):
    # An argument that nothing reads would leave the same loss.
    monkeypatch.setattr("zoo.models.variational.gmvae.record", lambda *a, **k: None)
    monkeypatch.setattr("zoo.models.variational.gmvae.risen", lambda m, share: 0.5 if share else 1)
    batch, losses = type("Batch", (), {"image": bits(16)}), []
    for options in ({}, {switch: SWITCHES[switch]}):
        model = make(**options)
        assert model.goes_beyond == bool(options and switch != "samples")
        torch.manual_seed(2)
        losses.append(model.training_step(batch, 0).item())
    assert abs(losses[0] - losses[1]) > 1e-6


def test_with_one_view_and_no_weights_both_losses_are_one(monkeypatch):
    monkeypatch.setattr("zoo.models.variational.gmvae.record", lambda *a, **k: None)
    model, batch = make(samples=3), type("Batch", (), {"image": bits(8)})
    torch.manual_seed(2)
    paper = model.training_step(batch, 0)
    torch.manual_seed(2)
    torch.testing.assert_close(paper, model._loss_beyond(batch.image), rtol=1e-12, atol=0)


def test_means_begin_apart_and_the_rate_falls_only_where_asked(monkeypatch):
    torch.manual_seed(0)
    plain, apart = (GMVAE(SPEC, latent_dim=50, apart=a) for a in (0.0, 0.8))
    spread = [
        m.components.layers[-2].bias.view(10, 2, 50)[:, 0].std().item() for m in (plain, apart)
    ]
    assert spread[0] < 0.06 and spread[1] == pytest.approx(0.8, rel=0.15)
    called = []
    monkeypatch.setattr(
        "zoo.models.variational.gmvae.follow_cosine", lambda m, lr: called.append(lr)
    )
    for cosine in (False, True):
        GMVAE(SPEC, cosine=cosine, lr=3e-3).on_train_batch_start(None, 0)
    assert called == [3e-3]


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
    nelbo = sum(term.mean() for term in terms.values())
    error = bound.std().item() / math.sqrt(len(many))
    assert bound.mean().item() == pytest.approx(-nelbo.item(), abs=6 * error)


def test_bound_is_above_the_papers_and_rises_with_samples():
    # The paper's terms take y from one z and pay the rate of another; summing y out does not.
    model, x = make(), bits(1).expand(20_000, -1, -1, -1)
    with torch.no_grad():
        terms = model.terms(x)
        paper = -sum(term.mean() for term in terms.values())
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
@pytest.mark.parametrize("beyond", [False, True])
def test_free_nats_of_a_batch_cost_nothing(free, beyond, monkeypatch):
    # The mean over the batch counts, .6 here, as in the authors' code; for .4 each image by itself
    # would give .7.
    model = make(free_nats=free, balance=3.0 if beyond else 0.0)
    monkeypatch.setattr("zoo.models.variational.gmvae.record", lambda *a, **k: None)
    terms = {
        "distortion_nats": torch.tensor([5.0, 7.0]),
        "z_rate_nats": torch.tensor([1.0, 1.0]),
        "w_rate_nats": torch.tensor([0.5, 0.5]),
        "y_rate_nats": torch.tensor([0.2, 1.0]),
    }
    model.terms = lambda x, samples: terms
    model.view_terms = lambda x, *n: {**terms, "imbalance_nats": torch.tensor(0.1)}
    batch = type("Batch", (), {"image": bits(2)})
    known = 6 + 1 + 0.5 + max(0.6, free) + (0.3 if beyond else 0)
    assert model.training_step(batch, 0).item() == pytest.approx(known)


@pytest.mark.parametrize(
    "options",
    [{"components": 1}, {"views": 0}, {"network": "cnv"}, {"samples": 0}, {"apart": -0.1}],
)
def test_senseless_values_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        GMVAE(SPEC, **options)
