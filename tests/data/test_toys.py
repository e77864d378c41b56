"""Points of the plane: where they lie, how they are mapped, and that they never change."""

import math

import numpy as np
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import DATASETS, GaussianGrid, GaussianRing, TwoMoons
from zoo.functional.modes import mode_coverage

PLANES = [GaussianGrid, GaussianRing, TwoMoons]


def points(data, split="train"):
    images = data.images(split)
    return data.plane(images.fetch(torch.arange(len(images)))), images.labels


@pytest.mark.parametrize("kind", PLANES)
def test_counts_shape_and_range(kind):
    data = kind(batch_size=50)
    assert [len(data.images(s)) for s in ("train", "val", "test")] == [100_000, 10_000, 10_000]
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (50, *data.spec.shape) == (50, 2, 1, 1)
    assert batch.image.dtype == torch.float32 and batch.label.dtype == torch.int64
    stored = data.images("train").fetch(torch.arange(100_000))
    assert 0.005 < stored.min() and stored.max() < 0.995, "points at the border were cut"
    assert stored.unique().numel() > 150_000, "the points lie on a lattice: they were quantised"
    assert "100,000 training and 10,000 validation points of the plane" in data.report()
    assert DATASETS[kind.__name__] is kind


@pytest.mark.parametrize("kind", PLANES)
def test_the_map_keeps_angles_and_goes_back(kind):
    data = kind()
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    origin, right, up = data.plane(corners)
    torch.testing.assert_close(right - origin, torch.tensor([2 * data.half_width, 0.0]))
    torch.testing.assert_close(up - origin, torch.tensor([0.0, 2 * data.half_width]))
    torch.testing.assert_close((right + up) / 2, torch.tensor(data.centre), atol=1e-6, rtol=0)
    some = points(data)[0][:100]
    torch.testing.assert_close(data.plane(data.unit(some)), some, atol=1e-6, rtol=1e-6)


def test_the_grid_is_that_of_the_papers():
    data = GaussianGrid()
    assert len(data.centres) == 25 and data.sigma == 0.05
    where, label = points(data)
    expected = torch.stack([2.0 * (label // 5) - 4, 2.0 * (label % 5) - 4], dim=1)
    torch.testing.assert_close(data.centres[label], expected)
    check_modes(data, where, label)


def test_the_ring_is_that_of_the_papers():
    data = GaussianRing()
    assert len(data.centres) == 8 and data.sigma == 0.01
    where, label = points(data)
    angle = 2 * math.pi * label / 8
    expected = torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(data.centres[label], expected, atol=1e-6, rtol=0)
    check_modes(data, where, label)


def check_modes(data, where, label):
    count, modes = len(label), len(data.centres)
    noise = (where - data.centres[label]).double()
    # within four standard errors: means, both widths, no correlation, equal shares
    assert (noise.mean(dim=0).abs() < 4 * data.sigma / count**0.5).all()
    assert (noise.std(dim=0) / data.sigma - 1).abs().max() < 4 / (2 * count) ** 0.5
    assert torch.corrcoef(noise.T)[0, 1].abs() < 4 / count**0.5
    share = label.bincount(minlength=modes) / count
    assert ((share - 1 / modes).abs() < 4 * (1 / modes / count) ** 0.5).all()
    captured, high_quality, _ = mode_coverage(where, data.centres, data.sigma)
    perfect = 1 - math.exp(-9 / 2)
    assert captured == modes
    assert abs(high_quality - perfect) < 4 * (perfect * (1 - perfect) / count) ** 0.5


def test_the_moons_lie_around_their_half_circles():
    data = TwoMoons()
    where, label = points(data)
    centre = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[label]
    ends = where - centre
    radius = ends.norm(dim=1)
    # noise of .1 across the circle; at the ends also along it
    assert abs(radius.mean().item() - 1.005) < 0.002 and abs(radius.std().item() - 0.1) < 0.002
    side = torch.where(label == 0, ends[:, 1], -ends[:, 1])
    assert side.min() > -0.6 and side.mean().item() == pytest.approx(2 / math.pi, abs=0.005)
    assert label.float().mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("kind", PLANES)
def test_points_are_the_same_for_ever_and_no_split_repeats_another(kind):
    first, second = kind(seed=0), kind(seed=5, batch_size=7)
    assert first.fingerprint("train") == second.fingerprint("train")
    assert first.fingerprint("test") == second.fingerprint("test")
    rows = torch.cat([points(first, s)[0] for s in ("train", "val", "test")])
    assert len(np.unique(rows.numpy(), axis=0)) > 119_900


def test_the_first_points_are_known_by_heart():
    where, label = points(GaussianGrid(), "test")
    assert label[:5].tolist() == [2, 7, 10, 16, 5]
    np.testing.assert_allclose(where[0].numpy(), [-4.060358, 0.071573], atol=1e-5)


@pytest.mark.parametrize("kind", PLANES)
def test_points_know_no_pixels(kind):
    for name in ("resize", "pad", "binarize"):
        with pytest.raises(TypeError):
            kind(**{name: 2})
    with pytest.raises(UserError, match="val_size 110000 leaves no training images"):
        kind(val_size=110_000).images("train")
