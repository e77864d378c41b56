"""Where published models are found: on the shelf, on a shelf on the web, or at an address.

A shelf is a folder with ``index.json``, which holds the hash of every card, and a folder for each
model. The same folder behind an https address serves as a shelf, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo.core.errors import UserError, did_you_mean
from zoo.core.files import PACKAGE, is_sha256, read_regular, replacing
from zoo.shelf.card import CARD, LARGEST_CARD, NAME, Place, digest, open_entry
from zoo.shelf.hub import Hub
from zoo.shelf.web import Web, cache_folder, check_url, download

__all__ = [
    "available",
    "check_model",
    "find",
    "is_address",
    "is_folder",
    "is_saved",
    "place_of",
    "read_card",
    "read_index",
    "shelf_folder",
    "writable_shelf",
]

PLACES: dict[str, Callable[[str], Place]] = {"hf": Hub.at, "https": Web.at}


# ---------------------------------------------------------------- where the shelf is


def shelf_folder() -> Path:
    """Returns the shelf: ``$ZOO_SHELF``, else ``checkpoints/`` beside or in the package, or here.

    Raises:
        UserError: if ``$ZOO_SHELF`` is an address, which is not a folder.
    """
    root = _shelf()
    if isinstance(root, str):
        raise UserError(
            f"the shelf {root} is on the web and cannot be changed from here: set ZOO_SHELF to a "
            "folder."
        )
    return root


def writable_shelf() -> Path:
    """Returns the shelf's folder for writing.

    Raises:
        UserError: if the shelf is an address, or came with the installed package.
    """
    root = shelf_folder()
    if root == PACKAGE / "checkpoints":
        raise UserError(
            f"the shelf {root} belongs to the installed package: set ZOO_SHELF to a folder of your "
            "own."
        )
    return root


def _shelf() -> Path | str:
    """Returns the shelf's folder, or its address."""
    if chosen := os.environ.get("ZOO_SHELF"):
        return chosen.rstrip("/") if is_address(chosen) else Path(chosen)
    for folder in (PACKAGE.parent / "checkpoints", PACKAGE / "checkpoints"):
        if (folder / "index.json").is_file():
            return folder
    return Path("checkpoints")


def is_address(name: str) -> bool:
    """Says whether a model's name is an address, such as ``hf://owner/name``.

    Example:
        >>> is_address("hf://owner/name"), is_address("infogan_mnist")
        (True, False)
    """
    return "://" in name


@dataclass(frozen=True)
class Folder:
    """An entry of a shelf that is a folder.

    Args:
        label: The model's name.
        folder: The model's folder.
        hashes: SHA-256 that the card may have.
    """

    label: str
    folder: Path
    hashes: Sequence[str]

    def read(self, file: str, hashes: Sequence[str], limit: int) -> bytes:
        """Returns a file; of one that is too large a part, whose hash is wrong then.

        Raises:
            UserError: if it cannot be read.
        """
        path = self.folder / file
        try:
            return read_regular(path, limit)
        except OSError as error:
            what = "card" if file == CARD else "weights"
            reason = error.strerror or error
            raise UserError(
                f"the {what} of {self.label} cannot be read: {reason} ({path})."
            ) from None

    def wrong_hash(self, file: str) -> str:
        """Says which hash is not whose, and what may be done about it."""
        whose = "the index's" if file == CARD else "the card's"
        return (
            f"the hash of {self.folder / file} is not {whose}. Restore the file, for example with "
            "'git checkout -- checkpoints'."
        )


# ---------------------------------------------------------------- what is on it


def available(shelf: Path | None = None) -> list[str]:
    """Names the models on the shelf.

    Example:
        >>> "infogan_digits" in available()
        True
    """
    root = shelf or _shelf()
    if isinstance(root, str):
        return sorted(_web_index(root))
    names = (path.parent.name for path in root.glob(f"*/{CARD}"))
    return sorted(name for name in names if NAME.fullmatch(name))


def find(name: str, shelf: Path | None = None) -> Place:
    """Finds where a model's files lie, by its name or its address.

    Raises:
        UserError: if there is no such model, or the address is none that the zoo reads.
    """
    if is_address(name):
        scheme = name.partition("://")[0]
        if scheme not in PLACES:
            raise UserError(
                f"{name} is refused: models are loaded from hf:// and https:// addresses only."
            )
        return PLACES[scheme](name)
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid name of a model: names are lower-case letters, digits and _, "
            "without a path."
        )
    root = shelf or _shelf()
    cards = _web_index(root) if isinstance(root, str) else read_index(root)
    if isinstance(root, str):
        if not cards.get(name):
            raise UserError(_unknown(name, root, cards))
        return Web(f"{root}/{name}/{CARD}", cards[name], name, "the index's")
    if not (root / name / CARD).is_file():
        if name in cards:
            raise UserError(
                f"{name} is not part of this installation: set ZOO_SHELF to the checkpoints folder "
                "of a checkout of the zoo, or to the https address of such a folder."
            )
        raise UserError(_unknown(name, root, available(root)))
    if name not in cards:
        raise UserError(f"the card of {name} is not in {root / 'index.json'}; refused.")
    return Folder(name, root / name, cards[name])


def place_of(name_or_folder: str) -> Place:
    """Finds a published model, or one that ``model.save`` has put into a folder.

    A name of the shelf means the shelf; a folder of the same name is ``./name``.

    Raises:
        UserError: as `find`.
    """
    if is_saved(name_or_folder):
        return Folder(name_or_folder, Path(name_or_folder), ())
    return find(name_or_folder)


def is_saved(name_or_folder: str) -> bool:
    """Says whether a folder is meant that holds a model's card and weights."""
    try:
        if is_address(name_or_folder) or not (Path(name_or_folder) / CARD).is_file():
            return False
    except OSError:  # a name that no file can have
        return False
    return not NAME.fullmatch(name_or_folder) or name_or_folder not in available()


def is_folder(name_or_run: str) -> bool:
    """Says whether a command's first word is a folder that is no model, and no model's name."""
    path = Path(name_or_run)
    model = (path / "recipe.yaml").is_file() or is_saved(name_or_run)
    return path.is_dir() and not model and name_or_run not in available()


def check_model(name_or_run: str) -> None:
    """Refuses what is not a folder of a run or of a model, and no model's name or address, at once.

    Raises:
        UserError: saying what is wrong.
    """
    path = Path(name_or_run)
    if (path / "recipe.yaml").is_file():
        return
    if is_folder(name_or_run):
        raise UserError(f"{path} is not a run: it has no recipe.yaml, and no {CARD} either.")
    place_of(name_or_run)


def _unknown(name: str, root: Path | str, names: Iterable[str]) -> str:
    return f"there is no model {name!r} on the shelf {root}. {did_you_mean(name, names)}"


def read_card(name: str, *, shelf: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Reads and checks a card, by the name, the address or, without a shelf, the folder of a model.

    Returns:
        The card, and the folder of its model; of an address, the cache's.

    Raises:
        UserError: if the name is no plain name or address, or the card is missing, damaged or
            changed.
    """
    entry = open_entry(find(name, shelf) if shelf else place_of(name))
    return entry.card, entry.place.folder


# ---------------------------------------------------------------- the index


def read_index(root: Path) -> dict[str, list[str]]:
    """Returns the hashes that the card of every model may have; empty where there is no index.

    A model has one hash, and two only while its entry is being replaced.
    """
    path = root / "index.json"
    if not path.is_file():
        return {}
    try:
        return _parse_index(read_regular(path, LARGEST_CARD), path)
    except OSError:
        raise UserError(f"{path} is not a readable index of the shelf.") from None


def _parse_index(content: bytes, where: Path | str) -> dict[str, list[str]]:
    try:
        cards = json.loads(content)["cards"]
        index = {str(name): list(values) for name, values in cards.items()}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise UserError(f"{where} is not a readable index of the shelf.") from None
    for name, hashes in index.items():
        if not NAME.fullmatch(name) or not all(map(is_sha256, hashes)):
            raise UserError(
                f"{where} is not an index of the shelf: it must give names the 64 hexadecimal "
                f"digits of their cards' hashes, and gives {name[:40]!r} something else."
            )
    return index


@lru_cache(maxsize=8)
def _web_index(root: str) -> dict[str, list[str]]:
    """Fetches the index of a shelf on the web, once per process; without a network, the last one.

    The index is what vouches for the cards, and the server's certificate for the index.
    """
    url = f"{root}/index.json"
    check_url(url)
    kept = cache_folder() / "shelves" / digest(root.encode()) / "index.json"
    try:
        content = download(url, LARGEST_CARD)
    except UserError:
        if not kept.is_file():
            raise
        content = read_regular(kept, LARGEST_CARD)
    cards = _parse_index(content, url)
    with replacing(kept) as temporary:
        temporary.write_bytes(content)
    return cards
