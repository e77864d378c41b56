"""How the pictures of `zoo.show.views` are drawn: by their defaults as a card shows them.

Functions named ``lacks_...`` say why a model that has the capability has no such picture; an empty
text if it has one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.capabilities import Illustrates, can
from zoo.contract.codes import draws_codes, through_origin
from zoo.core.errors import UserError, did_you_mean
from zoo.data import ImageData
from zoo.data.captions import text_of
from zoo.data.decode import Unreadable, decode
from zoo.data.images import unit_range
from zoo.data.module import Split, spread
from zoo.show.pictures import check_room, grid, lettered
from zoo.show.views import Drawn

__all__ = ["read_picture", "unseen"]

ROWS, COLUMNS = 8, 8  # of pictures that begin with images of the data set
SAMPLES = 64
POINTS = 40 * SAMPLES  # a dot of the plane says less than an image
LABELLED = 10  # images of a row above which there is room for words
HALVES = ("top", "bottom", "left", "right")
STRIPES = 14  # across an image, half of each colour
HATCH = torch.tensor([[0.78, 0.87, 0.97], [0.50, 0.66, 0.87]])  # colours of what is covered
TICKS = ("0.1", "0.3", "0.5", "0.7", "0.9")  # middles of fifths of the unit square


def unseen(data: ImageData, split: Split) -> Tensor | None:
    """Returns a few images of a split to begin pictures with; None where there are none.

    Args:
        data: The data set.
        split: ``val`` while a model is trained, ``test`` for its card.

    Returns:
        Images in [0, 1], spread evenly over the split, shape (N, C, H, W).
    """
    images = data.images(split)
    if data.spec.points or len(images) == 0:
        return None
    return unit_range(images.fetch(spread(len(images), ROWS // 2 * COLUMNS)))


def read_picture(path: Path, spec: Any, channels: int) -> Tensor:
    """Reads an image file in the size of a model's images, in [0, 1], shape (1, C, H, W).

    Raises:
        UserError: if it is not a readable picture, or the model's images are not square.
    """
    if spec.height != spec.width:
        raise UserError(f"pictures are only fitted to square images; the model's are {spec.shape}.")
    try:
        pixels, _ = decode(path, spec.height, channels, "centre")
    except Unreadable as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    return pixels[None].float() / 255


def _sheet(images: Tensor) -> Tensor:
    """Lays out as many images as were asked for, in bytes: there may be thousands."""
    return grid(images, dtype=torch.uint8)


def _check_room(model: Any, count: int) -> None:
    """Refuses more images of a model than a picture has room for."""
    check_room(count, model.spec.height, model.spec.width)


# ---------------------------------------------------------------- from latents


def samples(model: Any, *, seed: int, n: int | None = None, **conditions: Any) -> Drawn:
    """Draws samples below their caption; without a number, as many as show what a model makes."""
    count = (POINTS if model.spec.points else SAMPLES) if n is None else n
    _check_room(model, count)
    sheet = _sheet(model.sample(count, seed=seed, **conditions))
    if model.spec.points:
        return Drawn(sheet, rows=TICKS[::-1], columns=TICKS)
    return Drawn(sheet, title=conditions.get("caption") or "")


def traverse(model: Any, *, code: str, seed: int, n: int = 8, steps: int = 10) -> Drawn:
    """Draws rows along which only one code changes, below its values if the model tells them."""
    _check_room(model, n * steps)
    rows = model.traverse(code, rows=n, steps=steps, seed=seed)
    told = getattr(model, "values_of", None)
    values = [f"{value:g}" for value in told(code, steps)] if told else ()
    return Drawn(_sheet(rows), columns=values, title=code)


def lacks_codes(model: Any) -> str:
    """A sheet of all codes needs several."""
    return "" if len(model.codes()) > 1 else "it has one code only"


def traversals(model: Any, *, seed: int) -> Drawn:
    """Draws a row for each code beside its name; short ones end in white."""
    rows = [model.traverse(code, rows=1, seed=seed)[0].cpu() for code in model.codes()]
    longest = max(len(row) for row in rows)
    rest = [row.new_ones(longest - len(row), *row.shape[1:]) for row in rows]
    sheet = grid(torch.stack([torch.cat(parts) for parts in zip(rows, rest, strict=True)]))
    return Drawn(sheet, rows=model.codes())


def walks(model: Any, *, seed: int, n: int = 8, steps: int = 10) -> Tensor:
    """Draws rows that walk from one sample to another: of twice as many, the half that go furthest.

    Samples of one look make rows along which nothing happens.
    """
    _check_room(model, n * steps)
    rows = model.interpolate(rows=2 * n, steps=steps, seed=seed)
    ends = rows[:, [0, -1]].detach().float().cpu().flatten(2)
    alike = F.cosine_similarity(*(ends - ends.mean(dim=2, keepdim=True)).unbind(dim=1))
    return _sheet(rows[alike.argsort(stable=True)[:n].sort().values.to(rows.device)])


def chains(model: Any, *, seed: int, n: int = 8, steps: int = 10) -> Tensor:
    """Draws rows of successive states of chains."""
    _check_room(model, n * steps)
    return _sheet(model.chain(rows=n, steps=steps, seed=seed))


def lacks_origin(model: Any) -> str:
    """Lines through the origin need a prior to draw their ends from, and images to show."""
    if not draws_codes(model):
        return "it decodes no draws of a named prior"
    return "points of the plane make no rows" if model.spec.points else ""


def origin(model: Any, *, seed: int, n: int = 8, steps: int = 11) -> Tensor:
    """Draws rows from a latent code through the origin to its opposite."""
    _check_room(model, n * steps)
    return _sheet(through_origin(model, rows=n, steps=steps, seed=seed))


# ---------------------------------------------------------------- from captions


def lacks_captions(model: Illustrates) -> str:
    """Captions are drawn of those that training has seen."""
    return "" if model.known_captions.any() else "it has seen no caption yet"


def captions(model: Illustrates, *, seed: int) -> Tensor:
    """Draws what a few captions say: below each of them, sketches and what was made of them."""
    seen = model.known_captions.cpu()
    chosen = seen[seen.any(dim=1)].unique(dim=0)
    chosen = chosen[spread(len(chosen), ROWS)]
    many = chosen.repeat_interleave(COLUMNS // 2, dim=0)
    stages = [model.illustrate(many, seed=seed, stage=stage).cpu() for stage in (1, 2)]
    rows = torch.stack(stages, dim=1).flatten(0, 1).unflatten(0, (len(chosen), -1))
    return lettered(rows, [text_of(tokens, model.words) for tokens in chosen])


# ---------------------------------------------------------------- from images


def completions(
    model: Any,
    *,
    images: Tensor,
    seed: int,
    n: int = COLUMNS - 2,
    mask: str = "bottom",
    **conditions: Any,
) -> Drawn:
    """Covers a part of images and has it completed, in several ways each.

    Args:
        model: A model.
        images: Images in [0, 1], shape (N, C, H, W); of many, the first few.
        seed: Decides the completions.
        n: Completions of each.
        mask: One of `HALVES`, or a picture that is white where it covers.
        conditions: Conditions of the model's samples.

    Returns:
        Rows of an image, its visible part, and completions, below words; of one image with many
        of them a square, which is told in a title. What is covered is hatched.
    """
    images = images[:ROWS]
    _check_room(model, len(images) * (n + 2))
    covered = _covered(mask, model.spec)
    many = images.repeat_interleave(n, dim=0)
    done = model.complete(many, covered, seed=seed, **conditions).cpu()
    done = done.unflatten(0, (len(images), n))
    images, done = _in_colour(images), _in_colour(done)
    seen = images.where(~covered, _hatched(model.spec))
    rows = torch.cat([images[:, None], seen[:, None], done], dim=1)
    if len(rows) == 1 and n + 2 > LABELLED:
        return Drawn(_sheet(rows[0]), title="image, what is kept, completions")
    return Drawn(_sheet(rows), columns=["image", "kept", *["drawn"] * n])


def _in_colour(images: Tensor) -> Tensor:
    """Gives grey images, shape (..., 1, H, W), three channels, so that colours can mark them."""
    return images.expand(*images.shape[:-3], 3, -1, -1) if images.shape[-3] == 1 else images


def _hatched(spec: Any) -> Tensor:
    """Returns slanting stripes in two blues, which no image is taken for, shape (3, H, W)."""
    place = torch.arange(spec.height)[:, None] + torch.arange(spec.width)
    return HATCH[place // max(1, spec.width // STRIPES) % 2].permute(2, 0, 1)


def _covered(mask: str, spec: Any) -> Tensor:
    """Returns which pixels a half or a picture covers, shape (1, 1, H, W), boolean."""
    covered = torch.zeros(1, 1, spec.height, spec.width, dtype=torch.bool)
    if mask in HALVES:
        down, across = spec.height // 2, spec.width // 2
        parts = {"top": covered[..., :down, :], "bottom": covered[..., down:, :],
                 "left": covered[..., :across], "right": covered[..., across:]}  # fmt: skip
        parts[mask].fill_(True)
        return covered
    if not Path(mask).is_file():
        raise UserError(f"--mask is neither a half nor a file. {did_you_mean(mask, HALVES)}")
    return read_picture(Path(mask), spec, 1) > 0.5


def lacks_reconstructions(model: Any) -> str:
    """What a flow reconstructs says nothing."""
    return "what it reconstructs is the image itself" if can(model, "log_prob") else ""


def reconstructions(model: Any, *, images: Tensor, seed: int) -> Drawn:
    """Sets rows of reconstructions below rows of images, and says how far they are apart."""
    columns = min(COLUMNS, len(images))
    images = images[: len(images) // columns * columns]
    again = model.reconstruct(images).detach().cpu()
    rows = torch.stack([part.unflatten(0, (-1, columns)) for part in (images, again)], dim=1)
    error = (again.clamp(0, 1) - images).square().mean()
    told = f"mean squared error {error:.4f} per pixel"
    return Drawn(grid(rows.flatten(0, 1)), told, rows=["image", "again"] * len(rows))
