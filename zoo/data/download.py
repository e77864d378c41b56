"""Downloads: whole or not at all, never half-written under a file's own name."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import os
import shutil
import socket
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from torchvision.datasets import utils

from zoo.core.errors import UserError

__all__ = ["RemoteFile", "damaged", "fetch", "from_drive", "missing", "read_gzip", "unpack"]

TIMEOUT = 15.0  # seconds without a byte before a server counts as unreachable

# What a network that is absent, broken or answers nonsense raises through urllib.
NETWORK_ERRORS = (OSError, RuntimeError, http.client.HTTPException)
ARCHIVE_ERRORS = (OSError, EOFError, RuntimeError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


class RemoteFile(NamedTuple):
    """A file that servers offer.

    Args:
        name: Its name on disk.
        urls: Where it is offered, tried in this order.
        md5: Checksum of its bytes.
    """

    name: str
    urls: tuple[str, ...]
    md5: str


def missing(data_set: str, files: str, folder: Path, reason: str) -> UserError:
    """Says what is missing, where to put it and what to do without it.

    Args:
        data_set: Short name, e.g. ``"MNIST"``.
        files: The missing files in words.
        folder: Where they belong.
        reason: Why they could not be downloaded.
    """
    return UserError(
        f"{data_set} is missing and could not be downloaded ({reason.rstrip('.')}). "
        f"Put {files} into {folder.absolute()}, or say with --data.root or ZOO_DATA where your "
        "data sets are. recipes/infogan_digits.yaml needs no download."
    )


def damaged(path: Path, what: str) -> UserError:
    """Names a file that cannot be used and says to delete it."""
    return UserError(
        f"{path.absolute()} is damaged: {what}. Delete it; the next run downloads it again."
    )


@contextlib.contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """Lends a hidden folder inside ``folder``; afterwards it and all empty new folders are gone."""
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    work: str | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = tempfile.mkdtemp(prefix=".download-", dir=folder)  # same disk: moving is atomic
        yield Path(work)
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        for path in created:  # the deepest first
            with contextlib.suppress(OSError):  # not empty: it has what we came for
                path.rmdir()


def _move(source: Path, target: Path) -> None:
    """Moves a file or folder into place; files of the same name are replaced one by one."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    else:
        os.replace(source, target)


def _reason(error: BaseException) -> str:
    """Returns why, in one line, without error numbers."""
    cause = getattr(error, "reason", error)  # urllib wraps what happened
    if isinstance(cause, OSError):
        cause = cause.strerror or cause
    return " ".join(str(cause).split()) or type(error).__name__


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Gives sockets a time limit, and keeps torchvision's messages off the screen.

    Its progress bar is written to stderr and stays.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _download(file: RemoteFile, work: Path) -> None:
    reasons = []
    for url in file.urls:
        try:
            with _patience():
                utils.download_url(url, work, file.name, file.md5)
            return
        except NETWORK_ERRORS as error:
            (work / file.name).unlink(missing_ok=True)
            # All that torchvision says of a wrong checksum is "File not found or corrupted."
            wrong = "what it sent has a wrong checksum" if "corrupted" in str(error) else None
            reasons.append(f"{urlsplit(url).hostname}: {wrong or _reason(error)}")
    raise RuntimeError("; ".join(reasons))


def unpack(archive: Path, md5: str, into: Path) -> None:
    """Unpacks an archive that lies on disk: a .gz beside itself, .tar.gz and .zip as folders.

    Raises:
        UserError: if it is damaged, or the disk does not take its content.
    """
    if not utils.check_integrity(archive, md5):
        raise damaged(archive, "its checksum is wrong")
    try:
        with _workspace(into) as work:
            utils.extract_archive(archive, work)
            for entry in work.iterdir():
                _move(entry, into / entry.name)
    except ARCHIVE_ERRORS as error:
        raise UserError(f"{archive.absolute()} cannot be unpacked: {_reason(error)}.") from error


def fetch(file: RemoteFile, folder: Path, refuse: Callable[[str], UserError]) -> None:
    """Downloads a file, and unpacks it if it is an archive; on failure leaves nothing behind.

    Several processes may do this at once: each downloads its own copy and moves it into place.

    Args:
        file: What to download. An archive is thrown away after unpacking.
        folder: Where it, or what it holds, belongs; created if need be.
        refuse: Makes the error from the reason, in words, why it failed.

    Raises:
        UserError: made by ``refuse``.
    """
    try:
        with _workspace(folder) as work:
            _download(file, work)
            if file.name.endswith((".gz", ".zip")):
                unpack(work / file.name, file.md5, work)
                (work / file.name).unlink()
            for entry in work.iterdir():
                _move(entry, folder / entry.name)
    except (RuntimeError, OSError) as error:
        raise refuse(_reason(error)) from error


def from_drive(
    file_id: str, file: RemoteFile, folder: Path, refuse: Callable[[str], UserError]
) -> None:
    """Downloads a file from Google Drive, which often declines; see `fetch`.

    Needs the package ``gdown``, which the zoo does not install.
    """
    try:
        with _workspace(folder) as work:
            with _patience():
                # gdown sets no time limit of its own, so ask first whether anybody answers.
                with urllib.request.urlopen("https://drive.google.com", timeout=TIMEOUT):
                    pass
                utils.download_file_from_google_drive(file_id, work, file.name, file.md5)
            _move(work / file.name, folder / file.name)
    except Exception as error:  # gdown has its own exceptions, known only where it is installed
        raise refuse(_reason(error)) from error


def read_gzip(path: Path) -> bytes:
    """Returns the content of a .gz file.

    Raises:
        UserError: if it is damaged.
    """
    try:
        with gzip.open(path) as file:
            return file.read()
    except ARCHIVE_ERRORS as error:
        raise damaged(path, _reason(error)) from error
