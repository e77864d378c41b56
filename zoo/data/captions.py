"""Captions as tokens: token i is word i - 1 of a vocabulary, 0 is padding."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.core.errors import UserError, did_you_mean

__all__ = ["split_words", "text_of", "tokens_of"]


def split_words(caption: str) -> list[str]:
    """Splits a caption into lower-case words; punctuation only separates.

    Example:
        >>> split_words("A large, red circle.")
        ['a', 'large', 'red', 'circle']
    """
    return re.findall(r"[a-z0-9']+", caption.lower())


def tokens_of(caption: str, words: Sequence[str], length: int) -> Tensor:
    """Writes a caption as tokens.

    Args:
        caption: Free text.
        words: The vocabulary.
        length: Tokens T that a model reads at most.

    Returns:
        Tokens, shape (T,), int64, padded with 0.

    Raises:
        UserError: if a word is not in the vocabulary (names all such words), or there is no word,
            or there are more than T.

    Example:
        >>> tokens_of("a red circle", ["a", "circle", "red"], 5).tolist()
        [1, 3, 2, 0, 0]
    """
    found = split_words(caption)
    number = {word: index for index, word in enumerate(words, start=1)}
    unknown = [word for word in dict.fromkeys(found) if word not in number]
    if unknown:
        those = ", ".join(repr(word) for word in unknown)
        many = "words" if len(unknown) > 1 else "word"
        hint = did_you_mean(unknown[0], words)
        known = "" if len(words) <= 20 else f" It knows: {_some(words)}."
        raise UserError(f"this model does not know the {many} {those}. {hint}{known}")
    if not 1 <= len(found) <= length:
        raise UserError(f"a caption must have 1 to {length} words, got {len(found)}.")
    tokens = torch.zeros(length, dtype=torch.int64)
    tokens[: len(found)] = torch.tensor([number[word] for word in found])
    return tokens


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(sorted(words)[:60])
    return shown if len(words) <= 60 else f"{shown} and {len(words) - 60} more"


def text_of(tokens: Tensor, words: Sequence[str]) -> str:
    """Writes tokens, shape (T,), as text.

    Example:
        >>> text_of(torch.tensor([1, 3, 2, 0, 0]), ["a", "circle", "red"])
        'a red circle'
    """
    numbers: list[int] = tokens.tolist()
    return " ".join(str(words[number - 1]) for number in numbers if number > 0)
