"""Real handwriting that ships inside scikit-learn: the data set that is always there."""

from __future__ import annotations

from typing import ClassVar

import torch

from zoo.contract.spec import ImageSpec
from zoo.data.images import MemoryImages
from zoo.data.module import SPLIT_SEED, ImageData, Split
from zoo.data.registry import DATASETS

__all__ = ["Digits"]

TEST_SIZE = 360


@DATASETS.register
class Digits(ImageData):
    """1,797 handwritten digits of 8x8 pixels, needing no download; 360 of them are the test set.

    Reference: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits, test part,
    as shipped by scikit-learn. That part has no split of its own; ours is fixed by the zoo's seed.
    """

    native = ImageSpec(channels=1, height=8, width=8, classes=10)
    default_val_size: ClassVar[int] = 180
    needs: ClassVar[str] = "nothing: it ships with scikit-learn"

    def read(self, part: Split) -> MemoryImages:
        """Returns one part; the 17 grey levels are spread over 0 to 255."""
        from sklearn.datasets import load_digits  # a slow import that only this data set needs

        values, labels = load_digits(return_X_y=True)
        grey = torch.from_numpy(values).view(-1, *self.native.shape)  # 0..16
        pixels = (grey * (255 / 16)).round().to(torch.uint8)
        digits = MemoryImages(pixels, torch.from_numpy(labels).long())
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        shuffled = torch.randperm(len(digits), generator=generator)
        chosen = shuffled[:-TEST_SIZE] if part == "train" else shuffled[-TEST_SIZE:]
        kept = chosen.sort().values
        return MemoryImages(digits.pixels[kept], digits.labels[kept])
