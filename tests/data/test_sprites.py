"""Sprites: what each factor does to the image, and that all is rendered whole and for ever."""

import math

import numpy as np
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import DATASETS, DSprites, Sprites
from zoo.data.sprites import MARGIN, RADIUS, SIZES, draw_sprites


def factors(**chosen):
    names = ("shape", "scale", "orientation", "x", "y")
    values = [torch.as_tensor(chosen.get(name, 0)).reshape(-1) for name in names]
    count = max(len(value) for value in values)
    return torch.stack([value.expand(count) for value in values], dim=1)


def moments(images):
    """Area, centre and covariance of each image's light, in sides of the image."""
    side = images.shape[-1]
    at = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    light = images[:, 0].double()
    area = light.sum(dim=(1, 2)) / side**2
    total = light.sum(dim=(1, 2))
    x = (light.sum(1) * at).sum(1) / total
    y = (light.sum(2) * at).sum(1) / total
    dx, dy = at[None] - x[:, None], at[None] - y[:, None]
    xx = (light.sum(1) * dx**2).sum(1) / total
    yy = (light.sum(2) * dy**2).sum(1) / total
    xy = (light * dy[:, :, None] * dx[:, None, :]).sum(dim=(1, 2)) / total
    return area, x, y, xx, yy, xy


@pytest.mark.parametrize("side", [32, 64])
def test_areas_are_those_of_geometry(side):
    area = moments(draw_sprites(factors(shape=torch.arange(3), scale=5, x=16, y=16), side))[0]
    assert area[0].item() == pytest.approx(2 * RADIUS**2, rel=0.01)
    assert area[1].item() == pytest.approx(math.pi * 0.6 * RADIUS**2, rel=0.01)
    heart = (0.9**2 + math.pi * 0.45**2) * RADIUS**2  # a square and two half discs
    assert area[2].item() == pytest.approx(heart, rel=0.02)


def test_scale_scales():
    area = moments(draw_sprites(factors(scale=torch.arange(6), x=16, y=16), 64))[0]
    known = 2 * (RADIUS * torch.linspace(0.5, 1, 6, dtype=torch.float64)) ** 2
    torch.testing.assert_close(area, known, rtol=0.02, atol=0)


def test_x_moves_across_and_y_moves_down():
    place = MARGIN + (1 - 2 * MARGIN) * torch.arange(32, dtype=torch.float64) / 31
    _, x, y, *_ = moments(draw_sprites(factors(x=torch.arange(32), y=3, scale=3), 32))
    torch.testing.assert_close(x, place, rtol=0, atol=1e-3)
    torch.testing.assert_close(y, place[3].expand(32), rtol=0, atol=1e-3)
    _, x, y, *_ = moments(draw_sprites(factors(y=torch.arange(32), x=3, scale=3), 32))
    torch.testing.assert_close(y, place, rtol=0, atol=1e-3)


def test_orientation_turns_by_equal_steps_once_around():
    turns = torch.arange(40)
    images = draw_sprites(factors(shape=1, scale=5, orientation=turns, x=16, y=16), 64)
    _, _, _, xx, yy, xy = moments(images)
    axis = 0.5 * torch.atan2(2 * xy, xx - yy)  # of the longer half axis, modulo half a turn
    known = 2 * math.pi * turns.double() / 40
    off = torch.remainder(axis - known + math.pi / 2, math.pi) - math.pi / 2
    assert off.abs().max() < 0.02
    hearts = draw_sprites(factors(shape=2, scale=5, orientation=turns, x=16, y=16), 64)
    gaps = torch.cdist(hearts.flatten(1), hearts.flatten(1)) + 100 * torch.eye(40)
    assert gaps.min() > 1  # a heart is like itself after a whole turn only
    assert torch.equal(gaps.argmin(dim=1) % 40, gaps.argmin(dim=1))


def test_every_shape_is_seen_whole():
    corners = torch.cartesian_prod(
        torch.arange(3), torch.tensor([5]), torch.arange(40), torch.tensor([0, 31]),
        torch.tensor([0, 31]),
    )  # fmt: skip
    images = draw_sprites(corners, 32)
    border = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]])
    assert border.max() == 0


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch():
    generator = torch.Generator().manual_seed(0)
    some = torch.stack([torch.randint(n, (50,), generator=generator) for n in SIZES], dim=1)
    torch.testing.assert_close(draw_sprites(some, 32)[7:8], draw_sprites(some[7:8], 32))


def test_parts_are_disjoint_labelled_by_shape_and_rendered_as_asked(monkeypatch):
    monkeypatch.setattr("zoo.data.sprites.COUNTS", {"train": 400, "test": 100})
    data = Sprites(val_size=50)
    train, val, test = (data.images(part) for part in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (350, 50, 100)
    assert train.fetch(torch.arange(2)).shape == (2, 1, 32, 32)
    everything = torch.cat([part.fetch(torch.arange(len(part))) for part in (train, val, test)])
    assert len(everything.flatten(1).unique(dim=0)) > 495  # squares look alike each quarter turn
    square = train.fetch(torch.arange(350))[train.labels == 0].float() / 255
    xx, yy = moments(square)[3:5]
    torch.testing.assert_close(xx, yy, rtol=0.1, atol=1e-4)
    assert data.fingerprint("test") == Sprites(val_size=10).fingerprint("test")
    assert Sprites(side=64).spec.shape == (1, 64, 64)
    with pytest.raises(UserError, match="side"):
        Sprites(side=48)


def test_published_sprites_are_read_and_looked_up(tmp_path, monkeypatch):
    sizes = (3, 2, 2, 2, 2)
    monkeypatch.setattr("zoo.data.sprites.SIZES", sizes)
    monkeypatch.setattr("zoo.data.sprites.COUNTS", {"train": 0, "test": 8})
    images = np.random.default_rng(0).integers(0, 2, (48, 64, 64)).astype(np.uint8)
    (tmp_path / "dsprites").mkdir()
    np.savez_compressed(tmp_path / "dsprites" / DSprites.file, imgs=images)
    data = DSprites(str(tmp_path), val_size=10)
    assert len(data.images("train")) == 30 and len(data.images("test")) == 8
    every = torch.cartesian_prod(*map(torch.arange, sizes))
    assert torch.equal(data.render(every)[:, 0], torch.from_numpy(images).float())
    train = data.images("train")
    for index in range(30):
        pixels = train.fetch(torch.tensor([index]))[0, 0]
        found = [k for k in range(48) if np.array_equal(pixels.numpy(), 255 * images[k])]
        assert len(found) == 1 and found[0] // 16 == train.labels[index]
    with pytest.raises(UserError, match="there is no dsprites"):
        DSprites(str(tmp_path / "dsprites" / "no")).images("train")


def test_missing_file_is_named_with_the_way_out(tmp_path):
    with pytest.raises(UserError, match="Sprites, which needs no"):
        DATASETS["DSprites"](root=str(tmp_path)).prepare_data()
