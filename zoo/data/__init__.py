"""Floor 1: the data sets, each registered under its short name.

Example:
    >>> from zoo.data import DATASETS
    >>> data = DATASETS["Digits"](batch_size=32)
    >>> data.spec.shape
    (1, 8, 8)
"""

from zoo.data.digits import Digits
from zoo.data.module import DATASETS, ImageData
from zoo.data.spec import Batch, ImageSpec

__all__ = ["DATASETS", "Batch", "Digits", "ImageData", "ImageSpec"]
