"""The one datamodule: every data set is this class with its own way of reading bytes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import resize as resize_pixels

from zoo.data.loader import BatchLoader, Images, MemoryImages, Order, mix_seed, subset
from zoo.data.spec import ImageSpec
from zoo.errors import UserError, did_you_mean
from zoo.registry import Registry

__all__ = ["DATASETS", "Binarize", "ImageData", "Split", "data_root", "fit_to_size"]

Binarize = Literal["none", "dynamic", "static"]
Split = Literal["train", "val", "test"]

DATASETS: Registry[type[ImageData]] = Registry("data set")

SPLIT_SEED = 20160531  # decides for ever which training images validate; arbitrary
BITS_SEED = 20160601  # decides for ever the bits of static binarisation and of evaluation


def data_root(root: str | None) -> Path:
    """Returns the folder of data sets: the argument, else ``$ZOO_DATA``, else ``data/``."""
    return Path(root or os.environ.get("ZOO_DATA") or "data").expanduser()


def fit_to_size(pixels: Tensor, resize: int | None, pad: int | None) -> Tensor:
    """Resizes, then pads images to a square.

    Args:
        pixels: uint8 images, shape (..., C, H, W).
        resize: New length of both sides (bilinear, antialiased), or None.
        pad: Length of both sides after padding with black on all sides, or None.

    Raises:
        UserError: if a length is not positive, or the padding would cut.

    Example:
        >>> fit_to_size(torch.zeros(1, 28, 28, dtype=torch.uint8), None, 32).shape
        torch.Size([1, 32, 32])
    """
    if resize is not None:
        if resize < 1:
            raise UserError(f"--data.resize must be a positive number of pixels, got {resize}.")
        pixels = resize_pixels(pixels, [resize, resize], antialias=True)
    if pad is not None:
        height, width = pixels.shape[-2:]
        rows, columns = pad - height, pad - width
        if rows < 0 or columns < 0:
            raise UserError(
                f"--data.pad {pad} is smaller than the {height}x{width} images; use --data.resize."
            )
        top, left = rows // 2, columns // 2
        pixels = F.pad(pixels, (left, columns - left, top, rows - top))
    return pixels


def _bits(images: Images, seed: int) -> MemoryImages:
    """Draws every pixel from its intensity once; one generator per image, so order is no matter."""
    drawn = []
    for index in range(len(images)):
        generator = torch.Generator().manual_seed(mix_seed(seed, index))
        intensity = images.fetch(torch.tensor([index])).to(torch.float32) / 255
        drawn.append(torch.bernoulli(intensity, generator=generator).to(torch.uint8) * 255)
    return MemoryImages(torch.cat(drawn), images.labels)


class ImageData(L.LightningDataModule):
    """A data set of images, with validation split from its training data.

    A subclass names its shape in `native` and implements `read`. Test images are never used for
    training or validation. Loaders yield `zoo.data.Batch`: float32 images in [0, 1] and labels.

    Args:
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        batch_size: Images per batch and process.
        resize: Resize images to a square of this side.
        pad: Pad images with black to a square of this side, after resizing.
        binarize: ``none``; ``dynamic``: each pixel is drawn from its intensity anew in every
            training epoch, once and for all in validation and test; ``static``: once and for all
            everywhere, from the zoo's fixed seed.
        val_size: Training images kept for validation; default depends on the data set.
        workers: Processes that decode large sets; small sets live in memory and need none.
        seed: Decides the order of training images; the split never depends on it.

    Raises:
        UserError: on values that make no sense.
    """

    native: ImageSpec
    default_val_size: ClassVar[int] = 10_000
    needs: ClassVar[str] = "files in the data root, or a network to download them"

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 128,
        resize: int | None = None,
        pad: int | None = None,
        binarize: Binarize = "none",
        val_size: int | None = None,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError(f"--data.batch_size must be at least 1, got {batch_size}.")
        if workers < 0:
            raise UserError(f"--data.workers must not be negative, got {workers}.")
        if val_size is not None and val_size < 0:
            raise UserError(f"--data.val_size must not be negative, got {val_size}.")
        if binarize not in get_args(Binarize):
            raise UserError(
                f"unknown --data.binarize {binarize!r}. "
                f"{did_you_mean(binarize, get_args(Binarize))}"
            )
        self.root = data_root(root)
        self.batch_size = batch_size
        self.resize = resize
        self.pad = pad
        self.binarize = binarize
        self.val_size = self.default_val_size if val_size is None else val_size
        self.workers = workers
        self.seed = seed
        self._images: dict[Split, Images] = {}
        empty = torch.zeros(self.native.shape, dtype=torch.uint8)
        _, height, width = self.sized(empty).shape
        self.spec = replace(self.native, height=height, width=width)

    def read(self, split: Literal["train", "test"]) -> Images:
        """Reads one part of the data set.

        Returns:
            `MemoryImages` in their original size, or `FileImages` that call `self.sized` on each
            image they decode.

        Raises:
            UserError: if the files are missing or damaged; says which, and where they may be put.
        """
        raise NotImplementedError

    def sized(self, pixels: Tensor) -> Tensor:
        """Resizes and pads uint8 images (..., C, H, W) as the arguments say."""
        return fit_to_size(pixels, self.resize, self.pad)

    def images(self, split: Split) -> Images:
        """Returns one split as bytes, read at its first use; binarised where the bits are fixed."""
        if split not in self._images:
            self._images.update(self._read_test() if split == "test" else self._read_train())
        return self._images[split]

    def _read_sized(self, part: Literal["train", "test"]) -> Images:
        images = self.read(part)
        if isinstance(images, MemoryImages):
            return MemoryImages(self.sized(images.pixels), images.labels)
        return images

    def _read_test(self) -> dict[Split, Images]:
        test = self._read_sized("test")
        return {"test": test if self.binarize == "none" else _bits(test, mix_seed(BITS_SEED, 1))}

    def _read_train(self) -> dict[Split, Images]:
        images = self._read_sized("train")
        if self.val_size >= len(images):
            raise UserError(
                f"--data.val_size {self.val_size} leaves no training images: "
                f"{type(self).__name__} has {len(images)}."
            )
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        shuffled = torch.randperm(len(images), generator=generator)
        cut = len(images) - self.val_size
        # In file order again: a training set in memory is then read almost front to back.
        train, val = shuffled[:cut].sort().values, shuffled[cut:].sort().values
        if self.binarize == "static":
            images = _bits(images, mix_seed(BITS_SEED, 0))
        parts: dict[Split, Images] = {"train": subset(images, train), "val": subset(images, val)}
        if self.binarize == "dynamic":
            parts["val"] = _bits(parts["val"], mix_seed(BITS_SEED, 2))
        return parts

    def fingerprint(self, split: Split) -> str:
        """Hashes a split's bytes and labels, so that a figure can name what it was computed on."""
        images = self.images(split)
        digest = hashlib.sha256(str((len(images), *self.spec.shape)).encode())
        for indices in torch.arange(len(images)).split(4096):
            digest.update(images.fetch(indices).contiguous().numpy().tobytes())
            digest.update(images.labels[indices].contiguous().numpy().tobytes())
        return digest.hexdigest()

    def setup(self, stage: str | None = None) -> None:
        """Reads what the stage needs, so that a missing file is found before training starts."""
        if stage in (None, "fit", "validate"):
            self.images("train")
        if stage in (None, "test"):
            self.images("test")

    def loader(self, split: Split, *, shuffle: bool = False, limit: int | None = None) -> BatchLoader:
        """Returns the batches of one split; on several processes, this process' part of them.

        Args:
            split: Which split.
            shuffle: True for training: epochs in random order, incomplete batches left out.
            limit: Use only the first so many images of the split.
        """
        images = self.images(split)
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        count = len(images) if limit is None else min(limit, len(images))
        order = Order(
            count, self.batch_size, shuffle=shuffle, seed=self.seed, rank=rank, world=world
        )
        return BatchLoader(
            images, order, binarize=shuffle and self.binarize == "dynamic", workers=self.workers
        )

    def train_dataloader(self) -> BatchLoader:
        """Returns the training batches."""
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> BatchLoader:
        """Returns the validation batches."""
        return self.loader("val")

    def test_dataloader(self) -> BatchLoader:
        """Returns the test batches."""
        return self.loader("test")

    def report(self) -> str:
        """Says in a line what there is: counts, shape, classes and range of the training images."""
        train, val = self.images("train"), self.images("val")
        probe = train.fetch(torch.arange(min(1000, len(train))))
        channels, height, width = self.spec.shape
        return (
            f"{type(self).__name__}: {len(train):,} training and {len(val):,} validation images, "
            f"{height}x{width}, {'grey' if channels == 1 else 'colour'}, "
            f"{self.spec.classes or 'no'} classes, "
            f"values {probe.min().item() / 255:.2f} to {probe.max().item() / 255:.2f}"
        )
