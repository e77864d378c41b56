"""k-means against scikit-learn's, and on clusters that cannot be missed."""

import pytest
import torch
from sklearn.cluster import KMeans

from zoo.functional.kmeans import kmeans, nearest


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cost(points, centres):
    return torch.cdist(points, centres).square().min(dim=1).values.mean().item()


def test_separate_clusters_are_found():
    means = 20 * torch.randn(6, 3, generator=seeded(1))
    labels = torch.arange(600) % 6
    points = means[labels] + torch.randn(600, 3, generator=seeded(2))
    centres = kmeans(points, 6, generator=seeded())
    found = nearest(points, centres)
    pairs = {(int(a), int(b)) for a, b in zip(labels, found, strict=True)}
    assert len(pairs) == 6  # one cluster each, no cluster for two
    known = torch.stack([points[labels == i].mean(0) for i in range(6)])
    assert torch.cdist(known, centres).min(dim=1).values.max() < 1e-4


def test_it_is_as_good_as_scikit_learns_on_a_cloud_without_clusters():
    points = torch.randn(2000, 4, generator=seeded(3))
    ours = cost(points, kmeans(points, 8, generator=seeded()))
    theirs = KMeans(8, n_init=5, random_state=0).fit(points.numpy()).inertia_ / len(points)
    assert ours == pytest.approx(theirs, rel=0.01)


def test_a_seed_repeats_and_too_few_points_are_refused():
    points = torch.randn(50, 2, generator=seeded(4))
    assert torch.equal(kmeans(points, 5, generator=seeded()), kmeans(points, 5, generator=seeded()))
    with pytest.raises(ValueError, match="3 centres"):
        kmeans(points[:2], 3, generator=seeded())


def test_equal_points_are_no_trouble():
    centres = kmeans(torch.ones(10, 2), 3, generator=seeded())
    assert centres.isfinite().all() and nearest(torch.ones(2, 2), centres).tolist() == [0, 0]


def test_points_that_are_no_numbers_are_refused():
    points = torch.randn(50, 2, generator=seeded(4))
    points[7, 1] = float("nan")
    with pytest.raises(ValueError, match="1 of 50"):
        kmeans(points, 5, generator=seeded())
