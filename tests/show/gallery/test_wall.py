"""The wall shows every model that makes images, from its own sheet, and says which they were."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.core.errors import UserError
from zoo.show.gallery import contents, exhibits, save_wall, written_contents
from zoo.show.gallery.wall import COLUMNS, GUTTER, HEAD, LABEL, PLATE, TILE, _places, plate
from zoo.show.pictures import grid, save_png


def found(shelf, name):
    return next(e for e in exhibits(shelf) if e.name == name)


def test_a_plate_holds_the_first_samples_in_order(shelf):
    pixels = np.asarray(plate(found(shelf, "codes")))
    assert pixels.shape == (PLATE, PLATE, 4)
    step = (PLATE - TILE) // 3
    shades = [
        pixels[TILE // 2 + r * step, TILE // 2 + c * step, 0] for r in range(4) for c in range(4)
    ]
    assert shades == [round(i / 63 * 255) for i in range(16)]
    assert pixels[0, 0, 3] == 0 and pixels[PLATE // 2, PLATE // 2, 3] == 255  # round corners


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (64, 3)])
def test_images_of_all_sizes_become_plates_of_one_size(shelf, side, channels):
    exhibit = found(shelf, "codes")
    exhibit.card["spec"] |= {"channels": channels, "height": side, "width": side}
    images = torch.zeros(64, channels, side, side)
    images[:, 0] = 1.0
    save_png(grid(images), exhibit.folder / "samples.png")
    picture = plate(exhibit)
    assert picture.size == (PLATE, PLATE)
    colour = picture.getpixel((PLATE // 8, PLATE // 8))
    assert colour[0] > 250 and (colour[1] > 250) == (channels == 1)


def test_points_are_drawn_where_there_is_no_sheet_and_light_on_dark(shelf):
    exhibit = found(shelf, "cloud")
    assert not (exhibit.folder / "samples.png").exists()
    pixels = np.asarray(plate(exhibit).convert("RGB"))
    assert pixels.mean() < 64 and pixels.max() > 200
    assert (pixels == np.asarray(plate(exhibit).convert("RGB"))).all()  # always the same


def test_a_damaged_sheet_is_a_sentence(shelf):
    path = shelf / "codes" / "samples.png"
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="not a readable picture"):
        plate(found(shelf, "codes"))
    save_png(torch.zeros(3, 50, 50), path)
    with pytest.raises(UserError, match="50x50 pixels is not a sheet of images of 28x28"):
        plate(found(shelf, "codes"))


@pytest.mark.parametrize("side", [6000, 10_000, 15_000])
def test_a_sheet_of_gigabytes_is_a_sentence(shelf, side):
    """None of its pixels are read; beyond 9,459 and 13,377 a side Pillow warns and refuses."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk
    empty = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    path = shelf / "codes" / "samples.png"
    path.write_bytes(png + struct.pack(">I", zlib.crc32(chunk)) + empty)
    with pytest.raises(UserError, match=r"samples\.png has .*too many.*33,554,432 at most"):
        plate(found(shelf, "codes"))


def test_the_wall_holds_a_plate_for_each_and_says_so(shelf, tmp_path):
    shown, path = exhibits(shelf), tmp_path / "wall.png"
    save_wall(shown, path)
    with Image.open(path) as wall:
        assert wall.width == 2 * PLATE + GUTTER and wall.height > PLATE
        left = wall.crop((PLATE + GUTTER, HEAD, 2 * PLATE + GUTTER, HEAD + PLATE))
        assert left.tobytes() == plate(shown[1]).tobytes()
        label = np.asarray(wall)[HEAD + PLATE :, :, 3]
        heading = np.asarray(wall)[:HEAD, :, 3]  # both are adversarial
        assert heading[:, :PLATE].any() and not heading[:, 2 * PLATE - 50 :].any()
        assert label[:, :PLATE].any() and label[:, PLATE + GUTTER :].any()
    assert written_contents(path) == contents(shown)
    assert [line.split()[0] for line in contents(shown).splitlines()] == ["cloud", "codes"]


def test_a_full_wall_is_about_1600_pixels_wide(shelf, tmp_path):
    shown, path = [found(shelf, "codes")] * 13, tmp_path / "wall.png"
    save_wall(shown, path)
    with Image.open(path) as wall:  # three rows of 5, 5 and 3: nearly the same length
        assert wall.width == 5 * PLATE + 4 * GUTTER
        assert wall.height == HEAD + 3 * (PLATE + LABEL)
    assert COLUMNS * PLATE + (COLUMNS - 1) * GUTTER == 1600


def test_kinds_stand_together_and_share_rows_that_have_room():
    kinds = ["a"] * 8 + ["b"] * 2 + ["c"] * 5 + ["d"]
    placed = _places(kinds)
    rows = [[kind for kind, (row, _, _) in zip(kinds, placed, strict=True) if row == r]
            for r in range(4)]  # fmt: skip
    assert rows == [list("aaaa"), list("aaaabb"), list("cccccd"), []]
    assert [heading for *_, heading in placed if heading] == list("abcd")
    assert [column for _, column, _ in placed][8:10] == [4, 5]


def test_nothing_to_show_is_a_sentence(shelf, tmp_path):
    with pytest.raises(UserError, match="no model on the shelf makes images"):
        save_wall([found(shelf, "eyes")], tmp_path / "wall.png")
    assert written_contents(tmp_path / "none.png") == ""
