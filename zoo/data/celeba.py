"""Faces, decoded when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torchvision import datasets

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.core.files import open_regular
from zoo.data.decode import Unreadable, decode, quiet_pillow
from zoo.data.download import RemoteFile, damaged, from_drive, missing, unpack
from zoo.data.images import FileImages
from zoo.data.module import ImageData, Split
from zoo.data.registry import DATASETS

__all__ = ["CelebA"]

CROP = 148  # pixels, of 178x218: the face without most of the background
SIDE = 64
FOLDER = "img_align_celeba"
ARCHIVE = "img_align_celeba.zip"
PARTITION = "list_eval_partition.txt"
NUMBERS: dict[Split, str] = {"train": "0", "val": "1", "test": "2"}  # in the partition file


class _Faces(FileImages):
    """Faces of one part, cropped and resized."""

    def __init__(self, folder: Path, names: list[str], side: int) -> None:
        self.folder, self.names, self.side = folder, names, side
        self.labels = torch.zeros(len(names), dtype=torch.int64)

    def __getitem__(self, index: int) -> Tensor:
        path = self.folder / self.names[index]
        try:
            with quiet_pillow():
                return decode(path, self.side, channels=3, crop=CROP)[0]
        except Unreadable as error:
            raise UserError(
                f"{path.absolute()} is damaged: {error}. Delete the folder {FOLDER} and unpack "
                f"{ARCHIVE} again."
            ) from error


@DATASETS.register
class CelebA(ImageData):
    """202,599 aligned faces, the middle 148x148 pixels of each resized to 64x64.

    Its partition file decides: 162,770 faces train, 19,867 validate, 19,962 test. With
    ``resize`` the crop is resized to that side instead, once. There are no labels. Faces are
    decoded when asked for: give a few ``workers``.

    Reference: Liu et al. 2015, arXiv:1411.7766; crop of Larsen et al. 2016, arXiv:1512.09300.
    """

    kinds = ("image",)
    native = ImageSpec(channels=3, height=SIDE, width=SIDE)
    default_val_size: ClassVar[int | None] = None
    own_val: ClassVar[bool] = True
    source: ClassVar[type[datasets.CelebA]] = datasets.CelebA

    @property
    def _folder(self) -> Path:
        return self.root / self.source.base_folder

    def ensure(self, part: Split) -> None:
        """Unpacks the archive of faces if it is there; else asks Google Drive for it."""
        remote = {name: (key, md5) for key, md5, name in self.source.file_list}
        archive = self._folder / ARCHIVE
        if not (self._folder / FOLDER).is_dir():
            if not archive.is_file():
                self._ask_drive(ARCHIVE, *remote[ARCHIVE])
            unpack(archive, remote[ARCHIVE][1], self._folder)
        if not (self._folder / PARTITION).is_file():
            self._ask_drive(PARTITION, *remote[PARTITION])

    def _ask_drive(self, name: str, key: str, md5: str) -> None:
        def refuse(reason: str) -> UserError:
            files = f"{ARCHIVE} and {PARTITION} from mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
            return missing("CelebA", files, self._folder, f"Google Drive, {name}: {reason}")

        from_drive(key, RemoteFile(name, (), md5), self._folder, refuse)

    def read(self, part: Split) -> _Faces:
        """Returns one part; its images are decoded later."""
        partition, folder = self._folder / PARTITION, self._folder / FOLDER
        with open_regular(partition) as file:
            text = file.read().decode("utf-8", "replace")
        lines = [line.split() for line in text.splitlines()]
        if not lines or any(len(line) != 2 or line[1] not in NUMBERS.values() for line in lines):
            raise damaged(partition, "its lines are not a file name and 0, 1 or 2")
        names = [name for name, number in lines if number == NUMBERS[part]]
        if not names:
            raise damaged(partition, f"it lists no {part} images")
        absent = sorted(set(names) - set(os.listdir(folder)))
        if absent:
            raise UserError(
                f"{folder.absolute()} lacks {len(absent):,} of {len(names):,} {part} images, such "
                f"as {absent[0]}: delete the folder and unpack {ARCHIVE} again."
            )
        return _Faces(folder, names, self.resize or SIDE)
