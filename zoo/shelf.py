"""The shelf of published weights: ``checkpoints/<name>/`` with weights and a card.

Weights are safetensors and the card is JSON, so loading never unpickles and never runs code
from a file. The index holds the hash of every card and the card that of its weights: what was
changed by accident or on purpose is refused, with a sentence that says what is wrong.

An entry is replaced in an order in which a kill at any moment leaves it loadable: new weights
get a new name, the index announces the new card beside the old one, the new card takes the old
one's place, and only then is the old forgotten. See `write_entry`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch as safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo.data import ImageSpec
from zoo.errors import UserError, did_you_mean
from zoo.files import json_text, replacing, write_json, write_text
from zoo.models import MODELS
from zoo.recipe import build, read_recipe
from zoo.runs import RunFolder

__all__ = [
    "available",
    "check_fit",
    "load",
    "load_any",
    "load_run",
    "read_card",
    "read_checkpoint",
    "sha256",
    "shelf_folder",
    "write_entry",
]

FORMAT = 1
NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
LARGEST_CARD = 4 * 2**20  # bytes; a card is a page of text, not a place to hide data


def shelf_folder() -> Path:
    """Returns the shelf: ``$ZOO_SHELF``, else ``checkpoints/`` beside the package or here."""
    if chosen := os.environ.get("ZOO_SHELF"):
        return Path(chosen)
    beside = Path(__file__).resolve().parent.parent / "checkpoints"
    return beside if beside.is_dir() else Path("checkpoints")


def available(shelf: Path | None = None) -> list[str]:
    """Names the models on the shelf.

    Example:
        >>> "infogan_digits" in available()
        True
    """
    folder = shelf or shelf_folder()
    return sorted(path.parent.name for path in folder.glob("*/card.json"))


def load(name: str, *, shelf: Path | None = None) -> Any:
    """Loads a published model, ready to sample on the CPU.

    Args:
        name: One of `available()`.
        shelf: Another shelf than `shelf_folder()`.

    Returns:
        The model in evaluation mode; `zoo.contracts.capabilities` names what it can do.

    Raises:
        UserError: if there is no such model, or its files are damaged, changed or do not fit.
    """
    card, folder = read_card(name, shelf=shelf)
    file = card["weights"]["file"]
    if Path(file).name != file or file in (".", ".."):
        raise UserError(f"the card of {name} names weights outside its folder; refused.")
    weights = folder / file
    try:
        content = weights.read_bytes()  # once, so that what is hashed is what is loaded
    except OSError as error:
        raise UserError(
            f"the weights of {name} cannot be read: {_reason(error, weights)}."
        ) from None
    if _digest(content) != card["weights"]["sha256"]:
        raise UserError(
            f"the weights of {name} are damaged or were changed: the hash of {weights} is not the "
            "card's. Restore the file, for example with 'git checkout -- checkpoints'."
        )
    try:
        state = safetensors.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{weights} is no readable safetensors file: {error}.") from None
    model = _build_from_card(card)
    wanted = {k: v for k, v in model.state_dict().items() if not k.startswith(_skipped(model))}
    check_fit(state, wanted, f"the weights of {name}")
    model.load_state_dict(state, strict=False)
    return model.eval()


def read_card(name: str, *, shelf: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Reads and checks a card.

    Returns:
        The card, and the folder of its model.

    Raises:
        UserError: if the name is no plain name, or the card is missing, damaged or changed.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name of a model: names are lower-case letters, digits and _, "
            "without a path."
        )
    root = shelf or shelf_folder()
    folder = root / name
    path = folder / "card.json"
    if not path.is_file():
        raise UserError(
            f"there is no model {name!r} on the shelf {root}. {did_you_mean(name, available(root))}"
        )
    expected = read_index(root).get(name)
    if expected is None:
        raise UserError(f"the card of {name} is not in {root / 'index.json'}; refused.")
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_CARD else b""
    except OSError as error:
        raise UserError(f"the card of {name} cannot be read: {_reason(error, path)}.") from None
    if _digest(content) not in expected:
        raise UserError(
            f"the card of {name} is damaged or was changed: the hash of {path} is not the index's. "
            "Restore the file, for example with 'git checkout -- checkpoints'."
        )
    return _parse_card(content, path), folder


def _parse_card(content: bytes, path: Path) -> dict[str, Any]:
    try:
        card = json.loads(content)
        found = card["format"]
        if found == FORMAT:
            parts = {"model": str, "arguments": dict, "spec": dict, "weights": dict}
            texts = [card["weights"]["file"], card["weights"]["sha256"]]
            sound = all(isinstance(card[key], kind) for key, kind in parts.items())
            if not sound or not all(isinstance(text, str) for text in texts):
                raise TypeError("a part of the card is of another kind than it should be")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path} is no readable card.") from None
    if found != FORMAT:
        raise UserError(f"{path} has format {found!r}; this zoo reads format {FORMAT}.")
    return card


def read_index(root: Path) -> dict[str, list[str]]:
    """Returns the hashes that the card of every model may have; empty where there is no index.

    A model has one hash, and two only while its entry is being replaced.
    """
    path = root / "index.json"
    if not path.is_file():
        return {}
    try:
        cards = json.loads(path.read_text(encoding="utf-8"))["cards"]
        return {str(name): [str(value) for value in values] for name, values in cards.items()}
    except (ValueError, KeyError, AttributeError, TypeError, OSError, RecursionError):
        raise UserError(f"{path} is no readable index of the shelf.") from None


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _reason(error: OSError, path: Path) -> str:
    return f"{error.strerror or error} ({path})"


def _build_from_card(card: dict[str, Any]) -> nn.Module:
    try:
        section = {"class_path": card["model"], "init_args": card["arguments"]}
        if card["model"] not in MODELS:
            raise UserError(f"unknown model {card['model']!r}")
        return _build(section, ImageSpec(**card["spec"]))
    except (TypeError, KeyError, UserError) as error:
        reason = str(error).rstrip(".")
        raise UserError(
            f"the card of {card.get('name')} does not fit this zoo: {reason}."
        ) from None


def _build(section: Any, spec: ImageSpec) -> nn.Module:
    """Builds a model whose random start is about to be overwritten; spares the user's stream."""
    with torch.random.fork_rng(devices=[]):
        return build("model", section, spec=spec)


def _skipped(model: Any) -> tuple[str, ...]:
    return tuple(getattr(model, "not_published", ()))


def check_fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Refuses weights of another architecture: every name and shape must be right.

    Args:
        state: Tensors from a file.
        wanted: Tensors of the model that they are for.
        what: What the message calls them.

    Raises:
        UserError: naming the first difference.
    """
    missing, foreign = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or foreign:
        example = f"{missing[0]} is missing" if missing else f"{foreign[0]} is unknown"
        raise UserError(
            f"{what} are of another architecture: {len(missing)} tensors are missing and "
            f"{len(foreign)} are unknown, for example {example}."
        )
    for key, tensor in state.items():
        if tensor.shape != wanted[key].shape:
            raise UserError(
                f"{what} are of another architecture: {key} has shape {tuple(tensor.shape)}, "
                f"the model wants {tuple(wanted[key].shape)}."
            )


def load_run(path: str | Path) -> Any:
    """Loads the last weights of a run's folder, in evaluation mode.

    Raises:
        UserError: if the folder is no run, has no checkpoint, or its checkpoint is unsafe.
    """
    folder = RunFolder(Path(path))
    if not folder.recipe.is_file() or not folder.environment.is_file():
        raise UserError(f"{path} is no run: it has no recipe.yaml and environment.json.")
    if not folder.last.is_file():
        raise UserError(f"the run {path} has no checkpoint yet.")
    recipe = read_recipe(folder.recipe)
    try:
        spec = ImageSpec(**json.loads(folder.environment.read_text(encoding="utf-8"))["spec"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder.environment} does not say what images the run had.") from None
    model = _build(recipe["model"], spec)
    state = read_checkpoint(folder.last)["state_dict"]
    check_fit(state, model.state_dict(), f"the weights of the run {path}")
    model.load_state_dict(state)
    return model.eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a Lightning checkpoint without running code from it.

    Raises:
        UserError: if the file is damaged, or holds anything but tensors and plain values.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        raise UserError(
            f"{path} is damaged, or holds more than tensors and plain values, which could run "
            "foreign code; refused."
        ) from None
    except Exception as error:  # damaged bytes make the reader fail in every way there is
        reason = str(error).partition("\n")[0].strip()[:150] or type(error).__name__
        raise UserError(f"{path} is no readable checkpoint: {reason.rstrip('.')}.") from None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path} is no checkpoint of a run.")
    return checkpoint


def load_any(name_or_run: str) -> Any:
    """Loads a published model by name, or a run by its folder."""
    path = Path(name_or_run)
    if path.is_dir() and not NAME.fullmatch(name_or_run):
        return load_run(path)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return load_run(path)
    return load(name_or_run)


def published_state(model: nn.Module, half: bool) -> dict[str, Tensor]:
    """Returns the tensors to publish: without those only training needs, halved if asked.

    Args:
        model: The trained model.
        half: Whether to round parameters to float16; running statistics stay as they are.
    """
    parameters = dict(model.named_parameters())
    state = {}
    for key, tensor in model.state_dict().items():
        if not key.startswith(_skipped(model)):
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
        shelf: Another shelf than `shelf_folder()`.

    Returns:
        The model's folder.

    Raises:
        UserError: if the name is no plain name or a file cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a model: use lower-case letters, digits and _.")
    root = shelf or shelf_folder()
    folder = root / name
    state = published_state(model, half)
    content = safetensors.save(state)
    weights = folder / f"weights-{_digest(content)[:8]}.safetensors"
    arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in model.hparams.items()}
    entry = {
        "format": FORMAT,
        "name": name,
        "model": type(model).__name__,
        "arguments": arguments,
        "spec": asdict(model.spec),
        "weights": {
            "file": weights.name,
            "sha256": _digest(content),
            "bytes": len(content),
            "numbers": sum(tensor.numel() for tensor in state.values()),
            "parameters": "float16" if half else "float32",
        },
        **card,
    }
    text = json_text(entry)
    # The cards of other models keep the hashes that they have: what was changed stays refused.
    cards = read_index(root)
    new = _digest(text.encode())
    known = weights.exists()
    try:
        with replacing(weights) as temporary:
            temporary.write_bytes(content)
        _write_index(root, {**cards, name: [*cards.get(name, []), new]})
        write_text(folder / "card.json", text)
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
