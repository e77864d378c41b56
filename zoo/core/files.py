"""Files that are whole or not there: everything is written to a temporary name and renamed."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from zoo.core.errors import UserError

__all__ = [
    "PACKAGE",
    "is_plain_name",
    "is_sha256",
    "json_text",
    "open_regular",
    "open_text",
    "read_json",
    "read_regular",
    "replacing",
    "replacing_folder",
    "sha256",
    "sweep",
    "write_json",
    "write_text",
]

PACKAGE = Path(__file__).resolve().parents[1]  # the folder `zoo`
PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
LARGEST_RECORD = 2**26  # bytes
SHA256 = re.compile(r"[0-9a-f]{64}")
TEMPORARY = re.compile(r"\.[^.]+-[a-z0-9_]{8}\.\w+$")  # what `replacing` calls its files


def is_plain_name(text: object) -> bool:
    r"""Says whether text from outside may become the name of a file: one component, no surprises.

    Example:
        >>> is_plain_name("weights-0a1b.safetensors"), is_plain_name("../x"), is_plain_name("a\0")
        (True, False, False)
    """
    return isinstance(text, str) and PLAIN.fullmatch(text) is not None


def is_sha256(text: object) -> bool:
    """Says whether text from outside is a SHA-256 in hexadecimal, which may name a folder, too.

    Example:
        >>> is_sha256("0f" * 32), is_sha256("../" * 21 + "x"), is_sha256(None)
        (True, False, False)
    """
    return isinstance(text, str) and SHA256.fullmatch(text) is not None


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading, if it is one: a device or a pipe would keep whoever reads it.

    A symbolic link may lead to it. What was opened is looked at, not the name, which may have
    changed in between.

    Raises:
        OSError: if it cannot be opened, or is not a regular file.
    """
    flags = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_NONBLOCK", "O_BINARY"))
    try:
        handle = os.open(path, flags)
    except ValueError:  # a name with a null
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path)) from None
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def open_text(path: Path, newline: str | None = None) -> TextIO:
    """Opens a text file in UTF-8 as `open_regular` does, with ends of lines as `open` has them."""
    return io.TextIOWrapper(open_regular(path), encoding="utf-8", newline=newline)


def read_regular(path: Path, limit: int) -> bytes:
    """Reads a file as `open_regular` opens it; of a larger one than the limit one byte more.

    Args:
        path: The file.
        limit: Bytes; more than them are never read, whatever the file does meanwhile.

    Raises:
        OSError: if it cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)


def read_json(path: Path) -> Any:
    """Reads a record of the zoo's own.

    Raises:
        OSError: if it cannot be read, or is not a regular file.
        ValueError: if it is no JSON, or larger than any record.
    """
    content = read_regular(path, LARGEST_RECORD)
    if len(content) > LARGEST_RECORD:
        raise ValueError(f"{path} is larger than any record.")
    return json.loads(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; on success it takes the name of `path`.

    The bytes reach the disk before the name does, so that neither a kill nor a power cut leaves
    a torn file under the name. On failure the temporary file is removed and `path` stays as it
    was.

    Raises:
        UserError: if the folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        cause = _os_error_in(error)
        if cause is None:
            raise
        reason = cause.strerror or str(cause)
        raise UserError(f"cannot write {path}: {reason}. Nothing was changed.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; on success it takes the name and place of `path`.

    Whoever looks finds the old folder, the new one or, between two renamings, none, but never a
    mixture. On failure the temporary folder is removed and `path` stays as it was.

    Raises:
        UserError: if there is no room, or `path` cannot be written.
    """
    target, temporary, old = path.resolve(), None, None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if target.exists():
            if not target.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
            target.rename(old)
        temporary.rename(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}. Nothing was changed.") from error
    finally:
        if old is not None and not target.exists():  # stopped between the two renamings
            old.rename(target)
        for folder in (temporary, old):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes temporary files that a kill has left behind; nobody may be writing there."""
    for path in folder.rglob(".*"):
        if TEMPORARY.match(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _os_error_in(error: BaseException | None) -> OSError | None:
    """Finds what the system said: torch wraps a file's OSError in errors of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all; refuses NaN, which JSON does not know."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Returns the text that `write_json` writes."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with open_regular(path) as file:
        found = hashlib.sha256()
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()
