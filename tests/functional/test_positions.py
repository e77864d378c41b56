"""Places of objects that were put there, and the spread of points that are known."""

import math

import pytest
import torch

from zoo.data.shapes import SHAPES, _distance
from zoo.functional.positions import centroids, spread_within


def disc(x, y, colour, ground=0.2, side=64, radius=8.0):
    axis = torch.arange(side) + 0.5
    outside = _distance(
        SHAPES.index("circle"), axis[None, :] - x, axis[:, None] - y, torch.tensor(radius)
    )
    cover = (0.5 - outside).clamp(0, 1)
    return torch.stack([ground * (1 - cover) + part * cover for part in colour])


def test_a_disc_is_found_where_it_was_put_whatever_its_colour():
    """Rejects x and y turned round, pixels counted from their corner, and a ground of black."""
    for x, y, colour in ((20.0, 41.5, (0.9, 0.2, 0.2)), (33.25, 12.0, (0.0, 0.2, 0.2))):
        image = disc(x, y, colour)[None]
        torch.testing.assert_close(centroids(image), torch.tensor([[x, y]]), rtol=0, atol=0.05)


def test_faint_noise_does_not_draw_the_centre_to_the_middle():
    image = disc(15.0, 15.0, (0.9, 0.9, 0.2))[None]
    noisy = image + 0.1 * (
        2 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) - 1
    )
    torch.testing.assert_close(centroids(noisy), torch.tensor([[15.0, 15.0]]), rtol=0, atol=0.1)
    assert centroids(torch.full((1, 3, 8, 8), 0.3)).isnan().all()


def test_spread_is_within_groups_and_of_one_axis():
    generator = torch.Generator().manual_seed(0)
    points = 3 * torch.randn(40_000, 2, generator=generator)
    groups = torch.arange(40_000) % 1000
    moved = points + 50 * torch.randn(1000, 2, generator=generator)[groups]
    # Over both axes it would be 4.24, over all points about 50, divided by n 2.96.
    assert spread_within(moved, groups).item() == pytest.approx(3, abs=0.03)
    moved[7] = math.nan
    assert spread_within(moved, groups).isfinite()
    with pytest.raises(ValueError, match="two points"):
        spread_within(points[:3], torch.arange(3))
