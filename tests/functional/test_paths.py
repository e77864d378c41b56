"""Walks begin and end where they should, and keep the law that they promise to keep."""

import pytest
import torch

from zoo.functional.paths import arc, line


@pytest.fixture
def ends():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4000, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("walk", [arc, line])
def test_walks_lead_from_start_to_end(walk, ends):
    path = walk(*ends, 5)
    assert path.shape == (4000, 5, 6)
    torch.testing.assert_close(path[:, 0], ends[0])
    torch.testing.assert_close(path[:, -1], ends[1])


def test_a_line_divides_its_length_evenly(ends):
    torch.testing.assert_close(line(*ends, 5)[:, 1], 0.75 * ends[0] + 0.25 * ends[1])


def test_normal_codes_stay_normal_on_an_arc_and_shrink_on_a_line(ends):
    assert arc(*ends, 7).square().mean(dim=(0, 2)).tolist() == pytest.approx([1.0] * 7, abs=0.03)
    assert float(line(*ends, 7)[:, 3].square().mean()) == pytest.approx(0.5, abs=0.02)


def test_one_step_is_the_start(ends):
    torch.testing.assert_close(arc(*ends, 1)[:, 0], ends[0])
