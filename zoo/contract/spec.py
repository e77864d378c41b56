"""What a model learns about its data: shapes, never names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

from zoo.core.errors import UserError

__all__ = ["Batch", "ImageSpec"]


@dataclass(frozen=True)
class ImageSpec:
    """The shape of a data set's images and the number of its classes.

    Args:
        channels: 1 for grey, 3 for colour.
        height: Rows of pixels.
        width: Columns of pixels.
        classes: Number of labels, 0 where there are none.
        words: Vocabulary of the captions, token 1 first (0 is padding); empty without captions.
        attributes: Name of each attribute that is known of every image, and how many values it
            can take.
    """

    channels: int
    height: int
    width: int
    classes: int = 0
    words: tuple[str, ...] = ()
    attributes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuses impossible shapes."""
        if min(self.channels, self.height, self.width) < 1 or self.classes < 0:
            raise UserError(f"an image needs at least one pixel and no negative classes: {self}.")
        # A specification that comes back from JSON has lists in the place of tuples.
        object.__setattr__(self, "words", tuple(self.words))
        pairs = tuple((str(name), int(values)) for name, values in self.attributes)
        object.__setattr__(self, "attributes", pairs)

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
        caption: A caption of each image as tokens of `ImageSpec.words`, shape (B, T), int64, 0
            for padding; None where the data set has none.
        attributes: Value of each of `ImageSpec.attributes`, shape (B, A), int64, or None.
    """

    image: Tensor
    label: Tensor
    caption: Tensor | None = None
    attributes: Tensor | None = None
