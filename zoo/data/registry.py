"""The registry of data sets: which there are, and where each one stands.

Importing a data set registers it; a name is known before, without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.core.outline import outline_of
from zoo.core.registry import Registry

if TYPE_CHECKING:
    from zoo.contract.spec import Kind
    from zoo.data.module import ImageData

__all__ = ["DATASETS", "kinds_of_all"]

DATASETS: Registry[type[ImageData]] = Registry(
    "data set",
    {
        "Digits": "zoo.data.digits",
        "MNIST": "zoo.data.vision",
        "FashionMNIST": "zoo.data.vision",
        "KMNIST": "zoo.data.vision",
        "CIFAR10": "zoo.data.vision",
        "SVHN": "zoo.data.vision",
        "StackedMNIST": "zoo.data.stacked",
        "CelebA": "zoo.data.celeba",
        "ImageFolder": "zoo.data.folder",
        "CaptionedFolder": "zoo.data.captioned",
        "CaptionedShapes": "zoo.data.shapes",
        "Sprites": "zoo.data.sprites",
        "DSprites": "zoo.data.sprites",
        "Dots": "zoo.data.dots",
        "Pie": "zoo.data.pies",
        "TwoObjects": "zoo.data.two_objects",
        "DigitPairs": "zoo.data.digit_pairs",
        "DigitTriples": "zoo.data.digit_pairs",
        "GaussianGrid": "zoo.data.toys",
        "GaussianRing": "zoo.data.toys",
        "TwoMoons": "zoo.data.toys",
    },
)


def kinds_of_all() -> dict[str, tuple[Kind, ...]]:
    """Returns what the batches of each data set hold, read from its source: nothing is imported."""
    return {name: tuple(outline_of(DATASETS, name).facts["kinds"]) for name in DATASETS}
