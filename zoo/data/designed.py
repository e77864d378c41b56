"""Data sets that a designer made: every image is drawn from features that are known exactly.

They serve the lab, `python -m zoo.probe`: a model trained on them draws images, a reader reads the
features of these off the pixels (`zoo.functional.readers`), and what was never put in is seen.
A subclass draws a few images at a time; memory beyond the images themselves stays bounded, and the
same arguments give the same bytes, on any number of processes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_choice, check_interval
from zoo.data.images import MemoryImages, Notes
from zoo.data.loader import mix_seed
from zoo.data.module import Binarize, ImageData, Split

__all__ = ["PARTS", "DesignedData", "Drawn", "Side", "check_values", "of_side", "pick_combinations"]

Side = Literal[32, 64]

PARTS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}
PIECE = 1024  # images drawn at once
MOST = 1_000_000  # images of a training set


class Drawn(NamedTuple):
    """A few images with their features.

    Args:
        pixels: Images in [0, 1], shape (N, C, H, W), float32.
        attributes: Value of each attribute of the specification, shape (N, A), int64.
        features: What is known exactly, by name, shape (N, ...).
    """

    pixels: Tensor
    attributes: Tensor
    features: dict[str, Tensor]


def of_side(native: ImageSpec, side: int) -> ImageSpec:
    """Returns a specification of square images with another side, 32 or 64 pixels.

    Raises:
        UserError: for any other side.
    """
    check_choice("--data.side", str(side), ("32", "64"))
    return replace(native, height=side, width=side)


def check_values(option: str, values: Collection[int], low: int, high: int) -> tuple[int, ...]:
    """Refuses lists of integers that are empty, repeat one, or leave their range.

    Returns:
        The values, sorted.

    Raises:
        UserError: naming the option and the bad value.

    Example:
        >>> check_values("--data.counts", [4, 2], 1, 12)
        (2, 4)
    """
    if not values:
        raise UserError(f"{option} must name at least one value.")
    for value in values:
        if value not in range(low, high + 1):
            raise UserError(f"{option} must lie between {low} and {high}, got {value}.")
    if len(set(values)) < len(values):
        raise UserError(f"{option} names a value twice: {list(values)}.")
    return tuple(sorted(values))


def pick_combinations(universe: Tensor, count: int, seed: int) -> Tensor:
    """Chooses some combinations of a universe; those for a smaller count are among them.

    Args:
        universe: All combinations, shape (U, A).
        count: How many, 0 for all.
        seed: Decides which.

    Returns:
        Shape (count, A), in the universe's order.

    Raises:
        UserError: if there are not so many.
    """
    if not 0 <= count <= len(universe):
        raise UserError(
            f"--data.combinations must lie between 0, for all, and {len(universe)}, got {count}."
        )
    order = np.random.default_rng(mix_seed(20181203, seed)).permutation(len(universe))
    chosen = torch.from_numpy(order[: count or len(universe)]).sort().values
    return universe[chosen]


class DesignedData(ImageData):
    """Images of known features; validation and test images are drawn by the same law.

    A subclass implements `draw` and sets `combinations`.

    Args:
        images: Training images; validation and test have an eighth of it each, but at least 64.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all.
        design_seed: Decides the images, and which combinations they show where some are drawn.
        seed: Decides the order of training images; the images never depend on it.
        root: Folder of data sets, for those that are made of others.

    Raises:
        UserError: on values that make no sense.
    """

    kinds = ("image", "attributes")
    own_val: ClassVar[bool] = True
    default_val_size: ClassVar[int | None] = None
    needs: ClassVar[str] = "nothing: the zoo draws it"
    stream: ClassVar[int]
    """Tells the random numbers of this data set from those of others."""
    combinations: Tensor
    """Every combination of attributes that training images may show, shape (N, A), int64."""

    def __init__(
        self,
        images: int,
        batch_size: int,
        binarize: Binarize,
        val_size: int | None,
        design_seed: int,
        seed: int,
        root: str | None = None,
    ) -> None:
        check_interval("--data.images", images, f"[10, {MOST}]")
        super().__init__(root, batch_size, None, None, binarize, val_size, seed=seed)
        self.count, self.design_seed = images, design_seed
        self._features: dict[Split, dict[str, Tensor]] = {}

    def draw(self, part: Split, places: np.ndarray, random: np.random.Generator) -> Drawn:
        """Draws some images of a part.

        Args:
            part: Which.
            places: Their numbers within the part, shape (N,).
            random: Where all randomness comes from.
        """
        raise NotImplementedError

    def read(self, part: Split) -> MemoryImages:
        """Draws one part; every call gives the same images."""
        count = self.count if part == "train" else max(64, self.count // 8)
        pixels = torch.empty(count, *self.native.shape, dtype=torch.uint8)
        attributes, features = [], []
        for piece, start in enumerate(range(0, count, PIECE)):
            seed = mix_seed(self.stream, self.design_seed, PARTS[part], piece)
            places = np.arange(start, min(start + PIECE, count))
            drawn = self.draw(part, places, np.random.default_rng(seed))
            pixels[places] = drawn.pixels.mul(255).round_().to(torch.uint8)
            attributes.append(drawn.attributes)
            features.append(drawn.features)
        self._features[part] = {
            name: torch.cat([few[name] for few in features]) for name in features[0]
        }
        labels = torch.zeros(count, dtype=torch.int64)
        return MemoryImages(pixels, labels, Notes(None, torch.cat(attributes)))

    def features(self, split: Split) -> dict[str, Tensor]:
        """Returns the exact features of all images of a split, in the split's order, by name."""
        size = len(self.images(split))
        return {name: values[:size] for name, values in self._features[split].items()}
