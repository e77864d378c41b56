"""Likelihoods against torch.distributions, sums over all values, and exact arithmetic."""

from decimal import Decimal, getcontext

import pytest
import torch

from zoo.functional.likelihood import (
    bernoulli_log_prob,
    gaussian_log_prob,
    logistic_bin_log_prob,
)

getcontext().prec = 400


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_bernoulli_is_that_of_torch():
    logits, x = 3 * rand(50), (rand(50, seed=1) > 0).double()
    known = torch.distributions.Bernoulli(logits=logits).log_prob(x)
    assert torch.allclose(bernoulli_log_prob(x, logits), known, atol=1e-12)


def test_bernoulli_stays_exact_at_extreme_logits():
    # log(sigmoid(l)) computed in two steps is -inf here.
    found = bernoulli_log_prob(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([200.0, -200.0, 200.0]))
    assert found.tolist() == [-200.0, -200.0, 0.0]


def test_gaussian_is_that_of_torch():
    # Rejects a missing half, a dropped log 2 pi, and a log-variance read as log-std.
    x, mean, log_std = rand(3, 7), rand(3, 7, seed=1), rand(7, seed=2)
    known = torch.distributions.Normal(mean, log_std.exp().expand_as(mean)).log_prob(x)
    assert torch.allclose(gaussian_log_prob(x, mean, log_std), known, atol=1e-12)


@pytest.mark.parametrize("levels", [2, 5, 256])
@pytest.mark.parametrize("mean", [-0.7, 0.0, 0.31, 1.0, 2.5])
@pytest.mark.parametrize("log_scale", [-8.0, -3.0, 0.0, 3.0])
def test_levels_have_total_probability_one(levels, mean, log_scale):
    # Rejects missing or doubled edge bins, and bins of the wrong width.
    x = torch.linspace(0, 1, levels, dtype=torch.float64)
    law = (torch.tensor(value, dtype=torch.float64) for value in (mean, log_scale))
    total = logistic_bin_log_prob(x, *law, levels=levels).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-10)


def exact(x, mean, scale, levels):
    """Returns log p(level x) in 400 digits."""
    x, mean, scale = Decimal(x) / (levels - 1), Decimal(mean), Decimal(scale)
    half = Decimal(1) / (2 * (levels - 1))

    def cdf(value):
        return 1 / (1 + (-(value - mean) / scale).exp())

    low = Decimal(0) if x == 0 else cdf(x - half)
    high = Decimal(1) if x == 1 else cdf(x + half)
    return float((high - low).ln())


@pytest.mark.parametrize("level", [0, 1, 3, 128, 254, 255])
@pytest.mark.parametrize(("mean", "scale"), [(0.5, 0.1), (0.2, 0.002), (0.9, 0.01), (0.4, 50.0)])
def test_bins_are_exact_far_into_the_tails(level, mean, scale):
    # At scale 0.002 the naive difference of sigmoids is 0 for most levels.
    found = logistic_bin_log_prob(
        torch.tensor(level / 255), torch.tensor(mean), torch.tensor(scale).log()
    )
    assert found.item() == pytest.approx(exact(level, mean, scale, 256), rel=2e-4, abs=1e-6)
    double = logistic_bin_log_prob(
        torch.tensor(level / 255, dtype=torch.float64),
        torch.tensor(mean, dtype=torch.float64),
        torch.tensor(scale, dtype=torch.float64).log(),
    )
    assert double.item() == pytest.approx(exact(level, mean, scale, 256), rel=1e-6, abs=1e-9)


def test_gradients_stay_finite_in_the_tails_and_are_right():
    x = torch.tensor([0.0, 0.2, 0.6, 1.0], dtype=torch.float64)
    mean = torch.tensor([3.0, 0.21, -2.0, 0.4], dtype=torch.float64, requires_grad=True)
    log_scale = torch.tensor([-7.0, 6.0, -7.0, -1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, s: logistic_bin_log_prob(x, m, s), (mean, log_scale))
    extreme = torch.tensor([-20.0, 60.0, 90.0], requires_grad=True)
    value = logistic_bin_log_prob(torch.tensor([0.2, 0.2, 1.0]), torch.tensor(0.2), extreme)
    value.sum().backward()
    assert value.isfinite().all() and extreme.grad.isfinite().all()


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="got 1"):
        logistic_bin_log_prob(torch.zeros(1), torch.zeros(1), torch.zeros(1), levels=1)
