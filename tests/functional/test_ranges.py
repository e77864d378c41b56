"""Data and networks understand one another: there and back."""

import math

import pytest
import torch

from zoo.functional.ranges import centred, to_unit


def test_pixels_come_from_and_go_to_the_range_of_tanh():
    x = torch.tensor([0.0, 0.25, 1.0])
    torch.testing.assert_close(centred(x, points=False), torch.tensor([-1.0, -0.5, 1.0]))
    raw = torch.linspace(-4, 4, 9)
    # the sigmoid of 2 r, stretched, is the tanh of r
    torch.testing.assert_close(centred(to_unit(2 * raw, points=False), points=False), raw.tanh())


def test_points_go_there_and_back_with_unit_variance_between():
    x = torch.rand(100_000, dtype=torch.float64)
    inside = centred(x, points=True)
    assert inside.mean().item() == pytest.approx(0, abs=4 / math.sqrt(1e5))
    assert inside.var().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(to_unit(inside, points=True).double(), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("points", [False, True])
def test_pictures_are_float32_whatever_the_network_computes_in(points):
    assert to_unit(torch.zeros(2, dtype=torch.bfloat16), points=points).dtype == torch.float32
