"""Convolutional networks of the DCGAN kind, for every image size of the zoo.

Both networks halve or double the image until its smaller side lies between 4 and 7, so one file
serves 8x8, 28x28, 32x32 and 64x64 images, grey or colour. From 128 pixels on, every doubling of the
image adds a feature map of half the channels (`channels_at`): the arithmetic of an image grows with
the number of maps, not with that of its pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.core.errors import UserError

__all__ = ["ConvDecoder", "ConvEncoder", "channels_at", "halvings", "init_dcgan"]

SMALLEST = 4  # the smallest feature map; one more halving would leave no room for a 4x4 kernel
WIDEST = 8  # channels stop growing at this multiple of the width
WHOLE = 4  # halvings, those of 64 pixels, up to which the finest feature map has the whole width
NARROWEST = 8  # channels below which a narrow network is not made narrower


def halvings(height: int, width: int) -> int:
    """Returns how often an image can be halved until its smaller side is 4 to 7.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.

    Raises:
        UserError: if a side is not a small number times a power of two; names sizes that are.

    Example:
        >>> halvings(28, 28), halvings(64, 64)
        (2, 4)
    """
    times, small = 0, min(height, width)
    while small >= 2 * SMALLEST:
        small //= 2
        times += 1
    if times == 0 or height % 2**times or width % 2**times:
        raise UserError(
            f"image size {height}x{width} does not fit the convolutional networks: each side must "
            "be 4 to 7 times a power of two, such as 8, 12, 28, 32, 48, 64 or 128. "
            "Choose one with --data.resize or --data.pad."
        )
    return times


def channels_at(width: int, level: int, times: int, widest: int = WIDEST) -> int:
    """Returns the channels of a feature map.

    Up to images of 64 pixels (DCGAN's size) the finest map has the whole width, doubled at each
    coarser one. Larger images have further maps at the fine end, each with half the channels of
    the one below it, as the networks that drew larger images had: the same cost for every map.

    Args:
        width: The network's width.
        level: Halvings below the finest feature map.
        times: Halvings of the image in all.
        widest: Multiple of the width at which channels stop growing.

    Reference: Radford et al. 2016, arXiv:1511.06434, Figure 1; Karras et al. 2018,
    arXiv:1710.10196, Table 2, whose maps of 64, 128 and 256 pixels have 256, 128 and 64 channels.

    Example:
        >>> [channels_at(32, level, times=4) for level in range(4)]  # 64x64
        [32, 64, 128, 256]
        >>> [channels_at(32, level, times=6) for level in range(6)]  # 256x256
        [8, 16, 32, 64, 128, 256]
    """
    coarser = level - max(0, times - WHOLE)
    if coarser >= 0:
        return width * min(2**coarser, widest)
    return max(width // 2**-coarser, min(width, NARROWEST))


class ConvDecoder(nn.Module):
    """Maps a latent vector to pre-sigmoid pixels by transposed convolutions.

    Args:
        latent: Length of the latent vector.
        channels: Channels of the image.
        height: Height of the image.
        width: Width of the image.
        base: Channels of the finest feature map, doubled at each coarser one; see `channels_at`.
        hidden: Units of a fully connected layer before the coarsest feature map, 0 for none. With
            it, parts of the latent vector can act on one another.

    Shape: (B, latent) -> (B, channels, height, width).

    Reference: Radford et al. 2016, arXiv:1511.06434, Section 3. Deviations: 4x4 kernels, and as
    many levels as the image size asks for.
    """

    def __init__(
        self, latent: int, channels: int, height: int, width: int, base: int, hidden: int = 0
    ) -> None:
        super().__init__()
        times = halvings(height, width)
        top = channels_at(base, times - 1, times)
        self.seed_shape = (top, height // 2**times, width // 2**times)
        mixing: list[nn.Module] = []
        if hidden:
            mixing = [nn.Linear(latent, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
        flat = top * self.seed_shape[1] * self.seed_shape[2]
        self.project = nn.Sequential(*mixing, nn.Linear(hidden or latent, flat, bias=False))
        layers: list[nn.Module] = [nn.BatchNorm2d(top), nn.ReLU()]
        for level in range(times - 1, 0, -1):
            fine = channels_at(base, level - 1, times)
            layers += [
                nn.ConvTranspose2d(channels_at(base, level, times), fine, 4, 2, 1, bias=False),
                nn.BatchNorm2d(fine),
                nn.ReLU(),
            ]
        last = channels_at(base, 0, times)
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(last, channels, 4, 2, 1))

    def forward(self, z: Tensor) -> Tensor:
        """Returns logits of pixels, shape (B, C, H, W)."""
        return self.layers(self.project(z).unflatten(1, self.seed_shape))


class ConvEncoder(nn.Module):
    """Maps an image to a feature vector by strided convolutions.

    Args:
        channels: Channels of the image.
        height: Height of the image.
        width: Width of the image.
        base: Channels of the finest feature map, doubled at each coarser one; see `channels_at`.
        features: Length of the feature vector.
        norm: Whether to normalise by batch statistics (never in a critic with a gradient penalty,
            which is per example).
        dropout: Share of the coarsest feature map that is dropped in training.

    Shape: (B, channels, height, width) -> (B, features).

    Reference: Radford et al. 2016, arXiv:1511.06434, Section 3. Deviations: 4x4 kernels, slope
    0.1 as in InfoGAN (arXiv:1606.03657), a fully connected feature layer.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        base: int,
        features: int,
        norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        times = halvings(height, width)
        wide = channels_at(base, 0, times)
        layers: list[nn.Module] = [nn.Conv2d(channels, wide, 4, 2, 1), nn.LeakyReLU(0.1)]
        for level in range(1, times):
            fine, wide = wide, channels_at(base, level, times)
            layers.append(nn.Conv2d(fine, wide, 4, 2, 1, bias=not norm))
            layers += [nn.BatchNorm2d(wide)] if norm else []
            layers.append(nn.LeakyReLU(0.1))
        flat = wide * (height // 2**times) * (width // 2**times)
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [nn.Flatten(), nn.Linear(flat, features, bias=not norm)]
        layers += [nn.BatchNorm1d(features)] if norm else []
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Returns features, shape (B, features)."""
        return self.layers(x)


def init_dcgan(*networks: nn.Module) -> None:
    """Draws weights from N(0, 0.02^2) and sets biases to 0, as DCGAN does (arXiv:1511.06434)."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.normal_(module.weight, 0.0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
