"""What the heads of model files and recipes say, taken apart so that a page can show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoo.core.outline import outline_of
from zoo.models.registry import MODELS

__all__ = ["About", "about", "header", "without_header"]

LABEL = re.compile(r"(Papers?|Deviations|Several devices|No paper)\b(:?)")


@dataclass(frozen=True)
class About:
    """What a family says of itself, plain text.

    Args:
        summary: What it is, in a sentence that begins with a small letter.
        references: Where it comes from.
        deviations: How it differs from there, one text each.
        beyond: What can be switched on besides, one text each.
    """

    summary: str
    references: str
    deviations: tuple[str, ...]
    beyond: tuple[str, ...]


def about(family: str) -> About:
    """Reads a family's summary, references, deviations and additions from the head of its file.

    Args:
        family: A registered model.

    Example:
        >>> about("VAE").summary
        'learns a short code of images, and draws new ones from random codes.'
    """
    outline = outline_of(MODELS, family)
    text = outline.about
    parts = [part.strip("\n") for part in text.split("\n\n")]
    references = next((p for p in parts if re.match(r"References?:", p)), "")

    def listed(under: str) -> tuple[str, ...]:
        text = next((p for p in parts if p.startswith(under)), "")
        items = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
        return tuple(" ".join(item.split()) for item in items)

    return About(
        outline.facts["summary"],
        " ".join(references.split()).partition(": ")[2],
        listed("Deviations"),
        listed("Beyond the paper"),
    )


def header(recipe: Path) -> list[tuple[str, str]]:
    """Reads the comment at the head of a recipe.

    Returns:
        Its paragraphs with the word that each begins with, such as ``Deviations``; empty for the
        first one, and ``code`` for lines that are set in.
    """
    paragraphs: list[tuple[str, str]] = []
    for line in recipe.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words = line[1:].removeprefix(" ")
        found = LABEL.match(words)
        kind, last = ("code" if words.startswith("  ") else ""), paragraphs[-1:]
        if found:
            label = found[1] if found[2] else ""
            paragraphs.append((label, words[found.end() :].strip() if label else words))
        elif kind == "code" and last and last[0][0] == "code":
            paragraphs[-1] = (kind, f"{last[0][1]}\n{words[2:]}")
        elif kind == "code":
            paragraphs.append((kind, words[2:]))
        elif last and last[0][0] != "code":
            paragraphs[-1] = (last[0][0], f"{last[0][1]} {words}".strip())
        else:
            paragraphs.append(("", words))
    return paragraphs


def without_header(recipe: Path) -> str:
    """Returns a recipe's text after that comment."""
    lines = recipe.read_text(encoding="utf-8").splitlines(keepends=True)
    first = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[first:])
