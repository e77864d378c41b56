"""A user's own images: any folder of any image files becomes a data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeVar, get_args

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from zoo.data.decode import (
    SUFFIXES,
    Crop,
    Header,
    Unreadable,
    decode,
    quiet_pillow,
    read_header,
)
from zoo.data.loader import FileImages, Images, MemoryImages
from zoo.data.module import DATASETS, SPLIT_SEED, Binarize, ImageData, Split, data_root
from zoo.data.spec import ImageSpec
from zoo.errors import UserError, did_you_mean

__all__ = ["ImageFolder"]

Channels = Literal["auto", "grey", "colour"]
OnUnreadable = Literal["skip", "refuse"]

LONG = 1000  # files from which on a progress bar is worth its lines
PIECE = 32  # files a thread takes at a time
T = TypeVar("T")


class _File(NamedTuple):
    """An image file: its name relative to the folder, with /, and the class folder it is in."""

    name: str
    label: str


class _Listing(NamedTuple):
    """What lies in the folder."""

    train: list[_File]
    test: list[_File]
    classes: list[str]


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Returns image files and other files below a folder, relative and sorted.

    Links are followed, each folder once; hidden files are nobody's images.
    """
    images: list[str] = []
    others: list[str] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        base = Path(here).relative_to(folder)
        for name in files:
            if not name.startswith("."):
                kind = images if Path(name).suffix.lower() in SUFFIXES else others
                kind.append((base / name).as_posix())
    return sorted(images), sorted(others)


def _files(folder: Path, inside: str = "") -> list[_File]:
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
    return [_File(prefix + name, "" if loose else name.split("/")[0]) for name in images]


def _list(folder: Path, test_fraction: float) -> _Listing:
    """Finds the images, their classes, and which of them are for testing."""
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
            "which train/ has not."
        )
    return _Listing(train, test, classes)


class _Unreadables:
    """Files that gave no image, with the reason, each once."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def __str__(self) -> str:
        shown = [f"{name} ({reason})" for name, reason in sorted(self.reasons.items())[:3]]
        rest = len(self.reasons) - len(shown)
        return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _for_each(work: Callable[[int], T], count: int, title: str) -> None:
    """Calls ``work(0)`` to ``work(count - 1)`` on several threads, which Pillow lets run."""

    def piece(start: int) -> int:
        rows = range(start, min(start + PIECE, count))
        for row in rows:
            work(row)
        return len(rows)

    console = Console(stderr=True)
    silent = count <= LONG or not console.is_terminal or getattr(rank_zero_only, "rank", 0) != 0
    threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    with quiet_pillow(), Progress(console=console, disable=silent) as progress:
        bar = progress.add_task(title, total=count)
        try:
            pieces = [threads.submit(piece, start) for start in range(0, count, PIECE)]
            for done in as_completed(pieces):
                progress.advance(bar, done.result())
        finally:  # on Ctrl-C, too, without working off what is left
            threads.shutdown(cancel_futures=True)


class _Decoder(NamedTuple):
    """How one file becomes pixels."""

    folder: Path
    size: int
    channels: int
    crop: Crop

    def __call__(self, name: str) -> tuple[Tensor, Header]:
        return decode(self.folder / name, self.size, self.channels, self.crop)


class _Files(FileImages):
    """Images decoded when asked for."""

    def __init__(self, decoder: _Decoder, names: Sequence[str], labels: Tensor) -> None:
        self.decoder, self.names, self.labels = decoder, names, labels

    def __getitem__(self, index: int) -> Tensor:
        try:
            with quiet_pillow():
                return self.decoder(self.names[index])[0]
        except Unreadable as error:
            raise UserError(_refusal(self.decoder.folder, f"{self.names[index]} ({error})")) from error


def _refusal(folder: Path, unreadable: str) -> str:
    return (
        f"images in {folder} cannot be read: {unreadable}. Delete them, or leave them out with "
        "--data.on_unreadable skip."
    )


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"unknown --data.{name} {value!r}. {did_you_mean(value, choices)}")


@DATASETS.register
class ImageFolder(ImageData):
    """Your own images, of any size and kind.

    The folder holds image files; or one subfolder of them for each class; or ``train/`` and
    ``test/``, each of that form. Without ``test/``, some images are set aside for testing, always
    the same ones. Classes are numbered in alphabetical order.

    Sets that fit into ``memory_mib`` are decoded once; larger ones stream through ``workers``.
    Every file's header is looked at before training. In a streaming set, damage behind the
    header shows when that image comes up, and stops the run; with ``on_unreadable: skip`` all
    files are decoded once beforehand instead, so that the damaged ones can be left out.

    Args:
        path: The folder; a relative one is looked for here, then in the data root.
        size: Length of both sides of the images.
        crop: ``centre`` resizes the shorter side and cuts a square from the middle; ``none``
            squeezes the whole image into the square.
        channels: ``grey``, ``colour``, or ``auto``: colour as soon as one file has colours.
        on_unreadable: Whether a file that cannot be decoded is left out or ends the run.
        test_fraction: Part of the images that is set aside if there is no ``test/``.
        memory_mib: Up to this many MiB of decoded images live in memory.
        root: Folder of data sets; default ``$ZOO_DATA``, else ``data/``.
        batch_size: See `ImageData`, like the arguments that follow.
        resize: Resizes what ``size`` has made.
        pad: Pads with black, after resizing.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Training images kept for validation; default a tenth, at most 10,000.
        workers: Processes that decode a streaming set.
        seed: Decides the order of training images.

    Raises:
        UserError: if there is no such folder, too few images in it or an argument makes no sense.
    """

    needs: ClassVar[str] = "a folder of images: --data.path"

    def __init__(
        self,
        path: str,
        size: int = 64,
        crop: Crop = "centre",
        channels: Channels = "auto",
        on_unreadable: OnUnreadable = "refuse",
        test_fraction: float = 0.1,
        memory_mib: int = 1024,
        root: str | None = None,
        batch_size: int = 128,
        resize: int | None = None,
        pad: int | None = None,
        binarize: Binarize = "none",
        val_size: int | None = None,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        _choice("crop", crop, get_args(Crop))
        _choice("channels", channels, get_args(Channels))
        _choice("on_unreadable", on_unreadable, get_args(OnUnreadable))
        if size < 1:
            raise UserError(f"--data.size must be at least 1, got {size}.")
        if not 0 < test_fraction < 1:
            raise UserError(f"--data.test_fraction must lie between 0 and 1, got {test_fraction}.")
        if memory_mib < 0:
            raise UserError(f"--data.memory_mib must not be negative, got {memory_mib}.")
        folder = _find(path, data_root(root))
        self.listing = _list(folder, test_fraction)
        count = len(self.listing.train)
        if count < 2:
            raise UserError(
                f"{folder} has too few images ({count + len(self.listing.test)}): training, "
                "validation and testing need at least one each."
            )
        depth = {"grey": 1, "colour": 3}.get(channels) or _channels(folder, self.listing)
        self.native = ImageSpec(depth, size, size, classes=len(self.listing.classes))
        self.decoder = _Decoder(folder, size, depth, crop)
        self.on_unreadable = on_unreadable
        self.memory_mib = memory_mib
        self.unreadable = _Unreadables()
        self.headers: dict[Split, list[Header]] = {}
        if val_size is None:
            val_size = max(1, min(10_000, count // 10))
        super().__init__(root, batch_size, resize, pad, binarize, val_size, workers, seed)

    @property
    def in_memory(self) -> bool:
        """Whether the decoded set is small enough to live in memory."""
        count = len(self.listing.train) + len(self.listing.test)
        return count * self.native.size <= self.memory_mib * 2**20

    def read(self, part: Split) -> Images:
        """Decodes one part, or, if the set is large, has a look at every file of it."""
        files = self.listing.train if part == "train" else self.listing.test
        names = [file.name for file in files]
        if self.in_memory:
            pixels = torch.empty(len(names), *self.native.shape, dtype=torch.uint8)
            kept = self._pass(part, names, into=pixels)
        else:
            kept = self._pass(part, names, into=None)
        number = {label: row for row, label in enumerate(self.listing.classes)}
        labels = torch.tensor([number.get(files[row].label, 0) for row in kept.tolist()])
        if self.in_memory:
            return MemoryImages(pixels if len(kept) == len(pixels) else pixels[kept], labels)
        return _Files(self.decoder, [names[row] for row in kept.tolist()], labels)
