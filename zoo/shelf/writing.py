"""Putting models on the shelf: ``checkpoints/<name>/`` with weights and a card.

The index holds the hash of every card and the card that of its weights: what was changed by
accident or on purpose is refused, with a sentence that says what is wrong.

An entry is replaced in an order in which a kill at any moment leaves it loadable: new weights
get a new name, the index announces the new card beside the old one, the new card takes the old
one's place, and only then is the old forgotten. See `write_entry`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.contract.saved import FORMAT, described
from zoo.core.errors import UserError
from zoo.core.files import json_text, replacing, write_json, write_text
from zoo.shelf.card import CARD, NAME, digest
from zoo.shelf.find import read_index, writable_shelf

__all__ = ["write_entry"]


def write_entry(
    name: str, model: Any, card: dict[str, Any], *, half: bool = True, shelf: Path | None = None
) -> Path:
    """Puts a model on the shelf or replaces it; a kill at any moment leaves a loadable entry.

    Args:
        name: Name on the shelf.
        model: A model of the zoo.
        card: What else the card says: recipe, training, scores.
        half: Whether to store parameters in float16.
        shelf: Another shelf than `zoo.shelf.find.writable_shelf()`.

    Returns:
        The model's folder.

    Raises:
        UserError: if the name is no plain name or a file cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a valid name: use lower-case letters, digits and _.")
    root = shelf or writable_shelf()
    folder = root / name
    said, content = described(name, model, half)
    weights = folder / said["weights"]["file"]
    entry = {**said, **card}
    text = json_text(entry)
    # The cards of other models keep the hashes that they have: what was changed stays refused.
    cards = read_index(root)
    new = digest(text.encode())
    known = weights.exists()
    try:
        with replacing(weights) as temporary:
            temporary.write_bytes(content)
        _write_index(root, {**cards, name: [*cards.get(name, []), new]})
        write_text(folder / CARD, text)
    except BaseException:
        if not known:
            weights.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: the old entry stays
            folder.rmdir()
        raise
    _write_index(root, {**cards, name: [new]})
    for old in folder.glob("*.safetensors"):
        if old != weights:
            old.unlink(missing_ok=True)
    return folder


def _write_index(root: Path, cards: Mapping[str, list[str]]) -> None:
    there = {name: cards[name] for name in sorted(cards) if (root / name).is_dir()}
    write_json(root / "index.json", {"format": FORMAT, "cards": there})
