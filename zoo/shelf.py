"""The shelf of published weights: ``checkpoints/<name>/`` with weights and a card.

Weights are safetensors and the card is JSON, so loading never unpickles and never runs code
from a file. The index holds the hash of every card and the card that of its weights: what was
changed by accident or on purpose is refused, with a sentence that says what is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.data import ImageSpec
from zoo.errors import UserError, did_you_mean
from zoo.files import replacing, write_json
from zoo.models import MODELS
from zoo.recipe import build, read_recipe
from zoo.runs import RunFolder

__all__ = ["available", "load", "load_any", "load_run", "read_card", "shelf_folder", "write_entry"]

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
    weights = folder / card["weights"]["file"]
    if weights.parent != folder:
        raise UserError(f"the card of {name} names weights outside its folder; refused.")
    if not weights.is_file():
        raise UserError(f"the weights of {name} are missing: {weights}.")
    if sha256(weights) != card["weights"]["sha256"]:
        raise UserError(
            f"the weights of {name} are damaged or were changed: the hash of {weights} is not the "
            "card's. Restore the file, for example with 'git checkout -- checkpoints'."
        )
    try:
        state = load_file(weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{weights} is no readable safetensors file: {error}.") from None
    model = _build_from_card(card)
    _fill(model, state, f"the weights of {name}")
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
    if path.stat().st_size > LARGEST_CARD or sha256(path) != expected:
        raise UserError(f"the card of {name} was changed: the hash of {path} is not the index's.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        found = card["format"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no readable card.") from None
    if found != FORMAT:
        raise UserError(f"{path} has format {found}; this zoo reads format {FORMAT}.")
    return card, folder


def read_index(root: Path) -> dict[str, str]:
    """Returns the hash of every card, by name; empty where there is no index."""
    path = root / "index.json"
    if not path.is_file():
        return {}
    try:
        cards = json.loads(path.read_text(encoding="utf-8"))["cards"]
        return {str(name): str(value) for name, value in cards.items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{path} is no readable index of the shelf.") from None


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _build_from_card(card: dict[str, Any]) -> nn.Module:
    try:
        spec = ImageSpec(**card["spec"])
        section = {"class_path": card["model"], "init_args": card["arguments"]}
        if card["model"] not in MODELS:
            raise UserError(f"unknown model {card['model']!r}")
        return build("model", section, spec=spec)
    except (TypeError, KeyError, UserError) as error:
        raise UserError(f"the card of {card.get('name')} does not fit this zoo: {error}.") from None


def _skipped(model: Any) -> tuple[str, ...]:
    return tuple(getattr(model, "not_published", ()))


def _fill(model: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Copies weights into a model; every name and shape must be right."""
    wanted = {k: v for k, v in model.state_dict().items() if not k.startswith(_skipped(model))}
    missing, foreign = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or foreign:
        raise UserError(
            f"{what} are of another architecture: {len(missing)} tensors are missing "
            f"{missing[:2]}, {len(foreign)} are unknown {foreign[:2]}."
        )
    for key, tensor in state.items():
        if tensor.shape != wanted[key].shape:
            raise UserError(
                f"{what} are of another architecture: {key} has shape {tuple(tensor.shape)}, "
                f"the model wants {tuple(wanted[key].shape)}."
            )
    model.load_state_dict(state, strict=False)


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
    model = build("model", recipe["model"], spec=spec)
    state = read_checkpoint(folder.last)["state_dict"]
    wanted = model.state_dict()
    if state.keys() != wanted.keys() or any(state[k].shape != wanted[k].shape for k in wanted):
        raise UserError(f"the checkpoint of {path} does not fit the model of its recipe.")
    model.load_state_dict(state)
    return model.eval()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a Lightning checkpoint without running code from it.

    Raises:
        UserError: if the file is damaged, or holds anything but tensors and plain values.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors and plain values, which could run foreign code; "
            "refused."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no readable checkpoint: {str(error).splitlines()[0]}") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
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
    """Puts a model on the shelf: weights first, then the card, then the index.

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
    weights = folder / "weights.safetensors"
    state = published_state(model, half)
    with replacing(weights) as temporary:
        save_file(state, temporary)
    arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in model.hparams.items()}
    entry = {
        "format": FORMAT,
        "name": name,
        "model": type(model).__name__,
        "arguments": arguments,
        "spec": asdict(model.spec),
        "weights": {
            "file": weights.name,
            "sha256": sha256(weights),
            "bytes": weights.stat().st_size,
            "numbers": sum(tensor.numel() for tensor in state.values()),
            "parameters": "float16" if half else "float32",
        },
        **card,
    }
    write_json(folder / "card.json", entry)
    cards = {entry: sha256(root / entry / "card.json") for entry in available(root)}
    write_json(root / "index.json", {"format": FORMAT, "cards": cards})
    return folder
