"""White shapes on black, rendered from the five factors of dSprites; and dSprites itself.

Every image is known by five numbers: shape, scale, orientation and the two coordinates of its
centre. A data set with `factor_sizes` and `render` can be asked for any of its images, which is
what scores of disentanglement need.

Reference: Matthey, Higgins, Hassabis, Lerchner 2017: dSprites,
github.com/deepmind/dsprites-dataset.
"""

from __future__ import annotations

import math
import zipfile
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_choice
from zoo.core.files import open_regular
from zoo.data.changes import fit_to_size
from zoo.data.images import Images, MemoryImages, subset
from zoo.data.loader import mix_seed
from zoo.data.module import Binarize, ImageData, Split
from zoo.data.registry import DATASETS

__all__ = ["FACTORS", "DSprites", "Sprites", "draw_sprites"]

FACTORS = ("shape", "scale", "orientation", "x", "y")
SIZES = (3, 6, 40, 32, 32)  # values of each factor, as in dSprites
SPRITES_SEED = 20170413  # decides for ever which images make which part; arbitrary
COUNTS = {"train": 60_000, "test": 10_000}
RADIUS = 0.2  # of the largest shapes, in sides of the image
MARGIN = 0.24  # least distance of a centre from the border, so that every shape is seen whole
PIECE = 2048  # images rendered at once


def draw_sprites(factors: Tensor, side: int) -> Tensor:
    """Renders sprites with soft edges, one pixel wide.

    Args:
        factors: Values of shape (0 square, 1 ellipse, 2 heart), scale, orientation, x and y, each
            from 0 to its number of values less one, int64, shape (B, 5).
        side: Height and width in pixels.

    Returns:
        Share of each pixel that the shape covers, in [0, 1], shape (B, 1, side, side), float32.
        Each image depends on its own factors only, up to rounding.
    """
    shape, scale, turn, x, y = factors.unbind(dim=1)
    radius = RADIUS * (0.5 + 0.5 * scale / (SIZES[1] - 1))
    angle = 2 * math.pi * turn / SIZES[2]
    centre = [MARGIN + (1 - 2 * MARGIN) * part / (SIZES[3] - 1) for part in (x, y)]
    pixel = (torch.arange(side) + 0.5) / side
    across = (pixel - centre[0][:, None])[:, None, :]  # (B, 1, side)
    down = (pixel - centre[1][:, None])[:, :, None]  # (B, side, 1)
    cos, sin = (f(angle)[:, None, None] for f in (torch.cos, torch.sin))
    size = radius[:, None, None]
    u, v = (cos * across + sin * down) / size, (cos * down - sin * across) / size
    image = torch.empty(len(factors), side, side)
    for kind, distance in enumerate((_square, _ellipse, _heart)):
        rows = shape == kind
        outside = distance(u[rows], v[rows]) * size[rows]  # in sides of the image
        image[rows] = (0.5 - outside * side).clamp(0, 1)
    return image[:, None]


def _square(u: Tensor, v: Tensor) -> Tensor:
    """Distance from a square whose corners lie on the unit circle, negative inside."""
    return torch.maximum(u.abs(), v.abs()) - math.sqrt(0.5)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    """Distance, to first order, from an ellipse with half axes 1 and 0.6."""
    w = v / 0.6
    norm = torch.sqrt(u.square() + w.square())
    slope = torch.sqrt(u.square() + (w / 0.6).square()) / norm.clamp(min=1e-6)
    return (norm - 1) / slope.clamp(min=1e-6)


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """Distance from a heart in the unit circle: a square on its corner, and two discs on it."""
    half = 0.45  # of the square's side
    v = v + 0.35
    a, b = (u + v) * math.sqrt(0.5), (v - u) * math.sqrt(0.5)  # along the square's sides
    square = torch.maximum((a - half).abs(), (b - half).abs()) - half
    right = torch.sqrt((a - half).square() + b.square()) - half
    left = torch.sqrt(a.square() + (b - half).square()) - half
    return torch.minimum(square, torch.minimum(left, right))


@DATASETS.register
class Sprites(ImageData):
    """Squares, ellipses and hearts in 6 scales, 40 orientations and 32 x 32 places, rendered.

    Of the 737,280 images there are, 60,000 for training and 10,000 others for testing; the label
    is the shape. The zoo renders them itself, always the same. Unlike those of dSprites, their
    edges are soft, so that 32 pixels are enough to tell 32 places.

    Args:
        side: Height and width, 32 or 64 pixels.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Training images kept for validation.
        seed: Decides the order of training images; the images never depend on it.

    Raises:
        UserError: on values that make no sense.

    Example:
        >>> data = Sprites()
        >>> data.render(torch.tensor([[0, 5, 0, 16, 16]])).shape
        torch.Size([1, 1, 32, 32])
    """

    native = ImageSpec(channels=1, height=32, width=32, classes=SIZES[0])
    default_val_size: ClassVar[int] = 5_000
    needs: ClassVar[str] = "nothing: the zoo draws it"
    factor_names: ClassVar[tuple[str, ...]] = FACTORS
    factor_sizes: ClassVar[tuple[int, ...]] = SIZES

    def __init__(
        self,
        side: Literal[32, 64] = 32,
        batch_size: int = 128,
        binarize: Binarize = "none",
        val_size: int | None = None,
        seed: int = 0,
    ) -> None:
        check_choice("--data.side", str(side), ("32", "64"))
        self.native = ImageSpec(1, side, side, SIZES[0])
        super().__init__(None, batch_size, binarize=binarize, val_size=val_size, seed=seed)

    def render(self, factors: Tensor) -> Tensor:
        """Renders images in [0, 1], shape (B, 1, side, side), of factors (B, 5), int64."""
        return (draw_sprites(factors, self.spec.height) * 255).round() / 255

    def read(self, part: Split) -> MemoryImages:
        """Renders one part; every call gives the same images."""
        start = 0 if part == "train" else COUNTS["train"]
        chosen = _shuffled()[start : start + COUNTS[part]]
        factors = torch.stack(torch.unravel_index(chosen, SIZES), dim=1)
        pieces = [(self.render(few) * 255).to(torch.uint8) for few in factors.split(PIECE)]
        return MemoryImages(torch.cat(pieces), factors[:, 0].clone())


def _shuffled() -> Tensor:
    """Returns the numbers of all images in an order that is for ever the same."""
    random = np.random.default_rng(mix_seed(SPRITES_SEED))
    return torch.from_numpy(random.permutation(math.prod(SIZES)))


@DATASETS.register
class DSprites(ImageData):
    """dSprites as published: 737,280 binary images of 64x64 pixels; 10,000 of them test.

    Wants 3 GB of memory. The label is the shape.

    Args:
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``. The file is looked for
            there and in ``dsprites/`` below.
        batch_size: See `ImageData`, like the arguments that follow.
        resize: Resizes the images, for example to 32.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Training images kept for validation.
        seed: Decides the order of training images; the split never depends on it.

    Raises:
        UserError: on values that make no sense.
    """

    native = ImageSpec(channels=1, height=64, width=64, classes=SIZES[0])
    default_val_size: ClassVar[int] = 10_000
    file: ClassVar[str] = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    needs: ClassVar[str] = f"{file} in the data root, from github.com/deepmind/dsprites-dataset"
    factor_names: ClassVar[tuple[str, ...]] = FACTORS
    factor_sizes: ClassVar[tuple[int, ...]] = SIZES

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 128,
        resize: int | None = None,
        binarize: Binarize = "none",
        val_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root, batch_size, resize=resize, binarize=binarize, val_size=val_size, seed=seed
        )
        self._all: Tensor | None = None

    def ensure(self, part: Split) -> None:
        """Looks for the file.

        Raises:
            UserError: if it is not there.
        """
        if not any(path.is_file() for path in self._places()):
            raise UserError(
                f"there is no {self.file} in {self.root} or {self.root / 'dsprites'}. Get it from "
                "github.com/deepmind/dsprites-dataset, or use the data set Sprites, which needs no "
                "file."
            )

    def render(self, factors: Tensor) -> Tensor:
        """Looks images up, in [0, 1], shape (B, 1, H, W), of factors (B, 5), int64."""
        weights = [math.prod(SIZES[k + 1 :]) for k in range(len(SIZES))]
        chosen = (factors * torch.tensor(weights)).sum(dim=1)
        return fit_to_size(255 * self._pixels()[chosen][:, None], self.resize, self.pad) / 255

    def read(self, part: Split) -> Images:
        """Returns one part."""
        test = COUNTS["test"]
        order = _shuffled()
        chosen = (order[test:] if part == "train" else order[:test]).sort().values
        labels = torch.arange(SIZES[0]).repeat_interleave(math.prod(SIZES[1:]))
        pixels = self._pixels()
        if part == "test":
            return MemoryImages(255 * pixels[chosen][:, None], labels[chosen])
        return subset(MemoryImages(255 * pixels[:, None], labels), chosen)

    def _places(self) -> tuple:
        return self.root / self.file, self.root / "dsprites" / self.file

    def _pixels(self) -> Tensor:
        """Reads all images, 0 or 1, shape (N, 64, 64), uint8."""
        if self._all is None:
            path = next((path for path in self._places() if path.is_file()), self._places()[0])
            try:
                with open_regular(path) as file, np.load(file, allow_pickle=False) as content:
                    images = content["imgs"]  # its order is that of the factors
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                raise UserError(f"{path} is not a readable copy of dSprites.") from None
            if images.shape != (math.prod(SIZES), 64, 64) or images.dtype != np.uint8:
                raise UserError(f"{path} holds images of shape {images.shape}, not dSprites.")
            self._all = torch.from_numpy(images)
        return self._all
