"""Preprocessing against autograd, base densities against their closed forms, all in float64."""

import math

import pytest
import torch

from zoo.functional.density import (
    dequantise,
    from_logits,
    plateau_log_prob,
    quantise,
    standard_logistic_log_prob,
    standard_normal_log_prob,
    to_logits,
)


def doubles(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, dtype=torch.float64, generator=generator)


# ------------------------------------------------------------------------- dequantisation


def test_the_levels_tile_the_unit_interval():
    """Bin k is [k/256, (k+1)/256): adding u/256 to k/255, or dividing by 255, would overlap."""
    levels = torch.arange(256, dtype=torch.float64)
    low, high = (dequantise(levels / 255, u) for u in (0.0, 1.0))
    torch.testing.assert_close(low, levels / 256, rtol=0, atol=1e-15)
    torch.testing.assert_close(high[:-1], low[1:], rtol=0, atol=1e-15)
    assert (low[0], high[-1]) == (0, 1)


def test_float32_pixels_stay_in_their_own_bin():
    levels = torch.arange(256)
    x = levels.to(torch.float32).div_(255)  # as the loader divides
    for u in (0.01, 0.5, 0.99):
        assert torch.equal((256 * dequantise(x, u)).floor().long(), levels)
        assert torch.equal((255 * quantise(dequantise(x, u))).round().long(), levels)


def test_the_middle_of_an_interval_goes_back_to_its_pixel():
    x = torch.arange(256, dtype=torch.float64) / 255
    torch.testing.assert_close(quantise(dequantise(x, 0.5)), x, rtol=0, atol=1e-14)
    assert quantise(torch.tensor([0.0, 1.0])).tolist() == [0, 1]


def test_a_density_of_dequantised_pixels_is_one_of_levels():
    """A density constant on bins, with mass q_k in bin k, has density 256 q_k there."""
    mass = doubles(256)
    mass = mass / mass.sum()
    y = dequantise(torch.arange(256, dtype=torch.float64) / 255, doubles(256, seed=1))
    density = 256 * mass[(256 * y).long()]
    torch.testing.assert_close(density.log() - math.log(256), mass.log(), rtol=0, atol=1e-12)


# ------------------------------------------------------------------------- logits


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.05])
def test_logits_log_det_is_the_jacobians(alpha):
    y = doubles(3, 1, 2, 2)
    z, log_det = to_logits(y, alpha)
    assert log_det.shape == (3,)
    for one, expected in zip(y, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: to_logits(v[None], alpha)[0], one)
        size = one.numel()
        found = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
        assert expected.item() == pytest.approx(found.item(), abs=1e-10)
    torch.testing.assert_close(from_logits(z, alpha), y, rtol=0, atol=1e-12)


def test_logits_keep_away_from_the_ends_by_alpha():
    z, log_det = to_logits(torch.tensor([[0.0, 1.0]], dtype=torch.float64), 0.05)
    assert z.flatten().tolist() == pytest.approx([-math.log(19), math.log(19)])
    assert log_det.item() == pytest.approx(2 * math.log(0.9 / (0.05 * 0.95)))


def test_from_logits_never_leaves_the_unit_interval():
    x = from_logits(torch.tensor([-50.0, 50.0]), 0.05)
    assert x.tolist() == [0, 1]


def test_a_uniform_law_keeps_its_mass_through_the_logit():
    """The change of variables: density 1 on [0, 1] becomes exp(-log_det), integrating to 1."""
    ends = to_logits(torch.tensor([[0.0], [1.0]], dtype=torch.float64), 0.05)[0].flatten()
    z = torch.linspace(ends[0], ends[1], 20_001, dtype=torch.float64)
    y = from_logits(z, 0.05)
    density = (-to_logits(y[:, None], 0.05)[1]).exp()
    assert torch.trapezoid(density, z).item() == pytest.approx(1, abs=1e-6)


# ------------------------------------------------------------------------- base densities


def test_normal_and_logistic_agree_with_torch():
    z = 6 * doubles(4, 2, 3) - 3
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    torch.testing.assert_close(standard_normal_log_prob(z), normal, rtol=0, atol=1e-12)
    cdf = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cdf.sigmoid().sum(), cdf)  # the density is the CDF's slope
    torch.testing.assert_close(
        standard_logistic_log_prob(z), slope.log().sum((1, 2)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("log_prob", [standard_normal_log_prob, standard_logistic_log_prob])
def test_base_densities_integrate_to_one_and_survive_their_tails(log_prob):
    z = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
    mass = torch.trapezoid(log_prob(z[:, None]).exp(), z)
    assert mass.item() == pytest.approx(1, abs=1e-9)
    assert torch.isfinite(log_prob(torch.tensor([[1e4], [-1e4]]))).all()


@pytest.mark.parametrize("log_tail", [-4.0, -1.0, 1.0])
def test_the_plateau_is_the_blurred_uniform_law(log_tail):
    """Against the convolution done by quadrature, and against its total mass."""
    tail = math.exp(log_tail)
    log_tail = torch.tensor(log_tail, dtype=torch.float64)
    z = torch.linspace(-3, 3, 13, dtype=torch.float64)
    u = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    e = (z[:, None] - u) / tail
    logistic = (e.sigmoid() * (-e).sigmoid()) / tail
    expected = torch.trapezoid(logistic, u, dim=1) / 2
    torch.testing.assert_close(plateau_log_prob(z, log_tail).exp(), expected, rtol=1e-4, atol=1e-12)
    wide = torch.linspace(-150, 150, 600_001, dtype=torch.float64)
    mass = torch.trapezoid(plateau_log_prob(wide, log_tail).exp(), wide)
    assert mass.item() == pytest.approx(1, abs=1e-8)


def test_the_plateau_keeps_its_digits_far_out():
    """There the density falls as exp(-|z| / tau); a difference of sigmoids would be log 0."""
    z = torch.tensor([50.0, 51.0, -51.0])
    value = plateau_log_prob(z, torch.tensor(-2.0))
    assert torch.isfinite(value).all() and value[1] == value[2]
    assert (value[0] - value[1]).item() == pytest.approx(math.exp(2), rel=1e-4)
