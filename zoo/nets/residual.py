"""Residual convolutional encoders and decoders, without any normalisation.

Latent variable models are scored by likelihood, example by example; statistics of a batch would
make one example's answer depend on its neighbours. Each block starts as the identity instead, so
that signals keep their size. Image sizes as in `zoo.nets.conv`.

Reference: He et al. 2016, arXiv:1603.05027 (blocks that activate first); starting at the identity:
Zhang et al. 2019, arXiv:1901.09321.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.nets.conv import channels_at, halvings

__all__ = ["ResidualDecoder", "ResidualEncoder"]

WIDEST = 4  # channels stop growing at this multiple of the width


class Block(nn.Module):
    """Adds to a feature map what two convolutions see in it; adds nothing at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU(), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns a feature map of the same shape."""
        return x + self.layers(x)


class ResidualEncoder(nn.Module):
    """Maps an image to a vector.

    Args:
        channels: Channels of the image.
        height: Height of the image.
        width: Width of the image.
        base: Channels of the finest feature map, doubled at each coarser one, up to fourfold; see
            `channels_at`.
        outputs: Length of the vector.
        depth: Residual blocks at each size.

    Shape: (B, channels, height, width) -> (B, outputs).

    Raises:
        UserError: if the image size does not fit.
    """

    def __init__(
        self, channels: int, height: int, width: int, base: int, outputs: int, depth: int = 1
    ) -> None:
        super().__init__()
        times, wide = halvings(height, width), channels
        layers: list[nn.Module] = []
        for level in range(times):
            before, wide = wide, channels_at(base, level, times, WIDEST)
            layers += [nn.SiLU()] if level else []
            layers.append(nn.Conv2d(before, wide, 4, 2, 1))
            layers += [Block(wide) for _ in range(depth)]
        flat = wide * (height // 2**times) * (width // 2**times)
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Flatten(), nn.Linear(flat, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a batch, example by example."""
        return self.layers(x)


class ResidualDecoder(nn.Module):
    """Maps a vector to numbers for every pixel.

    Args:
        inputs: Length of the vector.
        channels: Numbers for each pixel.
        height: Height of the image.
        width: Width of the image.
        base: Channels of the finest feature map, doubled at each coarser one, up to fourfold; see
            `channels_at`.
        depth: Residual blocks at each size.

    Shape: (B, inputs) -> (B, channels, height, width).

    Raises:
        UserError: if the image size does not fit.
    """

    def __init__(
        self, inputs: int, channels: int, height: int, width: int, base: int, depth: int = 1
    ) -> None:
        super().__init__()
        times = halvings(height, width)
        wide = channels_at(base, times - 1, times, WIDEST)
        shape = (wide, height // 2**times, width // 2**times)
        layers: list[nn.Module] = [
            nn.Linear(inputs, shape[0] * shape[1] * shape[2]),
            nn.Unflatten(1, shape),
        ]
        for level in range(times - 1, -1, -1):
            layers += [Block(wide) for _ in range(depth)]
            after = channels_at(base, level - 1, times, WIDEST) if level else channels
            layers += [nn.SiLU(), nn.ConvTranspose2d(wide, after, 4, 2, 1)]
            wide = after
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Returns numbers of any range, shape (B, channels, height, width)."""
        return self.layers(z)
