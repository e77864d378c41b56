"""A user's own images: any folder of any image files becomes a data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_choice, check_interval
from zoo.data.changes import LARGEST_SIDE
from zoo.data.decode import Crop, Header, Unreadable, decode, quiet_pillow, read_header
from zoo.data.identity import identity_of
from zoo.data.images import FileImages, Images, MemoryImages
from zoo.data.listing import ImageFile, Listing, list_images
from zoo.data.module import Binarize, ImageData, Split, data_root, own_share
from zoo.data.registry import DATASETS

__all__ = ["ImageFolder"]

Channels = Literal["auto", "grey", "colour"]
OnUnreadable = Literal["skip", "refuse"]

LONG = 1000  # files from which on a progress bar is worth its lines
PIECE = 32  # files a thread takes at a time


def _printable(name: str) -> str:
    """Writes what a terminal may not be able to show, or would obey, as Python's escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


def _few(reasons: dict[str, str]) -> str:
    """Names the first few unreadable files with the reasons, and counts the others."""
    shown = [f"{_printable(name)} ({reason})" for name, reason in sorted(reasons.items())[:3]]
    rest = len(reasons) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _refusal(folder: Path, reasons: dict[str, str]) -> UserError:
    return UserError(
        f"{len(reasons):,} of the images in {folder} cannot be read: {_few(reasons)}. "
        "Delete them, or leave them out with --data.on_unreadable skip."
    )


def _find(path: str, root: Path) -> Path:
    """Returns the folder that a user means."""
    here = Path(path).expanduser()
    below = root / here
    # Unlike a path's own, os.path's questions are answered for names that no system takes, too.
    folder = below if not os.path.exists(here) and os.path.exists(below) else here
    if not os.path.exists(folder):
        also = "" if here.is_absolute() else f", nor {below.absolute()}"
        raise UserError(f"there is no folder {here.absolute()}{also}; see --data.path.")
    if not folder.is_dir():
        raise UserError(f"{folder.absolute()} is a file; --data.path must be a folder of images.")
    return folder.absolute()


def _channels(folder: Path, files: Iterable[ImageFile]) -> int:
    """Returns 3 as soon as one readable file has colours, else 1."""
    reasons: dict[str, str] = {}
    any_grey = False
    with quiet_pillow():
        for file in files:
            try:
                if not read_header(folder / file.name).grey:
                    return 3
                any_grey = True
            except Unreadable as error:
                reasons[file.name] = str(error)
    if not any_grey:
        raise _refusal(folder, reasons)
    return 1


def _for_each(work: Callable[[int], None], count: int, title: str) -> None:
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
            raise _refusal(self.decoder.folder, {self.names[index]: str(error)}) from error


@DATASETS.register
class ImageFolder(ImageData):
    """Your own images, of any size and kind.

    The folder holds image files; or one subfolder of them for each class; or ``train/`` and
    ``test/``, each of that form. Without ``test/``, some images are set aside for testing, always
    the same ones. Classes are numbered in alphabetical order.

    Sets that fit into ``memory_mib`` are decoded once; larger ones stream through ``workers``.
    A part's files are looked at when it is first read: the training files before training, all
    by `report`. Of a streaming set these are the headers only, and damage behind one stops the
    run when that image comes up; with ``on_unreadable: skip`` all files are decoded once
    beforehand instead, so that the damaged ones can be left out.

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
        val_size: Training images kept for validation; default, and where more than half are
            asked for: a tenth, at most 10,000.
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
        check_choice("--data.crop", crop, get_args(Crop))
        check_choice("--data.channels", channels, get_args(Channels))
        check_choice("--data.on_unreadable", on_unreadable, get_args(OnUnreadable))
        check_interval("--data.size", size, "[1, inf)" if size < 1 else f"[1, {LARGEST_SIDE}]")
        if not 0 < test_fraction < 1:
            raise UserError(f"--data.test_fraction must lie between 0 and 1, got {test_fraction}.")
        if memory_mib < 0:
            raise UserError(f"--data.memory_mib must not be negative, got {memory_mib}.")
        folder = _find(path, data_root(root))
        self.listing = list_images(folder, test_fraction)
        count = len(self.listing.train)
        if count < 2:
            raise UserError(
                f"{folder} has too few images ({count + len(self.listing.test)}): training, "
                "validation and testing need at least one each."
            )
        depth = {"grey": 1, "colour": 3}.get(channels) or _channels(
            folder, (*self.listing.train, *self.listing.test)
        )
        self.native = ImageSpec(depth, size, size, classes=len(self.listing.classes))
        self.decoder = _Decoder(folder, size, depth, crop)
        self.on_unreadable = on_unreadable
        self.memory_mib = memory_mib
        self._unreadable: dict[str, str] = {}
        self._headers: list[Header] = []
        share = own_share(val_size, count)
        self._lowered = val_size is not None and share != val_size
        self._identity: dict[str, Any] = {}
        super().__init__(root, batch_size, resize, pad, binarize, share, workers, seed)

    @property
    def in_memory(self) -> bool:
        """Whether the decoded set is small enough to live in memory."""
        count = len(self.listing.train) + len(self.listing.test)
        return count * self.native.size <= self.memory_mib * 2**20

    def identity(self) -> dict[str, Any]:
        """Says which files there are."""
        if not self._identity:
            names = [file.name for file in (*self.listing.train, *self.listing.test)]
            self._identity = identity_of(self.decoder.folder, names, self.listing.classes)
        return self._identity

    def read(self, part: Split) -> Images:
        """Decodes one part, or, if the set is large, has a look at every file of it."""
        files = self.listing.train if part == "train" else self.listing.test
        pixels = None
        if self.in_memory:
            pixels = torch.empty(len(files), *self.native.shape, dtype=torch.uint8)
        kept = self._look_at(files, pixels)
        if not kept:
            raise UserError(f"none of the {len(files)} {part} images can be read.")
        number = {label: row for row, label in enumerate(self.listing.classes)}
        labels = torch.tensor([number.get(files[row].label, 0) for row in kept])
        if pixels is None:
            return _Files(self.decoder, [files[row].name for row in kept], labels)
        return MemoryImages(pixels if len(kept) == len(files) else pixels[kept], labels)

    def _look_at(self, files: list[ImageFile], pixels: Tensor | None) -> list[int]:
        """Opens every file, decoding it where that is wanted now; returns the rows that can be.

        Args:
            files: N files.
            pixels: Filled with the images, shape (N, C, H, W); None if they are to stream.
        """
        headers: list[Header | None] = [None] * len(files)
        reasons: dict[str, str] = {}

        def look(row: int) -> None:
            name = files[row].name
            try:
                if pixels is None and self.on_unreadable == "refuse":
                    headers[row] = read_header(self.decoder.folder / name)
                    return
                image, headers[row] = self.decoder(name)
                if pixels is not None:
                    pixels[row] = image
            except Unreadable as error:
                reasons[name] = str(error)

        _for_each(look, len(files), "reading images")
        if reasons and self.on_unreadable == "refuse":
            raise _refusal(self.decoder.folder, reasons)
        self._unreadable |= reasons
        self._headers += [header for header in headers if header]
        return [row for row, header in enumerate(headers) if header]

    def whole(self) -> ImageFolder:
        """Returns the folder as something to compare with: without ``test/``, all images test."""
        if (self.decoder.folder / "test").is_dir():
            return self
        other, files = copy(self), sorted((*self.listing.train, *self.listing.test))
        other.listing, other._images = Listing(files, files, self.listing.classes), {}
        return other

    def report(self) -> str:
        """Says what there is, and from which kinds and sizes of files; reads all of them."""
        counts = super().report()
        tests = len(self.images("test"))
        modes = Counter(header.mode for header in self._headers).most_common()
        sizes = sorted({(h.width, h.height) for h in self._headers}, key=lambda wh: wh[0] * wh[1])
        least, most = ("x".join(map(str, size)) for size in (sizes[0], sizes[-1]))
        extent = least if least == most else f"{least} to {most}"
        text = (
            f"{counts}; {tests:,} test images; from files of {extent} pixels (width x height) in "
            f"{', '.join(f'{mode} ({count:,})' for mode, count in modes)}"
        )
        if self._lowered:
            text += "; a tenth validate, because --data.val_size asks for more than half"
        if self._unreadable:
            text += f"; {len(self._unreadable):,} skipped: {_few(self._unreadable)}"
        return text
