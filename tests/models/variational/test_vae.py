"""VAE: its bounds on a model whose likelihood is known, and which term trains what."""

import copy
import math
import warnings

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import MultivariateNormal

from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.models import VAE, Classifier
from zoo.nets.posteriors import Code

TINY, DIGITS = ImageSpec(1, 2, 2), ImageSpec(1, 8, 8, 10)
NOISE_STD = 0.6


@pytest.fixture
def toy():
    """A linear-Gaussian VAE with its exact posterior, some images, and their exact log p(x)."""
    torch.manual_seed(0)
    model = VAE(TINY, latent_dim=2, hidden=(), likelihood="gaussian").double()
    model._mean = lambda logits: logits
    directions = torch.linalg.qr(torch.randn(4, 2).double())[0] * torch.tensor([1.5, 0.7]).double()
    shift = torch.randn(4).double()
    variance = 1 / (1 + directions.square().sum(0) / NOISE_STD**2)  # posterior, diagonal
    pull = (variance / NOISE_STD**2)[:, None] * directions.T
    with torch.no_grad():
        model.decoder.layers[1].weight.copy_(directions)
        model.decoder.layers[1].bias.copy_(shift)
        model.encoder.layers[1].weight.zero_()[:2] = pull
        model.encoder.layers[1].bias.copy_(torch.cat([-pull @ shift, variance.log()]))
        model.log_scale.fill_(math.log(NOISE_STD))
    law = MultivariateNormal(
        shift, directions @ directions.T + NOISE_STD**2 * torch.eye(4).double()
    )
    x = law.sample((6,))
    return model, x.view(-1, 1, 2, 2), law.log_prob(x)


def unchecked_elbo(model, x, samples):
    """Returns the bound of numbers that are no pixels: they lie outside [0, 1]."""
    with torch.no_grad():
        return VAE.elbo.__wrapped__(model, x, samples)


def test_bound_is_tight_where_the_posterior_is_exact(toy):
    # Then every importance weight is p(x): a flipped sign, a missing half, a dropped constant,
    # or a log-variance read as log-std shows at once.
    model, x, exact = toy
    for samples in (1, 7):
        bound = unchecked_elbo(model, x, samples)
        torch.testing.assert_close(bound, exact, atol=1e-10, rtol=0)


def test_bounds_are_ordered_where_it_is_not(toy):
    model, x, exact = toy
    with torch.no_grad():
        model.encoder.layers[1].bias += torch.tensor([0.3, -0.2, 0.5, -0.6])
    many = x.repeat_interleave(4000, dim=0)

    def bound(samples):
        values = unchecked_elbo(model, many, samples).view(6, -1)
        return values.mean(1), 4 * values.std(1) / math.sqrt(4000)

    (one, e1), (five, e5), (fifty, e50) = bound(1), bound(5), bound(50)
    assert (one + e1 < five - e5).all() and (five + e5 < fifty - e50).all()
    assert (fifty - e50 < exact).all() and (exact - fifty < 0.1).all()


def test_training_terms_have_the_bounds_expectation(toy):
    # The closed form of the rate and the sampled log-ratio are two ways to one expectation.
    model, x, exact = toy
    values = []
    for row in range(6):
        many = x[row : row + 1].expand(20_000, -1, -1, -1)
        with torch.no_grad():
            terms = model.elbo_terms(many, model._read(many), torch.randn(1, 20_000, 2))
        values.append(-(terms["distortion_nats"] + terms["rate_nats"]))
    torch.testing.assert_close(torch.stack(values), exact, atol=0.03, rtol=0)


def test_importance_loss_has_the_bounds_gradient(toy):
    model, x, exact = toy
    noise = torch.randn(9, 6, 2).double()
    bound, loss = model.importance_terms(x, model._read(x), noise)
    torch.testing.assert_close(bound, exact.mean(), atol=1e-10, rtol=0)
    torch.testing.assert_close(-loss.detach(), bound)
    noise[1:] = noise[0]  # of equal samples the average is each of them
    again, half = model.importance_terms(x, model._read(x), noise, 0.5)
    terms = model.elbo_terms(x, model._read(x), noise[:1])
    _, ratio = model.q.draw(model._read(x), noise[:1])
    torch.testing.assert_close(half, terms["distortion_nats"] + 0.5 * ratio.mean())
    torch.testing.assert_close(-again, (terms["distortion_nats"] + ratio.mean()).detach())


@pytest.mark.parametrize("weight", [1.0, 0.4])
def test_resampling_keeps_the_gradient_in_expectation(toy, monkeypatch, weight):
    model, x, _ = toy
    with torch.no_grad():
        model.encoder.layers[1].bias += torch.tensor([0.3, -0.2, 0.9, 0.4])
    many = x[:1].expand(3000, -1, -1, -1)
    noise = torch.randn(5, 1, 2).expand(-1, 3000, -1)  # the same for all: only the choice varies
    weights = [p for p in model.parameters()]

    def gradient(resampled):
        model.resampled = resampled
        bound, loss = model.importance_terms(many, model._read(many), noise, weight)
        return bound, torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])

    bound, exact = gradient(0)
    monkeypatch.setattr(torch, "rand", lambda n, **_: (torch.arange(n) + 0.5) / n)
    again, found = gradient(2)
    torch.testing.assert_close(again, bound)
    torch.testing.assert_close(found, exact, rtol=2e-3, atol=2e-3 * exact.abs().max().item())


@pytest.mark.parametrize("posterior", ["gaussian", "iaf"])
def test_log_ratio_is_that_of_normalised_laws(posterior):
    # E_q[p(z) / q(z)] = 1 exactly when both laws are normalised: a log-determinant of the wrong
    # sign, or left out, misses it.
    torch.manual_seed(0)
    model = VAE(TINY, latent_dim=2, posterior=posterior, flow_steps=2, flow_hidden=16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
        code = Code(torch.randn(3, 2) / 3, torch.full((3, 2), 2.5), 0.1 * torch.randn(3, 100))
        z, log_ratio = model.q.draw(code, torch.randn(100_000, 3, 2))
        ratio = (-log_ratio).exp()
    error = ratio.std(dim=0) / math.sqrt(100_000)
    assert ((ratio.mean(dim=0) - 1).abs() < 4 * error).all() and (error < 0.02).all()
    if posterior == "gaussian":
        q = torch.distributions.Normal(code.mean, (code.log_var / 2).exp())
        p = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
        known = (q.log_prob(z) - p.log_prob(z)).sum(2)
        torch.testing.assert_close(log_ratio, known, atol=1e-3, rtol=1e-4)


def test_bernoulli_distortion_is_the_cross_entropy_summed_over_pixels():
    torch.manual_seed(0)
    model = VAE(DIGITS, latent_dim=3, hidden=(8,))
    x, z = (torch.rand(5, 1, 8, 8) > 0.5).float(), torch.randn(2, 5, 3)
    log_likelihood, logits = model.log_likelihood(x, z)
    known = F.binary_cross_entropy_with_logits(
        logits, x.expand(2, -1, -1, -1, -1), reduction="none"
    )
    torch.testing.assert_close(log_likelihood, -known.sum(dim=(2, 3, 4)))
    torch.testing.assert_close(model.decode(z[0]), logits[0].sigmoid())


def test_a_traversal_moves_its_unit_and_no_other():
    model = VAE(DIGITS, latent_dim=4, hidden=(8,))
    asked = []
    model.decode = lambda z: asked.append(z) or torch.zeros(len(z), 1, 8, 8)
    model.traverse("z3", rows=2, steps=5)
    z = asked[0].view(2, 5, 4)
    torch.testing.assert_close(z[0, :, 2], torch.linspace(-3, 3, 5))
    others = [0, 1, 3]
    assert torch.equal(z[:, :1, others].expand(-1, 5, -1), z[:, :, others])
    assert not torch.equal(z[0, 0, others], z[1, 0, others])


def test_codes_names_the_liveliest_units_first():
    model = VAE(DIGITS, latent_dim=20, hidden=(8,))
    model.code_var.copy_(torch.arange(20.0))
    assert model.codes() == tuple(f"z{i}" for i in range(20, 10, -1))


def test_moments_follow_the_codes():
    model = VAE(DIGITS, latent_dim=2, hidden=(8,))
    mean = torch.randn(64, 2) * torch.tensor([0.1, 2.0]) + torch.tensor([3.0, -1.0])
    for _ in range(1500):
        model.note_codes(mean)
    torch.testing.assert_close(model.code_mean, mean.mean(0), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(model.code_var, mean.var(0, correction=0), atol=1e-3, rtol=1e-2)


def test_feature_distance_reaches_the_decoder_and_borrows_its_network():
    torch.manual_seed(0)
    model = VAE(DIGITS, latent_dim=3, hidden=(8,), feature_network="features_digits")
    x = torch.rand(5, 1, 8, 8)
    with pytest.raises(UserError, match="features_digits was not brought"):
        model.elbo_terms(x, model._read(x), torch.randn(1, 5, 3))
    network = Classifier(DIGITS, width=4, feature_width=8)
    names = set(model.state_dict())
    model.use_feature_network(network)
    assert set(model.state_dict()) == names and not network.training
    terms = model.elbo_terms(x, model._read(x), torch.randn(1, 5, 3))
    terms["feature_distance"].backward()
    assert model.decoder.layers[1].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())
    assert model.feature_loss(x, x) == 0
    a, b = network.feature_maps(x), network.feature_maps(x.flip(0))
    known = sum(((p - q) ** 2).mean() / 2 for p, q in zip(a, b, strict=True))
    torch.testing.assert_close(model.feature_loss(x, x.flip(0)), known)
    with pytest.raises(UserError, match="choose another"):
        model.use_feature_network(Classifier(ImageSpec(1, 28, 28, 10), width=4))


def fit(model, batches, tmp_path):
    trainer = L.Trainer(
        max_epochs=1, limit_train_batches=batches, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        default_root_dir=tmp_path, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, DATASETS["Digits"](batch_size=32, binarize="dynamic"))
    return trainer


@pytest.mark.parametrize(
    "options",
    [
        {"network": "conv", "width": 4, "likelihood": "logistic"},
        {"posterior": "iaf", "flow_hidden": 8, "flow_steps": 2},
        {"samples": 4},
        {"samples": 6, "resampled": 2},
        {"samples": 6, "resampled": 2, "growth": 0.9},
    ],
    ids=str,
)
def test_every_kind_trains_and_every_parameter_moves(options, tmp_path):
    torch.manual_seed(0)
    model = VAE(DIGITS, latent_dim=3, hidden=(8,), **options)
    before = copy.deepcopy(model.state_dict())
    fit(model, 3, tmp_path)
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_the_number_of_samples_grows_geometrically_to_all(tmp_path):
    model = VAE(DIGITS, latent_dim=3, hidden=(8,), samples=16, resampled=2, growth=0.5)
    seen = []
    terms = model.importance_terms
    model.importance_terms = lambda x, code, noise, weight: (
        seen.append(len(noise)) or terms(x, code, noise, weight)
    )
    fit(model, 8, tmp_path)
    assert seen == [1, 2, 4, 8, 16, 16, 16, 16]


def test_warmup_lets_the_rate_in_gradually_and_the_learning_rate_falls(tmp_path, monkeypatch):
    model = VAE(DIGITS, latent_dim=3, hidden=(8,), warmup=0.5)
    shares, rates = [], []
    step = model.training_step

    def spy(batch, batch_idx):
        torch.manual_seed(batch_idx)
        loss = step(batch, batch_idx)
        torch.manual_seed(batch_idx)
        with torch.no_grad():
            noise = torch.randn(1, len(batch.image), 3)
            terms = model.elbo_terms(batch.image, model._read(batch.image), noise)
        shares.append(float((loss - terms["distortion_nats"]) / terms["rate_nats"]))
        rates.append(model.optimizers().param_groups[0]["lr"])
        return loss

    model.training_step = spy
    fit(model, 10, tmp_path)
    assert shares == pytest.approx([min(1, i / 5) for i in range(10)], abs=1e-3)
    cosine = [model.lr * (0.5 + 0.5 * math.cos(math.pi * i / 10)) for i in range(10)]
    assert rates == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": "cnv"}, "Did you mean conv"),
        ({"likelihood": "normal"}, "--model.likelihood"),
        ({"latent_dim": 0}, "--model.latent_dim"),
        ({"samples": 3, "resampled": 4}, "--model.resampled"),
        ({"posterior": "none"}, "a model of its own: Autoencoder"),
        ({"samples": 2, "feature_network": "features_mnist"}, "feature_network"),
    ],
)
def test_senseless_values_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        VAE(DIGITS, **options)
