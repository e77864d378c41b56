"""The networks of text-to-image generation in two stages: text, Stage I, Stage II, discriminator.

Images are halved until their smaller side lies between 4 and 7, as in `zoo.nets.conv`. Stage I
works at half of the image's height and width, with one halving less.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zoo.functional.ranges import at_least_float32
from zoo.nets.conv import halvings

__all__ = [
    "Augmentation",
    "JointDiscriminator",
    "JointHead",
    "Stage",
    "StageOne",
    "StageTwo",
    "TextEncoder",
    "Trunk",
    "embedding",
]

WIDEST = 8  # channels stop growing at this multiple of the width


def _wide(base: int, level: int) -> int:
    return base * min(2**level, WIDEST)


class TextEncoder(nn.Module):
    """Maps a caption to a vector by a recurrent network that reads it in both directions.

    Args:
        words: Size of the vocabulary, without padding.
        features: Length of the vector.

    Shape: tokens (B, T), int64, 0 for padding after the words -> (B, features).
    """

    def __init__(self, words: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, 64)
        self.ahead = nn.GRU(64, features // 2, batch_first=True)
        self.back = nn.GRU(64, features // 2, batch_first=True)
        self.project = nn.Linear(features // 2 * 2, features)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns vectors, shape (B, features); float32 also under mixed precision."""
        length = (tokens > 0).sum(dim=1, keepdim=True)
        place = torch.arange(tokens.shape[1], device=tokens.device)
        # Padding stays behind the words in both directions, so that it is never read before them.
        turned = tokens.gather(1, torch.where(place < length, length - 1 - place, place))
        with torch.autocast(tokens.device.type, enabled=False):
            padding = (tokens == 0)[:, :, None]
            peaks = []
            for reader, text in ((self.ahead, tokens), (self.back, turned)):
                states, _ = reader(self.embedding(text))  # (B, T, features / 2), in (-1, 1)
                peaks.append(states.masked_fill(padding, -1.0).amax(dim=1))
            return self.project(torch.cat(peaks, dim=1))


class Trunk(nn.Module):
    """Maps an image to a small feature map by strided convolutions.

    Args:
        channels: Channels of the image.
        height: Height of the image.
        width: Width of the image.
        base: Channels of the finest feature map; doubled at each coarser one.
        times: Halvings.

    Shape: (B, channels, height, width) -> (B, self.shape).
    """

    def __init__(self, channels: int, height: int, width: int, base: int, times: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, base, 4, 2, 1) if times else nn.Conv2d(channels, base, 3, 1, 1)
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)]
        for level in range(1, times):
            layers += [
                nn.Conv2d(_wide(base, level - 1), _wide(base, level), 4, 2, 1, bias=False),
                nn.BatchNorm2d(_wide(base, level)),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers)
        top = _wide(base, max(times - 1, 0))
        self.shape = (top, height // 2**times, width // 2**times)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the feature map."""
        return self.layers(x)


class JointHead(nn.Module):
    """Decides from a feature map and a text vector together, as the paper's discriminator does.

    It has no batch normalisation: a batch of mismatched pairs would lose the very mean that tells
    it from a batch of matching ones.

    Args:
        shape: Shape of the feature map.
        features: Length of the text vector.
        condition: Length that the text vector is compressed to before it is laid over the map.

    Shape: (B, *shape), (B, features) -> (B,).
    """

    def __init__(self, shape: tuple[int, int, int], features: int, condition: int) -> None:
        super().__init__()
        top = shape[0]
        self.compress = nn.Sequential(nn.Linear(features, condition), nn.LeakyReLU(0.2))
        self.joint = nn.Sequential(
            nn.Conv2d(top + condition, top, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(top, 1, shape[1:]),
        )

    def forward(self, seen: Tensor, text: Tensor) -> Tensor:
        """Returns logits, shape (B,)."""
        laid = self.compress(text)[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        return self.joint(torch.cat([seen, laid.to(seen.dtype)], dim=1)).flatten()


def _up(wide: int, narrow: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
    ]


class StageOne(nn.Module):
    """Maps noise and a condition to an image of half the height and width: Stage I.

    Args:
        latent: Length of noise and condition together.
        channels: Channels of the image.
        height: Height of the whole image.
        width: Width of the whole image.
        base: Channels of the finest feature map; doubled at each coarser one.

    Shape: noise (B, N), condition (B, latent - N) -> logits (B, channels, height / 2, width / 2).
    """

    def __init__(self, latent: int, channels: int, height: int, width: int, base: int) -> None:
        super().__init__()
        times = halvings(height, width)
        top = _wide(base, times - 1)
        self.seed_shape = (top, height // 2**times, width // 2**times)
        flat = top * self.seed_shape[1] * self.seed_shape[2]
        self.project = nn.Sequential(nn.Linear(latent, flat, bias=False), nn.BatchNorm1d(flat))
        layers: list[nn.Module] = [nn.ReLU()]
        for level in range(times - 1, 0, -1):
            layers += _up(_wide(base, level), _wide(base, level - 1))
        self.layers = nn.Sequential(*layers, nn.Conv2d(base, channels, 3, 1, 1))

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Returns logits of pixels."""
        latent = torch.cat([z, condition], dim=1)
        return self.layers(self.project(latent).unflatten(1, self.seed_shape))


class _Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


class StageTwo(nn.Module):
    """Reads a Stage I image and the condition again, and draws the image at its full size.

    Args:
        channels: Channels of the image.
        condition: Length of the condition.
        base: Channels of the finest feature map; 4 times as many where it works coarsely.
        blocks: Residual blocks.
        corrects: Whether the output is added to the enlarged small image instead of replacing it.

    Shape: image in [0, 1] (B, C, h, w), condition (B, condition) -> logits (B, C, 2h, 2w). The
    small image's height and width must be even.
    """

    def __init__(
        self, channels: int, condition: int, base: int, blocks: int = 2, corrects: bool = False
    ) -> None:
        super().__init__()
        wide = 4 * base
        self.corrects = corrects
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 2 * base, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(2 * base, wide, 4, 2, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        )
        self.joint = nn.Sequential(
            nn.Conv2d(wide + condition, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()
        )
        self.residual = nn.Sequential(*[_Residual(wide) for _ in range(blocks)])
        self.decoder = nn.Sequential(
            *_up(wide, 2 * base), *_up(2 * base, base), nn.Conv2d(base, channels, 3, 1, 1)
        )

    def forward(self, small: Tensor, condition: Tensor) -> Tensor:
        """Returns logits of pixels."""
        seen = self.encoder(small.to(condition.dtype))
        laid = condition[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        drawn = self.decoder(self.residual(self.joint(torch.cat([seen, laid], dim=1))))
        if not self.corrects:
            return drawn
        large = nn.functional.interpolate(small, scale_factor=2.0, mode="bilinear")
        return torch.logit(at_least_float32(large), eps=0.01) + drawn


class Augmentation(nn.Module):
    """Draws a condition from the normal law that a caption's embedding stands for.

    Args:
        features: Length of the embedding.
        condition: Length of the condition.

    Shape: (B, features), noise (B, condition) -> condition, mean and log variance of its law,
    each (B, condition), float32 also under mixed precision.

    Reference: Zhang et al. 2017, arXiv:1612.03242, Section 3.2.
    """

    def __init__(self, features: int, condition: int) -> None:
        super().__init__()
        self.law = nn.Linear(features, 2 * condition)

    def forward(self, text: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the condition, its mean and its log variance."""
        with torch.autocast(text.device.type, enabled=False):
            mean, log_var = self.law(text.to(self.law.weight.dtype)).chunk(2, dim=1)
            return mean + (log_var / 2).exp() * noise, mean, log_var


class Stage(nn.Module):
    """A generator of one stage: conditioning augmentation, and the network that it feeds.

    Args:
        augment: The augmentation.
        network: `StageOne` or `StageTwo`.
    """

    def __init__(self, augment: Augmentation, network: nn.Module) -> None:
        super().__init__()
        self.augment, self.network = augment, network

    def forward(self, given: Tensor, text: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns images in [0, 1], and mean and log variance of the condition's law.

        ``given`` is the noise z in Stage I, and the sketch in Stage II.
        """
        condition, mean, log_var = self.augment(text, noise)
        return at_least_float32(self.network(given, condition)).sigmoid(), mean, log_var


def embedding(shape: tuple[int, int, int], features: int) -> nn.Sequential:
    """Returns a layer that maps feature maps of this shape to embeddings, (B, features)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), features))


class JointDiscriminator(nn.Module):
    """A trunk that sees the image, and a head that reads the caption as well.

    Args:
        trunk: The trunk.
        features: Length of a caption's embedding, and of the image's.
        condition: Length that the caption's is compressed to.
        embeds: Whether images are embedded beside captions as well.
    """

    def __init__(self, trunk: Trunk, features: int, condition: int, embeds: bool = False) -> None:
        super().__init__()
        self.trunk, self.head = trunk, JointHead(trunk.shape, features, condition)
        self.embed = embedding(trunk.shape, features) if embeds else nn.Identity()

    def forward(self, x: Tensor, *texts: Tensor) -> tuple[Tensor, ...]:
        """Embeds images and judges them with each of several captions.

        Returns:
            The embedding, shape (B, features), or the feature map where there is none; then logits
            of shape (B,) for each of ``texts``.
        """
        seen = self.trunk(x)
        return self.embed(seen).to(x.dtype), *(self.head(seen, t).to(x.dtype) for t in texts)
