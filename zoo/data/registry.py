"""The registry of data sets: which there are, and where each one stands.

Importing a data set registers it; a name is known before, without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.core.registry import Registry

if TYPE_CHECKING:
    from zoo.data.module import ImageData

__all__ = ["DATASETS"]

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
        "GaussianGrid": "zoo.data.toys",
        "GaussianRing": "zoo.data.toys",
        "TwoMoons": "zoo.data.toys",
    },
)
