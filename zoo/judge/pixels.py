"""Small images in the place of features, where the shelf has no feature network for the data.

A mean over blocks of pixels knows colours and coarse shapes and nothing else; distances of such
features compare models on the same data with each other, and with no paper.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.judge.score import Features

__all__ = ["PixelFeatures", "pixels"]

SIDE = 8  # of the small images


class PixelFeatures(Features):
    """Means of pixels over an 8x8 grid, or the pixels of smaller images; no classes."""

    @property
    def classes(self) -> int:
        """None of the data's own classes are known."""
        return 0

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images in [0, 1] to features (B, F) and to one class, of probability 1 (B, 1)."""
        height, width = (min(SIDE, side) for side in images.shape[2:])
        small = F.adaptive_avg_pool2d(images.float(), (height, width)).flatten(1)
        return small, torch.ones(len(small), 1)


def pixels(spec: ImageSpec) -> PixelFeatures:
    """Returns them for images of a shape, which their name says."""
    height, width = (min(SIDE, side) for side in (spec.height, spec.width))
    name = f"pixels-{height}x{width}"
    network: Any = torch.nn.Identity()
    return PixelFeatures(name, network, name)
