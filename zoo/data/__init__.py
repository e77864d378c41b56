"""The data sets, each registered under its short name and imported when it is asked for.

Example:
    >>> from zoo.data import DATASETS
    >>> data = DATASETS["Digits"](batch_size=32)
    >>> data.spec.shape
    (1, 8, 8)

The package itself can be called, and makes a data set of what a person holds in memory: see `wrap`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.core.lazy import lazily
from zoo.data.registry import DATASETS

if TYPE_CHECKING:
    from zoo.contract.spec import Batch, ImageSpec
    from zoo.data.captioned import CaptionedFolder
    from zoo.data.celeba import CelebA
    from zoo.data.digit_pairs import DigitPairs, DigitTriples
    from zoo.data.digits import Digits
    from zoo.data.dots import Dots
    from zoo.data.folder import ImageFolder
    from zoo.data.module import ImageData
    from zoo.data.own import OwnData, wrap
    from zoo.data.pies import Pie
    from zoo.data.shapes import CaptionedShapes
    from zoo.data.sprites import DSprites, Sprites
    from zoo.data.stacked import StackedMNIST
    from zoo.data.toys import GaussianGrid, GaussianRing, TwoMoons
    from zoo.data.two_objects import TwoObjects
    from zoo.data.vision import CIFAR10, KMNIST, MNIST, SVHN, FashionMNIST

__all__ = [
    "CIFAR10",
    "DATASETS",
    "KMNIST",
    "MNIST",
    "SVHN",
    "Batch",
    "CaptionedFolder",
    "CaptionedShapes",
    "CelebA",
    "DSprites",
    "DigitPairs",
    "DigitTriples",
    "Digits",
    "Dots",
    "FashionMNIST",
    "GaussianGrid",
    "GaussianRing",
    "ImageData",
    "ImageFolder",
    "ImageSpec",
    "OwnData",
    "Pie",
    "Sprites",
    "StackedMNIST",
    "TwoMoons",
    "TwoObjects",
    "wrap",
]

_ELSEWHERE = {
    "Batch": "zoo.contract.spec",
    "ImageData": "zoo.data.module",
    "ImageSpec": "zoo.contract.spec",
    "OwnData": "zoo.data.own",
    "wrap": "zoo.data.own",
}

__getattr__, __dir__ = lazily(__name__, {**DATASETS.homes, **_ELSEWHERE}, ["DATASETS"])


class _Callable(ModuleType):
    """A module that can be called: ``zoo.data(array)`` is ``zoo.data.wrap(array)``."""

    def __call__(self, data: Any, **options: Any) -> Any:
        from zoo.data.own import wrap

        return wrap(data, **options)


sys.modules[__name__].__class__ = _Callable
