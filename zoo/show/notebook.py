"""Pictures for a notebook, which shows them by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract.checks import CHECKS, Given
from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.show.pictures import as_image
from zoo.show.pictures import grid as sheet

__all__ = ["grid"]


def grid(images: Any, columns: int | None = None) -> Image.Image:
    """Lays images out in rows; a notebook shows what it returns, ``.save("grid.png")`` keeps it.

    Args:
        images: What models answer: images in [0, 1], shape (N, C, H, W), or (R, S, C, H, W) for R
            rows of S; one image (C, H, W); arrays, bytes and PIL images, too. Points of the plane
            become one picture of them all.
        columns: Images in a row; default a square, or S.

    Raises:
        UserError: on values that are no images, or if there are none.

    Example:
        >>> grid(torch.zeros(4, 1, 28, 28)).size
        (118, 118)
    """
    if isinstance(images, Image.Image):
        images = [images]
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.array(images))
    if isinstance(images, (list, tuple)) and all(isinstance(part, Tensor) for part in images):
        images = torch.stack(list(images)) if images else torch.zeros(0, 1, 1, 1)
    rows = None
    if isinstance(images, Tensor):
        if images.dim() == 3 and images.shape[0] in (1, 3):
            images = images[None]
        if images.dim() == 5:
            rows, images = images.shape[1], images.flatten(0, 1)
        if images.dim() == 4 and images.shape[1] not in (1, 3) and images.shape[1:] != (2, 1, 1):
            shape = tuple(images.shape)
            raise UserError(f"images have 1 channel or 3, in the second place; got shape {shape}.")
    given = Given(SimpleNamespace(spec=_spec_of(images)), "grid", torch.zeros(0))
    return as_image(sheet(CHECKS["x"](given, "images", images), columns or rows))


def _spec_of(images: Any) -> ImageSpec | None:
    if not isinstance(images, Tensor) or images.dim() != 4 or 0 in images.shape[1:]:
        return None
    channels, height, width = images.shape[1:]
    return ImageSpec(channels, height, width)
