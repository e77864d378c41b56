"""Divergences against torch.distributions and Monte-Carlo averages."""

import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from zoo.functional.divergence import categorical_kl, gaussian_kl, standard_normal_kl


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def normal(mean, log_var):
    return Normal(mean, (log_var / 2).exp())


def test_standard_normal_is_that_of_torch():
    mean, log_var = rand(4, 6), rand(4, 6, seed=1)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    known = kl_divergence(normal(mean, log_var), prior)
    assert torch.allclose(standard_normal_kl(mean, log_var), known, atol=1e-12)


def test_gaussians_are_those_of_torch_and_not_symmetric():
    laws = [rand(4, 6, seed=seed) for seed in range(4)]
    known = kl_divergence(normal(*laws[:2]), normal(*laws[2:]))
    assert torch.allclose(gaussian_kl(*laws), known, atol=1e-12)
    assert not torch.allclose(gaussian_kl(*laws[2:], *laws[:2]), known, atol=1e-2)


def test_gaussian_against_the_standard_normal_is_the_special_case():
    mean, log_var, zero = rand(9), rand(9, seed=1), torch.zeros(9, dtype=torch.float64)
    special = standard_normal_kl(mean, log_var)
    assert torch.allclose(gaussian_kl(mean, log_var, zero, zero), special, atol=1e-12)


def test_closed_form_is_the_average_of_log_ratios():
    # Within 4 standard errors, which here are far below what a missing half would shift.
    mean_q, log_var_q, mean_p, log_var_p = (rand(3, seed=seed) for seed in range(4))
    q, p = normal(mean_q, log_var_q), normal(mean_p, log_var_p)
    z = mean_q + (log_var_q / 2).exp() * rand(100_000, 3, seed=9)
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(dim=0) / math.sqrt(len(z))
    found = gaussian_kl(mean_q, log_var_q, mean_p, log_var_p)
    assert ((found - ratio.mean(dim=0)).abs() < 4 * error).all()
    assert (error < 0.02 * found.abs().clamp_min(0.1)).all()


def test_categorical_is_that_of_torch():
    q, p = 2 * rand(5, 7), 2 * rand(5, 7, seed=1)
    known = kl_divergence(Categorical(logits=q), Categorical(logits=p))
    assert torch.allclose(categorical_kl(q, p), known, atol=1e-12)
    uniform = kl_divergence(Categorical(logits=q), Categorical(logits=torch.zeros_like(q)))
    assert torch.allclose(categorical_kl(q), uniform, atol=1e-12)


def test_categorical_certainty_costs_log_k():
    sure = torch.tensor([0.0, -1e5, -1e5], dtype=torch.float64)
    assert categorical_kl(sure).item() == pytest.approx(math.log(3), abs=1e-12)
    assert categorical_kl(torch.zeros(3)).item() == pytest.approx(0, abs=1e-7)
