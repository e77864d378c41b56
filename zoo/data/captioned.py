"""A user's own images with captions, in the layout in which birds and flowers are published."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo.data.captions import split_words
from zoo.data.decode import Unreadable, decode, quiet_pillow
from zoo.data.images import FileImages, Notes
from zoo.data.module import DATASETS, Binarize, ImageData, Split, data_root
from zoo.data.spec import ImageSpec
from zoo.errors import UserError, check_interval

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
        batch_size: Images per batch and process.
        size: Side of the images.
        frequent: Words that come less often in the training captions are left out.
        pad: See `ImageData`.
        resize: See `ImageData`.
        binarize: See `ImageData`.
        val_size: Training images kept for validation.
        workers: Processes that decode.
        seed: Decides the order of training images.

    Raises:
        UserError: if the folders are not there; says which, and where they may be put.

    Reference: Wah et al. 2011 (CUB-200); Nilsback & Zisserman 2008 (Oxford-102); captions of Reed
    et al. 2016, arXiv:1605.05395.
    """

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
        self.path = here if here.exists() else data_root(root) / here
        self.size = size
        self.parts = _parts(self.path)
        captions = [text for _, texts in self.parts["train"] for text in texts]
        counts = Counter(word for text in captions for word in split_words(text)[:LENGTH])
        words = tuple(sorted(word for word, n in counts.items() if n >= frequent))
        if not words:
            raise UserError(f"no word comes {frequent} times in the captions of {self.path}.")
        self.native = replace(type(self).native, height=size, width=size, words=words)
        super().__init__(root, batch_size, resize, pad, binarize, val_size, workers, seed)

    def read(self, part: Split) -> FileImages:
        """Returns one part; its images are decoded when they are asked for."""
        some = self.parts["train" if part == "train" else "test"]
        number = {word: index for index, word in enumerate(self.native.words, start=1)}
        most = max((len(texts) for _, texts in some), default=1)
        captions = torch.zeros(len(some), most, LENGTH, dtype=torch.int16)
        for row, (_, texts) in enumerate(some):
            for column in range(most):
                found = split_words(texts[column % len(texts)])
                known = [number[word] for word in found if word in number][:LENGTH]
                captions[row, column, : len(known)] = torch.tensor(known, dtype=torch.int16)
        return _Files([path for path, _ in some], Notes(captions), self.size)


def _parts(folder: Path) -> dict[str, list[tuple[Path, list[str]]]]:
    """Finds images with their captions, cut into training and test images."""
    texts = next(iter(sorted(folder.rglob(TEXTS))), None) if folder.is_dir() else None
    if texts is None:
        raise _missing(folder, f"folder {TEXTS}")
    homes = [home for name in IMAGES for home in sorted(folder.rglob(name)) if home.is_dir()]
    images = {
        file.stem: file
        for home in homes
        for file in sorted(home.rglob("*"))
        if file.suffix.lower() in SUFFIXES
    }
    if not images:
        raise _missing(folder, f"folder of images ({' or '.join(IMAGES)})")
    classes = next(iter(sorted(folder.rglob("testclasses.txt"))), None)
    held_out = set(classes.read_text(encoding="utf-8").split()) if classes else None
    parts: dict[str, list[tuple[Path, list[str]]]] = {"train": [], "test": []}
    for index, file in enumerate(sorted(texts.rglob("*.txt"))):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        captions = [line for line in lines if split_words(line)]
        if file.stem not in images or not captions:
            continue
        test = index % 10 == 9 if held_out is None else file.parent.name in held_out
        parts["test" if test else "train"].append((images[file.stem], captions))
    if not parts["train"]:
        raise _missing(folder, "image with a caption of the same name")
    return parts
