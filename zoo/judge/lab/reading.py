"""Reads the features of images that a model drew, by the reader that its data set names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.core.errors import UserError
from zoo.data.designed import DesignedData
from zoo.functional.readers import certain, dots, pies

__all__ = ["READERS", "read_features"]

# Probability from which on the digits' classifier is believed. Of MNIST's own digits it then
# misreads fewer than one in a thousand, and cannot tell about one or two in a hundred: what is only
# misread stays below the share from which on a combination counts as present.
BELIEVED = 0.9


def _dots(data: DesignedData, images: Tensor) -> dict[str, Tensor]:
    return {"count": dots(images)}


def _pies(data: DesignedData, images: Tensor) -> dict[str, Tensor]:
    return pies(images)._asdict()


def _digits(data: DesignedData, images: Tensor) -> dict[str, Tensor]:
    """Cuts images into their digits, and lets the classifier of MNIST on the shelf read each."""
    from zoo.shelf.weights import load

    network = load(f"features_{data.digit_data.lower()}")  # type: ignore[attr-defined]
    parts = data.parts(images)  # type: ignore[attr-defined]  # (B, places, 1, 28, 28)
    read = certain(network.probabilities(parts.flatten(0, 1)), BELIEVED).view(parts.shape[:2])
    names = [name for name, _ in data.spec.attributes]
    return dict(zip(names, read.unbind(dim=1), strict=True))


READERS: dict[str, Callable[[DesignedData, Tensor], dict[str, Tensor]]] = {
    "dots": _dots,
    "pies": _pies,
    "digits": _digits,
}


def read_features(data: DesignedData, images: Tensor) -> dict[str, Tensor]:
    """Reads every feature of images like those of a data set.

    Args:
        data: The designed data set.
        images: Images in [0, 1] of its shape, (B, C, H, W).

    Returns:
        By name, shape (B,): int64 with -1 for "cannot tell", or float32 with NaN.

    Raises:
        UserError: if there is no reader for this data set.
    """
    kind = getattr(data, "reader", "")
    if kind not in READERS:
        raise UserError(f"there is no reader for {data.name} yet; see zoo.functional.readers.")
    with torch.no_grad():
        return READERS[kind](data, images)
