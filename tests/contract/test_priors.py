"""Every prior against its moments, quantiles and the reference solutions of Singh et al.'s one."""

import json
import math
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.contract import priors
from zoo.contract.priors import PRIORS, midpoint_kl, solve_nonparametric, walk
from zoo.core.errors import UserError
from zoo.functional.paths import arc, line

CASES = Path(__file__).parents[1] / "cases" / "npprior"
GIVEN = json.loads((CASES / "given.json").read_text())
KL = {(1024, 0.005): 0.03489777176336015, (512, 0.005): 0.03494884180116899,
      (512, 0.002): 0.0160041618800082, (512, 0.01): 0.06157143848844282,
      (512, 0.02): 0.10573466046593778, (512, 0.05): 0.2065659803344559}  # fmt: skip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_keeps_the_contract(name):
    prior = PRIORS[name]
    state = torch.get_rng_state()
    z = prior.sample(5, 7, seeded())
    assert z.shape == (5, 7) and z.dtype == torch.float32 and torch.isfinite(z).all()
    assert torch.equal(prior.sample(5, 7, seeded()), z)
    assert not torch.equal(prior.sample(5, 7, seeded(1)), z)
    assert torch.equal(torch.get_rng_state(), state)
    assert prior.sample(0, 3, seeded()).shape == (0, 3)
    torch.manual_seed(0)
    first = prior.sample(2, 2)
    torch.manual_seed(0)
    assert torch.equal(prior.sample(2, 2), first)


def test_an_unknown_prior_is_a_wrong_request():
    with pytest.raises(UserError, match="Did you mean uniform"):
        PRIORS["unifrom"]


# ------------------------------------------------------------------ laws

NORMS = {"uniform": "uniform", "normal": "normal", "gamma": "gamma", "cauchy": "cauchy_iid",
         "nonparametric": "np_0.005"}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_norms_at_dimension_100_are_the_reference_ones(name):
    count = 20_000
    z = PRIORS[name].sample(2 * count, 100, seeded()).double()
    norms = {"end": z.norm(dim=1), "mid": ((z[:count] + z[count:]) / 2).norm(dim=1)}
    for place, norm in norms.items():
        wanted = GIVEN["norms"]["100"][NORMS[name]][place]
        error = 5 * wanted["log_std"] * (1 / len(norm) + 1 / count) ** 0.5
        assert abs(float(norm.log().mean()) - wanted["log_mean"]) < error
        if "mean" in wanted:
            error = 5 * wanted["std"] * (1 / len(norm) + 1 / count) ** 0.5
            assert abs(float(norm.mean()) - wanted["mean"]) < error
            assert abs(float(norm.std()) / wanted["std"] - 1) < 0.05


@pytest.mark.parametrize("dim", [1, 2, 13])
def test_squared_norms_have_the_exact_moments_in_other_dimensions(dim):
    prior = solve_nonparametric(256, 0.02)
    x = (torch.arange(256, dtype=torch.float64) + 0.5) / 256 - 0.5
    inner = 1 / (12 * 256**2)
    second = (prior.p * x**2).sum() + inner
    fourth = (prior.p * (x**4 + 6 * x**2 * inner)).sum() + 1 / (80 * 256**4)
    kurtosis = float(fourth / second**2)
    exact = {
        "uniform": (dim / 3, dim * (1 / 5 - 1 / 9)),
        "normal": (dim, 2 * dim),
        "gamma": (1.0, 2.0),
        "nonparametric": (dim, dim * (kurtosis - 1)),
    }
    count = 200_000
    for name, (mean, variance) in exact.items():
        law = prior if name == "nonparametric" else PRIORS[name]
        square = law.sample(count, dim, seeded()).double().square().sum(dim=1)
        assert abs(float(square.mean()) - mean) < 5 * math.sqrt(variance / count)
        assert abs(float(square.var()) / variance - 1) < 0.05


def test_cauchy_quartiles_and_midpoints():
    z = PRIORS["cauchy"].sample(200_000, 1, seeded()).flatten().double()
    for sample in (z, (z[::2] + z[1::2]) / 2):
        quartiles = sample.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
        assert torch.allclose(quartiles, torch.tensor([-1.0, 0.0, 1.0]).double(), atol=0.03)


def test_gamma_directions_are_uniform():
    z = PRIORS["gamma"].sample(100_000, 3, seeded()).double()
    cosine = z[:, 0] / z.norm(dim=1)  # uniform on [-1, 1] on the sphere in three dimensions
    assert abs(float(cosine.mean())) < 0.01 and abs(float(cosine.square().mean()) - 1 / 3) < 0.006


# ------------------------------------------------------------------ the divergence of midpoints


def binned(cdf, n):
    masses = np.diff(cdf(np.linspace(0, 1, n + 1)))
    return masses / masses.sum()


def normal_cdf(x):
    return np.array([0.5 * (1 + math.erf((v - 0.5) * 6 / math.sqrt(2))) for v in x])


def cauchy_cdf(x):
    return np.arctan((x - 0.5) / 0.02) / np.pi


@pytest.mark.parametrize(
    ("name", "p"),
    [
        ("uniform", np.full(1024, 1 / 1024)),
        ("truncnormal_mu.5_sigma1/6", binned(normal_cdf, 1024)),
        ("trunccauchy_x0.5_gamma.02", binned(cauchy_cdf, 1024)),
    ],
)
def test_divergence_of_given_tables(name, p):
    wanted = GIVEN["bin_table_unit_tests"][name]["kl"]
    for form in (p, torch.from_numpy(p), p.tolist()):
        assert abs(midpoint_kl(form) - wanted) < 1e-9


def test_divergence_at_other_places_than_the_middle():
    wanted = GIVEN["kl_1d"]["other_lambda"]["0.25"]["uniform"]
    for lam in (0.25, 0.75):
        assert abs(midpoint_kl(np.full(2048, 1 / 2048), lam) - wanted) < 1e-3
    assert abs(midpoint_kl([0.2, 0.5, 0.3], 0.0)) < 1e-15
    assert abs(midpoint_kl([0.2, 0.5, 0.3], 1.0)) < 1e-15
    assert midpoint_kl([0.7, 0.0, 0.1, 0.2], 0.3) > 0


@pytest.mark.parametrize(
    ("p", "lam"),
    [([0.5, 0.6], 0.5), ([-0.5, 1.5], 0.5), ([], 0.5), ([[0.5, 0.5]], 0.5), ([0.5, 0.5], 1.5),
     ([0.5, math.nan], 0.5), ("abc", 0.5), ([0.5, 0.5], math.nan)],
)  # fmt: skip
def test_what_is_no_histogram_is_refused(p, lam):
    with pytest.raises(UserError):
        midpoint_kl(p, lam)


# ------------------------------------------------------------------ the nonparametric prior


@pytest.mark.parametrize(("bins", "variance"), KL)
def test_solutions_are_the_reference_ones(bins, variance):
    begun = time.perf_counter()
    found = solve_nonparametric(bins, variance)
    assert time.perf_counter() - begun < 60  # 30 on two cores of their own
    assert abs(found.kl - KL[bins, variance]) < 1e-9
    assert found.variance >= variance - 1e-12
    assert abs(midpoint_kl(found.p) - found.kl) < 1e-12


def test_the_default_is_the_reference_table_and_the_one_that_ships():
    wanted = torch.from_numpy(np.load(CASES / "npprior_sym_n1024_eps0p005.npz")["p"])
    for p in (solve_nonparametric().p, PRIORS["nonparametric"].p):
        torch.testing.assert_close(p, wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("bins", "variance"),
    [(1, 0.005), (10**6, 0.005), (64, 0.0), (64, 0.25), (64, math.nan)],
)
def test_impossible_histograms_are_refused(bins, variance):
    with pytest.raises(UserError):
        solve_nonparametric(bins, variance)


def test_draws_follow_the_histogram_exactly():
    prior, count = solve_nonparametric(64, 0.02), 400_000
    raw = prior.sample_raw(count, 1, seeded()).flatten()
    assert raw.min() >= 0 and raw.max() <= 1
    counts = torch.bincount((raw * 64).long().clamp(max=63), minlength=64)
    chi = ((counts - count * prior.p).square() / (count * prior.p)).sum()
    assert abs(float(chi) - 63) < 5 * math.sqrt(2 * 63)
    inside = raw * 64 % 1  # uniform inside the bins, or the variance would miss 1 / (12 n^2)
    assert abs(float(inside.mean()) - 0.5) < 0.003 and abs(float(inside.var()) - 1 / 12) < 0.001
    unit = prior.sample(count, 1, seeded()).double()
    assert abs(float(unit.mean())) < 0.01 and abs(float(unit.var()) - 1) < 0.02
    assert torch.equal(unit, ((raw - prior.mean) / prior.std).float().double()[:, None])


def test_the_scale_counts_the_spread_inside_wide_bins():
    prior = solve_nonparametric(3, 0.03)
    z = prior.sample(200_000, 1, seeded()).double()
    assert abs(float(z.var()) - 1) < 0.01  # 1.31 without the 1 / (12 n^2)


def test_a_lopsided_histogram_is_sampled_with_mean_nought():
    prior = solve_nonparametric(64, 0.02, symmetric=False)
    z = prior.sample(200_000, 1, seeded()).double()
    assert abs(float(z.mean())) < 0.015 and abs(float(z.var()) - 1) < 0.05


@pytest.mark.parametrize("name", PRIORS)
def test_walks_are_straight_but_under_the_normal_law(name):
    law = PRIORS[name]
    law = law() if isinstance(law, type) else law
    start, end = law.sample(3, 4, seeded()), law.sample(3, 4, seeded(1))
    expected = (arc if name == "normal" else line)(start, end, 5)
    torch.testing.assert_close(walk(law, start, end, 5), expected)


def elsewhere():
    return torch.device("meta")


@contextmanager
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("default", [elsewhere, double])
@pytest.mark.parametrize("name", PRIORS)
def test_draws_are_the_same_whatever_torch_s_defaults_are(name, default):
    wanted = PRIORS[name].sample(5, 3, torch.Generator().manual_seed(1))
    for kept in (priors._table, priors._solved):
        kept.cache_clear()
    with default():
        told = PRIORS[name].sample(5, 3, torch.Generator("cpu").manual_seed(1))
        solved = solve_nonparametric(8, 0.02)
        distance = midpoint_kl([0.25] * 4)
    assert told.dtype == torch.float32 and torch.equal(told, wanted)
    assert solved.p.device.type == "cpu" and distance == pytest.approx(0.1438, abs=1e-4)
