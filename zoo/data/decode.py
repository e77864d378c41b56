"""Image files of any kind to bytes of one shape."""

from __future__ import annotations

import contextlib
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

__all__ = ["SUFFIXES", "Crop", "Header", "Unreadable", "decode", "quiet_pillow", "read_header"]

Crop = Literal["centre", "none"]

SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp"
    .split()
)  # fmt: skip

# 179 megapixels: where Pillow itself takes a file for an attack rather than a picture.
MAX_PIXELS = 2 * (1024**3 // 4 // 3)
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {  # by its value: what brings the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(Exception):
    """A file that gives no image; the message says why, without naming the file."""


class Header(NamedTuple):
    """What a file says about itself.

    Args:
        mode: Pillow's name of the pixel format.
        width: Columns, as stored.
        height: Rows, as stored.
        grey: Whether the format, or the palette, has no colours.
    """

    mode: str
    width: int
    height: int
    grey: bool


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silences Pillow's remarks on odd but readable files.

    To be entered around a whole pass: the filter is the process', not a thread's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Opens a file; whatever Pillow or the disk raises becomes `Unreadable`."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):  # opening a pipe would wait for a writer
            raise Unreadable("not a regular file")
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not an image of a known kind") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except OSError as error:
        raise Unreadable((error.strerror or str(error)).lower()) from error
    except Exception as error:  # damaged files make Pillow's many readers fail in many ways
        raise Unreadable(f"damaged: {error}" if str(error) else "damaged") from error


def _header(image: Image.Image) -> Header:
    grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
        grey = bool((palette == palette[:, :1]).all())
    return Header(image.mode, image.width, image.height, grey)


def read_header(path: Path) -> Header:
    """Returns size and mode without decoding the image.

    Raises:
        Unreadable: if there is no such thing.
    """
    with _opened(path) as image:
        return _header(image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Maps grey images of more than 8 bits to 0..255."""
    values = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535.0  # Pillow gives some 16-bit files as 32-bit "I"
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):
        raise Unreadable(f"{image.mode!r} values from {low} to {high} are not within 0 to {top:g}")
    return Image.fromarray((values * (255 / top)).round().astype(np.uint8))


def _plain(image: Image.Image) -> Image.Image:
    """Brings any mode to one that converts to grey or colour: 8 bits, and no transparency."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image


def _upright(image: Image.Image) -> Image.Image:
    """Turns a picture as its EXIF data say; data that cannot be read say nothing."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # malformed in one of many ways, while the pixels are whole
        return image
    return image if turn is None else image.transpose(turn)


def _box(width: int, height: int, crop: Crop | int) -> tuple[float, float, float, float]:
    """Returns left, upper, right and lower of the part that is kept."""
    if crop == "none":
        return 0, 0, width, height
    side = min(width, height) if crop == "centre" else crop
    if side > min(width, height):
        raise Unreadable(f"{width}x{height} pixels are fewer than the {side}x{side} that are cut")
    left, upper = (width - side) / 2, (height - side) / 2
    if crop != "centre":  # as the papers' crops do, on whole pixels
        left, upper = left // 1, upper // 1
    return left, upper, left + side, upper + side


def decode(path: Path, size: int, channels: int, crop: Crop | int) -> tuple[Tensor, Header]:
    """Decodes one image file; transparency is laid over white, EXIF orientation obeyed.

    Args:
        path: A file of any size and mode; the first picture of several counts.
        size: Length of both sides after resizing (bilinear, antialiased).
        channels: 1 for grey, 3 for colour.
        crop: What is resized: ``"centre"``, the largest square in the middle; an integer, the
            square of that side in the middle; ``"none"``, everything, squeezed to a square.

    Returns:
        uint8 image, shape (C, size, size), and what the file said about itself.

    Raises:
        Unreadable: if the file gives no such image.
    """
    with _opened(path) as image:
        header = _header(image)
        if crop in ("centre", "none"):
            # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the target is left for
            # the antialiasing. Does nothing for other formats.
            image.draft(None, (2 * size, 2 * size))
        image.load()
        picture = _plain(_upright(image)).convert("L" if channels == 1 else "RGB")
        box = _box(*picture.size, crop)
        if box != (0, 0, size, size) or picture.size != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
        values = torch.from_numpy(np.array(picture))  # (H, W) or (H, W, 3)
    pixels = values[None] if channels == 1 else values.permute(2, 0, 1).contiguous()
    return pixels, header
