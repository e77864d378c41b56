"""The importance-weighted bound on a linear-Gaussian model whose likelihood is known."""

import math

import torch

from zoo.functional.bounds import importance_bound, resample
from zoo.functional.likelihood import gaussian_log_prob


def test_it_is_the_log_of_the_average():
    weights = torch.tensor([[0.5, 2.0], [1.5, 4.0]], dtype=torch.float64)
    for dim in (0, 1):
        known = weights.mean(dim).log()
        assert torch.allclose(importance_bound(weights.log(), dim), known, atol=1e-12)


def test_elbo_iwae_and_likelihood_are_ordered():
    # z ~ N(0, 1), x | z ~ N(2z, 0.5^2), so x ~ N(0, 4.25); q is off the posterior on purpose.
    generator = torch.Generator().manual_seed(0)
    zero = torch.zeros((), dtype=torch.float64)
    x, noise_std = torch.tensor(1.3, dtype=torch.float64), math.log(0.5)
    exact = gaussian_log_prob(x, zero, zero + 0.5 * math.log(4.25))
    posterior_var = 1 / (1 + 4 / 0.25)
    posterior_mean = posterior_var * 2 * x / 0.25

    def bounds(mean, log_std, k, repeats=20_000):
        z = mean + log_std.exp() * torch.randn(k, repeats, generator=generator, dtype=torch.float64)
        log_w = (
            gaussian_log_prob(z, zero, zero)
            + gaussian_log_prob(x, 2 * z, zero + noise_std)
            - gaussian_log_prob(z, mean, log_std)
        )
        value = importance_bound(log_w)
        return value.mean(), value.std() / math.sqrt(repeats)

    log_std = zero + 0.5 * math.log(posterior_var)
    elbo, e1 = bounds(posterior_mean + 0.2, log_std + 0.3, 1)
    iwae5, e5 = bounds(posterior_mean + 0.2, log_std + 0.3, 5)
    iwae50, e50 = bounds(posterior_mean + 0.2, log_std + 0.3, 50)
    assert elbo + 4 * e1 < iwae5 - 4 * e5 and iwae5 + 4 * e5 < iwae50 - 4 * e50
    assert iwae50 - 4 * e50 < exact
    tight, error = bounds(posterior_mean, log_std, 1)
    assert torch.allclose(tight, exact, atol=1e-10) and error < 1e-10


def test_resampling_chooses_in_proportion_to_the_weights():
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([0.05, 0.6, 0.0, 0.35], dtype=torch.float64)[:, None].expand(-1, 20_000)
    start = torch.rand(20_000, generator=generator, dtype=torch.float64)
    chosen = resample(weights, 3, start)
    counts = torch.stack([(chosen == i).sum(dim=0) for i in range(4)]).double()
    assert counts.sum(dim=0).unique().tolist() == [3]
    off = (counts - 3 * weights).abs()
    assert off.max() < 1 and counts[2].sum() == 0
    assert torch.allclose(counts.mean(dim=1), 3 * weights[:, 0], atol=4 * 0.5 / math.sqrt(20_000))
