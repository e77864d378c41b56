"""One published model, wherever it lies: a card, weights, and what both must stand up to.

A card is JSON and says which model it is, with which arguments, and what hash its weights have.
Weights are safetensors. So loading never unpickles, and never runs code from a file. A `Place`
knows where the two files lie (a folder, a web server, a hub) and which hash the card must have;
the checks are the same for all places and live here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zoo.contract.saved import CARD, FORMAT, digest
from zoo.core.errors import UserError
from zoo.core.files import is_plain_name, is_sha256
from zoo.core.text import quoted
from zoo.shelf.schema import check_parts

__all__ = [
    "CARD",
    "FORMAT",
    "LARGEST_CARD",
    "NAME",
    "Entry",
    "Place",
    "digest",
    "open_entry",
    "split_pin",
]

NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,99}")
LARGEST_CARD = 4 * 2**20  # bytes; a card is a page of text, not a place to hide data
LARGEST_WEIGHTS = 2**30  # bytes; a hundred times the shelf's largest, and still fits into memory


class Place(Protocol):
    """Where the files of one published model lie."""

    @property
    def label(self) -> str:
        """What messages call the model."""
        ...

    @property
    def hashes(self) -> Sequence[str]:
        """SHA-256 that the card may have; empty where the place itself is trusted."""
        ...

    @property
    def folder(self) -> Path:
        """Where the files are on this machine."""
        ...

    def read(self, file: str, hashes: Sequence[str], limit: int) -> bytes:
        """Returns the content of a file.

        Args:
            file: A name without a path.
            hashes: What the content should have; places that keep copies need it to know whether
                a copy is sound. Whether the returned content has it is for the caller to check.
            limit: Bytes; larger files are refused or returned empty.

        Raises:
            UserError: if there is no such file, or it cannot be had.
        """
        ...

    def wrong_hash(self, file: str) -> str:
        """Says which hash is not whose, and what may be done about it."""
        ...


@dataclass(frozen=True)
class Entry:
    """A published model whose card has been checked.

    Args:
        place: Where its files lie.
        card: The card.
        sha256: The card's hash.
    """

    place: Place
    card: dict[str, Any]
    sha256: str


def split_pin(address: str) -> tuple[str, str | None]:
    """Splits the hash off an address.

    Raises:
        UserError: if what follows ``#`` is not a hash.

    Example:
        >>> split_pin("hf://owner/name")
        ('hf://owner/name', None)
    """
    rest, mark, text = address.partition("#")
    key, _, pin = text.lower().partition("=")
    if mark and (key != "sha256" or not is_sha256(pin)):
        raise UserError(
            f"what follows # in {rest}#... must be sha256= and the 64 hexadecimal digits of the "
            "card's hash."
        )
    return rest, pin or None


# ---------------------------------------------------------------- the card


def open_entry(place: Place) -> Entry:
    """Reads and checks a card.

    Raises:
        UserError: if it cannot be read, is damaged or was changed, or is not a card of this zoo.
    """
    content = place.read(CARD, place.hashes, LARGEST_CARD)
    found = digest(content)
    if place.hashes and found not in place.hashes:
        raise UserError(
            f"the card of {place.label} is damaged or was changed: {place.wrong_hash(CARD)}"
        )
    return Entry(place, _parse(content, place.label), found)


def _parse(content: bytes, label: str) -> dict[str, Any]:
    try:
        card = json.loads(content)
        found = card["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"the card of {label} is not a readable card.") from None
    if type(found) is int and found != FORMAT:
        raise UserError(
            f"the card of {label} has format {quoted(found)}; this zoo reads format {FORMAT}."
        )
    if wrong := check_parts(card):
        raise UserError(f"the card of {label} is not a readable card and is refused: {wrong}")
    _check_weights(card["weights"], label)
    return {key: part for key, part in card.items() if part is not None}


def _check_weights(weights: dict[str, Any], label: str) -> None:
    """Refuses what a card says of its weights, before a name or a hash of it becomes a path."""
    file, size = weights["file"], weights["bytes"]
    if not is_plain_name(file) or not file.endswith(".safetensors"):
        outside = Path(file).name != file or file in ("", ".", "..")
        what = "weights outside its folder" if outside else "weights that are no safetensors file"
        raise UserError(f"the card of {label} names {what}; refused.")
    if not is_sha256(weights["sha256"]):
        raise UserError(f"the card of {label} names a hash that is not one; refused.")
    if not 0 <= size <= LARGEST_WEIGHTS:
        raise UserError(
            f"the card of {label} names weights of {size:,} bytes; more than "
            f"{LARGEST_WEIGHTS:,} are refused."
        )
