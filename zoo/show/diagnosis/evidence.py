"""What the advice is drawn from, what it consists of, and its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo.judge.catalogue import find

__all__ = ["Advice", "Evidence", "are", "count", "joined", "named"]


@dataclass(frozen=True)
class Evidence:
    """The figures that the rules read.

    Args:
        scores: The judge's scores as plain values.
        reference: The same scores of real images in the place of samples, by short name.
        fake_share: Share of each class among the samples, empty if unknown.
        real_share: The same among real images.
        samples: Number of samples looked at.
        images: Number of real images looked at.
        arguments: The model's constructor arguments.
        implicit: Whether the model samples without having a likelihood, as GANs do.
        features: Whether a feature network was at hand.
        health: What was said while training.
    """

    scores: Sequence[Mapping[str, Any]]
    reference: Mapping[str, float] = field(default_factory=dict)
    fake_share: Sequence[float] = ()
    real_share: Sequence[float] = ()
    samples: int = 0
    images: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    implicit: bool = False
    features: bool = True
    health: Sequence[str] = ()

    def find(self, name: str) -> Mapping[str, Any] | None:
        """Returns the first score of that short name."""
        return find(self.scores, name)

    def value(self, name: str) -> float | None:
        """Returns its value, None if there is none."""
        score = self.find(name)
        return None if score is None else score["value"]

    def details(self, name: str) -> Mapping[str, Any]:
        """Returns its details."""
        score = self.find(name)
        return {} if score is None else score.get("details", {})


@dataclass(frozen=True)
class Advice:
    """One finding.

    Args:
        level: ``serious``, ``notable`` or ``good``.
        title: In a few words.
        what: What the figures say.
        tip: What to try; empty if nothing is wrong.
    """

    level: str
    title: str
    what: str
    tip: str = ""


def named(classes: Sequence[int]) -> str:
    """Names classes.

    Example:
        >>> named([3, 7])
        'classes 3 and 7'
    """
    word = "class" if len(classes) == 1 else "classes"
    return f"{word} {joined([str(k) for k in classes])}"


def are(classes: Sequence[int]) -> str:
    """Returns the verb that fits so many classes."""
    return "is" if len(classes) == 1 else "are"


def joined(words: Sequence[str]) -> str:
    """Enumerates at least one thing.

    Example:
        >>> joined(["a", "b", "c"])
        'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def count(number: int) -> str:
    """Writes a small number as a word at the beginning of a sentence."""
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six")
    return words[number] if number < len(words) else str(number)
