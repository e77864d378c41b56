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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch as safetensors
from torch import Tensor, nn

from zoo.contract.model import facts
from zoo.core.errors import UserError
from zoo.core.files import json_text, replacing, write_json, write_text
from zoo.shelf.card import CARD, FORMAT, NAME, digest
from zoo.shelf.find import read_index, writable_shelf

__all__ = ["published_state", "write_entry"]


def published_state(model: nn.Module, half: bool) -> dict[str, Tensor]:
    """Returns the tensors to publish: without those only training needs, halved if asked.

    Args:
        model: The trained model.
        half: Whether to round parameters to float16; running statistics stay as they are.
    """
    parameters = dict(model.named_parameters())
    skipped = facts(model).not_published
    state = {}
    for key, tensor in model.state_dict().items():
        if not key.startswith(skipped):
            small = half and key in parameters and tensor.is_floating_point()
            state[key] = (tensor.half() if small else tensor).contiguous().clone()
    return state


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
        raise UserError(f"{name!r} is no name for a model: use lower-case letters, digits and _.")
    root = shelf or writable_shelf()
    folder = root / name
    state = published_state(model, half)
    content = safetensors.save(state)
    weights = folder / f"weights-{digest(content)[:8]}.safetensors"
    arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in model.hparams.items()}
    entry = {
        "format": FORMAT,
        "name": name,
        "model": type(model).__name__,
        "arguments": arguments,
        "spec": asdict(model.spec),
        "weights": {
            "file": weights.name,
            "sha256": digest(content),
            "bytes": len(content),
            "numbers": sum(tensor.numel() for tensor in state.values()),
            "parameters": "float16" if half else "float32",
        },
        **card,
    }
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
