"""Images by index: in memory, in files decoded when asked for, changed, or some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = [
    "FileImages",
    "Images",
    "MappedImages",
    "MemoryImages",
    "Notes",
    "changed",
    "subset",
    "unit_range",
]


class Notes(NamedTuple):
    """What is known of images besides their labels.

    Args:
        captions: K captions of each image as tokens, shape (N, K, T), 0 for padding; an image
            with fewer captions repeats some. None where there are none.
        attributes: Values of attributes, shape (N, A), or None where they are not known.
    """

    captions: Tensor | None
    attributes: Tensor | None = None

    def at(self, indices: Tensor) -> Notes:
        """Returns the notes on some of the images."""
        return Notes(*[None if note is None else note[indices] for note in self])


class Images(Protocol):
    """A data set's images, fetched by index: as bytes, or where they are no pixels, as floats."""

    labels: Tensor
    notes: Notes | None

    def __len__(self) -> int: ...

    def fetch(self, indices: Tensor) -> Tensor:
        """Returns uint8 images, or float32 points in [0, 1], shape (B, C, H, W)."""
        ...


class MemoryImages:
    """Decoded images in memory.

    Args:
        pixels: uint8, or float32 in [0, 1], shape (N, C, H, W).
        labels: int64, shape (N,).
        notes: What else is known of them.
    """

    def __init__(self, pixels: Tensor, labels: Tensor, notes: Notes | None = None) -> None:
        self.pixels = pixels
        self.labels = labels
        self.notes = notes

    def __len__(self) -> int:
        return len(self.pixels)

    def fetch(self, indices: Tensor) -> Tensor:
        """Returns images as they are stored, shape (B, C, H, W)."""
        return self.pixels[indices]


class FileImages:
    """Images that are decoded when asked for, by worker processes. To be subclassed.

    Workers get a copy, so a subclass holds plain values: paths and numbers, no open files, and
    nothing that leads back to a datamodule.
    """

    labels: Tensor
    notes: Notes | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tensor:
        """Decodes one image to uint8, shape (C, H, W).

        Raises:
            UserError: if it cannot be decoded; the message names the file.
        """
        raise NotImplementedError

    def fetch(self, indices: Tensor) -> Tensor:
        """Decodes images in this process; uint8, shape (B, C, H, W)."""
        return torch.stack([self[index] for index in indices.tolist()])


class MappedImages(FileImages):
    """The images of another set, each changed when it is fetched.

    Args:
        source: The other set.
        change: Maps uint8 images (B, C, H, W) and their indices (B,) to uint8 images.
    """

    def __init__(self, source: Images, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.source, self.change, self.labels = source, change, source.labels
        self.notes = source.notes

    def __getitem__(self, index: int) -> Tensor:
        return self.fetch(torch.tensor([index]))[0]

    def fetch(self, indices: Tensor) -> Tensor:
        """Fetches and changes images; uint8, shape (B, C, H, W)."""
        return self.change(self.source.fetch(indices), indices)


class _Subset(FileImages):
    """Some of the images of another set."""

    def __init__(self, images: Images, indices: Tensor) -> None:
        self.source, self.indices = images, indices
        self.labels = images.labels[indices]
        self.notes = None if images.notes is None else images.notes.at(indices)

    def __getitem__(self, index: int) -> Tensor:
        return self.source.fetch(self.indices[index : index + 1])[0]

    def fetch(self, indices: Tensor) -> Tensor:
        """Fetches images by their place in this subset; uint8, shape (B, C, H, W)."""
        return self.source.fetch(self.indices[indices])


def changed(images: Images, change: Callable[[Tensor, Tensor], Tensor]) -> Images:
    """Changes images by a function of (pixels, indices): at once in memory, else when fetched."""
    if not isinstance(images, MemoryImages):
        return MappedImages(images, change)
    if len(images) == 0:
        return images
    # In pieces, because a change may need several times the memory of what it changes.
    pieces = [change(images.fetch(part), part) for part in torch.arange(len(images)).split(4096)]
    return MemoryImages(torch.cat(pieces), images.labels, images.notes)


def subset(images: Images, indices: Tensor) -> Images:
    """Returns the images at these indices; a copy if they live in memory."""
    if isinstance(images, MemoryImages):
        notes = None if images.notes is None else images.notes.at(indices)
        return MemoryImages(images.pixels[indices], images.labels[indices], notes)
    return _Subset(images, indices)


def unit_range(pixels: Tensor) -> Tensor:
    """Brings what a data set stores to float32 in [0, 1]: bytes are divided by 255.

    Points of the plane are stored as float32 in [0, 1] already, and stay what they are.

    Example:
        >>> unit_range(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """
    return pixels if pixels.is_floating_point() else pixels.to(torch.float32).div_(255)
