"""Progress on long work, for people at a terminal; silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import track

__all__ = ["bar"]

T = TypeVar("T")


def bar(items: Iterable[T], title: str) -> Iterator[T]:
    """Passes items through and draws how many have passed; the bar goes when it is full.

    Example:
        >>> list(bar([1, 2], "counting"))
        [1, 2]
    """
    total = len(items) if hasattr(items, "__len__") else None  # type: ignore[arg-type]
    if not sys.stdout.isatty():  # rich would still end every bar with an empty line
        yield from items
        return
    yield from track(items, description=title, total=total, transient=True)
