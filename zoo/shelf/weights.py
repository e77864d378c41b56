"""Weights of published models: fetched, checked against their card, and filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch as safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor

from zoo.contract.answering import plain_defaults
from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.core.text import clean
from zoo.models import MODELS
from zoo.recipe.building import build
from zoo.recipe.values import check_values
from zoo.shelf.card import Entry, digest, open_entry
from zoo.shelf.find import find
from zoo.shelf.sketch import bounded, largest_file, published, sketch

__all__ = ["build_model", "check_fit", "image_spec", "is_plain", "load", "load_entry"]


def load(name: str, *, shelf: Path | None = None) -> Any:
    """Loads a published model, ready to sample on the CPU.

    Args:
        name: One of `available()`, or an address: ``hf://owner/name``, with ``@revision`` and
            ``#sha256=<hash of the card>`` if you like, or
            ``https://host/path/card.json#sha256=<hash of the card>``.
        shelf: Another shelf than ``$ZOO_SHELF`` or the zoo's own.

    Returns:
        The model in evaluation mode; `zoo.contract.capabilities.capabilities` names what it can do.

    Raises:
        UserError: if there is no such model, or its files are damaged, changed or do not fit.
    """
    return load_entry(open_entry(find(name, shelf)))


def load_entry(entry: Entry) -> Any:
    """Builds the model of a card and fills in its weights.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: if the weights cannot be had, are damaged, were changed or do not fit.
    """
    label, card = entry.place.label, entry.card
    file, size = card["weights"]["file"], card["weights"]["bytes"]
    wanted = _wanted(card)  # before the weights, which may have to be fetched
    if wanted is not None and size > largest_file(wanted):
        raise UserError(
            f"the weights of {label} are of another architecture: the card says that they have "
            f"{size:,} bytes, and its model has {largest_file(wanted):,} at most; refused."
        )
    expected = card["weights"]["sha256"]
    content = entry.place.read(file, [expected], size)  # once: what is hashed is what is loaded
    if digest(content) != expected:
        raise UserError(
            f"the weights of {label} are damaged or were changed: {entry.place.wrong_hash(file)}"
        )
    try:
        state = safetensors.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"the weights of {label} are not a readable safetensors file: {error}."
        ) from None
    if wanted is not None:
        check_fit(state, wanted, f"the weights of {label}")  # before the model takes memory
    with _as_said_by(card):
        model = build_model(*_section_and_spec(card))
    check_fit(state, published(model), f"the weights of {label}")
    model.load_state_dict(state, strict=False)
    return model.eval()


def _wanted(card: dict[str, Any]) -> dict[str, Tensor] | None:
    """Returns the shapes of the published tensors; None where only the model itself knows them."""
    with _as_said_by(card):
        model = sketch(*_section_and_spec(card))
    return None if model is None else published(model)


def _section_and_spec(card: dict[str, Any]) -> tuple[dict[str, Any], ImageSpec]:
    if card["model"] not in MODELS:
        raise UserError(f"unknown model {card['model']!r}")
    section = {"class_path": card["model"], "init_args": card["arguments"]}
    return section, image_spec(card["spec"])


@contextmanager
def _as_said_by(card: dict[str, Any]) -> Iterator[None]:
    """Retells what a constructor has to say of a card's arguments."""
    try:
        yield
    except (ArithmeticError, TypeError, ValueError, LookupError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise UserError(
            f"the card of {card['name']} does not fit this zoo: {clean(reason, 300)}."
        ) from None


def image_spec(said: dict[str, Any]) -> ImageSpec:
    """Returns what a card or a run's record says of its images.

    Raises:
        UserError: if it says it in another way.
    """
    check_values(ImageSpec, said, "the images' ")
    return ImageSpec(**said)


def build_model(section: Any, spec: ImageSpec) -> Any:
    """Builds a model whose random start is about to be overwritten; spares the user's stream.

    Its convolutions answer faster, on CPUs too, where channels lie last, as in training.
    """
    with bounded(), plain_defaults(), torch.random.fork_rng(devices=[]):
        return build("model", section, spec=spec).to(memory_format=torch.channels_last)


def is_plain(tensor: Tensor) -> bool:
    """Says whether a tensor from a file has numbers in memory, one after the other."""
    strided = tensor.layout is torch.strided and not tensor.is_quantized
    return strided and not tensor.is_complex() and not tensor.is_meta


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
        if not is_plain(tensor):
            raise UserError(f"{what} are damaged: {key} is not a plain tensor.")
        if tensor.is_floating_point() != wanted[key].is_floating_point():
            raise UserError(
                f"{what} are of another architecture: {key} holds {tensor.dtype}, the model wants "
                f"{wanted[key].dtype}."
            )
        if tensor.shape != wanted[key].shape:
            raise UserError(
                f"{what} are of another architecture: {key} has shape {tuple(tensor.shape)}, "
                f"the model wants {tuple(wanted[key].shape)}."
            )
