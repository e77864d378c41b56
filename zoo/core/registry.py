"""Names for things: models, data sets, feature networks. Registering is enrolling in the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from zoo.core.errors import UserError, did_you_mean

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """An ordered mapping from short names to classes in which no name can be taken twice.

    Args:
        kind: What the entries are, used in messages, e.g. ``"model"``.

    Example:
        >>> animals = Registry("animal")
        >>> @animals.register
        ... class Okapi: ...
        >>> list(animals)
        ['Okapi']
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, entry: T) -> T:
        """Adds a class under its own name; usable as a decorator.

        Raises:
            ValueError: if the name is taken.
        """
        return self.register_as(getattr(entry, "__name__"))(entry)  # noqa: B009 - T has no __name__

    def register_as(self, name: str) -> Callable[[T], T]:
        """Adds an entry under another name than its own; usable as a decorator."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice.")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            message = f"unknown {self.kind} {name!r}. {did_you_mean(name, self._entries)}"
            raise UserError(message) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the entry of a name, or the default; `[]` refuses unknown names in a sentence."""
        return self._entries.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
