"""The wall: a square plate of samples for every model that makes images, its name below it.

Families of one kind stand together below a heading, kinds beside one another where a row has room.

Plates are cut from the sheets of samples that were drawn when the models were published, so the
wall costs no sampling, and shows exactly what is on the shelf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import ceil
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from zoo.core.errors import UserError
from zoo.core.files import open_regular, replacing
from zoo.models.registry import MODELS
from zoo.shelf.weights import load
from zoo.show.gallery.exhibit import Exhibit
from zoo.show.pictures import PLANE_SIDE, grid, open_picture, tiles

__all__ = ["PLATE", "contents", "plate", "save_wall", "sheet", "written_contents"]

SIDE = 4  # images along each side of a plate
TILE = 56  # pixels of an image: whole multiples of 8 and 28, so most images stay sharp
SMALL, INNER = 16, 48  # images of fewer pixels are shown a little smaller: 48 is 6 times 8
GAP = 6  # pixels between images
MARGIN = 4  # pixels between images and the plate's edge
PLATE = SIDE * TILE + (SIDE - 1) * GAP + 2 * MARGIN
GROUND = (0, 0, 0, 255)  # that of digits, which so stand free
CORNER = 10  # radius
COLUMNS = 6  # at most; 1,600 pixels
HEAD = 44  # pixels for the heading of a kind
HEADING = 27  # of its letters, in pixels
KINDS = {  # by the folder of `zoo.models` that a family stands in
    "adversarial": "Generators against critics",
    "variational": "Latent codes",
    "autoregressive": "Pixel by pixel",
    "energy": "Energies and chains",
    "flows": "Flows",
}
GUTTER = 20  # pixels between plates
LABEL = 40  # pixels for a name, with the room below it
INK = (125, 133, 144, 255)  # legible on white and on near black: the ground is transparent
SIZE = 21  # of letters, in pixels
BUDGET = 1_400_000  # bytes of the file; beyond it, colours are rounded to 256
SAMPLES = 64
SEED = 0
KEY = "models"  # of the note in the file that says what it shows


def sheet(exhibit: Exhibit) -> Image.Image:
    """Opens a model's sheet of samples; draws one, always the same, if it was never drawn.

    Raises:
        UserError: if the file is not a picture.
    """
    path = exhibit.folder / "samples.png"
    if not path.is_file():
        model = load(exhibit.name, shelf=exhibit.folder.parent)
        return _image(grid(model.sample(SAMPLES, seed=SEED)))
    try:
        with open_picture(path) as picture:
            return picture.convert("RGB")
    except OSError:
        raise UserError(f"{path} is not a readable picture.") from None


def plate(exhibit: Exhibit) -> Image.Image:
    """Lays the first samples of a model out on a dark square with round corners.

    Points of the plane become light dots on a dark ground, so that they sit well beside images.

    Returns:
        A picture of `PLATE` pixels a side.
    """
    whole = sheet(exhibit)
    ground = Image.new("RGBA", (PLATE, PLATE), GROUND)
    if exhibit.of_points:
        inside = PLATE - 4 * MARGIN  # points may lie on the very edge of their square
        if min(whole.size) > PLANE_SIDE:  # without the axes, which stand left and above
            right, low = whole.size
            whole = whole.crop((right - PLANE_SIDE, low - PLANE_SIDE, right, low))
        dots = ImageOps.autocontrast(ImageOps.invert(whole.convert("L")))
        ground.paste(
            dots.resize((inside, inside), Image.Resampling.LANCZOS), (2 * MARGIN, 2 * MARGIN)
        )
    else:
        pixels = torch.frombuffer(bytearray(whole.tobytes()), dtype=torch.uint8)
        picture = rearrange(pixels, "(h w c) -> c h w", h=whole.height, c=3).float() / 255
        spec = exhibit.card["spec"]
        for place, image in enumerate(tiles(picture, spec["height"], spec["width"])[: SIDE**2]):
            row, column = divmod(place, SIDE)
            corner = (MARGIN + column * (TILE + GAP), MARGIN + row * (TILE + GAP))
            ground.paste(_fitted(_image(image), spec["height"]), corner)
    ground.putalpha(_rounded())
    return ground


def _rounded() -> Image.Image:
    """Returns a mask with round corners, drawn large and made small so that they are smooth."""
    large = Image.new("L", (4 * PLATE, 4 * PLATE))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, 4 * PLATE, 4 * PLATE), 4 * CORNER, 255)
    return large.resize((PLATE, PLATE), Image.Resampling.LANCZOS)


def _image(picture: Tensor) -> Image.Image:
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(rearrange(pixels, "c h w -> h w c").contiguous().numpy())


def _fitted(tile: Image.Image, native: int) -> Image.Image:
    """Brings an image to the common size, its longer sides cut off where it is not square."""
    if native < SMALL:  # such images fill their frame, and would touch one another
        sharp = ImageOps.fit(tile, (INNER, INNER), Image.Resampling.NEAREST)
        return ImageOps.expand(sharp, (TILE - INNER) // 2)
    if tile.size == (TILE, TILE):
        return tile
    return ImageOps.fit(tile, (TILE, TILE), Image.Resampling.LANCZOS)


def contents(shown: Iterable[Exhibit]) -> str:
    """Says what a wall of these models shows: each name with the start of its weights' hash."""
    return "\n".join(f"{e.name} {e.card['weights']['sha256'][:8]}" for e in shown if e.generative)


def written_contents(path: Path) -> str:
    """Reads that note from a wall; empty if there is none."""
    try:
        with open_regular(path) as file, Image.open(file) as picture:
            return str(picture.info.get(KEY, ""))
    except (UnidentifiedImageError, OSError):
        return ""


def save_wall(shown: Sequence[Exhibit], path: Path) -> None:
    """Writes the wall as PNG, whole or not at all.

    Args:
        shown: From `zoo.show.gallery.exhibits`; perhaps inside a progress bar's list.
        path: The file.

    Raises:
        UserError: if no model makes images, or a picture cannot be read.
    """
    made = [exhibit for exhibit in shown if exhibit.generative]
    if not made:
        raise UserError("no model on the shelf makes images, so there is no wall to draw.")
    placed = _places([_kind(exhibit) for exhibit in made])
    step, columns = PLATE + GUTTER, 1 + max(column for _, column, _ in placed)
    headed = {row for row, _, heading in placed if heading}
    highs = [PLATE + LABEL + HEAD * (row in headed) for row in range(1 + placed[-1][0])]
    tops = [sum(highs[: row + 1]) - PLATE - LABEL for row in range(len(highs))]
    ground = Image.new("RGBA", (columns * step - GUTTER, sum(highs)))
    for exhibit, (row, column, heading) in zip(made, placed, strict=True):
        left, top = column * step, tops[row]
        if heading:
            font = ImageFont.load_default(HEADING)
            ImageDraw.Draw(ground).text((left + MARGIN, top - 12), heading, INK, font, anchor="ls")
        ground.paste(plate(exhibit), (left, top))
        _write(ground, exhibit.name, left, top + PLATE)
    note = PngInfo()
    note.add_text(KEY, contents(made))
    with replacing(path) as temporary:
        ground.save(temporary, format="PNG", optimize=True, pnginfo=note)
        if temporary.stat().st_size > BUDGET:
            ground.quantize(256).save(temporary, format="PNG", optimize=True, pnginfo=note)


def _kind(exhibit: Exhibit) -> str:
    """Says what families of its kind are called; of one from outside, its own name."""
    home = MODELS.homes.get(exhibit.family, "").split(".")
    return KINDS.get(home[2], home[2]) if len(home) > 2 else exhibit.family


def _places(kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    """Lays plates of several kinds out in rows.

    A kind begins in the row of the one before it if all of it has room there. One of more than a
    row is cut into rows of nearly the same length.

    Args:
        kinds: The kind of each plate; those of one kind stand together.

    Returns:
        For each plate its row, its column and, for the first of a kind, the heading.

    Example:
        >>> _places(["a"] * 4 + ["b", "b"])[3:]
        [(0, 3, ''), (0, 4, 'b'), (0, 5, '')]
    """
    placed: list[tuple[int, int, str]] = []
    row, free = 0, 0  # the next free place
    for kind, group in groupby(kinds):
        count = len(list(group))
        if free + count > COLUMNS:
            row, free = row + bool(placed), 0
        longest = COLUMNS if count <= COLUMNS else ceil(count / ceil(count / COLUMNS))
        for place in range(count):
            if place and place % longest == 0:
                row, free = row + 1, 0
            placed.append((row, free, "" if place else kind))
            free += 1
    return placed


def _write(ground: Image.Image, name: str, left: int, top: int) -> None:
    """Writes a name below a plate, in smaller letters if it is too long for the plate."""
    draw, size = ImageDraw.Draw(ground), SIZE
    while size > 8 and draw.textlength(name, ImageFont.load_default(size)) > PLATE - 2 * MARGIN:
        size -= 1
    draw.text((left + MARGIN, top + 7), name, INK, ImageFont.load_default(size))
