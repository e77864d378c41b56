"""Fréchet and kernel distance, and the probability score, against independent references."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kernel_mmd
from torchmetrics.image.kid import poly_mmd

from zoo.functional.features import inception_style_score, kernel_distance, kernel_distance_full
from zoo.functional.frechet import frechet_distance, gaussian_moments, merge_moments, moments

POLY = {
    "kid_kernel": "poly",
    "kid_kernel_poly_degree": 3,
    "kid_kernel_poly_gamma": None,
    "kid_kernel_poly_coef0": 1,
}


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def cloud(n, width, seed=0, scale=1.0, shift=0.0, dtype=torch.float64):
    """Correlated features, not a sphere."""
    generator = draw(seed)
    mix = torch.randn(width, width, generator=generator, dtype=torch.float64) / width**0.5
    rows = torch.randn(n, width, generator=generator, dtype=torch.float64) @ mix
    return (rows * scale + shift).to(dtype)


# Moments


@pytest.mark.parametrize("width", [1, 3, 24, 64, 193, 400])
def test_moments_equal_numpy(width):
    """Rejects a lost block of the triangle and the biased covariance."""
    x = cloud(300, width)
    mean, covariance = gaussian_moments(x)
    np.testing.assert_allclose(mean.numpy(), x.numpy().mean(0), atol=1e-12)
    expected = np.atleast_2d(np.cov(x.numpy(), rowvar=False))
    np.testing.assert_allclose(covariance.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_moments_survive_a_distant_mean():
    """Rejects E[xx] - E[x]E[x], which keeps no digit here."""
    x = cloud(500, 4)
    near, far = gaussian_moments(x)[1], gaussian_moments(x + 1e7)[1]
    torch.testing.assert_close(far, near, rtol=1e-7, atol=1e-8)


def test_moments_in_chunks_equal_moments_at_once(monkeypatch):
    x = cloud(1001, 5, dtype=torch.float32)
    whole = moments(x)
    monkeypatch.setattr("zoo.functional.frechet._CHUNK", 5 * 97)
    for part, expected in zip(moments(x), whole, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-12, atol=1e-12)


def test_merging_moments_is_exact_and_accepts_nothing():
    x = cloud(100, 6)
    merged = merge_moments(moments(x[:1]), moments(x[1:]))
    for part, expected in zip(merged, moments(x), strict=True):
        torch.testing.assert_close(part, expected)
    nothing = moments(x[:1])._replace(count=torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(merge_moments(nothing, merged), merged)
    torch.testing.assert_close(merge_moments(nothing, nothing).scatter, torch.zeros(6, 6).double())


def test_moments_do_not_touch_their_input():
    x = cloud(20, 3)
    before = x.clone()
    moments(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


# Fréchet distance


def test_frechet_distance_of_diagonal_gaussians_has_a_closed_form():
    a, b = torch.rand(2, 7, generator=draw(), dtype=torch.float64) + 0.1
    m, n = torch.randn(2, 7, generator=draw(), dtype=torch.float64)
    expected = ((m - n) ** 2 + (a.sqrt() - b.sqrt()) ** 2).sum()
    torch.testing.assert_close(frechet_distance(m, a.diag(), n, b.diag()), expected)


def test_frechet_distance_of_rotated_gaussians_has_a_closed_form():
    """Rejects tr(A^1/2 B^1/2), which agrees only where the covariances commute."""
    a = torch.tensor([[4.0, 0.0], [0.0, 1.0]]).double()
    b = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    product = a @ b  # 2x2: tr of the root is sqrt(tr + 2 sqrt(det))
    root_trace = (product.trace() + 2 * product.det().sqrt()).sqrt()
    zero = torch.zeros(2)
    expected = a.trace() + b.trace() - 2 * root_trace
    torch.testing.assert_close(frechet_distance(zero, a, zero, b), expected)


@pytest.mark.parametrize("samples", [300, 20])  # 20 < width: singular covariances
def test_frechet_distance_equals_torch_fidelity(samples):
    x, y = cloud(samples, 48), cloud(samples + 5, 48, seed=1, scale=1.3, shift=0.2)
    reference = fid_statistics_to_metric(
        fid_features_to_statistics(x), fid_features_to_statistics(y), False
    )
    ours = frechet_distance(*gaussian_moments(x), *gaussian_moments(y)).item()
    assert ours == pytest.approx(reference["frechet_inception_distance"], abs=2e-5)


def test_frechet_distance_of_singular_covariances_has_a_closed_form():
    """One Gaussian lives on two axes, the other on three, sharing one."""
    a = torch.tensor([4.0, 1.0, 0.0, 0.0, 0.0]).double()
    b = torch.tensor([0.0, 9.0, 1.0, 1.0, 0.0]).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=draw(), dtype=torch.float64))[0]
    zero = torch.zeros(5)
    first, second = (turn @ v.diag() @ turn.T for v in (a, b))
    expected = (a + b).sum() - 2 * (a * b).sqrt().sum()
    for pair in ((first, second), (second, first)):
        ours = frechet_distance(zero, pair[0], zero, pair[1])
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
    point = torch.zeros(5, 5)
    torch.testing.assert_close(frechet_distance(zero, point, zero, second), b.sum())


@pytest.mark.parametrize("samples", [200, 30])
def test_frechet_distance_to_itself_is_zero_and_never_negative(samples):
    x = gaussian_moments(cloud(samples, 64))
    assert 0 <= frechet_distance(*x, *x).item() < 1e-6


def test_frechet_distance_refuses_what_does_not_fit():
    mean, cov = gaussian_moments(cloud(9, 3))
    with pytest.raises(ValueError, match=r"\(3,\), \(3, 3\), \(2,\), \(3, 3\)"):
        frechet_distance(mean, cov, mean[:2], cov)
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(mean, cov * math.nan, mean, cov)
    with pytest.raises(ValueError, match=r"at least 2 samples, got \(1, 3\)"):
        gaussian_moments(torch.ones(1, 3))


# Kernel distance


def brute_force_mmd(x, y):
    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    within_y = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    across = sum(kernel(a, b) for a in x for b in y)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)


def test_full_kernel_distance_equals_brute_force_for_sets_of_different_size():
    x, y = cloud(7, 3), cloud(4, 3, seed=1, shift=0.5)
    assert kernel_distance_full(x, y).item() == pytest.approx(brute_force_mmd(x, y), rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_full_kernel_distance_equals_torch_fidelity_and_torchmetrics(dtype):
    """300 rows are more than two strips: rejects a strip that is dropped or counted once."""
    x, y = cloud(300, 33, dtype=dtype), cloud(300, 33, seed=1, scale=1.1, shift=0.3, dtype=dtype)
    ours = kernel_distance(x, y, generator=draw(), subsets=2, subset_size=300).mean.item()
    full = kernel_distance_full(x, y).item()
    theirs = kernel_mmd(x.double().numpy(), y.double().numpy(), **POLY)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    assert ours == pytest.approx(theirs, rel=tolerance)
    assert full == pytest.approx(theirs, rel=tolerance)
    assert full == pytest.approx(poly_mmd(x.double(), y.double()).item(), rel=tolerance)


def test_full_kernel_distance_does_not_depend_on_tiles(monkeypatch):
    x, y = cloud(200, 5), cloud(150, 5, seed=1)
    whole = kernel_distance_full(x, y)
    monkeypatch.setattr("zoo.functional.features._FULL_TILE", 64)
    torch.testing.assert_close(kernel_distance_full(x, y), whole)


@pytest.mark.parametrize("offset", [0.0, 1.0, 30.0, 100.0, 1000.0])
@pytest.mark.parametrize("subsets", [True, False])
def test_kernel_distance_in_single_precision_keeps_its_digits_far_from_the_origin(offset, subsets):
    """Rejects products of whole features in float32, and a shift, which changes the kernel."""
    x = cloud(300, 40, dtype=torch.float32) + offset
    y = cloud(300, 40, seed=1, scale=1.2, dtype=torch.float32) + offset
    theirs = poly_mmd_unbiased(x.double().numpy(), y.double().numpy())
    if subsets:
        ours = kernel_distance(x, y, generator=draw(), subsets=2, subset_size=300).mean
    else:
        ours = kernel_distance_full(x, y)
    assert ours.item() == pytest.approx(theirs, rel=2e-5 if offset == 0 else 2e-6)


def poly_mmd_unbiased(x, y):
    """Gretton et al. 2012, Lemma 6, written out with NumPy in float64."""
    n, m = len(x), len(y)
    xx, yy, xy = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return within - 2 * xy.mean()


def test_subsets_average_to_the_full_distance():
    """Subsets of distinct rows are unbiased: the mean lies within its error of the full value."""
    x, y = cloud(400, 6), cloud(400, 6, seed=1, shift=0.2)
    score = kernel_distance(x, y, generator=draw(), subsets=200, subset_size=50)
    gap = score.mean - kernel_distance_full(x, y)
    assert gap.abs() < 4 * score.standard_error


def test_standard_error_shrinks_with_the_root_of_the_subsets():
    x, y = cloud(400, 6), cloud(400, 6, seed=1)
    few = kernel_distance(x, y, generator=draw(), subsets=100, subset_size=40)
    many = kernel_distance(x, y, generator=draw(), subsets=1600, subset_size=40)
    assert (few.standard_error / many.standard_error).item() == pytest.approx(4, rel=0.25)


def test_kernel_distance_repeats_with_its_generator_and_leaves_the_global_one():
    x, y = cloud(60, 4), cloud(60, 4, seed=1)
    before = torch.get_rng_state()
    scores = [
        kernel_distance(x, y, generator=draw(seed), subsets=4, subset_size=20).mean
        for seed in (3, 3, 4)
    ]
    assert scores[0] == scores[1] != scores[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_kernel_distance_keeps_its_digits_under_autocast_and_lower_matmul_precision():
    x, y = cloud(80, 40, dtype=torch.float32), cloud(80, 40, seed=1, dtype=torch.float32)
    exact = kernel_distance_full(x.double(), y.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(kernel_distance_full(x, y), exact)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        torch.testing.assert_close(kernel_distance_full(x, y), exact)
    finally:
        torch.set_float32_matmul_precision(before)


def test_kernel_distance_refuses_what_does_not_fit():
    x = cloud(10, 3)
    with pytest.raises(ValueError, match="subset_size=11, 10 and 10 samples"):
        kernel_distance(x, x, generator=None, subset_size=11)
    with pytest.raises(ValueError, match="widths differ: x has 3, y has 2"):
        kernel_distance_full(x, x[:, :2])
    with pytest.raises(ValueError, match="y has 1 rows with non-finite values of 10"):
        kernel_distance_full(x, torch.where(torch.arange(10)[:, None] == 4, math.inf, x))
    with pytest.raises(ValueError, match=r"x must be floats \(N, D\), not empty, got \(0, 3\)"):
        kernel_distance_full(x[:0], x)


# Score of class probabilities


def test_score_of_certain_even_predictions_is_the_number_of_classes():
    """Zeros are legal probabilities: rejects p log p = nan."""
    eye = torch.eye(5).repeat(4, 1)
    score = inception_style_score(eye, splits=4)
    assert score.mean.item() == pytest.approx(5)
    assert score.standard_deviation.item() == pytest.approx(0, abs=1e-12)


def test_score_of_equal_predictions_is_one():
    rows = torch.tensor([[0.2, 0.8]]).repeat(10, 1)
    assert inception_style_score(rows, splits=3).mean.item() == pytest.approx(1)


def test_score_by_hand():
    """exp of the mean divergence, not the mean of exps; the marginal is the split's own."""
    rows = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]).double()
    marginal = (0.75, 0.25)
    first = math.log(1 / 0.75)
    second = 0.5 * math.log(0.5 / marginal[0]) + 0.5 * math.log(0.5 / marginal[1])
    halves = (math.exp((first + second) / 2), 1.0)
    score = inception_style_score(rows, splits=2)
    assert score.mean.item() == pytest.approx(sum(halves) / 2)
    assert score.standard_deviation.item() == pytest.approx((halves[0] - halves[1]) / 2)


def test_score_equals_torch_fidelity_with_uneven_splits():
    logits = 2 * torch.randn(103, 7, generator=draw(), dtype=torch.float64)
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    ours = inception_style_score(logits.softmax(1), splits=10)
    assert ours.mean.item() == pytest.approx(theirs["inception_score_mean"])
    assert ours.standard_deviation.item() == pytest.approx(theirs["inception_score_std"])


def test_sorted_samples_need_the_shuffle():
    rows = torch.eye(4).repeat_interleave(50, 0)
    assert inception_style_score(rows, splits=4).mean.item() == pytest.approx(1)
    shuffled = inception_style_score(rows, splits=4, generator=draw())
    assert shuffled.mean.item() > 3.5


def test_score_refuses_logits_and_too_many_splits():
    with pytest.raises(ValueError, match="smallest entry -3"):
        inception_style_score(torch.tensor([[4.0, -3.0]]), splits=1)
    with pytest.raises(ValueError, match="must be probabilities"):
        inception_style_score(torch.full((2, 2), math.nan), splits=1)
    with pytest.raises(ValueError, match="splits=3, rows=2"):
        inception_style_score(torch.eye(2), splits=3)
