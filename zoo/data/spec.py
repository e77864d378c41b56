"""What a model learns about its data: shapes, never names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from zoo.errors import UserError

__all__ = ["Batch", "ImageSpec"]


@dataclass(frozen=True)
class ImageSpec:
    """The shape of a data set's images and the number of its classes.

    Args:
        channels: 1 for grey, 3 for colour.
        height: Rows of pixels.
        width: Columns of pixels.
        classes: Number of labels, 0 where there are none.
    """

    channels: int
    height: int
    width: int
    classes: int = 0

    def __post_init__(self) -> None:
        """Refuses impossible shapes."""
        if min(self.channels, self.height, self.width) < 1 or self.classes < 0:
            raise UserError(f"an image needs at least one pixel and no negative classes: {self}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def points(self) -> bool:
        """Whether the images are points of the plane: one pixel with two channels."""
        return self.shape == (2, 1, 1)

    @property
    def size(self) -> int:
        """Numbers per image."""
        return self.channels * self.height * self.width


class Batch(NamedTuple):
    """What a loader yields.

    Args:
        image: Images in [0, 1], shape (B, C, H, W), float32.
        label: Labels, shape (B,), int64; all 0 where the data set has none.
    """

    image: Tensor
    label: Tensor
