"""Likelihoods in closed form: units, Jacobians, and bounds that converge to the exact value."""

import math
import shutil

import pytest
import torch
import torchvision

from zoo.data import DATASETS
from zoo.judge.protocols.likelihood import (
    bits_per_dim,
    bound_in_chunks,
    score_elbo,
    score_log_prob,
)
from zoo.judge.run import evaluate
from zoo.judge.score import Task
from zoo.models import MODELS


def test_the_conversion_agrees_with_a_published_figure():
    """NICE: 1980.50 nats of MNIST pixels scaled to [0, 1] are 4.36 bits per dimension.

    Dinh et al. 2014, arXiv:1410.8516. Leaving out the 256 levels gives -3.64, and
    taking 128 of them 3.36.
    """
    bits = bits_per_dim(torch.tensor(1980.50), 784, measure="lebesgue")
    assert float(bits) == pytest.approx(4.36, abs=0.005)


def test_measures_agree_on_noise():
    uniform = torch.tensor(-64 * math.log(256))  # each of 256 levels alike
    assert float(bits_per_dim(uniform, 64)) == pytest.approx(8)
    assert float(bits_per_dim(torch.tensor(0.0), 64, measure="lebesgue")) == pytest.approx(8)


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="'haar'"):
        bits_per_dim(torch.tensor(0.0), 1, measure="haar")


# ------------------------------------------------------------------------- exact likelihoods


def test_independent_pixels_have_the_entropy_of_their_means(toy):
    data = DATASETS["Digits"](binarize="static")
    mean = (data.images("test").fetch(torch.arange(360)).double() / 255).mean(0).clamp(0.01, 0.99)

    class Bernoulli(toy):
        measure = "counting"

        def log_prob(self, x):
            x = x.double()
            return (x * mean.log() + (1 - x) * (1 - mean).log()).flatten(1).sum(1)

    (score,) = score_log_prob(Task(Bernoulli(), data))
    pixels = (data.images("test").fetch(torch.arange(360)).double() / 255).mean(0)
    expected = -(pixels * mean.log() + (1 - pixels) * (1 - mean).log()).sum()
    assert score.name == "nll[static,360,test]"
    assert (score.unit, score.better) == ("nats", "lower")
    assert score.value == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("measure", "nats", "protocol"),
    [("lebesgue", 0.0, "uniform-dequant"), ("counting", -64 * math.log(256), "exact")],
)
def test_noise_costs_eight_bits_per_pixel(toy, digits, measure, nats, protocol):
    class Uniform(toy):
        def log_prob(self, x):
            return torch.full((len(x),), nats, dtype=torch.float64)

    model = Uniform()
    model.measure = measure
    nll, bpd = score_log_prob(Task(model, digits, limit=100))
    if measure == "counting":
        assert (nll.name, nll.better) == ("nll[grey,100,test]", "lower")
    else:  # the protocol of NICE: a density, under a name of its own
        name = "log_density[unit-range,uniform-dequant,100,test]"
        assert (nll.name, nll.better) == (name, "higher")
    assert bpd.name == f"bpd[{protocol},100,test]"
    assert nll.value == pytest.approx(-nats if measure == "counting" else nats)
    assert bpd.value == pytest.approx(8)


def test_points_have_a_density_and_no_bits(toy):
    class Uniform(toy):
        def log_prob(self, x):
            return torch.full((len(x),), 1.5, dtype=torch.float64)

    (score,) = evaluate(Task(Uniform(), DATASETS["TwoMoons"](), limit=100))[0]
    assert (score.name, score.value) == ("log_density[points,100,test]", 1.5)


# ------------------------------------------------------------------------- bounds


class LinearGaussian:
    """z ~ N(0, 1), x | z ~ N(z, 1/4) in every pixel, with a posterior that is not the true one."""

    device = torch.device("cpu")
    noise = 0.5

    def elbo(self, x, samples=1):
        x = x.flatten(1).double()
        mean, std = 0.8 * x.mean(1), 0.5
        z = mean + std * torch.randn(samples, len(x), dtype=torch.float64)  # (S, B)
        normal = torch.distributions.Normal
        joint = normal(0, 1).log_prob(z) + normal(z[:, :, None], self.noise).log_prob(x).sum(2)
        weights = joint - normal(mean, std).log_prob(z)
        return weights.logsumexp(0) - math.log(samples)

    def exact(self, x):
        x = x.flatten(1).double()
        size = x.shape[1]
        covariance = torch.ones(size, size) + self.noise**2 * torch.eye(size)
        zeros = torch.zeros(size, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(zeros, covariance.double()).log_prob(x)


def test_the_bound_in_chunks_converges_to_the_exact_value():
    torch.manual_seed(0)
    model, x = LinearGaussian(), torch.rand(40, 1, 2, 2)
    one = torch.stack([model.elbo(x) for _ in range(400)])
    exact = model.exact(x)
    error = one.std(0) / 20
    assert (one.mean(0) < exact + 4 * error).all()  # a bound from below, in expectation
    assert (exact - one.mean(0)).mean() > 0.02  # and not a tight one
    few, many = (bound_in_chunks(model.elbo, x, count) for count in (10, 4000))
    assert (many - exact).abs().max() < 0.05
    assert (exact - few).mean() > (exact - many).mean().abs()


def test_chunks_join_exactly():
    """130 samples pass in chunks of 50, 50 and 30; averaging the chunks' bounds would differ."""
    weights = 5 * torch.randn(
        130, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    position = 0

    def elbo(x, samples):
        nonlocal position
        part = weights[position : position + samples]
        position += samples
        return part.logsumexp(0) - math.log(samples)

    bound = bound_in_chunks(elbo, torch.zeros(7, 1, 1, 1), 130)
    assert position == 130
    torch.testing.assert_close(bound, weights.logsumexp(0) - math.log(130))


class Weighing:
    """A law that gives an image ten times its ink; a bound that gives one less."""

    device = torch.device("cpu")
    measure = "lebesgue"

    def log_prob(self, x):
        return 10 * x.flatten(1).sum(1).double()

    def elbo(self, x, samples=1):
        return self.log_prob(x) - int(samples == 1)


@pytest.mark.parametrize("limit", [50, 360, 1])  # 360 are three batches, the last one smaller
def test_likelihoods_say_their_standard_error_over_images(digits, limit):
    """Rejected: over batches, by the root of n twice, with n for n - 1 (1.4 % of 360: .0014)."""
    task = Task(Weighing(), digits, limit=limit, importance_samples=20)
    images = [batch.image for _, batch in task.batches("test", "")]
    values = 10 * torch.cat(images).double().flatten(1).sum(1)
    assert len(values) == limit
    density, bits = score_log_prob(task)
    elbo, nll = score_elbo(task)
    if limit == 1:
        assert all(score.details == {} for score in (density, bits, elbo, nll))
        return
    error = float(values.std(unbiased=True)) / math.sqrt(limit)
    for score in (density, elbo, nll):
        assert score.details["standard_error"] == pytest.approx(error, rel=1e-6)
    assert bits.details["standard_error"] == pytest.approx(error / 64 / math.log(2), rel=1e-6)
    assert density.value == pytest.approx(float(values.mean()), rel=1e-6)
    assert elbo.value == pytest.approx(density.value - 1) and nll.value == -density.value


def test_bounds_are_named_by_their_samples(digits):
    task = Task(LinearGaussian(), digits, limit=50, importance_samples=20)
    elbo, nll = evaluate(task)[0]
    assert (elbo.name, elbo.better) == ("elbo[grey,50,test]", "higher")
    assert (nll.name, nll.better) == ("nll[grey,is20,50,test]", "lower")
    assert -nll.value > elbo.value
    assert [s.value for s in evaluate(task)[0]] == [elbo.value, nll.value]


def test_bounds_are_named_by_their_values(tmp_path):
    torchvision.utils.save_image(torch.rand(3, 8, 8), tmp_path / "0.png")
    for number in range(1, 20):
        shutil.copy(tmp_path / "0.png", tmp_path / f"{number}.png")
    colour = DATASETS["ImageFolder"](path=tmp_path, size=8)
    for data, name in (
        (colour, "elbo[colour,2,test]"),
        (DATASETS["TwoMoons"](), "elbo[points,2,test]"),
        (DATASETS["Digits"](binarize="static"), "elbo[static,2,test]"),
    ):
        (score,) = score_elbo(Task(LinearGaussian(), data, limit=2, importance_samples=1))
        assert score.name == name


class OfLevels:
    """A bound on the probability of grey levels: as if all 256 were alike, less a nat of slack."""

    device, measure = torch.device("cpu"), "counting"

    def elbo(self, x, samples=1):
        slack = 1.0 if samples == 1 else 0.0
        return torch.full((len(x),), -64 * math.log(256) - slack, dtype=torch.float64)


@pytest.mark.parametrize("samples", [1, 20])
def test_bounds_on_the_probability_of_levels_are_given_in_bits(digits, samples):
    """The best bound counts: noise costs eight bits a pixel, and a nat of slack 1/64 more."""
    scores = score_elbo(Task(OfLevels(), digits, limit=50, importance_samples=samples))
    name = "bpd[bound,50,test]" if samples == 1 else "bpd[bound,is20,50,test]"
    assert (scores[-1].name, scores[-1].unit) == (name, "bits/dim")
    slack = 1 / 64 / math.log(2) if samples == 1 else 0.0
    assert scores[-1].value == pytest.approx(8 + slack, rel=1e-6)
    assert len(scores) == (2 if samples == 1 else 3)
    bits = DATASETS["Digits"](binarize="dynamic")  # of two levels, nats are the custom
    names = [s.name for s in score_elbo(Task(OfLevels(), bits, limit=50, importance_samples=1))]
    assert names == ["elbo[dynamic,50,test]"]


@pytest.mark.parametrize(
    ("likelihood", "measure"),
    [("bernoulli", "counting"), ("logistic", "counting"), ("gaussian", "lebesgue")],
)
def test_a_vae_says_what_its_bound_is_a_density_of(likelihood, measure):
    spec = DATASETS["Digits"]().spec
    assert MODELS["VAE"](spec, hidden=(8,), likelihood=likelihood).measure == measure


def test_one_importance_sample_is_the_elbo(digits):
    (score,) = evaluate(Task(LinearGaussian(), digits, limit=50, importance_samples=1))[0]
    assert score.name.startswith("elbo[")


def test_grey_values_that_stand_for_bits_have_no_likelihood():
    class Bits(LinearGaussian):
        expects_bits = True

    digits, bits = DATASETS["Digits"](), DATASETS["Digits"](binarize="dynamic")
    (score,) = evaluate(Task(Bits(), digits, limit=50, importance_samples=20))[0]
    assert score.name == "elbo[expected-bits,50,test]"
    names = [s.name for s in evaluate(Task(Bits(), bits, limit=50, importance_samples=20))[0]]
    assert names == ["elbo[dynamic,50,test]", "nll[dynamic,is20,50,test]"]


@pytest.mark.parametrize(("likelihood", "bits"), [("bernoulli", True), ("logistic", False)])
def test_a_vae_expects_bits_where_its_law_is_one_of_bits(likelihood, bits):
    spec = DATASETS["Digits"]().spec
    assert MODELS["VAE"](spec, hidden=(8,), likelihood=likelihood).expects_bits is bits
    assert MODELS["BetaVAE"].expects_bits and MODELS["GMVAE"].expects_bits
