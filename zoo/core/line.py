"""Options that are taken off a command line before a command reads the rest of it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["take"]


def take(arguments: Sequence[str], *options: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Takes options with one value each off a command line.

    Args:
        arguments: The line's words; a value stands behind its option or after ``=``.
        options: Which to take, with their dashes; each may be there several times.

    Returns:
        The rest, and pairs of option and value in their order; an empty value where the line ends
        or another option follows.

    Example:
        >>> take(["a", "--x=1", "--y", "--x", "2"], "--x")
        (['a', '--y'], [('--x', '1'), ('--x', '2')])
    """
    rest, taken, given = [], [], list(arguments)
    while given:
        word = given.pop(0)
        option, equals, value = word.partition("=")
        if option not in options:
            rest.append(word)
            continue
        if not equals and given and not given[0].startswith("--"):
            value = given.pop(0)
        taken.append((option, value))
    return rest, taken
