"""Coloured discs on white: how many there are is the one feature that matters."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import check_interval
from zoo.data.designed import DesignedData, Drawn, Side, check_values, of_side
from zoo.data.module import Binarize, Split
from zoo.data.registry import DATASETS

__all__ = ["Dots", "draw_dots", "place_dots", "with_noise"]

SIDE = 64
MOST = 12  # discs of an image
RADIUS, APART = 0.08, 2.1  # in widths of the axes; least distance of centres, in radii
AXES, CROPPED = 71.0, 3.5  # pixels of the axes, and those that are cut off at each side
BRIGHTEST = 0.9  # of a disc's channels
SWEEPS, PATIENCE = 8, 64
REACH = 7  # pixels from a centre beyond which a disc never goes


def place_dots(counts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Places discs so that no two centres come nearer than 2.1 radii.

    The law is that of drawing whole layouts until one is allowed, which for twelve discs would take
    thousands of draws: discs are placed one after another, and then each is moved eight times to a
    place of its own wherever that is allowed, which leaves the uniform law over allowed layouts
    unchanged and forgets the start.

    Args:
        counts: Number of discs, 1 to 12, shape (N,).
        random: Where all randomness comes from.

    Returns:
        Row and column of each centre in [.08, .92], shape (N, 12, 2), float64; NaN beyond the
        count.
    """
    centres = np.full((len(counts), MOST, 2), np.nan)
    open_ = np.arange(len(counts))
    while len(open_):
        centres[open_] = np.nan
        for disc in range(counts[open_].max()):
            for _ in range(PATIENCE):
                lacking = open_[(counts[open_] > disc) & np.isnan(centres[open_, disc, 0])]
                if len(lacking) == 0:
                    break
                _propose(centres, lacking, disc, random)
        placed = np.isfinite(centres[open_, :, 0]).sum(axis=1)
        open_ = open_[placed < counts[open_]]  # those with no room left begin anew
    for disc in np.tile(np.arange(counts.max()), SWEEPS):
        _propose(centres, np.flatnonzero(counts > disc), disc, random)
    return centres


def _propose(centres: np.ndarray, rows: np.ndarray, disc: int, random: np.random.Generator) -> None:
    """Moves one disc of each of some layouts to a random place, where that is allowed."""
    place = RADIUS + (1 - 2 * RADIUS) * random.random((len(rows), 2))
    gap = ((centres[rows] - place[:, None]) ** 2).sum(axis=2)
    gap[:, disc] = np.nan
    allowed = ~(gap <= (APART * RADIUS) ** 2).any(axis=1)  # what is not there is never near
    centres[rows[allowed], disc] = place[allowed]


def draw_dots(centres: Tensor, radii: Tensor, colours: Tensor) -> Tensor:
    """Draws discs with edges that are soft over one pixel; a later disc covers an earlier one.

    Args:
        centres: Row and column in pixels, 0 being the middle of the first pixel, shape (N, K, 2);
            NaN for a disc that is not there.
        radii: In pixels, below 6.5, shape (N, K).
        colours: In [0, 1], shape (N, K, 3).

    Returns:
        Images, shape (N, 3, 64, 64), float32.
    """
    canvas = torch.ones(len(centres), SIDE + 2 * REACH, SIDE + 2 * REACH, 3)
    window = torch.arange(-REACH, REACH + 1)
    for disc in range(centres.shape[1]):
        rows = centres[:, disc, 0].isfinite().nonzero().flatten()
        centre = centres[rows, disc]
        first = centre.round().long()
        row = first[:, :1] + window  # (n, 15)
        column = first[:, 1:] + window
        away = (row - centre[:, :1]).square()[:, :, None]
        away = (away + (column - centre[:, 1:]).square()[:, None]).sqrt()
        cover = (0.5 + radii[rows, disc, None, None] - away).clamp(0, 1).float()[..., None]
        at = (rows[:, None, None], row[:, :, None] + REACH, column[:, None] + REACH)
        paint = colours[rows, disc].float()[:, None, None]
        canvas[at] = canvas[at] * (1 - cover) + paint * cover
    return canvas[:, REACH:-REACH, REACH:-REACH].permute(0, 3, 1, 2)


def with_noise(pixels: Tensor, deviation: float, random: np.random.Generator) -> Tensor:
    """Adds normal noise and reflects what leaves [0, 1] at the border that it crossed."""
    if deviation == 0:
        return pixels
    noise = torch.from_numpy(random.standard_normal(tuple(pixels.shape), dtype=np.float32))
    noisy = noise.mul_(deviation).add_(pixels).clamp_(-1, 2)
    return noisy.sub_(1).abs_().neg_().add_(1).abs_()


@DATASETS.register
class Dots(DesignedData):
    """Coloured discs on white: as many images of each count, rendered by the zoo.

    All discs have one size; places and colours are random. The attribute is the count.

    Args:
        counts: How many discs an image may have, 1 to 12.
        images: Training images; validation and test have an eighth of it each.
        side: Height and width, 32 or 64 pixels; at 32, four pixels are averaged.
        noise: Standard deviation of normal noise on the pixels, reflected at 0 and 1.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all.
        design_seed: Decides the images.
        seed: Decides the order of training images; the images never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: Zhao et al. 2018, Bias and Generalization in Deep Generative Models; sizes, places,
    colours and noise are those of its public code. Deviations: the zoo's own renderer instead of
    matplotlib; noise drawn once for each image instead of anew in each epoch.

    Example:
        >>> data = Dots(counts=(2, 4), images=64)
        >>> data.features("train")["count"][:4].tolist()
        [2, 4, 2, 4]
    """

    native = ImageSpec(3, SIDE, SIDE, attributes=(("count", MOST + 1),))
    stream: ClassVar[int] = 20181204
    reader: ClassVar[str] = "dots"

    def __init__(
        self,
        counts: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7),
        images: int = 16_384,
        side: Side = 64,
        noise: float = 0.03,
        batch_size: int = 100,
        binarize: Binarize = "none",
        val_size: int | None = None,
        design_seed: int = 0,
        seed: int = 0,
    ) -> None:
        self.counts = check_values("--data.counts", counts, 1, MOST)
        check_interval("--data.noise", noise, "[0, 0.5]")
        self.native = of_side(self.native, side)
        super().__init__(images, batch_size, binarize, val_size, design_seed, seed)
        self.noise = noise
        self.combinations = torch.tensor(self.counts)[:, None]

    def draw(self, part: Split, places: np.ndarray, random: np.random.Generator) -> Drawn:
        """Draws images whose counts take turns."""
        counts = np.asarray(self.counts)[places % len(self.counts)]
        centres = AXES * place_dots(counts, random) - CROPPED
        colours = BRIGHTEST * random.random((len(counts), MOST, 3))
        radii = torch.full((len(counts), MOST), RADIUS * AXES, dtype=torch.float64)
        pixels = draw_dots(torch.from_numpy(centres), radii, torch.from_numpy(colours))
        if self.spec.height < SIDE:
            pixels = F.avg_pool2d(pixels, SIDE // self.spec.height)
        count = torch.from_numpy(counts)
        features = {
            "count": count,
            "centre": torch.from_numpy(centres),
            "colour": torch.from_numpy(colours),
        }
        return Drawn(with_noise(pixels, self.noise, random), count[:, None], features)
