"""Residual networks of the WGAN-GP paper for colour images, for every image size of the zoo.

Reference: Gulrajani et al. 2017, arXiv:1704.00028, the ResNet for CIFAR-10 (a linear layer, three
blocks that double the image; two that halve it and two that do not). Deviations: as many blocks
that halve or double as the image size asks for, and any number of channels instead of 128; from 128
pixels on, every further block at the fine end has half the channels (`channels_at`).
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nets.conv import channels_at, halvings

__all__ = ["ResNetCritic", "ResNetGenerator"]

FLAT = 2  # blocks of the critic that keep the size


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    """Returns a 3x3 convolution that keeps the size, with He's initialisation."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class UpBlock(nn.Module):
    """Doubles a feature map and adds what two convolutions see in it.

    Shape: (B, inputs, H, W) -> (B, outputs, 2 H, 2 W).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _conv(inputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            _conv(outputs, outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Doubles the feature map."""
        # A 1x1 convolution and the repetition of pixels may change places: this order is cheaper.
        return self.layers(x) + F.interpolate(self.shortcut(x), scale_factor=2)


class DownBlock(nn.Module):
    """Adds to a feature map, halved or not, what two convolutions see in it.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        halve: Whether to halve the image by averaging.
        first: Whether the input is an image, which is not rectified.

    Shape: (B, inputs, H, W) -> (B, outputs, H / 2, W / 2), or H and W if not halved.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool, first: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Identity() if first else nn.ReLU(),
            _conv(inputs, outputs),
            nn.ReLU(),
            _conv(outputs, outputs),
            nn.AvgPool2d(2) if halve else nn.Identity(),
        )
        # Averaging first is the same as averaging after a 1x1 convolution, and cheaper.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2) if halve else nn.Identity(),
            nn.Conv2d(inputs, outputs, 1) if halve else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns the new feature map."""
        return self.layers(x) + self.shortcut(x)


class ResNetGenerator(nn.Module):
    """Maps a latent vector to pre-sigmoid pixels.

    Args:
        latent: Length of the latent vector.
        channels: Channels of the image.
        height: Height of the image.
        width: Width of the image.
        base: Channels of all feature maps (128 in the paper); see `channels_at`.

    Shape: (B, latent) -> (B, channels, height, width).

    Raises:
        UserError: if the image size does not fit.
    """

    def __init__(self, latent: int, channels: int, height: int, width: int, base: int) -> None:
        super().__init__()
        times = halvings(height, width)
        seed = (base, height // 2**times, width // 2**times)
        # A block's output is a level finer than the maps of `channels_at`, up to the image itself.
        wide = [base, *(channels_at(base, level, times, 1) for level in range(times - 1, -1, -1))]
        self.layers = nn.Sequential(
            nn.Linear(latent, seed[0] * seed[1] * seed[2]),
            nn.Unflatten(1, seed),
            *(UpBlock(before, after) for before, after in pairwise(wide)),
            nn.BatchNorm2d(wide[-1]),
            nn.ReLU(),
            _conv(wide[-1], channels),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Returns logits of pixels, shape (B, channels, height, width)."""
        return self.layers(z)


class ResNetCritic(nn.Module):
    """Maps an image to a vector, with no normalisation: no score depends on another image.

    Args:
        channels: Channels of the image.
        height: Height of the image.
        width: Width of the image.
        base: Channels of all feature maps, and length of the vector (128 in the paper).

    Shape: (B, channels, height, width) -> (B, base).

    Raises:
        UserError: if the image size does not fit.
    """

    def __init__(self, channels: int, height: int, width: int, base: int) -> None:
        super().__init__()
        times = halvings(height, width)
        halving = max(1, times - 1)
        wide = [channels_at(base, level, times, 1) for level in range(halving)]
        self.layers = nn.Sequential(
            DownBlock(channels, wide[0], halve=True, first=True),
            *(DownBlock(before, after, halve=True) for before, after in pairwise(wide)),
            *(DownBlock(base, base, halve=False) for _ in range(FLAT)),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns features, shape (B, base)."""
        return self.layers(x)
