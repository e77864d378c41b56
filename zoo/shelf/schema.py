"""What a card consists of: its required and optional parts, their types, and how large they are.

Whoever reads a card may rely on it. A newer zoo may add parts, so that unknown ones are left alone,
but no text, number or nesting of any part exceeds what a page can show.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypedDict

from zoo.core.errors import UserError
from zoo.core.text import clean
from zoo.recipe.checking import class_name
from zoo.recipe.values import misfit

__all__ = ["check_parts"]

LONGEST_TEXT = 20_000  # characters
LONGEST_KEY = 300
DEEPEST = 32  # levels of lists and mappings


class Weights(TypedDict):
    """What must be said of the weights."""

    file: str
    sha256: str
    bytes: int


class WeightsPart(Weights, total=False):
    """What may be said of the weights."""

    numbers: int
    parameters: str


class Shape(TypedDict):
    """What every image has."""

    channels: int
    height: int
    width: int


class Spec(Shape, total=False):
    """What images may have besides."""

    classes: int
    words: list[str]
    attributes: list[tuple[str, int]]


class Section(TypedDict, total=False):
    """A class and its arguments."""

    class_path: str
    init_args: dict[str, Any] | None


class Recipe(TypedDict, total=False):
    """The resolved recipe."""

    seed_everything: int | None
    trainer: dict[str, Any] | None
    model: str | Section
    data: str | Section


class Training(TypedDict, total=False):
    """How and on what it was trained."""

    training_seconds: float | None
    processor_seconds: float | None
    seed: int | None
    epochs: int | None
    batches: int | None
    processes: int | None
    threads: int | None
    cores: int | None
    device: str
    gpu: str | None
    processor: str | None
    precision: str | None
    commit: str | None
    zoo: str | None
    python: str | None
    torch: str | None
    lightning: str | None


class Named(TypedDict):
    """What every score has."""

    name: str
    value: float | None


class Score(Named, total=False):
    """A score."""

    unit: str
    better: str
    details: dict[str, Any] | None


class SeedScores(TypedDict):
    """The scores of a run with another seed."""

    seed: int
    scores: dict[str, float | None]


class Seed(SeedScores, total=False):
    """A run with another seed."""

    training_seconds: float | None
    processor_seconds: float | None
    threads: int | None
    precision: str | None


class Judged(TypedDict):
    """The data that a judgement was made on."""

    name: str
    sha256: dict[Literal["train", "val", "test"], str]


class Network(TypedDict):
    """The feature network that it used."""

    name: str
    sha256: str


class Report(TypedDict):
    """A judgement."""

    data: Judged
    features: Network | None
    scores: list[Score]


class Needed(TypedDict):
    """What every card says."""

    format: int
    name: str
    model: str
    arguments: dict[str, Any]
    spec: Spec
    weights: WeightsPart


class Card(Needed, total=False):
    """What a card may say besides."""

    recipe_name: str | None
    recipe: Recipe | None
    norm_mode: str
    training: Training | None
    seeds: list[Seed] | None
    evaluations: dict[str, Report] | None
    scores: list[Score] | None


def check_parts(card: Any) -> str | None:
    """Says in a sentence what is wrong with a card, as it comes from JSON; None if nothing is.

    Example:
        >>> check_parts({"format": "one"})
        "format must be a whole number, got 'one'."
    """
    if found := _immoderate(card, "it", 0) or misfit(card, Card, "it"):
        return found.removeprefix("it.")
    recipe = card.get("recipe") or {}
    try:
        for kind in ("model", "data"):
            if kind in recipe:
                class_name(kind, recipe[kind])
    except UserError as error:
        return str(error)
    return None


def _immoderate(value: Any, name: str, depth: int) -> str | None:
    """Finds a number, text or nesting that no card has, and that no page could show."""
    if isinstance(value, str):
        return _text(value, name, LONGEST_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} must be a finite number, got {value}."
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{name} is a number of too many digits."
    if not isinstance(value, (dict, list)):
        return None
    if depth == DEEPEST:
        return f"{clean(name)} holds more than {DEEPEST} levels of lists and mappings."
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in pairs:
        inside = f"{name}.{key}" if isinstance(key, str) else f"{name}[{key}]"
        found = _text(key, f"a name in {name}", LONGEST_KEY) if isinstance(key, str) else None
        if found := found or _immoderate(part, inside, depth + 1):
            return found
    return None


def _text(text: str, name: str, limit: int) -> str | None:
    if len(text) > limit:
        return f"{clean(name)} is a text of more than {limit:,} characters."
    if not text.isprintable() and not "".join(text.split()).isprintable():
        return f"{clean(name)} holds characters that cannot be shown."
    return None
