"""Grids of images, and clouds of points, written as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from torch import Tensor

from zoo.core.errors import UserError
from zoo.core.files import read_regular, replacing

__all__ = [
    "SMALLEST_SIDE",
    "as_image",
    "check_room",
    "explained",
    "grid",
    "lettered",
    "open_picture",
    "save_png",
    "scatter",
    "tiles",
]

SMALLEST_SIDE = 56  # smaller images are enlarged by whole factors, so that a person can see them
LINE = 16  # pixels of a line of text
LARGEST = 2**25  # pixels of a picture that is opened
ROOM = 2**26  # pixels of a picture that is drawn, of 3 bytes each, and 4 while it is written
STRIP = 256  # rows of pixels that are rounded at once
PLANE_SIDE = 512  # pixels of a picture of the unit square
INK = torch.tensor([0.10, 0.25, 0.55])  # colour of points
DOT = torch.tensor([[0.3, 0.7, 0.3], [0.7, 1.0, 0.7], [0.3, 0.7, 0.3]])  # darkness of one point


def grid(
    images: Tensor,
    columns: int | None = None,
    gap: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Lays images out in rows on a grey ground; points of the plane become one `scatter`.

    Places without an image are white.

    Args:
        images: Images in [0, 1], shape (N, C, H, W), or (R, S, C, H, W) for R rows of S.
        columns: Images per row; default a square for N images, S for rows of S.
        gap: Pixels between images.
        dtype: uint8 for a quarter of the memory; `save_png` writes the same file of it.

    Returns:
        One colour image, shape (3, H', W'): in [0, 1], or as uint8 rounded to 0..255.

    Raises:
        UserError: if there are no images.

    Example:
        >>> grid(torch.zeros(4, 1, 28, 28)).shape
        torch.Size([3, 118, 118])
    """
    if images.ndim == 5:
        columns = columns or images.shape[1]
        images = images.flatten(0, 1)
    if len(images) == 0:
        raise UserError("there are no images to show: ask for at least one.")
    if images.shape[1:] == (2, 1, 1):
        cloud = scatter(images.flatten(1))
        return _rounded(cloud) if dtype == torch.uint8 else cloud
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    channels, height, width = images.shape[1:]
    zoom = _zoom(width)
    high, wide = zoom * height, zoom * width
    rows = -(-len(images) // columns)
    size = gap + rows * (high + gap), gap + columns * (wide + gap)
    bytes_wanted = dtype == torch.uint8
    grey = int(_rounded(torch.tensor(0.5))) if bytes_wanted else 0.5
    sheet = torch.full((3 if channels == 1 else channels, *size), grey, dtype=dtype)
    # Row by row, so that nothing of the sheet's size is needed besides the sheet.
    for number, row in enumerate(images.split(columns)):
        row = row.detach().float().cpu().clamp(0, 1)
        row = _rounded(row) if bytes_wanted else row
        row = row.repeat_interleave(zoom, dim=-2).repeat_interleave(zoom, dim=-1)
        top = gap + number * (high + gap)
        places = sheet[:, top : top + high, gap:].unflatten(2, (columns, wide + gap))
        places[:, :, : len(row), :wide] = rearrange(row, "s c h w -> c h s w")
        places[:, :, len(row) :, :wide] = 255 if bytes_wanted else 1.0  # no image looks like grey
    return sheet


def check_room(count: int, height: int, width: int) -> None:
    """Refuses more images than a picture has room for, before they are drawn.

    Args:
        count: How many.
        height: Of each.
        width: Of each.

    Raises:
        UserError: with the number that would fit.

    Example:
        >>> check_room(10_000, 28, 28)
    """
    zoom = _zoom(width)
    most = ROOM // (zoom**2 * height * width)
    if count > most:
        raise UserError(
            f"{count:,} images of {height}x{width} are too many for one picture, which holds at "
            f"most {most:,} of them: lower --n."
        )


def lettered(rows: Tensor, texts: Sequence[str]) -> Tensor:
    """Lays rows of images out as `grid` does, each below a line of text.

    Args:
        rows: Images in [0, 1], shape (R, S, C, H, W).
        texts: A text for each row; what is wider than the row is cut.

    Returns:
        One colour image in [0, 1], shape (3, H', W').

    Example:
        >>> lettered(torch.zeros(2, 4, 1, 28, 28), ["a seven", "a one"]).shape
        torch.Size([3, 152, 234])
    """
    parts = []
    for row, words in zip(rows, texts, strict=True):
        sheet = grid(row, columns=len(row))
        line = Image.new("RGB", (sheet.shape[2], LINE), "white")
        place, font = (4, LINE // 2), ImageFont.load_default(LINE - 4)
        ImageDraw.Draw(line).text(place, words, "black", font, anchor="lm")
        pixels = torch.from_numpy(np.array(line))
        parts += [rearrange(pixels, "h w c -> c h w").float() / 255, sheet]
    return torch.cat(parts, dim=1)


def explained(
    sheet: Tensor, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = ""
) -> Tensor:
    """Sets words around a sheet of rows, black on white: before each row, and above each column.

    Args:
        sheet: One colour image, shape (3, H, W), in [0, 1] or uint8.
        rows: What each row is; nothing for none.
        columns: What each column is.
        title: What all of it is.

    Returns:
        A larger one, shape (3, H', W'); the sheet stands right of and below the words.

    Example:
        >>> explained(torch.zeros(3, 58, 116), columns=["image", "kept"], title="a seven").shape
        torch.Size([3, 90, 116])
    """
    font = ImageFont.load_default(LINE - 4)
    _, high, wide = sheet.shape
    left = 8 + max(int(font.getlength(text)) for text in rows) if rows else 0
    lines = int(bool(title)) + int(bool(columns))
    if not (left or lines):
        return sheet
    width = max(left + wide, left + 8 + int(font.getlength(title)))
    picture = Image.new("RGB", (width, lines * LINE + high), "white")
    draw = ImageDraw.Draw(picture)
    if title:
        draw.text((left + 4, LINE // 2), title, "black", font, anchor="lm")
    for number, text in enumerate(columns):
        place = left + (number + 0.5) * wide / len(columns), (lines - 0.5) * LINE
        draw.text(place, text, "black", font, anchor="mm")
    for number, text in enumerate(rows):
        place = left - 4, lines * LINE + (number + 0.5) * high / len(rows)
        draw.text(place, text, "black", font, anchor="rm")
    around = rearrange(torch.from_numpy(np.array(picture)), "h w c -> c h w")
    around = around if sheet.dtype == torch.uint8 else around.to(sheet.dtype) / 255
    around[:, lines * LINE :, left : left + wide] = sheet
    return around


def _zoom(width: int) -> int:
    return max(1, round(SMALLEST_SIDE / width))


def tiles(sheet: Tensor, height: int, width: int, gap: int = 2) -> Tensor:
    """Cuts a sheet of `grid` into its images again, enlarged as they are there.

    Args:
        sheet: One colour image, shape (3, H', W').
        height: Height of the images that it was made of.
        width: Their width.
        gap: Pixels between them.

    Returns:
        Shape (N, 3, H, W) in the order of the sheet, with empty places at its end, if it has any.

    Raises:
        UserError: if such images cannot make such a sheet.

    Example:
        >>> tiles(grid(torch.zeros(4, 1, 28, 28)), 28, 28).shape
        torch.Size([4, 3, 56, 56])
    """
    tall, wide = height * _zoom(width) + gap, width * _zoom(width) + gap
    inside = sheet[:, gap:, gap:]
    if 0 in inside.shape or inside.shape[1] % tall or inside.shape[2] % wide:
        raise UserError(
            f"a picture of {sheet.shape[2]}x{sheet.shape[1]} pixels is not a sheet of images of "
            f"{width}x{height}."
        )
    cut = rearrange(inside, "c (r h) (s w) -> (r s) c h w", h=tall, w=wide)
    return cut[:, :, : tall - gap, : wide - gap]


def scatter(points: Tensor, side: int = PLANE_SIDE) -> Tensor:
    """Draws points of the unit square as dots that darken where they overlap.

    Args:
        points: Shape (N, 2): x to the right and y upwards, both in [0, 1]. Points outside, or not
            finite, are not drawn.
        side: Pixels of the picture's sides.

    Returns:
        One colour image in [0, 1], shape (3, side, side), on white.

    Example:
        >>> scatter(torch.tensor([[0.0, 1.0]]), side=8)[0, :2, :2].lt(1).tolist()
        [[True, True], [True, True]]
    """
    points = points.detach().float().cpu()
    points = points[((points >= 0) & (points <= 1)).all(dim=1)]
    column, row = (points * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])).mul(side).long(
    ).clamp(max=side - 1).unbind(dim=1)  # fmt: skip
    counts = torch.bincount(row * side + column, minlength=side * side).view(1, 1, side, side)
    darkness = torch.nn.functional.conv2d(counts.float(), DOT[None, None], padding=1)[0]
    # A lone point shows, and of a thousand in one place some shape is left.
    share = 1 - torch.exp(-darkness)
    return 1 - share * (1 - INK[:, None, None])


def open_picture(path: Path) -> Image.Image:
    """Opens a picture of somebody else's; its pixels are read when they are asked for.

    Raises:
        UserError: if the file is not a picture, or one that would take gigabytes to show.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(read_regular(path, 4 * LARGEST)))
    except (UnidentifiedImageError, OSError):
        raise UserError(f"{path} is not a readable picture.") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path} has too many pixels to be shown: {LARGEST:,} at most.") from None
    if picture.width * picture.height > LARGEST:
        size = f"{picture.width:,}x{picture.height:,}"
        picture.close()
        raise UserError(f"{path} has {size} pixels, too many to be shown: {LARGEST:,} at most.")
    return picture


def save_png(image: Tensor, path: Path) -> None:
    """Writes one image, shape (3, H, W), in [0, 1] or uint8, as PNG, whole or not at all."""
    with replacing(path) as temporary:
        as_image(image).save(temporary, format="PNG")


def as_image(image: Tensor) -> Image.Image:
    """Returns one image, shape (3, H, W), in [0, 1] or uint8, as PIL has it."""
    _, height, width = image.shape
    picture = Image.new("RGB", (width, height))
    # Strip by strip, so that nothing of the picture's size is needed besides the picture.
    for number, strip in enumerate(image.split(STRIP, dim=1)):
        pixels = strip if strip.dtype == torch.uint8 else _rounded(strip)
        part = Image.fromarray(rearrange(pixels, "c h w -> h w c").contiguous().numpy())
        picture.paste(part, (0, number * STRIP))
    return picture


def _rounded(pixels: Tensor) -> Tensor:
    """Rounds pixels in [0, 1] to bytes."""
    return (pixels * 255).round().to(torch.uint8)
