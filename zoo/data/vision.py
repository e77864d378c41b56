"""The small classics, read from torchvision's layout and kept in memory."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.core.files import open_regular
from zoo.data.download import RemoteFile, damaged, fetch, missing, read_gzip, unpack
from zoo.data.images import MemoryImages
from zoo.data.module import ImageData, Split
from zoo.data.registry import DATASETS

__all__ = ["CIFAR10", "KMNIST", "MNIST", "SVHN", "FashionMNIST", "read_idx"]

UNSIGNED_BYTE = 0x08  # the element type in the header of an idx file


def read_idx(path: Path) -> Tensor:
    """Reads a file of unsigned bytes in LeCun's idx format, plain or as .gz.

    Returns:
        uint8, of the shape that the file states.

    Raises:
        UserError: if the file is no such thing, or is longer or shorter than it states.
    """
    with open_regular(path) as file:
        data = read_gzip(path) if path.suffix == ".gz" else file.read()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE:
        raise damaged(path, "it does not start as an idx file of bytes does")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise damaged(path, "it ends within its header")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    promised = start + int(np.prod(shape, dtype=object))
    if len(data) != promised:
        raise damaged(path, f"it has {len(data):,} bytes where its header states {promised:,}")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy())


class _IdxData(ImageData):
    """The MNIST family: 60,000 training and 10,000 test images in four idx files."""

    native = ImageSpec(channels=1, height=28, width=28, classes=10)
    source: ClassVar[type[datasets.MNIST]]

    @property
    def _folder(self) -> Path:
        return self.root / self.source.__name__ / "raw"

    def _files(self, part: Split) -> list[RemoteFile]:
        prefix = "train" if part == "train" else "t10k"
        return [
            RemoteFile(name, tuple(mirror + name for mirror in self.source.mirrors), md5)
            for name, md5 in self.source.resources
            if name.startswith(prefix)
        ]

    def _found(self, file: RemoteFile) -> Path | None:
        plain, packed = self._folder / file.name.removesuffix(".gz"), self._folder / file.name
        return next((path for path in (plain, packed) if path.is_file()), None)

    def ensure(self, part: Split) -> None:
        """Downloads the idx files of one part, where neither they nor their .gz are there."""
        lacking = [file for file in self._files(part) if not self._found(file)]
        for file in lacking:
            fetch(file, self._folder, self._refuse)

    def _refuse(self, reason: str) -> UserError:
        both = (*self._files("train"), *self._files("test"))  # say it once, not part by part
        names = ", ".join(file.name.removesuffix(".gz") for file in both if not self._found(file))
        return missing(type(self).__name__, f"{names} (plain or .gz)", self._folder, reason)

    def read(self, part: Split) -> MemoryImages:
        """Returns one part."""
        paths = {}
        for file in self._files(part):
            path = self._found(file)
            if path is None:
                raise UserError(f"{self._folder / file.name} has disappeared.")
            paths["images" if "images" in file.name else "labels"] = path
        pixels, labels = read_idx(paths["images"]), read_idx(paths["labels"])
        _, height, width = self.native.shape
        if pixels.shape[1:] != (height, width):
            raise damaged(paths["images"], f"its shape is {tuple(pixels.shape)}")
        if labels.shape != pixels.shape[:1] or labels.max() >= self.native.classes:
            raise damaged(paths["labels"], f"its labels do not fit the {len(pixels):,} images")
        return MemoryImages(pixels[:, None], labels.long())


@DATASETS.register
class MNIST(_IdxData):
    """60,000 + 10,000 handwritten digits; 10,000 of the former validate, as in the papers.

    Reference: LeCun, Bottou, Bengio & Haffner 1998.
    """

    source = datasets.MNIST


@DATASETS.register
class FashionMNIST(_IdxData):
    """60,000 + 10,000 pictures of clothes, laid out as MNIST is.

    Reference: Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747.
    """

    source = datasets.FashionMNIST


@DATASETS.register
class KMNIST(_IdxData):
    """60,000 + 10,000 cursive Japanese characters of ten kinds, laid out as MNIST is.

    Reference: Clanuwat et al. 2018, arXiv:1812.01718.
    """

    source = datasets.KMNIST


@DATASETS.register
class CIFAR10(ImageData):
    """50,000 + 10,000 small photographs of ten kinds of things.

    torchvision reads these files by unpickling them, but only after comparing their checksums.

    Reference: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """

    native = ImageSpec(channels=3, height=32, width=32, classes=10)
    default_val_size: ClassVar[int | None] = 5_000
    source: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10

    def _files(self) -> list[tuple[Path, str]]:
        meta = (self.source.meta["filename"], self.source.meta["md5"])
        listed = [*self.source.train_list, *self.source.test_list, meta]
        return [(self.root / self.source.base_folder / name, md5) for name, md5 in listed]

    def ensure(self, part: Split) -> None:
        """Unpacks the archive if it is there, else downloads it; it holds both parts."""
        if all(path.is_file() for path, _ in self._files()):
            return
        source = self.source
        archive = RemoteFile(source.filename, (source.url,), source.tgz_md5)
        if (self.root / archive.name).is_file():
            unpack(self.root / archive.name, archive.md5, self.root)
            return
        fetch(archive, self.root, lambda reason: missing(
            type(self).__name__,
            f"{archive.name}, or the folder {source.base_folder} that it holds,",
            self.root,
            reason,
        ))  # fmt: skip

    def read(self, part: Split) -> MemoryImages:
        """Returns one part."""
        try:
            data = self.source(self.root, train=part == "train")
        except RuntimeError:
            wrong = [path for path, md5 in self._files() if not check_integrity(path, md5)]
            if not wrong:
                raise
            raise damaged(wrong[0], "its checksum is wrong") from None
        pixels = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return MemoryImages(pixels, torch.tensor(data.targets))


@DATASETS.register
class SVHN(ImageData):
    """73,257 + 26,032 digits cut from photographs of house numbers; the extra part is not used.

    Reference: Netzer et al. 2011, Reading Digits in Natural Images.
    """

    native = ImageSpec(channels=3, height=32, width=32, classes=10)
    source: ClassVar[type[datasets.SVHN]] = datasets.SVHN

    def ensure(self, part: Split) -> None:
        """Downloads the file of one part."""
        url, name, md5 = self.source.split_list[part]
        if (self.root / name).is_file():
            return
        both = [self.source.split_list[each][1] for each in ("train", "test")]
        names = " and ".join(each for each in both if not (self.root / each).is_file())
        fetch(
            RemoteFile(name, (url,), md5),
            self.root,
            lambda reason: missing(type(self).__name__, names, self.root, reason),
        )

    def read(self, part: Split) -> MemoryImages:
        """Returns one part; the digit 0 has the label 0."""
        try:
            data = self.source(str(self.root), split=part)
        except RuntimeError:
            _, name, _ = self.source.split_list[part]
            raise damaged(self.root / name, "its checksum is wrong") from None
        pixels = torch.from_numpy(np.ascontiguousarray(data.data))  # (N, 3, 32, 32)
        return MemoryImages(pixels, torch.from_numpy(data.labels))
