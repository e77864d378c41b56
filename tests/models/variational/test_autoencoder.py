"""The plain autoencoder: neither noise nor rate, and a law of its codes that is fitted to them."""

import pytest
import torch
import torch.nn.functional as F

from zoo.contract.capabilities import capabilities
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import Autoencoder, Classifier
from zoo.recipe.building import build
from zoo.recipe.checking import check_recipe

DIGITS = ImageSpec(1, 8, 8, 10)
X = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def make(**options):
    torch.manual_seed(0)
    return Autoencoder(DIGITS, latent_dim=3, hidden=(8,), **options)


def test_it_promises_no_bound_and_draws_from_the_law_of_its_codes():
    model = make()
    assert not {"elbo", "log_prob"} & set(capabilities(model))
    model.code_mean.fill_(5.0)
    model.code_var.fill_(0.04)
    z = model._prior(2000, 0)
    assert z.mean().item() == pytest.approx(5, abs=0.02)
    assert z.std().item() == pytest.approx(0.2, abs=0.01)


def test_the_distortion_is_the_cross_entropy_of_the_one_code():
    model = make()
    z = model.encode(X)
    terms = model.terms(X, z)
    known = F.binary_cross_entropy(model.reconstruct(X), X, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(terms["distortion_nats"], known.mean())
    assert torch.equal(model.encode(X), z)


def test_features_are_wanted_where_a_network_is_named():
    model = make(feature_network="features_digits", feature_weight=2.0)
    with pytest.raises(UserError, match="features_digits was not brought"):
        model.terms(X, model.encode(X))
    model.use_feature_network(Classifier(DIGITS, width=4, feature_width=8))
    terms = model.terms(X, model._read(X))
    assert terms["feature_distance"] > 0
    terms["feature_distance"].backward()
    assert model.encoder.layers[1].weight.grad.abs().sum() > 0


def test_the_old_spelling_still_means_it():
    """Records of runs name every argument that the VAE had."""
    arguments = {
        "latent_dim": 3, "hidden": [8], "posterior": "none", "flow_steps": 4, "flow_hidden": 200,
        "samples": 1, "resampled": 0, "growth": 0.0, "warmup": 0.0, "likelihood": "gaussian",
    }  # fmt: skip
    for name in ("VAE", "zoo.models.vae.VAE", "zoo.models.VAE"):
        section = {"class_path": name, "init_args": arguments}
        check_recipe({"model": section, "data": "Digits"})
        model = build("model", section, spec=DIGITS)
        assert type(model) is Autoencoder
    names = {name.partition(".")[0] for name in model.state_dict()}
    assert names == {"encoder", "decoder", "log_scale", "code_mean", "code_var"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": "cnv"}, "Did you mean conv"),
        ({"likelihood": "normal"}, "--model.likelihood"),
        ({"feature_weight": -1.0}, "--model.feature_weight"),
    ],
)
def test_senseless_values_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        make(**options)
