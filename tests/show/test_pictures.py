"""Grids show every image where it belongs, and PNGs hold what was drawn."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.core.errors import UserError
from zoo.show.pictures import SMALLEST_SIDE, grid, lettered, save_png, scatter, tiles


def test_images_lie_row_by_row_with_gaps_of_grey():
    images = torch.arange(6.0).div(5)[:, None, None, None].expand(6, 1, 64, 64)
    sheet = grid(images, columns=3, gap=2)
    assert sheet.shape == (3, 2 + 2 * 66, 2 + 3 * 66)
    for index in range(6):
        row, column = divmod(index, 3)
        top, left = 2 + 66 * row, 2 + 66 * column
        torch.testing.assert_close(
            sheet[:, top : top + 64, left : left + 64], torch.full((3, 64, 64), index / 5)
        )
    assert (sheet[:, :2] == 0.5).all() and (sheet[:, :, -2:] == 0.5).all()


def test_rows_of_steps_stay_rows():
    images = torch.zeros(2, 5, 1, 64, 64)
    images[1] = 1.0
    sheet = grid(images, gap=0)
    assert sheet.shape == (3, 128, 320)
    assert (sheet[:, :64] == 0).all() and (sheet[:, 64:] == 1).all()


def test_places_without_an_image_are_white():
    sheet = grid(torch.zeros(3, 1, 64, 64), gap=0)
    assert sheet.shape == (3, 128, 128)
    assert (sheet[:, 64:, 64:] == 1).all() and (sheet[:, 64:, :64] == 0).all()
    assert torch.equal(
        grid(torch.zeros(3, 1, 64, 64), gap=0, dtype=torch.uint8), 255 * sheet.byte()
    )


@pytest.mark.parametrize(("side", "zoom"), [(8, 7), (28, 2), (32, 2), (64, 1), (128, 1)])
def test_small_images_are_enlarged_by_whole_factors(side, zoom):
    image = torch.rand(1, 1, side, side)
    sheet = grid(image, gap=0)
    assert sheet.shape[-1] == side * zoom >= SMALLEST_SIDE
    torch.testing.assert_close(sheet[:1, ::zoom, ::zoom], image[0], rtol=0, atol=0)


def test_colours_stay_and_values_are_cut_to_the_range():
    image = torch.tensor([-1.0, 0.25, 2.0])[None, :, None, None].expand(1, 3, 64, 64)
    sheet = grid(image, gap=0)
    assert sheet[:, 0, 0].tolist() == [0.0, 0.25, 1.0]


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (0, 5, 1, 8, 8), (5, 0, 1, 8, 8)])
def test_no_images_are_refused(shape):
    with pytest.raises(UserError, match="no images"):
        grid(torch.zeros(shape))


def test_a_png_holds_the_rounded_pixels(tmp_path):
    image = torch.rand(3, 5, 7)
    save_png(image, tmp_path / "a" / "x.png")
    with Image.open(tmp_path / "a" / "x.png") as read:
        assert read.format == "PNG" and read.size == (7, 5) and read.mode == "RGB"
        assert read.getpixel((6, 4)) == tuple((image[:, 4, 6] * 255).round().int().tolist())
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.png"]


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (2, 3, 3, 64, 64), (7, 2, 1, 1)])
def test_a_sheet_of_bytes_makes_the_same_file(shape, tmp_path):
    images = torch.rand(shape)
    for name, dtype in {"float": torch.float32, "bytes": torch.uint8}.items():
        sheet = grid(images, dtype=dtype)
        assert sheet.dtype == dtype
        save_png(sheet, tmp_path / name)
    assert (tmp_path / "float").read_bytes() == (tmp_path / "bytes").read_bytes()


def test_a_tall_png_is_whole(tmp_path):
    """It is made of strips, the last of which is lower."""
    image = torch.rand(3, 700, 5)
    save_png(image, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as read:
        found = torch.from_numpy(np.array(read)).permute(2, 0, 1)
    assert torch.equal(found, (image * 255).round().to(torch.uint8))


def test_thousands_of_samples_are_held_as_bytes(tmp_path):
    """Ten thousand digits make 31 million pixels: 376 MB as floats beside what the file takes."""
    code = f"""
import resource, torch
from pathlib import Path
from zoo.show import drawing, pictures
from zoo.contract.spec import ImageSpec

class Model:
    spec = ImageSpec(1, 28, 28)
    def sample(self, n, *, seed):
        return torch.zeros(n, 1, 28, 28)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

pictures.save_png(drawing.samples(Model(), seed=0, n=4).sheet, Path("{tmp_path}/x.png"))
before = peak()
pictures.save_png(drawing.samples(Model(), seed=0, n=10_000).sheet, Path("{tmp_path}/x.png"))
print((peak() - before) / (10_000 * 56 * 56))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 10  # bytes of a pixel: 3 of the sheet, 4 of the file, 1 of samples


def test_points_are_drawn_where_they_lie():
    """x goes to the right, y upwards; what lies outside the square is left out."""
    corner = scatter(torch.tensor([[0.75, 0.75]]), side=64)
    assert corner.shape == (3, 64, 64)
    dark = (corner < 1).all(dim=0).nonzero()
    assert (
        dark[:, 0].tolist() == [15] * 3 + [16] * 3 + [17] * 3
    )  # rows from the top: above the middle
    assert dark[:, 1].tolist() == [47, 48, 49] * 3
    outside = torch.tensor([[-0.1, 0.5], [0.5, 1.1], [float("nan"), 0.5]])
    assert (scatter(outside, side=64) == 1).all()


def test_more_points_are_darker_but_never_leave_the_range():
    one, many = (scatter(torch.full((n, 2), 0.5), side=9) for n in (1, 10_000))
    assert (many[:, 4, 4] < one[:, 4, 4]).all() and 0 <= many.min() and many.max() == 1


def test_images_of_one_pixel_with_two_channels_are_points():
    points = torch.rand(50, 2)
    assert torch.equal(grid(points[:, :, None, None]), scatter(points))
    assert torch.equal(grid(points.view(5, 10, 2, 1, 1)), scatter(points))


@pytest.mark.parametrize(("count", "channels", "height", "width"),
                         [(64, 1, 28, 28), (5, 3, 8, 8), (3, 1, 64, 48)])  # fmt: skip
def test_a_sheet_is_cut_into_the_images_that_it_was_made_of(count, channels, height, width):
    images = torch.rand(count, channels, height, width)
    cut = tiles(grid(images), height, width)
    zoom = cut.shape[-1] // width
    torch.testing.assert_close(cut[:count, :channels, ::zoom, ::zoom], images)
    assert (cut[count:] == 1).all()


def test_another_picture_is_no_sheet():
    with pytest.raises(UserError, match="is not a sheet of images of 28x28"):
        tiles(torch.zeros(3, 118, 119), 28, 28)
    with pytest.raises(UserError, match="is not a sheet"):
        tiles(torch.zeros(3, 1, 1), 28, 28)


def test_each_row_stands_below_its_text():
    rows = torch.rand(3, 4, 1, 56, 56)
    sheet = lettered(rows, ["", "a seven", "a one" * 100])
    height = 60 + 16  # of a row with its line
    assert sheet.shape == (3, 3 * height, 4 * 58 + 2)
    for number, row in enumerate(rows):
        part = sheet[:, number * height : (number + 1) * height]
        torch.testing.assert_close(part[:, 16:], grid(row, columns=4))
        assert (part[:, :16] < 0.5).any() == (number > 0)  # ink, where there is a text
    assert not torch.equal(sheet[:, height : height + 16], sheet[:, 2 * height : 2 * height + 16])


def test_rows_and_texts_must_be_as_many():
    with pytest.raises(ValueError, match="shorter"):
        lettered(torch.rand(2, 4, 1, 56, 56), ["a"])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_a_large_picture_needs_little_more_memory_than_itself(tmp_path):
    """Copies of it would take the memory of a small machine: 10,000 images are 400 MB."""
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from zoo.show.pictures import grid, save_png\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "save_png(grid(torch.rand(4, 1, 8, 8)), Path(sys.argv[1]))\n"
        "before = peak()\n"
        "sheet = grid(torch.rand(2500, 1, 8, 8))\n"
        "save_png(sheet, Path(sys.argv[1]))\n"
        "print((peak() - before) / (4 * sheet.numel()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.png")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 2
