"""Three MNIST digits in the channels of one image: a thousand modes that can be counted."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.data.images import FileImages, Images
from zoo.data.loader import mix_seed
from zoo.data.module import Binarize, ImageData, Split
from zoo.data.registry import DATASETS
from zoo.data.vision import MNIST

__all__ = ["StackedMNIST"]

STACKS_SEED = 20171214  # decides for ever which digits are stacked; arbitrary
COUNTS = {"train": 128_000, "val": 10_000, "test": 26_000}
PARTS = {"train": 0, "val": 1, "test": 2}


class _Stacks(FileImages):
    """Stacks made when they are asked for: three indices each instead of three images.

    Args:
        digits: Single digits, shape (N, 1, 28, 28).
        chosen: Which digits make the channels of each stack, shape (M, 3).
    """

    def __init__(self, digits: Images, chosen: Tensor) -> None:
        self.digits, self.chosen = digits, chosen
        red, green, blue = digits.labels[chosen].unbind(dim=1)
        self.labels = 100 * red + 10 * green + blue

    def __getitem__(self, index: int) -> Tensor:
        return self.fetch(torch.tensor([index]))[0]

    def fetch(self, indices: Tensor) -> Tensor:
        """Stacks digits; uint8, shape (B, 3, 28, 28)."""
        pixels = self.digits.fetch(self.chosen[indices].flatten())
        return pixels.view(len(indices), 3, *pixels.shape[2:])


@DATASETS.register
class StackedMNIST(ImageData):
    """128,000 + 10,000 + 26,000 images with an MNIST digit in each channel: 1,000 modes.

    The label is 100 r + 10 g + b for the digits r, g and b. Each part is stacked from the part of
    MNIST of the same name, so no digit that was trained on is validated or tested on.

    Args:
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        batch_size: See `ImageData`, like the arguments that follow.
        resize: Resizes the images.
        pad: Pads them with black, after resizing.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all 10,000.
        workers: Processes that stack; needed only for speed.
        seed: Decides the order of training images; the stacks never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: Metz et al. 2017, arXiv:1611.02163; the counts are those of Lin et al. 2018
    (PacGAN), arXiv:1712.04086. Deviation: they stack for training from all 70,000 digits.
    """

    native = ImageSpec(channels=3, height=28, width=28, classes=1000)
    default_val_size: ClassVar[int | None] = None
    own_val: ClassVar[bool] = True
    needs: ClassVar[str] = MNIST.needs
    channel_data: ClassVar[str] = "MNIST"
    """The data set whose images lie in the channels; its label is a digit of ours to base 10."""

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 128,
        resize: int | None = None,
        pad: int | None = None,
        binarize: Binarize = "none",
        val_size: int | None = None,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(root, batch_size, resize, pad, binarize, val_size, workers, seed)
        self._mnist = MNIST(root=root)

    def ensure(self, part: Split) -> None:
        """Downloads the files of MNIST that the part is stacked from."""
        self._mnist.ensure("test" if part == "test" else "train")

    def read(self, part: Split) -> Images:
        """Returns one part; every call stacks the same digits."""
        digits = self._mnist.images(part)
        generator = torch.Generator().manual_seed(mix_seed(STACKS_SEED, PARTS[part]))
        chosen = torch.randint(len(digits), (COUNTS[part], 3), generator=generator)
        return _Stacks(digits, chosen)
