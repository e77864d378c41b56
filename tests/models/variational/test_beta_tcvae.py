"""Beta-TCVAE: beta weighs the total correlation and nothing else."""

import warnings

import lightning as L
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import Digits, ImageSpec
from zoo.functional.total_correlation import batch_log_weights, decompose
from zoo.models import BetaTCVAE

SPEC = ImageSpec(1, 8, 8, 10)


def make(**options):
    torch.manual_seed(0)
    return BetaTCVAE(SPEC, latent_dim=3, width=4, **options)


def test_beta_weighs_the_total_correlation_only():
    x, losses = torch.rand(16, 1, 8, 8), {}
    for beta in (1.0, 5.0):
        model = make(beta=beta)
        torch.manual_seed(1)
        distortion, parts, _ = model.terms(x, 1000)
        losses[beta] = model.objective(distortion, parts)
    torch.testing.assert_close(losses[5.0] - losses[1.0], 4 * parts.total_correlation)
    assert parts.total_correlation.abs() > 0.01  # else this shows nothing


def test_with_beta_1_it_is_a_vae():
    model, x = make(beta=1.0), torch.rand(16, 1, 8, 8)
    torch.manual_seed(1)
    distortion, parts, _ = model.terms(x, 1000)
    torch.manual_seed(1)
    bound = model.elbo(x).mean()  # from the same noise
    torch.testing.assert_close(model.objective(distortion, parts), -bound)


def test_the_distortion_can_weigh_more_and_nothing_else_does():
    x, losses = torch.rand(16, 1, 8, 8), {}
    for weight in (1.0, 4.0):
        model = make(distortion_weight=weight)
        torch.manual_seed(1)
        distortion, parts, _ = model.terms(x, 1000)
        losses[weight] = model.objective(distortion, parts)
    torch.testing.assert_close(losses[4.0] - losses[1.0], 3 * distortion)
    rising = [model.objective(distortion, parts, risen) for risen in (0.0, 0.5)]
    torch.testing.assert_close(rising[0], losses[1.0])
    torch.testing.assert_close(rising[1] - rising[0], 1.5 * distortion)


@pytest.mark.parametrize("estimator", ["weighted", "stratified"])
def test_parts_are_those_of_its_own_laws_and_estimator(estimator):
    model, x = make(estimator=estimator), torch.rand(16, 1, 8, 8)
    torch.manual_seed(1)
    _, parts, rates = model.terms(x, 1000)
    torch.manual_seed(1)
    mean, log_var = model._read(x)
    z = mean + (log_var / 2).exp() * torch.randn_like(mean)
    known = decompose(z, mean, log_var, batch_log_weights(16, 1000, estimator))
    torch.testing.assert_close(list(parts), list(known))
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    exact = torch.distributions.kl_divergence(q, p).mean(0)
    torch.testing.assert_close(rates, exact, rtol=1e-4, atol=1e-6)


def fit(model, data, tmp_path, **options):
    trainer = L.Trainer(
        max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=tmp_path,
        use_distributed_sampler=False, **options,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data)


def test_training_images_are_counted_unless_told(tmp_path):
    data, seen = Digits(batch_size=64), []
    for examples in (None, 77):
        model = make(examples=examples)
        inner = model.terms
        model.terms = lambda x, n, inner=inner: seen.append(n) or inner(x, n)
        fit(model, data, tmp_path)
    images = len(data.images("train"))
    assert seen[0] == seen[1] and images - 64 < seen[0] < images + 64
    assert seen[2:] == [77, 77]


def test_a_batch_of_one_image_is_refused(tmp_path):
    with pytest.raises(UserError, match="batch_size"):
        fit(make(), Digits(batch_size=1), tmp_path)


@pytest.mark.parametrize("options", [{"beta": -1.0}, {"examples": 0}, {"estimator": "exact"}])
def test_senseless_values_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        make(**options)
