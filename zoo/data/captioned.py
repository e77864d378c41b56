"""A user's own images with captions, in the layout in which birds and flowers are published."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_interval
from zoo.core.files import open_regular
from zoo.data.captions import split_words
from zoo.data.decode import Unreadable, decode, quiet_pillow
from zoo.data.identity import identity_of
from zoo.data.images import FileImages, Notes
from zoo.data.module import Binarize, ImageData, Split, data_root, own_share
from zoo.data.registry import DATASETS

__all__ = ["CaptionedFolder"]

TEXTS, IMAGES = "text_c10", ("images", "jpg")  # folders of captions and of images
SUFFIXES = (".jpg", ".jpeg", ".png")
LENGTH = 24  # words of a caption; later ones are left out


class _Files(FileImages):
    """Images of one part, each cut to a square and resized."""

    def __init__(self, paths: list[Path], notes: Notes, side: int) -> None:
        self.paths, self.notes, self.side = paths, notes, side
        self.labels = torch.zeros(len(paths), dtype=torch.int64)

    def __getitem__(self, index: int) -> Tensor:
        try:
            with quiet_pillow():
                return decode(self.paths[index], self.side, channels=3, crop="centre")[0]
        except Unreadable as error:
            raise UserError(f"{self.paths[index].absolute()} is damaged: {error}.") from error


def _missing(folder: Path, what: str) -> UserError:
    return UserError(
        f"there is no {what} in {folder.absolute()}: put the images of CUB-200 (images/) or "
        f"Oxford-102 (jpg/) and the captions of Reed et al. 2016 ({TEXTS}/) there, or try "
        "--data CaptionedShapes, which needs no files."
    )


@DATASETS.register
class CaptionedFolder(ImageData):
    """Images and ten captions each in the public layout of CUB-200 and Oxford-102.

    Below ``path`` lies a folder ``images`` or ``jpg`` with the images, and a folder ``text_c10``
    with a text file for every image, of the same name, one caption in each line; both may lie
    deeper and have folders of classes. If there are files ``trainvalclasses.txt`` and
    ``testclasses.txt``, the classes of the latter are the test set; else every tenth image is.

    Args:
        path: The folder, absolute, below here or below the root.
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        batch_size: Images per batch; several devices share it.
        size: Side of the images.
        frequent: Words that come less often in the training captions are left out.
        pad: See `ImageData`.
        resize: See `ImageData`.
        binarize: See `ImageData`.
        val_size: Training images kept for validation; a tenth where that is more than half.
        workers: Processes that decode.
        seed: Decides the order of training images.

    Raises:
        UserError: if the folders are not there; says which, and where they may be put.

    Reference: Wah et al. 2011 (CUB-200); Nilsback & Zisserman 2008 (Oxford-102); captions of Reed
    et al. 2016, arXiv:1605.05395.
    """

    kinds = ("image", "caption")
    native = ImageSpec(3, 64, 64)
    default_val_size: ClassVar[int | None] = 100
    needs: ClassVar[str] = "a folder of images and one of captions: see --data.path"

    def __init__(
        self,
        path: str = "birds",
        root: str | None = None,
        batch_size: int = 64,
        size: int = 64,
        frequent: int = 5,
        resize: int | None = None,
        pad: int | None = None,
        binarize: Binarize = "none",
        val_size: int | None = None,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        check_interval("--data.size", size, "[8, 1024]")
        check_interval("--data.frequent", frequent, "[1, inf)")
        here = Path(path).expanduser()
        self.path = here if os.path.exists(here) else data_root(root) / here
        self.size = size
        self.parts = _parts(self.path)
        captions = [text for _, texts in self.parts["train"] for text in texts]
        counts = Counter(word for text in captions for word in split_words(text)[:LENGTH])
        words = tuple(sorted(word for word, n in counts.items() if n >= frequent))
        if not words:
            raise UserError(f"no word comes {frequent} times in the captions of {self.path}.")
        self.native = replace(type(self).native, height=size, width=size, words=words)
        asked = type(self).default_val_size if val_size is None else val_size
        share = own_share(asked, max(2, len(self.parts["train"])))
        super().__init__(root, batch_size, resize, pad, binarize, share, workers, seed)

    def identity(self) -> dict[str, Any]:
        """Says which images there are, with their captions."""
        files = [*self.parts["train"], *self.parts["test"]]
        names = [image.relative_to(self.path).as_posix() for image, _ in files]
        return identity_of(self.path, names, notes=(text for _, texts in files for text in texts))

    def read(self, part: Split) -> FileImages:
        """Returns one part; its images are decoded when they are asked for."""
        number = {word: index for index, word in enumerate(self.native.words, start=1)}
        paths, rows = [], []
        for path, texts in self.parts["train" if part == "train" else "test"]:
            known = [[number[word] for word in split_words(text) if word in number][:LENGTH]
                     for text in texts]  # fmt: skip
            if told := [caption for caption in known if caption]:  # all words of one may be rare
                paths.append(path)
                rows.append(told)
        most = max(map(len, rows), default=1)
        captions = torch.zeros(len(rows), most, LENGTH, dtype=torch.int32)
        for row, told in enumerate(rows):
            for column in range(most):
                caption = told[column % len(told)]
                captions[row, column, : len(caption)] = torch.tensor(caption, dtype=torch.int32)
        return _Files(paths, Notes(captions), self.size)


def _parts(folder: Path) -> dict[str, list[tuple[Path, list[str]]]]:
    """Finds images with their captions, cut into training and test images."""
    home = next(iter(sorted(folder.rglob(TEXTS))), None) if os.path.isdir(folder) else None
    if home is None:
        raise _missing(folder, f"folder {TEXTS}")
    pairs = _pairs(folder, sorted(text for text in home.rglob("*.txt") if text.is_file()))
    if not pairs:
        raise _missing(folder, "image with a caption of the same name")
    classes = next(iter(sorted(folder.rglob("testclasses.txt"))), None)
    if classes is None:
        tested = [index % 10 == min(9, len(pairs) - 1) for index in range(len(pairs))]
    else:
        held_out = set(_text(classes).split())
        tested = [text.parent.name in held_out for text, _, _ in pairs]
        if all(tested) or not any(tested):
            which = "all" if all(tested) else "none"
            raise UserError(
                f"{classes.absolute()} names {which} of the folders in {home.absolute()}; it must "
                "name some of them, which are the test set."
            )
    parts: dict[str, list[tuple[Path, list[str]]]] = {"train": [], "test": []}
    for test, (_, image, captions) in zip(tested, pairs, strict=True):
        parts["test" if test else "train"].append((image, captions))
    return parts


def _text(path: Path) -> str:
    with open_regular(path) as file:
        return file.read().decode("utf-8", "replace")


def _pairs(folder: Path, texts: list[Path]) -> list[tuple[Path, Path, list[str]]]:
    """Lists the texts that have captions and an image: the text, the image, the captions.

    An image belongs to the text of its name in the folder of the same class, or, where images lie
    in no such folder, to the text of its name.
    """
    homes = [home for name in IMAGES for home in sorted(folder.rglob(name)) if home.is_dir()]
    files = sorted({file for home in homes for file in home.rglob("*")
                    if file.suffix.lower() in SUFFIXES and file.is_file()})  # fmt: skip
    if not files:
        raise _missing(folder, f"folder of images ({' or '.join(IMAGES)})")
    own = {(file.parent.name, file.stem): file for file in files}
    named: dict[str, list[Path]] = {}
    for file in files:
        named.setdefault(file.stem, []).append(file)
    pairs = []
    for text in texts:
        lines = _text(text).splitlines()
        captions = [line for line in lines if split_words(line)]
        found = named.get(text.stem, [])
        image = own.get((text.parent.name, text.stem))
        if image is None and len(found) > 1:
            raise UserError(
                f"{text.absolute()} may belong to {found[0]} or to {found[1]}: put it into a "
                "folder named as that of its image."
            )
        if found and captions:
            pairs.append((text, image or found[0], captions))
    return pairs
