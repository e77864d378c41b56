"""Sheets of what a model can show, drawn alike while it learns and for its card."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.contract.capabilities import (
    Completes,
    HasLogProb,
    Illustrates,
    Reconstructs,
    Samples,
    Traverses,
)
from zoo.data import ImageData
from zoo.data.captions import text_of
from zoo.data.images import unit_range
from zoo.data.module import Split, spread
from zoo.judge.protocols.midpoints import draws_codes, through_origin
from zoo.show.pictures import grid, lettered

__all__ = ["draw", "unseen"]

ROWS, COLUMNS = 8, 8  # of pictures that begin with images of the data set
SEED = 0  # the same latents in every picture, so that a person sees the same digits sharpen


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


def draw(model: Any, images: Tensor | None = None, count: int = 64) -> dict[str, Tensor]:
    """Draws what a model can show: samples, its codes one by one, what it makes of images.

    Args:
        model: A model.
        images: Images in [0, 1] that it has not seen, shape (N, C, H, W), to be completed or
            reconstructed; None leaves such pictures out.
        count: Number of samples; of points of the plane, forty times as many.

    Returns:
        Pictures by name, each a colour image in [0, 1], shape (3, H, W).
    """
    sheets = {}
    if isinstance(model, Samples):
        count *= 40 if _of_points(model) else 1
        sheets["samples"] = grid(model.sample(count, seed=SEED))
    if isinstance(model, Illustrates) and model.known_captions.any():
        sheets["captions"] = _captions(model)
    if isinstance(model, Traverses):
        for code in model.codes():
            sheets[f"traverse-{code}"] = grid(model.traverse(code, seed=SEED))
        if len(model.codes()) > 1:
            rows = [model.traverse(code, rows=1, seed=SEED)[0].cpu() for code in model.codes()]
            sheets["traversals"] = grid(_rows(rows))
    if images is not None and isinstance(model, Completes):
        sheets["completions"] = grid(_completions(model, images[:ROWS]))
    # What a flow reconstructs is the image itself.
    if images is not None and isinstance(model, Reconstructs) and not isinstance(model, HasLogProb):
        sheets["reconstructions"] = grid(_reconstructions(model, images))
    if draws_codes(model) and not _of_points(model):
        sheets["origin"] = grid(through_origin(model, seed=SEED))
    return sheets


def _of_points(model: Any) -> bool:
    return model.spec.points


def _rows(rows: list[Tensor]) -> Tensor:
    """Stacks rows of images, shape (S, C, H, W) each; short ones end in grey."""
    longest = max(len(row) for row in rows)
    grey = [row.new_full((longest - len(row), *row.shape[1:]), 0.5) for row in rows]
    return torch.stack([torch.cat(parts) for parts in zip(rows, grey, strict=True)])


def _captions(model: Illustrates) -> Tensor:
    """Draws what a few captions say: below each of them, sketches and what was made of them."""
    seen = model.known_captions.cpu()
    captions = seen[seen.any(dim=1)].unique(dim=0)
    captions = captions[spread(len(captions), ROWS)]
    many = captions.repeat_interleave(COLUMNS // 2, dim=0)
    stages = [model.illustrate(many, seed=SEED, stage=stage).cpu() for stage in (1, 2)]
    rows = torch.stack(stages, dim=1).flatten(0, 1).unflatten(0, (len(captions), -1))
    return lettered(rows, [text_of(tokens, model.words) for tokens in captions])


def _completions(model: Any, images: Tensor) -> Tensor:
    """Covers the lower half of images and has them completed, in several ways each.

    Returns:
        Rows of an image, its visible half, and completions, shape (N, COLUMNS, C, H, W).
    """
    mask = torch.zeros(images.shape[-2:], dtype=torch.bool)
    mask[len(mask) // 2 :] = True
    many = images.repeat_interleave(COLUMNS - 2, dim=0)
    done = model.complete(many, mask, seed=SEED).cpu().unflatten(0, (len(images), COLUMNS - 2))
    seen = images.where(~mask, 0.5)
    return torch.cat([images[:, None], seen[:, None], done], dim=1)


def _reconstructions(model: Any, images: Tensor) -> Tensor:
    """Sets rows of reconstructions below rows of images, shape (2R, COLUMNS, C, H, W)."""
    columns = min(COLUMNS, len(images))
    images = images[: len(images) // columns * columns]
    rows = (part.unflatten(0, (-1, columns)) for part in (images, model.reconstruct(images).cpu()))
    return torch.stack(list(rows), dim=1).flatten(0, 1)
