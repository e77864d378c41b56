r"""Reads the features of designed images off the pixels: dots are counted, pies are measured.

A reader never guesses. Where an image does not show what the reader reads, it says "cannot tell":
-1 for a count, NaN for a measure. The share of such images is a score of the model that drew them.

Both readers were made for 64x64 pixels. Other square images are brought to that size first, so
that one pixel stands for the same share of the picture.

Reference: data of Zhao, Ren, Yuan, Song, Goodman, Ermon 2018, Bias and Generalization in Deep
Generative Models. The pies' measures follow the conventions of its public code. It publishes no
counter of dots; ours is described at `dots`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DOT_RADIUS", "SIDE", "Pies", "certain", "dots", "pies"]

SIDE = 64
DOT_RADIUS = 5.7  # pixels: .08 of axes that are 71 pixels wide
AT_ONCE = 128  # images: what a processor's cache holds

# The counter's constants, in pixels of 64 and in shares of full darkness.
BLUR, SMOOTH = 0.6, 0.5
DARK = 0.10
FARTHEST = 9  # distances are exact below; a pixel so far from all middles belongs to no disc
DEPTH, APART = 0.5, 1.2  # of the radius: least depth of a disc's middle, least distance of two
MOST = 40  # discs that fit a picture
STRAY = 0.2  # share of dark pixels that may belong to no disc

FAINT, LIGHT = 0.3, 1.2  # of 3 - R - G - B: the least of a foreground, and the lightest colour's
LEAST_AREA, MOST_AREA = 50, 3000  # pixels; the largest pie has 2,059
ROUND = 0.8  # least overlap of the foreground with a disc of its area and centre


class Pies(NamedTuple):
    """What `pies` reads; shape (B,), float32, NaN where it cannot tell."""

    radius: Tensor
    """Radius of a disc of the foreground's area, in half-widths of the picture."""
    row: Tensor
    """Mean row of the foreground from the centre, in half-widths: positive is below."""
    column: Tensor
    """Mean column of the foreground from the centre, in half-widths: positive is to the right."""
    red: Tensor
    """Share of the foreground that is more red than green and than blue."""


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be (B, 3, S, S), got shape {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point in [0, 1], got dtype {images.dtype}")


def _in_pieces(
    read: Callable[[Tensor], Tensor], images: Tensor, enlarge: Literal["smooth", "nearest"]
) -> Tensor:
    """Reads few images at a time, at 64 pixels; those with a pixel that is no number are black.

    Args:
        read: Maps images of 64 pixels to what it reads, shape (B, ...).
        images: Shape (B, 3, S, S).
        enlarge: How smaller images are brought to 64 pixels.
    """
    parts = []
    for part in images.split(AT_ONCE):
        x = part.float().nan_to_num(nan=0.0, posinf=1.0, neginf=0.0).clamp(0, 1)
        if x.shape[-1] > SIDE:
            x = F.adaptive_avg_pool2d(x, SIDE)
        elif x.shape[-1] < SIDE and enlarge == "nearest":
            x = F.interpolate(x, (SIDE, SIDE), mode="nearest-exact")
        elif x.shape[-1] < SIDE:
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear")
        parts.append(read(x))
    return torch.cat(parts)


def _unknown(images: Tensor) -> Tensor:
    return ~images.flatten(1).isfinite().all(dim=1)


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Convolves with a normal law, borders continued; shape (B, C, H, W)."""
    reach = math.ceil(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / sigma).square())
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    x = F.pad(x, (reach,) * 4, mode="replicate")
    x = F.conv2d(x, kernel[:, :, None], groups=x.shape[1])
    return F.conv2d(x, kernel[..., None], groups=x.shape[1])


def _depth(mask: Tensor) -> Tensor:
    """Distance in pixels of each true pixel from the nearest false one, at most `FARTHEST`.

    What lies outside of the picture is false. The squared distance is a minimum over columns of a
    minimum over rows, hence separable.

    Args:
        mask: Shape (B, 1, H, W), bool.

    Returns:
        Shape (B, 1, H, W), float32.
    """
    nearest = torch.where(F.pad(mask, (1,) * 4), float(FARTHEST**2), 0.0)
    for axis in (-1, -2):
        size, found = nearest.shape[axis], nearest.clone()
        for step in range(1, FARTHEST):
            rest = size - step
            lower, upper = nearest.narrow(axis, 0, rest), nearest.narrow(axis, step, rest)
            for into, other in ((0, upper), (step, lower)):
                place = found.narrow(axis, into, rest)
                torch.minimum(place, other + step**2, out=place)
        nearest = found
    return nearest[..., 1:-1, 1:-1].sqrt()


def _count(x: Tensor) -> Tensor:
    """Counts discs in images of 64 pixels, shape (B,), int64."""
    mask = _blur(1 - x, BLUR).amax(dim=1, keepdim=True) > DARK
    depth = _blur(_depth(mask), SMOOTH)
    peaks = depth * (depth == F.max_pool2d(depth, 3, 1, 1))
    height, place = peaks.flatten(1).topk(MOST)  # the deepest first
    at = torch.stack([place // SIDE, place % SIDE], dim=2).float()
    near = torch.cdist(at, at) <= APART * DOT_RADIUS
    kept = height > DEPTH * DOT_RADIUS
    for one in range(1, MOST):
        kept[:, one] &= ~(near[:, one, :one] & kept[:, :one]).any(dim=1)
    middles = torch.zeros(len(x), SIDE * SIDE, dtype=torch.bool, device=x.device)
    middles = middles.scatter(1, place, kept).view_as(mask)
    stray = (mask & (_depth(~middles) >= FARTHEST)).flatten(1).sum(dim=1)
    area = mask.flatten(1).sum(dim=1)
    return torch.where(stray > STRAY * area.clamp(min=LEAST_AREA), -1, kept.sum(dim=1))


def dots(images: Tensor) -> Tensor:
    """Counts coloured discs on white.

    What is darker than white in any channel, after a slight blur, is a mask. Each disc is a peak of
    the mask's distance transform: discs that touch still have a middle each. All around the picture
    is background, so that the middle of a disc that the border cuts lies inside. Peaks are taken
    from the deepest on, none within 1.2 radii of another. An image of which more than a fifth of
    the mask is far from all of them (haze, strokes, large areas) is not counted.

    Args:
        images: Images in [0, 1], shape (B, 3, S, S), with discs of a radius of .089 S.

    Returns:
        Counts, shape (B,), int64, -1 for "cannot tell"; a white image has 0.

    Raises:
        ValueError: if the images have another shape, or hold bytes.

    Example:
        >>> dots(torch.ones(2, 3, 64, 64))
        tensor([0, 0])
    """
    _check(images)
    if len(images) == 0:
        return torch.zeros(0, dtype=torch.int64, device=images.device)
    return _in_pieces(_count, images, "smooth").masked_fill(_unknown(images), -1)


def _measure(x: Tensor) -> Tensor:
    """Measures pies in images of 64 pixels: radius, row, column and red, shape (B, 4)."""
    darkness = 3 - x.sum(dim=1)
    # A soft edge belongs to the pie where it covers half of a pixel, as far as that can be told
    # when a light sector may lie beside a dark one.
    around = F.max_pool2d(darkness[:, None], 5, 1, 2)[:, 0]
    foreground = darkness > 0.5 * around.clamp(2 * FAINT, LIGHT)
    area = foreground.flatten(1).sum(dim=1).float()
    at = torch.arange(SIDE, dtype=torch.float32, device=x.device)
    row = (foreground.sum(dim=2) * at).sum(dim=1) / area
    column = (foreground.sum(dim=1) * at).sum(dim=1) / area
    radius = (area / math.pi).sqrt()
    red = foreground & (x[:, 0] > x[:, 1:].amax(dim=1))
    share = red.flatten(1).sum(dim=1) / area
    away = (at - row[:, None]).square()[:, :, None] + (at - column[:, None]).square()[:, None]
    disc = away <= radius.square()[:, None, None]
    both, either = (disc & foreground).flatten(1).sum(dim=1), (disc | foreground).flatten(1)
    told = (area >= LEAST_AREA) & (area <= MOST_AREA)
    told &= both >= ROUND * either.sum(dim=1)
    half = SIDE / 2
    found = torch.stack([radius / half, row / half - 1, column / half - 1, share], dim=1)
    return torch.where(told[:, None], found, torch.nan)


def pies(images: Tensor) -> Pies:
    r"""Measures a pie on white: its size, its place, and how much of it is red.

    .. math:: r = \sqrt{A / \pi} / 32, \quad \text{row} = \bar\imath / 32 - 1, \quad
        \text{foreground} = \{3 - R - G - B > t\}

    with t between .3, as in the public code, and .6, half of what the lightest colour of the data
    has, wherever anything so dark is near: soft edges then make a pie hardly larger. An image with
    less foreground than 50 pixels, more than 3,000, or one that is no disc is not measured.

    Args:
        images: Images in [0, 1], shape (B, 3, S, S).

    Returns:
        Radius, row, column and share of red, each of shape (B,), NaN for "cannot tell".

    Raises:
        ValueError: if the images have another shape, or hold bytes.

    Example:
        >>> pies(torch.ones(1, 3, 64, 64)).radius
        tensor([nan])
    """
    _check(images)
    if len(images) == 0:
        return Pies(*torch.zeros(4, 0, device=images.device))
    found = _in_pieces(_measure, images, "nearest")
    return Pies(*found.masked_fill(_unknown(images)[:, None], torch.nan).T)


def certain(probabilities: Tensor, least: float = 0.5) -> Tensor:
    """Takes the likeliest class, or -1 where a classifier is not certain.

    Args:
        probabilities: Of each class, shape (B, K).
        least: Probability of the likeliest class from which on it is believed.

    Returns:
        Classes, shape (B,), int64, -1 for "cannot tell".

    Example:
        >>> certain(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), 0.8)
        tensor([ 0, -1])
    """
    highest, label = probabilities.max(dim=1)
    return torch.where(highest >= least, label, -1)
