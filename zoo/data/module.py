"""The one datamodule: every data set is this class with its own way of reading bytes."""

from __future__ import annotations

import hashlib
import os
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import lightning as L
import torch
from torch import Tensor

from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec, Kind, check_kinds, held
from zoo.core.errors import UserError, check_choice
from zoo.data.changes import fit_to_size, fixed_bits, resized
from zoo.data.images import Images, subset, unit_range
from zoo.data.loader import BatchLoader, Order
from zoo.data.registry import kinds_of_all

__all__ = ["Binarize", "ImageData", "Split", "data_root", "own_share", "spread"]

Binarize = Literal["none", "dynamic", "static"]
Split = Literal["train", "val", "test"]

SPLIT_SEED = 20160531  # decides for ever which training images validate; arbitrary
JUDGED_AT_ONCE = 100  # images of the judge's batches


def data_root(root: str | None) -> Path:
    """Returns the folder of data sets: the argument, else ``$ZOO_DATA``, else ``data/``."""
    return Path(root or os.environ.get("ZOO_DATA") or "data").expanduser()


def spread(count: int, limit: int | None) -> Tensor:
    """Chooses ``limit`` of ``count`` places, evenly spread; all of them for None or enough.

    Example:
        >>> spread(10, 4).tolist()
        [0, 2, 5, 7]
    """
    size = count if limit is None else max(0, min(limit, count))
    return torch.arange(size) * count // max(size, 1)


def own_share(val_size: int | None, count: int) -> int:
    """Returns how many of a person's own training images validate: as asked, or a tenth.

    A recipe may ask for 1,000 images of a set of 60,000; more than half of somebody's few is not
    what it meant.

    Args:
        val_size: What was asked for; None for a tenth, at most 10,000.
        count: Training images, at least 2.

    Example:
        >>> own_share(None, 300), own_share(20, 300), own_share(1000, 300)
        (30, 20, 30)
    """
    if val_size is None or val_size > count // 2:
        return max(1, min(10_000, count // 10))
    return val_size


class ImageData(L.LightningDataModule):
    """A data set of images, with validation split from its training data.

    A subclass names its shape in `native` and what its batches hold in `kinds`, and implements
    `read` and, where files may be missing, `ensure`. Validation images come from the training data,
    or from a part of their own where the data set has one (`own_val`); test images are never used
    for training or validation. Loaders yield `zoo.data.Batch`: float32 images in [0, 1] and labels.

    Args:
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        batch_size: Images per batch; several devices share it.
        resize: Resize images to a square of this side.
        pad: Pad images with black to a square of this side, after resizing.
        binarize: ``none``; ``dynamic``: each pixel is drawn from its intensity anew in every
            training epoch, once and for all in validation and test; ``static``: once and for all
            everywhere, from the zoo's fixed seed.
        val_size: Training images kept for validation; default depends on the data set. Where
            the data set has its own validation part: how much of that to use; default all.
        workers: Processes that decode large sets; small sets live in memory and need none.
        seed: Decides the order of training images; the split never depends on it.

    Raises:
        UserError: on values that make no sense.
    """

    native: ImageSpec
    name: str  # type: ignore[assignment]  # Lightning's may be None
    kinds: tuple[Kind, ...] = ("image", "label")
    default_val_size: ClassVar[int | None] = 10_000
    own_val: ClassVar[bool] = False
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
        check_choice("--data.binarize", binarize, get_args(Binarize))
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
        _, height, width = fit_to_size(empty, resize, pad).shape
        self.spec = replace(self.native, height=height, width=width)
        self.kinds = held(type(self).kinds, self.spec)
        self.name = type(self).__name__

    def ensure(self, part: Split) -> None:
        """Sees to it that the files of one part lie in the root, downloading what is missing.

        Raises:
            UserError: if they do not and cannot; says which, and where they may be put.
        """

    def read(self, part: Split) -> Images:
        """Reads one part of the data set, its files being there.

        Args:
            part: Which; ``"val"`` is asked for only where `own_val` is true.

        Returns:
            `MemoryImages` or `FileImages` in the shape of `native`.

        Raises:
            UserError: if a file is damaged; says which.
        """
        raise NotImplementedError

    def prepare_data(self) -> None:
        """Downloads what is missing; Lightning calls this in one process of each node only."""
        for part in get_args(Split):
            if part != "val" or self.own_val:
                self.ensure(part)

    def images(self, split: Split) -> Images:
        """Returns one split as bytes, read at its first use; binarised where the bits are fixed."""
        if split not in self._images:
            self._images.update(self._read_test() if split == "test" else self._read_train())
        return self._images[split]

    def _read_part(self, part: Split) -> Images:
        self.ensure(part)
        images = self.read(part)
        if self.resize is None and self.pad is None:
            return images
        return resized(images, self.resize, self.pad)

    def _read_test(self) -> dict[Split, Images]:
        test = self._read_part("test")
        return {"test": test if self.binarize == "none" else fixed_bits(test, 1)}

    def _read_train(self) -> dict[Split, Images]:
        train = self._read_part("train")
        if self.binarize == "static":
            train = fixed_bits(train, 0)
        train, val = (train, self._own_validation()) if self.own_val else self._split(train)
        if self.binarize == "dynamic" or (self.binarize == "static" and self.own_val):
            val = fixed_bits(val, 2)
        return {"train": train, "val": val}

    def _own_validation(self) -> Images:
        val = self._read_part("val")
        size = len(val) if self.val_size is None else self.val_size
        if size > len(val):
            raise UserError(
                f"--data.val_size {size} is more than the {len(val)} validation images that "
                f"{self.name} has."
            )
        return subset(val, torch.arange(size))

    def _split(self, images: Images) -> tuple[Images, Images]:
        """Cuts validation images from training images; for ever the same, whatever the seed."""
        val_size = self.val_size or 0
        if val_size >= len(images):
            raise UserError(
                f"--data.val_size {val_size} leaves no training images: "
                f"{self.name} has {len(images)}."
            )
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        shuffled = torch.randperm(len(images), generator=generator)
        cut = len(images) - val_size
        # In file order again: a training set in memory is then read almost front to back.
        train, val = shuffled[:cut].sort().values, shuffled[cut:].sort().values
        return subset(images, train), subset(images, val)

    def fingerprint(self, split: Split) -> str:
        """Hashes a split's bytes and labels, so that a figure can name what it was computed on."""
        images = self.images(split)
        digest = hashlib.sha256(str((len(images), *self.spec.shape)).encode())
        for indices in torch.arange(len(images)).split(1024):
            digest.update(images.fetch(indices).contiguous().numpy().tobytes())
            digest.update(images.labels[indices].contiguous().numpy().tobytes())
            for note in () if images.notes is None else images.notes.at(indices):
                digest.update(b"" if note is None else note.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def identity(self) -> dict[str, Any]:
        """Says by plain values which files a person's own set consists of, without reading all.

        See `zoo.data.identity.identity_of`. Empty for a set that its name says all about.
        """
        return {}

    def setup(self, stage: str | None = None) -> None:
        """Reads what the stage needs, so that a missing file is found before training starts.

        Raises:
            UserError: if files are missing, or the model to be trained needs what is not here.
        """
        model = self.trainer.lightning_module if self.trainer else None
        if stage == "fit" and isinstance(model, Model):
            check_kinds(type(model).__name__, model.needs, self.name, self.kinds, kinds_of_all)
        if stage in (None, "fit", "validate"):
            self.images("train")
        if stage in (None, "test"):
            self.images("test")

    def loader(
        self, split: Split, *, shuffle: bool = False, limit: int | None = None
    ) -> BatchLoader:
        """Returns the batches of one split; on several processes, this process' part of them.

        Args:
            split: Which split.
            shuffle: True for training: epochs in random order, incomplete batches left out.
            limit: Use only so many images, spread evenly over the split, so that a set sorted by
                class or by writer is seen as a whole.

        Raises:
            UserError: if there is no image.
        """
        images = self._some(split, limit)
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        order = Order(
            len(images), self.batch_size, shuffle=shuffle, seed=self.seed, rank=rank, world=world
        )
        return BatchLoader(
            images, order, binarize=shuffle and self.binarize == "dynamic", workers=self.workers
        )

    def dealt(
        self, split: Split, *, limit: int | None = None, rank: int = 0, world: int = 1
    ) -> BatchLoader:
        """Returns batches for the judge: the same ones for any number of processes, dealt in turn.

        Args:
            split: Which split.
            limit: Use only so many images, spread evenly over the split.
            rank: This process, from 0.
            world: Number of processes.

        Raises:
            UserError: if there is no image.
        """
        images = self._some(split, limit)
        order = Order(
            len(images), JUDGED_AT_ONCE, shuffle=False, rank=rank, world=world, whole=True
        )
        return BatchLoader(images, order, workers=self.workers)

    def _some(self, split: Split, limit: int | None) -> Images:
        images = self.images(split)
        chosen = spread(len(images), limit)
        if not len(chosen):
            why = f"limit is {limit}" if len(images) else "--data.val_size is 0"
            raise UserError(f"there are no {split} images to load: {why}.")
        return images if len(chosen) == len(images) else subset(images, chosen)

    def with_bits(self, binarize: Binarize) -> ImageData:
        """Returns the same data, binarised in another way or not at all."""
        if binarize == self.binarize:
            return self
        other = copy(self)
        other.binarize, other._images = binarize, {}
        return other

    def train_dataloader(self) -> BatchLoader:
        """Returns the training batches."""
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        """Returns the validation batches; an empty list, which Lightning skips, without images."""
        return self.loader("val") if len(self.images("val")) else []

    def test_dataloader(self) -> BatchLoader:
        """Returns the test batches."""
        return self.loader("test")

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Moves a batch, unless it is there: the trainer would take it apart to find that out."""
        if batch.image.device == device:
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def report(self) -> str:
        """Says in a line what there is: counts, shape, classes and range of the training images."""
        train, val = self.images("train"), self.images("val")
        probe = unit_range(train.fetch(torch.arange(min(256, len(train)))))
        channels, height, width = self.spec.shape
        look = f"images, {height}x{width}, {'grey' if channels == 1 else 'colour'}"
        if self.spec.points:
            look = "points of the plane"
        text = (
            f"{self.name}: {len(train):,} training and {len(val):,} validation {look}, "
            f"{self.spec.classes or 'no'} classes, "
            f"values {probe.min().item():.2f} to {probe.max().item():.2f}"
        )
        if self.batch_size > len(train):
            text += f"; batches of {len(train)}, which is all, not of {self.batch_size}"
        return text
