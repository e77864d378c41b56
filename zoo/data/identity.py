"""Which files a person's own data set consists of, so that a run notices when others lie there.

The hash of all pixels (`ImageData.fingerprint`) reads every file; this one is cheap for any number.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.core.errors import UserError
from zoo.core.files import open_regular
from zoo.data.module import spread

__all__ = ["check_classes", "check_identity", "identity_of"]

OPENED = 256  # files whose contents are looked at
BYTES = 2**18  # of each of them, from its beginning


def identity_of(
    folder: Path, names: Sequence[str], classes: Sequence[str] = (), notes: Iterable[str] = ()
) -> dict[str, Any]:
    """Describes the files of a data set by plain values.

    What it guarantees: files of other names, of another number or of other sizes are noticed; of
    256 files, spread evenly over all, other contents in their first 256 KiB as well. What only
    changes elsewhere, at the same size, is not. Where the files lie and when they were written is
    no part of what is compared.

    Args:
        folder: Where they lie.
        names: Their paths below the folder, in a fixed order.
        classes: Names of the classes in the order of their numbers.
        notes: What else is known of the files, such as captions; counts among the contents.

    Returns:
        The folder's absolute path, classes, number of files, and hashes of names and contents.
    """
    contents = hashlib.sha256()
    for name in names:
        contents.update(f"{_size(folder / name)}\n".encode())
    for row in spread(len(names), OPENED).tolist():
        contents.update(_beginning(folder / names[int(row)]))
    for note in notes:
        contents.update(f"{note}\n".encode())
    return {
        "path": str(folder.absolute()),
        "classes": list(classes),
        "files": len(names),
        "names": hashlib.sha256(os.fsencode("\0".join(names))).hexdigest(),
        "contents": contents.hexdigest(),
    }


def check_identity(record: Mapping[str, Any] | None, now: Mapping[str, Any], learner: str) -> None:
    """Refuses data that are not those that a model has learnt from.

    Args:
        record: What `identity_of` said then; None or empty where nobody asked, as in old runs.
        now: What it says now.
        learner: Who learnt, for the message, such as ``the run in runs/vae/monday``.

    Raises:
        UserError: saying what differs, and how moved data are named.
    """
    if not record or not now:
        return
    check_classes(record.get("classes", []), now, learner)
    what = None
    if record.get("files") != now["files"]:
        what = f"has {now['files']:,} images where there were {record.get('files')}"
    elif record.get("names") != now["names"]:
        what = "has images of other names"
    elif record.get("contents") != now["contents"]:
        what = "has other images under the same names"
    if what is not None:
        raise UserError(
            f"{now['path']} {what}: {learner} learnt from those in {record.get('path')}. Name the "
            "folder where they are now with --data.path."
        )


def check_classes(classes: Sequence[str], now: Mapping[str, Any], learner: str) -> None:
    """Refuses data whose classes have other names, because their numbers mean something else.

    Raises:
        UserError: naming the classes of either.
    """
    others = now.get("classes", [])
    if classes and others and list(classes) != list(others):
        lost = [name for name in classes if name not in others]
        new = [name for name in others if name not in classes]
        raise UserError(
            f"{now['path']} has the class folders {_few(new or others)} where {learner} learnt "
            f"{_few(lost or classes)}, so that labels would change their meaning: rename the "
            "folders, or name other data with --data.path."
        )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name)[1:-1] for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _size(path: Path) -> int:
    """Size of a file in bytes; -1 where it cannot be told, which reading reports."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _beginning(path: Path) -> bytes:
    """First bytes of a file, behind their number; none where it cannot be read."""
    try:
        with open_regular(path) as file:
            found = file.read(BYTES)
    except OSError:
        found = b""
    return f"{len(found)}\n".encode() + found
