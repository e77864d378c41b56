"""Which files of a folder are images, and of what class and part."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import torch

from zoo.core.errors import UserError
from zoo.data.decode import SUFFIXES
from zoo.data.module import SPLIT_SEED

__all__ = ["ImageFile", "Listing", "list_images"]


class ImageFile(NamedTuple):
    """An image file.

    Args:
        name: Its path below the folder, with forward slashes.
        label: The class folder that it is in; empty if there are none.
    """

    name: str
    label: str


class Listing(NamedTuple):
    """What lies in the folder.

    Args:
        train: Files to train and validate with.
        test: Files to test with.
        classes: Names of the class folders in alphabetical order; empty if there are none.
    """

    train: list[ImageFile]
    test: list[ImageFile]
    classes: list[str]


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Returns image files and other files below a folder, relative and sorted.

    Links are followed, each folder once; hidden files are nobody's images, and neither are pipes
    and devices, whatever their names.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.")

    images: list[str] = []
    others: list[str] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        base = Path(here).relative_to(folder)
        for name in files:
            if not name.startswith("."):
                is_image = Path(name).suffix.lower() in SUFFIXES and _may_be_read(here, name)
                kind = images if is_image else others
                kind.append((base / name).as_posix())
    return sorted(images), sorted(others)


def _may_be_read(folder: str, name: str) -> bool:
    """Says whether something is a file, or a link to one that is missing, which reading reports."""
    try:
        return stat.S_ISREG(os.stat(os.path.join(folder, name)).st_mode)
    except OSError:
        return True


def _files(folder: Path, inside: str = "") -> list[ImageFile]:
    """Lists the images of one part: all in the folder itself, or all in class subfolders."""
    images, others = _walk(folder / inside)
    if not images:
        found = f"only {len(others)} other files, such as {others[0]}" if others else "no files"
        raise UserError(
            f"there are no images in {folder / inside}, {found}. "
            f"Images end in {', '.join(sorted(SUFFIXES))}."
        )
    loose = [name for name in images if "/" not in name]
    if loose and len(loose) < len(images):
        raise UserError(
            f"{folder / inside} has images of its own, such as {loose[0]}, and others in "
            f"subfolders, such as {next(name for name in images if '/' in name)}: "
            "put all into class subfolders, or none."
        )
    prefix = f"{inside}/" if inside else ""
    return [ImageFile(prefix + name, "" if loose else name.split("/")[0]) for name in images]


def list_images(folder: Path, test_fraction: float) -> Listing:
    """Finds the images, their classes, and which of them are for testing.

    Args:
        folder: Images; or class folders of images; or ``train/`` and ``test/`` of either kind.
        test_fraction: Part of the images that tests where there is no ``test/``.

    Raises:
        UserError: if there are no images, or the folders' meaning is not clear.
    """
    train_folder, test_folder = folder / "train", folder / "test"
    if train_folder.is_dir() or test_folder.is_dir():
        parts = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")
        if not train_folder.is_dir() or set(parts) - {"train", "test"}:
            raise UserError(
                f"{folder} has the subfolders {', '.join(parts)}: where there is train/ or test/, "
                "there must be train/ and may be test/, and nothing else (validation images are "
                "taken from train/)."
            )
        train = _files(folder, "train")
        test = _files(folder, "test") if test_folder.is_dir() else []
    else:
        train, test = _files(folder), []
    if not test:
        generator = torch.Generator().manual_seed(SPLIT_SEED)
        order = torch.randperm(len(train), generator=generator).tolist()
        chosen = set(order[: max(1, round(test_fraction * len(train)))])
        test = [file for row, file in enumerate(train) if row in chosen]
        train = [file for row, file in enumerate(train) if row not in chosen]
    classes = sorted({file.label for file in (*train, *test)} - {""})
    strange = sorted({file.label for file in test} - {file.label for file in train})
    if strange and test_folder.is_dir():
        raise UserError(
            f"{test_folder} has the classes {', '.join(label or '(none)' for label in strange)}, "
            "which train/ does not have."
        )
    return Listing(train, test, classes)
