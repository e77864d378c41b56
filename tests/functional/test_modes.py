"""Mode statistics: closed forms of the mixture, the divergence and the balance."""

import math

import pytest
import torch
from scipy.stats import entropy

from zoo.functional.modes import (
    class_balance,
    mode_counts,
    mode_coverage,
    mode_kl,
    mode_moments,
    mode_spread,
)


def grid(side=5, spacing=2.0):
    """The centres of the 25-Gaussian grid, shape (25, 2), in float64."""
    axis = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    return torch.cartesian_prod(axis, axis)


def test_perfect_samples_of_the_grid():
    """The Rayleigh share 1 - exp(-9/2) = .98889 within 4 s.e. (4e-4).

    Catches the one-dimensional share (.9973), a box (.9946), and variance taken for deviation.
    """
    generator, num, sigma = torch.Generator().manual_seed(0), 100_000, 0.05
    mode = torch.randint(25, (num,), generator=generator)
    noise = torch.randn(num, 2, generator=generator, dtype=torch.float64)
    captured, high_quality, counts = mode_coverage(grid()[mode] + sigma * noise, grid(), sigma)
    share = 1 - math.exp(-4.5)
    assert captured.item() == 25
    assert high_quality.item() == pytest.approx(share, abs=4 * math.sqrt(share / num * (1 - share)))
    true = torch.bincount(mode, minlength=25)
    assert ((true - counts) >= 0).all() and counts.sum() == round(high_quality.item() * num)


def test_a_mode_is_not_captured_by_a_sample_near_it():
    """Catches modes counted by nearest sample whatever its quality."""
    samples = torch.tensor([[0.0, 0.0], [2.0, 0.16], [4.0, 0.14]], dtype=torch.float64)
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    captured, high_quality, counts = mode_coverage(samples, centres, sigma=0.05)
    assert (captured.item(), counts.tolist()) == (2, [1, 0, 1])
    assert high_quality.item() == pytest.approx(2 / 3)


def test_overlapping_modes_share_no_sample():
    """Catches a sample that counts for every mode within reach."""
    centres = torch.tensor([[0.0], [1.0]])
    assert mode_counts(torch.tensor([[0.4], [0.6], [0.7]]), centres, 1.0).tolist() == [1, 2]


def test_within_sets_the_radius():
    samples, centres = torch.tensor([[0.25]]), torch.zeros(1, 1)
    assert mode_counts(samples, centres, 0.1, within=2.0).tolist() == [0]
    assert mode_counts(samples, centres, 0.1, within=3.0).tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_samples_but_no_centre(dtype):
    centres = grid() * 1.003  # which no half precision holds
    samples = (centres + 0.02).to(dtype)
    exact = mode_counts(samples.double(), centres, sigma=0.02)
    assert mode_counts(samples, centres, sigma=0.02).equal(exact) and 0 < exact.sum() < 26


def test_distances_do_not_cancel_far_from_the_origin():
    """Catches |x|^2 - 2xc + |c|^2 in float32, whose error is far above 3 sigma here."""
    centres = 1000 + 2 * torch.arange(40.0)[:, None].expand(-1, 2)
    samples = centres + 0.03125  # exact in float32
    assert mode_counts(samples, centres, sigma=0.05).tolist() == [1] * 40
    assert mode_counts(samples + 0.25, centres, sigma=0.05).sum() == 0


def test_broken_samples_belong_to_no_mode():
    """Catches NaN compared by 'not greater than'."""
    samples = torch.tensor([[math.nan], [math.inf], [0.0]])
    captured, high_quality, _ = mode_coverage(samples, torch.tensor([[0.0], [1.0]]), 0.1)
    assert captured.item() == 1
    assert high_quality.item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("reached", [1, 16, 99, 1000])
def test_kl_of_even_coverage(reached):
    """Log(K / M) in nats; catches bits, and counts not normalised."""
    counts = torch.zeros(1000, dtype=torch.int64)
    counts[:reached] = 26
    assert mode_kl(counts).item() == pytest.approx(math.log(1000 / reached), abs=1e-12)


def test_kl_is_generated_against_true():
    """Catches the swapped direction, which differs by more than .02 here."""
    generated, true = torch.tensor([80, 15, 5]), torch.tensor([0.2, 0.3, 0.5])
    expected = entropy(generated.numpy(), true.numpy())
    assert abs(expected - entropy(true.numpy(), generated.numpy())) > 0.02
    assert mode_kl(generated, true).item() == pytest.approx(expected, abs=1e-6)


def test_kl_of_a_mode_outside_the_target_is_infinite():
    """Catches an epsilon in the denominator; an absent mode that is not generated adds 0."""
    assert mode_kl(torch.tensor([1, 1]), torch.tensor([1, 0])).item() == math.inf
    assert mode_kl(torch.tensor([1, 0]), torch.tensor([1, 0])).item() == 0


def test_kl_floor_of_a_perfect_sampler():
    """(K - 1) / 2N = .0192 for the stacked MNIST protocol, s.d. .0009, as documented."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(torch.randint(1000, (26_000,), generator=generator), minlength=1000)
    assert mode_kl(counts).item() == pytest.approx(999 / 52_000, abs=0.0036)


def test_balance_closed_form():
    """Catches a worst factor that sees over-representation only (1.6 here, not 5)."""
    ratio, worst, variation = class_balance(torch.tensor([10, 50, 40]), torch.tensor([2, 4, 1]) / 7)
    assert ratio.tolist() == pytest.approx([0.35, 0.875, 2.8], abs=1e-6)
    assert worst.item() == pytest.approx(1 / 0.35, abs=1e-6)
    assert variation.item() == pytest.approx(0.4 - 1 / 7, abs=1e-6)


def test_balance_of_missing_classes():
    """Catches 0 / 0 for a class that neither has, and a finite factor for one that is lost."""
    ratio, worst, variation = class_balance(torch.tensor([1, 1, 0]), torch.tensor([5, 5, 0]))
    assert (ratio.tolist(), worst.item(), variation.item()) == ([1, 1, 1], 1, 0)
    assert class_balance(torch.tensor([1, 0]), torch.tensor([1, 1])).worst.item() == math.inf
    assert class_balance(torch.tensor([1, 1]), torch.tensor([1, 0])).worst.item() == math.inf


@pytest.mark.parametrize(
    ("samples", "centres", "sigma", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(2, 2), 1.0, r"\(4, 3\) and \(2, 2\)"),
        (torch.zeros(0, 2), torch.zeros(2, 2), 1.0, "0 samples"),
        (torch.zeros(4, 2), torch.zeros(0, 2), 1.0, "0 centres"),
        (torch.zeros(4, 2, dtype=torch.int64), torch.zeros(2, 2), 1.0, "int64"),
        (torch.zeros(4, 2), torch.zeros(2, 2), 0.0, "positive, got 0.0"),
        (torch.zeros(4, 2), torch.zeros(2, 2), math.nan, "positive, got nan"),
    ],
)
def test_coverage_refuses(samples, centres, sigma, message):
    with pytest.raises(ValueError, match=message):
        mode_coverage(samples, centres, sigma)


@pytest.mark.parametrize("function", [mode_kl, class_balance])
@pytest.mark.parametrize(
    ("counts", "target", "message"),
    [
        ([0, 0], [1, 1], "counts of 2 modes are empty"),
        ([1, 1], [0, 0], "of 2 modes are empty"),
        ([1, -1], [1, 1], "from -1 to 1"),
        ([1, 1, 1], [1, 1], "got 3 and 2"),
        ([[1, 1]], [1, 1], r"\(1, 2\)"),
        ([1.0, math.nan], [1, 1], "nan"),
    ],
)
def test_laws_refused(function, counts, target, message):
    with pytest.raises(ValueError, match=message):
        function(torch.tensor(counts), torch.tensor(target))


def spread(scale, num=50_000, shift=0.0, sigma=0.05):
    """The spread of samples with this deviation about places that are shifted from the centres."""
    generator = torch.Generator().manual_seed(0)
    mode = torch.randint(25, (num,), generator=generator)
    noise = torch.randn(num, 2, generator=generator, dtype=torch.float64)
    samples = grid()[mode] + sigma * (scale * noise + torch.tensor([shift, 0.0]))
    return mode_spread(mode_moments(samples, grid(), sigma)).item()


def test_perfect_samples_have_the_spread_of_the_data_although_they_are_cut():
    """Without the variance that is lost beyond 3 sigma this would be .974."""
    lost = 1 - 4.5 * math.exp(-4.5) / (1 - math.exp(-4.5))  # of a chi-square with 2 degrees
    assert math.sqrt(lost) == pytest.approx(0.974, abs=0.001)
    assert spread(1.0) == pytest.approx(1, abs=0.01)


def test_samples_that_collapse_inside_their_modes_have_less():
    """Half of the deviation is .5 over the cut's .974; as a variance it would be a quarter."""
    assert spread(0.5) == pytest.approx(0.5 / 0.9745, abs=0.005)
    assert spread(0.0) == pytest.approx(0, abs=1e-3)


def test_points_beside_their_centres_are_points():
    """About the centres a point 1.37 sigma away would have the spread of the data."""
    assert spread(0.0, shift=1.37) == pytest.approx(0, abs=1e-3)
    assert spread(0.5, shift=0.5) == pytest.approx(0.5 / 0.9745, abs=0.02)


def test_moments_of_batches_add_up_and_a_single_sample_has_no_spread():
    samples = grid()[:6].repeat_interleave(2, dim=0)
    samples[::2] += 0.05
    whole = mode_spread(mode_moments(samples, grid(), 0.05))
    parts = [mode_moments(part, grid(), 0.05) for part in samples.split(5)]
    total = type(parts[0])(*(sum(column) for column in zip(*parts, strict=True)))
    torch.testing.assert_close(mode_spread(total), whole)
    # Each mode has one at (1, 1) sigma and one at its centre: about their mean 1 per axis, twice
    # a half squared, over one degree of freedom.
    lost = 1 - 4.5 * math.exp(-4.5) / (1 - math.exp(-4.5))
    assert whole.item() == pytest.approx(math.sqrt(0.5 / lost), abs=1e-6)
    with pytest.raises(ValueError, match="two samples"):
        mode_spread(mode_moments(grid(), grid(), 0.05))


@pytest.mark.parametrize("dim", [1, 3])
def test_the_cut_is_that_of_any_dimension(dim):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(200_000, dim, generator=generator, dtype=torch.float64)
    found = mode_spread(mode_moments(samples, torch.zeros(1, dim), 1.0, within=1.5), within=1.5)
    assert found.item() == pytest.approx(1, abs=0.01)
