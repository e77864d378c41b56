"""Two or three MNIST digits in one image: combinations of which only some are ever shown."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.core.text import quoted
from zoo.data.designed import DesignedData, Drawn, pick_combinations
from zoo.data.images import MemoryImages
from zoo.data.module import Binarize, Split
from zoo.data.registry import DATASETS
from zoo.data.vision import MNIST

__all__ = ["DigitPairs", "DigitTriples"]

PLACES = ("first", "second", "third")


class _Combined(DesignedData):
    """Digits in fixed places of an image; a subclass says how many, and how they lie.

    Which digits of MNIST are drawn from follows its own split: no handwriting that was trained on
    is validated or tested on. Validation and test images show the same combinations.
    """

    kinds = ("image", "label", "attributes")
    needs: ClassVar[str] = MNIST.needs
    reader: ClassVar[str] = "digits"
    digit_data: ClassVar[str] = "MNIST"
    """The data set whose images lie in the places; its classifier reads them."""
    places: ClassVar[int]

    def __init__(
        self,
        root: str | None,
        named: tuple[str, ...],
        combinations: int,
        images: int,
        batch_size: int,
        binarize: Binarize,
        val_size: int | None,
        design_seed: int,
        seed: int,
    ) -> None:
        super().__init__(images, batch_size, binarize, val_size, design_seed, seed, root)
        if named and combinations:
            raise UserError("name the combinations, or say by --data.combinations how many.")
        self.combinations = (
            _named(named, self.places)
            if named
            else pick_combinations(
                torch.cartesian_prod(*[torch.arange(10)] * self.places), combinations, design_seed
            )
        )
        self._mnist = MNIST(root=root)
        self._of_digit: dict[Split, list[Tensor]] = {}

    def ensure(self, part: Split) -> None:
        """Downloads the files of MNIST that the part is made of."""
        self._mnist.ensure("test" if part == "test" else "train")

    def parts(self, x: Tensor) -> Tensor:
        """Cuts images into their digits: (B, C, H, W) becomes (B, places, 1, 28, 28)."""
        raise NotImplementedError

    def joined(self, digits: Tensor) -> Tensor:
        """Puts digits (B, places, 28, 28) into images (B, C, H, W)."""
        raise NotImplementedError

    def draw(self, part: Split, places: np.ndarray, random: np.random.Generator) -> Drawn:
        """Draws a combination for each image, and for each digit of it one of MNIST's."""
        source = self._mnist.images(part)
        if part not in self._of_digit:
            self._of_digit[part] = [(source.labels == d).nonzero().flatten() for d in range(10)]
        chosen = random.integers(len(self.combinations), size=len(places))
        digits = self.combinations[torch.from_numpy(chosen)]
        ticket = random.random(digits.shape)
        which = torch.empty_like(digits)
        for digit, those in enumerate(self._of_digit[part]):
            asked = digits == digit
            at = torch.from_numpy((ticket[asked.numpy()] * len(those)).astype(np.int64))
            which[asked] = those[at]
        pixels = source.fetch(which.flatten()).view(*which.shape, 28, 28).float() / 255
        return Drawn(self.joined(pixels), digits, {"index": which})

    def read(self, part: Split) -> MemoryImages:
        """Draws one part; the label is the combination as a number to base 10."""
        images = super().read(part)
        assert images.notes is not None and images.notes.attributes is not None
        weights = torch.tensor([10**k for k in reversed(range(self.places))])
        images.labels = (images.notes.attributes * weights).sum(dim=1)
        return images


def _named(words: tuple[str, ...], places: int) -> Tensor:
    """Reads combinations such as ``"07"``, shape (N, places)."""
    for word in words:
        if not re.fullmatch(f"[0-9]{{{places}}}", str(word)):
            raise UserError(
                f"--data.named has {quoted(word)}, which is not {places} digits in quotes."
            )
    if len(set(words)) < len(words):
        raise UserError("--data.named names a combination twice.")
    return torch.tensor(sorted([int(digit) for digit in str(word)] for word in words))


@DATASETS.register
class DigitPairs(_Combined):
    """Two MNIST digits side by side, 28x56 pixels: some of a hundred combinations.

    The label is 10 a + b for the digits a and b; the attributes are the two.

    Args:
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        named: Combinations by name, such as ``["07", "13"]``; else random ones are taken.
        combinations: Number of random combinations, 0 for all; those of a smaller number are among
            those of a larger one.
        images: Training images; validation and test have an eighth of it each.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all.
        design_seed: Decides the combinations and the images.
        seed: Decides the order of training images; the images never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: Zhao et al. 2018, Bias and Generalization in Deep Generative Models, and the authors'
    draft of a post about it, whose training set's size is not stated.
    """

    native = ImageSpec(1, 28, 56, classes=100, attributes=tuple((p, 10) for p in PLACES[:2]))
    stream: ClassVar[int] = 20181206
    places: ClassVar[int] = 2

    def __init__(
        self,
        root: str | None = None,
        named: tuple[str, ...] = (),
        combinations: int = 0,
        images: int = 16_384,
        batch_size: int = 64,
        binarize: Binarize = "none",
        val_size: int | None = None,
        design_seed: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root, named, combinations, images, batch_size, binarize, val_size, design_seed, seed
        )

    def joined(self, digits: Tensor) -> Tensor:
        """Puts digits (B, 2, 28, 28) side by side, (B, 1, 28, 56)."""
        return torch.cat(digits.unbind(dim=1), dim=2)[:, None]

    def parts(self, x: Tensor) -> Tensor:
        """Cuts images (B, 1, 28, 56) in two, (B, 2, 1, 28, 28)."""
        return torch.stack(x.chunk(2, dim=3), dim=1)


@DATASETS.register
class DigitTriples(_Combined):
    """An MNIST digit in each of three channels, 28x28 pixels: some of a thousand combinations.

    The label is 100 a + 10 b + c; the attributes are the three. With all combinations it is
    `StackedMNIST` of another size.

    Args:
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        named: Combinations by name, such as ``["007", "133"]``; else random ones are taken.
        combinations: Number of random combinations, 0 for all; those of a smaller number are among
            those of a larger one.
        images: Training images; validation and test have an eighth of it each.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all.
        design_seed: Decides the combinations and the images.
        seed: Decides the order of training images; the images never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: Zhao et al. 2018, Bias and Generalization in Deep Generative Models. How three digits
    lie in an image is told by no source that we read: channels are our choice.
    """

    native = ImageSpec(3, 28, 28, classes=1000, attributes=tuple((p, 10) for p in PLACES))
    stream: ClassVar[int] = 20181207
    places: ClassVar[int] = 3

    def __init__(
        self,
        root: str | None = None,
        named: tuple[str, ...] = (),
        combinations: int = 0,
        images: int = 16_384,
        batch_size: int = 64,
        binarize: Binarize = "none",
        val_size: int | None = None,
        design_seed: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root, named, combinations, images, batch_size, binarize, val_size, design_seed, seed
        )

    def joined(self, digits: Tensor) -> Tensor:
        """Puts digits (B, 3, 28, 28) into the channels, which they are already."""
        return digits

    def parts(self, x: Tensor) -> Tensor:
        """Takes the channels apart: (B, 3, 28, 28) becomes (B, 3, 1, 28, 28)."""
        return x[:, :, None]
