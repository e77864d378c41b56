"""Image files of every kind to bytes, against values worked out by hand."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data import decode as module
from zoo.data.decode import Unreadable, decode, quiet_pillow, read_header


def value(path, channels=3, size=1, crop="centre"):
    """The colour of the middle pixel."""
    with quiet_pillow():
        pixels, _ = decode(path, size, channels, crop)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (channels, size, size)
    assert pixels.is_contiguous()
    return pixels[:, size // 2, size // 2].tolist()


def filled(mode, colour, size=(6, 6)):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("1", 1, "png", [255, 255, 255]),
        ("L", 77, "png", [77, 77, 77]),
        ("L", 77, "bmp", [77, 77, 77]),
        ("LA", (100, 255), "png", [100, 100, 100]),
        ("LA", (100, 0), "png", [255, 255, 255]),
        ("RGB", (10, 20, 30), "png", [10, 20, 30]),
        ("RGB", (10, 20, 30), "ppm", [10, 20, 30]),
        ("RGB", (10, 20, 30), "tiff", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "png", [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), "png", [204, 204, 204]),  # a fifth of black over white
        ("RGBA", (10, 20, 30, 255), "webp", [10, 20, 30]),
        ("CMYK", (0, 255, 255, 0), "tiff", [255, 0, 0]),
        ("I;16", 65535, "png", [255, 255, 255]),
        ("I;16", 32896, "png", [128, 128, 128]),
        ("I;16", 257, "tiff", [1, 1, 1]),
        ("I", 32896, "tiff", [128, 128, 128]),
        ("F", 0.5, "tiff", [128, 128, 128]),
    ],
)
def test_modes(tmp_path, mode, colour, suffix, expected):
    path = tmp_path / f"image.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    filled(mode, colour).save(path, **options)
    found = value(path)
    assert found == pytest.approx(expected, abs=1)
    grey = value(path, channels=1)
    red, green, blue = expected
    assert grey == pytest.approx([0.299 * red + 0.587 * green + 0.114 * blue], abs=1)


def test_cmyk_jpeg(tmp_path):
    filled("CMYK", (0, 0, 0, 0), (16, 16)).save(tmp_path / "white.jpg")
    assert value(tmp_path / "white.jpg") == pytest.approx([255] * 3, abs=2)


def test_palettes_and_their_transparency(tmp_path):
    image = filled("P", 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=1)
    image.save(tmp_path / "bytes.png", transparency=b"\xff\x00")
    image.save(tmp_path / "plain.gif")
    assert value(tmp_path / "plain.png") == [200, 100, 50]
    assert value(tmp_path / "plain.gif") == [200, 100, 50]
    assert value(tmp_path / "clear.png") == [255, 255, 255]
    assert value(tmp_path / "bytes.png") == [255, 255, 255]
    assert not read_header(tmp_path / "plain.png").grey
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.save(tmp_path / "grey.png")
    assert read_header(tmp_path / "grey.png").grey


def test_a_transparent_colour_of_an_rgb_file(tmp_path):
    filled("RGB", (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert value(tmp_path / "key.png") == [255, 255, 255]


def test_the_first_picture_of_several_counts(tmp_path):
    frames = [filled("RGB", "red"), filled("RGB", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "pages.tiff", save_all=True, append_images=frames[1:])
    assert value(tmp_path / "moving.gif") == [255, 0, 0]
    assert value(tmp_path / "pages.tiff") == [255, 0, 0]


# What lies in the upper left corner of the stored image is shown where this tag says.
SHOWN = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}


@pytest.mark.parametrize("orientation", SHOWN)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
def test_exif_orientation_is_obeyed(tmp_path, orientation, suffix):
    stored = np.zeros((32, 32), np.uint8)
    stored[:16, :16] = 255
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"turned.{suffix}", exif=exif)
    pixels, _ = decode(tmp_path / f"turned.{suffix}", 2, 1, "none")
    row, column = SHOWN[orientation]
    expected = torch.zeros(1, 2, 2)
    expected[0, row, column] = 255
    assert (pixels - expected).abs().max() <= 70  # bilinear weights reach over the border


def test_crops(tmp_path):
    path = tmp_path / "wide.png"
    stripes = np.repeat(np.array([10, 20, 30, 40, 50, 60], np.uint8)[None], 2, axis=0)
    Image.fromarray(stripes).save(path)  # 6 wide, 2 high
    assert decode(path, 2, 1, "centre")[0].tolist() == [[[30, 40], [30, 40]]]
    assert decode(path, 2, 1, 2)[0].tolist() == [[[30, 40], [30, 40]]]
    squeezed = decode(path, 2, 1, "none")[0]
    assert squeezed[0, 0].tolist() == squeezed[0, 1].tolist()
    assert squeezed[0, 0, 0] < 30 < 40 < squeezed[0, 0, 1]
    Image.fromarray(stripes.T.copy()).save(path)
    assert decode(path, 2, 1, "centre")[0].tolist() == [[[30, 30], [40, 40]]]
    with pytest.raises(Unreadable, match="2x6 pixels are fewer than the 3x3"):
        decode(path, 2, 1, 3)


def test_an_image_of_the_right_size_is_copied(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "exact.png")
    pixels, header = decode(tmp_path / "exact.png", 5, 3, "centre")
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), values)
    assert header == ("RGB", 5, 5, False)


def test_large_jpegs_decoded_at_a_fraction_look_the_same(tmp_path):
    rows, columns = np.mgrid[0:600, 0:900]
    picture = np.stack([rows % 256, columns % 256, (rows + columns) // 6], axis=-1)
    smooth = Image.fromarray(picture.astype(np.uint8)).resize((900, 600))
    smooth.save(tmp_path / "large.jpg", quality=95)
    smooth.save(tmp_path / "large.png")
    fast, header = decode(tmp_path / "large.jpg", 32, 3, "centre")
    exact, _ = decode(tmp_path / "large.png", 32, 3, "centre")
    assert header[:3] == ("RGB", 900, 600)  # the size as stored
    assert (fast.int() - exact.int()).abs().float().mean() < 3


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"0"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an image of a known kind"),
        (b"hello", "not an image of a known kind"),
        (png_header(20_000, 20_000), "more than 178 megapixels"),
    ],
)
def test_files_without_a_header_or_with_an_evil_one(tmp_path, data, why):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    for act in (read_header, lambda path: decode(path, 8, 3, "centre")):
        with quiet_pillow(), pytest.raises(Unreadable, match=why):
            act(path)


def test_large_photographs_are_no_bombs(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png_header(10_000, 10_000))  # Pillow would warn of it
    with quiet_pillow():
        assert read_header(path) == ("L", 10_000, 10_000, True)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
def test_truncated_files(tmp_path, suffix):
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(values).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with quiet_pillow(), pytest.raises(Unreadable) as caught:
        decode(path, 8, 3, "centre")
    assert str(caught.value)
    assert str(path) not in str(caught.value)  # the caller names the file


def test_values_beyond_their_range_are_refused(tmp_path):
    path = tmp_path / "float.tiff"
    filled("F", 12.0).save(path)
    with pytest.raises(Unreadable, match=r"'F' values from 12\.0 to 12\.0 are not within 0 to 1"):
        decode(path, 2, 1, "centre")
    filled("I", 70_000).save(path)
    with pytest.raises(
        Unreadable, match="'I' values from 70000 to 70000 are not within 0 to 65535"
    ):
        decode(path, 2, 1, "centre")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(Unreadable, match="no such file"):
        read_header(tmp_path / "none.png")
    with pytest.raises(Unreadable, match="directory"):
        read_header(tmp_path)


def test_a_defect_of_a_reader_is_an_unreadable_file(tmp_path, monkeypatch):
    filled("L", 1).save(tmp_path / "a.png")

    def defect(path):
        raise IndexError("deep inside")

    monkeypatch.setattr(module.Image, "open", defect)
    with pytest.raises(Unreadable, match="damaged: deep inside"):
        read_header(tmp_path / "a.png")


def with_chunk(path, kind, data):
    """Writes an upright picture with one more chunk between its header and its pixels."""
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    image.save(path)
    whole, chunk = path.read_bytes(), kind + data
    length, check = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(whole[:33] + length + chunk + check + whole[33:])
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"eXIf", b"garbage"),
        (b"eXIf", b""),
        (b"eXIf", b"II*\0\x08\0\0\0\xff\xff"),
        (b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\2\0\4\0\0\0abc\0\0\0\0\0"),  # turned by text
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  10\nzzzz")),
    ],
)
def test_malformed_exif_data_say_nothing(tmp_path, kind, data):
    pixels = with_chunk(tmp_path / "odd.png", kind, data)
    with quiet_pillow():
        assert decode(tmp_path / "odd.png", 8, 3, "none")[0].equal(pixels)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for look in (read_header, lambda path: decode(path, 2, 1, "none")):
        with pytest.raises(Unreadable, match="not a regular file"):
            look(tmp_path / "pipe.png")
