"""Neighbour scores against prdc, brute force, and sets where rounding would decide."""

import math

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy.stats import mannwhitneyu

from zoo.functional.neighbours import (
    density_coverage,
    improved_precision_recall,
    memorisation_gap,
    nearest_neighbours,
    neighbour_scores,
)

NAMES = ("precision", "recall", "density", "coverage")


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lattice(n, width, high, seed=0):
    """Small whole numbers: every reference computes their distances without rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(high, (n, width), generator=generator).to(torch.float64)


def brute_force(real, fake, k):
    """The four scores from exact differences, straight from their definitions."""
    n, m = len(real), len(fake)

    def square(a, b):
        return float(((a - b) ** 2).sum())

    def radius(points, i):
        return sorted(square(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    real_radii = [radius(real, i) for i in range(n)]
    fake_radii = [radius(fake, j) for j in range(m)]
    gaps = [[square(a, b) for b in fake] for a in real]
    precision = sum(any(gaps[i][j] < real_radii[i] for i in range(n)) for j in range(m)) / m
    recall = sum(any(gaps[i][j] < fake_radii[j] for j in range(m)) for i in range(n)) / n
    density = sum(gaps[i][j] < real_radii[i] for i in range(n) for j in range(m)) / (k * m)
    coverage = sum(any(gaps[i][j] < real_radii[i] for j in range(m)) for i in range(n)) / n
    return precision, recall, density, coverage


def assert_scores(ours, expected):
    np.testing.assert_allclose([s.item() for s in ours], expected, rtol=1e-12)


def reference(real, fake, k):
    scores = compute_prdc(real.numpy(), fake.numpy(), k)
    return [scores[name] for name in NAMES]


@pytest.fixture(params=[1024, 37], ids=["one tile", "many tiles"])
def tile(request, monkeypatch):
    monkeypatch.setattr("zoo.functional.neighbours._TILE", request.param)


# Precision, recall, density, coverage


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_scores_equal_prdc(tile, k, dtype):
    real, fake = normal(211, 16, dtype=dtype), 0.9 * normal(150, 16, seed=1, dtype=dtype) + 0.1
    ours = neighbour_scores(real, fake, manifold_k=k, density_k=k)
    assert_scores(ours, reference(real, fake, k))
    assert all(score > 0 for score in ours)


def test_scores_equal_prdc_far_from_the_origin():
    real, fake = normal(150, 8) + 1e4, normal(150, 8, seed=1) + 1e4
    ours = neighbour_scores(real, fake, manifold_k=5)
    assert_scores(ours, reference(real - 1e4, fake - 1e4, 5))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 2, 4])
def test_ties_and_duplicates_equal_prdc_and_brute_force(tile, k, seed):
    """Few lattice points, so copies and equal distances abound: rejects a closed ball."""
    real, fake = lattice(60, 3, 4, seed), lattice(41, 3, 4, seed + 10)
    ours = neighbour_scores(real, fake, manifold_k=k, density_k=k)
    assert_scores(ours, reference(real, fake, k))
    assert_scores(ours, brute_force(real, fake, k))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("width", [3, 2048])
def test_memorised_samples_score_as_in_exact_arithmetic(tile, width, dtype):
    """Copies of the real set: each ball holds its centre and k - 1 neighbours, the k-th ties.

    Rounding of |a|^2 + |b|^2 - 2ab would let ties in (density above one) or centres out.
    """
    real = (normal(90, width) + 3).to(dtype)
    fake = real[torch.randperm(90, generator=torch.Generator().manual_seed(0))].clone()
    ours = neighbour_scores(real, fake, manifold_k=3, density_k=5)
    assert_scores(ours, (1, 1, 1, 1))


def test_part_copied_sets_equal_brute_force():
    real = normal(40, 32, dtype=torch.float32) * 10
    fake = torch.cat([real[:10], real[:10], real[5:6].expand(9, -1), normal(10, 32).float()])
    ours = neighbour_scores(real, fake, manifold_k=2, density_k=2)
    assert_scores(ours, brute_force(real.double(), fake.double(), 2))


def test_a_collapsed_generator_has_no_recall():
    """All radii of the copies are exactly zero, so no open ball holds anything."""
    real = normal(100, 64)
    ours = neighbour_scores(real, real[7:8].expand(60, -1), manifold_k=3, density_k=3)
    assert ours.precision == 1
    assert ours.recall == 0
    assert ours.coverage < 0.2


def test_scores_by_hand():
    """Real 0 1 3 7 (radii 1 1 2 4), generated 0.5 6 100 (radii 5.5 5.5 94), k = 1."""
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    fake = torch.tensor([[0.5], [6.0], [100.0]])
    ours = neighbour_scores(real, fake, manifold_k=1, density_k=1)
    assert_scores(ours, (2 / 3, 1, 3 / 3, 3 / 4))


def test_the_two_numbers_of_neighbours_are_not_exchanged():
    real, fake = normal(80, 5), normal(70, 5, seed=1)
    both = neighbour_scores(real, fake, manifold_k=2, density_k=6)
    assert both[:2] == improved_precision_recall(real, fake, k=2)
    assert both[2:] == density_coverage(real, fake, k=6)
    both = neighbour_scores(real, fake, manifold_k=6, density_k=2)
    assert both[:2] == improved_precision_recall(real, fake, k=6)
    assert both[2:] == density_coverage(real, fake, k=2)


def test_density_and_coverage_of_a_single_generated_sample():
    real = normal(50, 2)
    assert density_coverage(real, real[:1], k=5).coverage > 0


def test_scores_refuse_what_does_not_fit():
    real = normal(6, 3)
    with pytest.raises(ValueError, match="real has 5 rows, needs 6 for 5 neighbours"):
        neighbour_scores(real[:5], real)
    with pytest.raises(ValueError, match="fake has 3 rows, needs 4 for 3 neighbours"):
        improved_precision_recall(real, real[:3])
    with pytest.raises(ValueError, match="widths differ: real has 3, fake has 2"):
        density_coverage(real, real[:, :2])
    with pytest.raises(ValueError, match="fake has 1 rows with non-finite values of 6"):
        density_coverage(real, torch.where(torch.arange(6)[:, None] == 2, math.nan, real))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        neighbour_scores(real, real, manifold_k=0)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        improved_precision_recall(real, real, k=0)


def test_coverage_of_the_law_itself_has_the_published_expectation():
    """Arithmetic of Naeem et al., Sec. 3.2; k off by one moves it by 0.06, the error is 0.005."""
    n, m, k, draws = 100, 120, 3, 60
    missed = math.prod((n - i) / (m + n - i) for i in range(1, k + 1))
    scores = [
        density_coverage(normal(n, 2, seed=2 * s), normal(m, 2, seed=2 * s + 1), k)[1].item()
        for s in range(draws)
    ]
    assert np.mean(scores) == pytest.approx(1 - missed, abs=0.02)


@pytest.mark.slow
def test_published_check_value_of_normal_features():
    """N(0, I) against itself, 10k each, width 1000, k = 5, as in the README of prdc.

    That is one unseeded draw. Over eight other draws the scores had standard deviations of
    0.009, 0.010, 0.06 and 0.006; three of each are allowed, and prdc must agree on this draw
    (in float64: for float32 features it rounds distances to float32, which moves a count).
    """
    real, fake = (normal(10000, 1000, seed=seed, dtype=torch.float32) for seed in (0, 1))
    ours = neighbour_scores(real, fake, manifold_k=5, density_k=5)
    published, spread = (0.4772, 0.4705, 1.0555, 0.9735), (0.03, 0.03, 0.18, 0.02)
    for score, expected, allowed in zip(ours, published, spread, strict=True):
        assert score.item() == pytest.approx(expected, abs=allowed)
    assert_scores(ours, reference(real.double(), fake.double(), 5))


# Nearest neighbours


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nearest_neighbours_equal_brute_force(tile, dtype):
    queries, bank = normal(50, 7, dtype=dtype), normal(120, 7, seed=1, dtype=dtype)
    distances, indices = nearest_neighbours(queries, bank, k=4)
    gaps = (queries.double()[:, None] - bank.double()).norm(dim=2)
    expected, order = gaps.sort(1)
    torch.testing.assert_close(distances, expected[:, :4])
    assert torch.equal(indices, order[:, :4])


def test_a_copy_is_found_at_distance_zero_exactly(tile):
    """Float32 features far from the origin, where the product formula gives a distance of ~1."""
    bank = (normal(200, 512) + 1000).float()
    distances, indices = nearest_neighbours(bank[50:60], bank, k=2)
    assert (distances[:, 0] == 0).all()
    assert (distances[:, 1] > 10).all()
    assert torch.equal(indices[:, 0], torch.arange(50, 60))


def test_all_of_a_small_bank_can_be_asked_for():
    bank = normal(3, 2)
    assert nearest_neighbours(bank, bank, k=3)[1].sort(1).values.tolist() == [[0, 1, 2]] * 3
    with pytest.raises(ValueError, match="bank has 3 rows, needs 4 for 4 neighbours"):
        nearest_neighbours(bank, bank, k=4)


# Memorisation


def distances_to(train, points):
    return (points[:, None] - train).norm(dim=2).amin(1).numpy()


@pytest.mark.parametrize("noise", [0.3, 1.0, 2.0])
def test_memorisation_gap_equals_scipy(noise):
    train, test = normal(80, 4), normal(60, 4, seed=1)
    generated = train[:50] + noise * normal(50, 4, seed=2)
    ours = memorisation_gap(generated, test, train)
    theirs = mannwhitneyu(
        distances_to(train, generated),
        distances_to(train, test),
        alternative="less",
        use_continuity=False,
        method="asymptotic",
    )
    assert ours.closer.item() == pytest.approx(1 - theirs.statistic / (50 * 60))
    assert ours.p_value.item() == pytest.approx(theirs.pvalue, rel=1e-9)


def test_ties_at_zero_are_corrected_as_in_scipy():
    """Copies tie at distance zero: rejects the variance for distinct values."""
    train = normal(60, 3)
    generated, test = torch.cat([train[:20], normal(20, 3, seed=1)]), train[30:50] * 1.0
    test = torch.cat([test, normal(10, 3, seed=2)])
    theirs = mannwhitneyu(
        distances_to(train, generated),
        distances_to(train, test),
        alternative="less",
        use_continuity=False,
        method="asymptotic",
    )
    ours = memorisation_gap(generated, test, train)
    assert ours.p_value.item() == pytest.approx(theirs.pvalue, rel=1e-9)


def test_copying_is_negative_and_fair_samples_are_near_zero():
    train, test, fair = normal(600, 4), normal(300, 4, seed=1), normal(300, 4, seed=2)
    copied = train[:300] + 0.05 * fair
    assert memorisation_gap(copied, test, train).z < -5
    assert memorisation_gap(fair, test, train).z.abs() < 4
    assert memorisation_gap(fair + 5, test, train).z > 5  # underfitting is no copying


def test_copies_on_both_sides_say_nothing():
    train = normal(30, 2)
    gap = memorisation_gap(train, train, train)
    assert (gap.z, gap.p_value, gap.closer) == (0, 0.5, 0.5)
