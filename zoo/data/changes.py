"""What becomes of a data set's images before anything sees them: another size, or fixed bits."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.core.errors import UserError
from zoo.data.images import Images, changed
from zoo.data.loader import mix_seed

__all__ = ["LARGEST_SIDE", "fit_to_size", "fixed_bits", "resized"]

LARGEST_SIDE = 8192  # pixels; one such image in colour takes 800 MB as numbers
BITS_SEED = 20160601  # decides for ever the bits of static binarisation and of evaluation


def fit_to_size(pixels: Tensor, resize: int | None, pad: int | None) -> Tensor:
    """Resizes, then pads images to a square.

    Args:
        pixels: uint8 images, shape (..., C, H, W).
        resize: New length of both sides (bilinear, antialiased), or None.
        pad: Length of both sides after padding with black on all sides, or None.

    Raises:
        UserError: if a length is not positive or beyond all reason, or the padding would cut.

    Example:
        >>> fit_to_size(torch.zeros(1, 28, 28, dtype=torch.uint8), None, 32).shape
        torch.Size([1, 32, 32])
    """
    for option, side in (("--data.resize", resize), ("--data.pad", pad)):
        if side is not None and side > LARGEST_SIDE:
            raise UserError(f"{option} must be at most {LARGEST_SIDE} pixels, got {side}.")
    if resize is not None:
        if resize < 1:
            raise UserError(f"--data.resize must be a positive number of pixels, got {resize}.")
        from torchvision.transforms.v2.functional import resize as resize_pixels

        pixels = resize_pixels(pixels, [resize, resize], antialias=True)
    if pad is not None:
        height, width = pixels.shape[-2:]
        rows, columns = pad - height, pad - width
        if rows < 0 or columns < 0:
            raise UserError(
                f"--data.pad {pad} is smaller than the {height}x{width} images; use --data.resize."
            )
        top, left = rows // 2, columns // 2
        pixels = F.pad(pixels, (left, columns - left, top, rows - top))
    return pixels


def resized(images: Images, resize: int | None, pad: int | None) -> Images:
    """Brings images to another size by `fit_to_size`, which see for the arguments."""
    return changed(images, partial(_fit, resize, pad))


def fixed_bits(images: Images, stream: int) -> Images:
    """Binarises images once and for all; each part of a data set has its own stream of bits."""
    return changed(images, partial(_draw, mix_seed(BITS_SEED, stream)))


def _fit(resize: int | None, pad: int | None, pixels: Tensor, indices: Tensor) -> Tensor:
    """`fit_to_size` in the form of a change; at module level so that it travels to workers."""
    return fit_to_size(pixels, resize, pad)


def _draw(seed: int, pixels: Tensor, indices: Tensor) -> Tensor:
    """Draws every pixel from its intensity; one stream per image, so order is no matter.

    Args:
        seed: Decides the bits, together with the index.
        pixels: uint8, shape (B, C, H, W).
        indices: Which images these are, shape (B,).

    Returns:
        0 or 255 as uint8, shape (B, C, H, W).
    """
    noise = torch.empty(pixels.shape)
    generator = torch.Generator()
    for row, index in zip(noise, indices.tolist(), strict=True):
        row.uniform_(0, 255, generator=generator.manual_seed(mix_seed(seed, index)))
    return (noise < pixels).to(torch.uint8) * 255
