"""Random affine maps and moves by whole pixels, and the code that tells of the moves."""

import pytest
import torch

from zoo.functional.augmentation import moved, random_affine, shift_code, shifted


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_no_strength_is_the_identity():
    x = torch.rand(2, 3, 8, 8)
    assert random_affine(x, 0.0) is x


def test_agrees_with_a_map_worked_out_by_hand():
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64)
    draw = torch.randn(1, 2, 3, generator=seeded()).double()
    a = torch.eye(2, 3, dtype=torch.float64) + 0.2 * draw[0]
    y = random_affine(x, 0.2, generator=seeded())
    centres = (torch.arange(5, dtype=torch.float64) * 2 + 1) / 5 - 1
    for row in range(5):
        for column in range(5):
            point = torch.stack([centres[column], centres[row], torch.ones((), dtype=x.dtype)])
            u, v = (a @ point).tolist()
            i, j = ((v + 1) * 5 - 1) / 2, ((u + 1) * 5 - 1) / 2  # source row and column
            value = 0.0
            for k in range(5):
                for m in range(5):
                    value += max(0, 1 - abs(i - k)) * max(0, 1 - abs(j - m)) * x[0, 0, k, m].item()
            assert y[0, 0, row, column].item() == pytest.approx(value, abs=1e-9)


def test_gradient_reaches_the_image_and_each_image_has_its_own_map():
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    y = random_affine(x, 0.1, generator=seeded())
    y.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    same = random_affine(torch.rand(1, 1, 8, 8).expand(2, 1, 8, 8), 0.1, generator=seeded())
    assert not torch.equal(same[0], same[1])


def test_the_average_map_is_the_identity():
    # A biased shift would move the centre of mass of a centred blob.
    x = torch.zeros(4000, 1, 9, 9)
    x[:, :, 3:6, 3:6] = 1
    y = random_affine(x, 0.1, generator=seeded()).mean(0)[0]
    weight = y / y.sum()
    middle = torch.arange(9.0) - 4
    assert abs((weight.sum(0) * middle).sum().item()) < 0.05
    assert abs((weight.sum(1) * middle).sum().item()) < 0.05


def test_moves_agree_with_slices():
    x = torch.rand(2, 3, 5, 4)
    y = moved(x, torch.tensor([[2, -1], [0, 3]]))
    torch.testing.assert_close(y[0, :, 2:, :3], x[0, :, :3, 1:])
    torch.testing.assert_close(y[1, :, :, 3:], x[1, :, :, :1])
    assert (y[0, :, :2] == 0).all() and (y[0, :, :, 3] == 0).all() and (y[1, :, :, :3] == 0).all()


def test_half_of_a_batch_is_shifted_by_every_distance_and_told_so():
    torch.manual_seed(0)
    x = torch.rand(2000, 1, 6, 6)
    y, by = shifted(x, 2)
    assert (by[:1000] == 0).all() and torch.equal(y[:1000], x[:1000])
    torch.testing.assert_close(y, moved(x, by))
    assert set(by[1000:].unique().tolist()) == {-2, -1, 0, 1, 2}
    code = shift_code(x, 2, by)
    assert code.shape == (2000, 10) and code.dtype == x.dtype
    places = code.unflatten(1, (2, 5)) @ torch.arange(-2.0, 3.0)
    torch.testing.assert_close(places, by.float())
    assert torch.equal(shift_code(x, 2)[0], code[0])  # not moved


def test_without_shifts_there_is_nothing_to_tell():
    x = torch.rand(3, 1, 4, 4)
    assert shifted(x, 0) == (x, None) and shift_code(x, 0) is None
