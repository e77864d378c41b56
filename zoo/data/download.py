"""Downloads: whole or not at all, never half-written under a file's own name."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import logging
import os
import shutil
import socket
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from torchvision.datasets import utils

from zoo.core.errors import UserError
from zoo.core.files import open_regular
from zoo.core.text import clean
from zoo.core.waiting import at_a_pace

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
    import pooch  # with requests, for which whoever has the data need not wait

    pooch.get_logger().setLevel(logging.WARNING)  # it tells of every file, as our bar does
    into: Any = _to_file
    reasons = []
    for url in file.urls:
        try:
            fetch_it = partial(
                pooch.retrieve, url, f"md5:{file.md5}", file.name, work, downloader=into
            )
            at_a_pace(fetch_it, lambda: _bytes_in(work))
            return
        except ValueError as error:  # what pooch says of a wrong checksum, and of odd addresses
            wrong = "what it sent has a wrong checksum" if "hash" in str(error) else str(error)
            reasons.append(f"{urlsplit(url).hostname}: {clean(wrong)}")
        except NETWORK_ERRORS as error:
            reasons.append(f"{urlsplit(url).hostname}: {clean(_of_network(error))}")
        for left in work.iterdir():
            left.unlink(missing_ok=True)
    raise RuntimeError("; ".join(reasons))


def _to_file(url: str, path: str, *_: Any) -> None:
    """Fetches a file as pooch's own downloader does, and closes the connection behind it."""
    import requests
    from tqdm import tqdm

    with requests.Session() as session, session.get(url, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        size = int(answer.headers.get("Content-Length") or 0) or None
        with open(path, "wb") as file, tqdm(total=size, unit="B", unit_scale=True) as bar:
            for block in answer.iter_content(2**16):
                file.write(block)
                file.flush()
                bar.update(len(block))


def _bytes_in(folder: Path) -> int:
    """Says how many bytes have come into a folder that is being filled."""
    found = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # renamed in the meantime
            found += path.stat().st_size
    return found


def _of_network(error: BaseException) -> str:
    """Returns what a server said, or the first cause of several that wrap one another."""
    response = getattr(error, "response", None)
    if response is not None:
        return response.reason or f"status {response.status_code}"
    while inner := error.__cause__ or error.__context__:
        error = inner
    return _reason(error)


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
                fetch_it = partial(
                    utils.download_file_from_google_drive, file_id, work, file.name, file.md5
                )
                at_a_pace(fetch_it, lambda: _bytes_in(work))
            _move(work / file.name, folder / file.name)
    except Exception as error:  # gdown has its own exceptions, known only where it is installed
        raise refuse(_reason(error)) from error


def read_gzip(path: Path) -> bytes:
    """Returns the content of a .gz file.

    Raises:
        UserError: if it is damaged.
    """
    try:
        with open_regular(path) as packed, gzip.open(packed) as file:
            return file.read()
    except ARCHIVE_ERRORS as error:
        raise damaged(path, _reason(error)) from error
