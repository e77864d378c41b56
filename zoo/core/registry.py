"""Names for things: models, data sets, scores. Registering is enrolling in the tests.

What the zoo itself brings is listed with the module that holds it, and imported when it is asked
for: whoever wants a name need not wait for torch. What people bring registers as it is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from zoo.core.errors import UserError, did_you_mean
from zoo.core.plugins import discover
from zoo.core.text import quoted

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """An ordered mapping from short names to classes in which no name can be taken twice.

    Args:
        kind: What the entries are, used in messages, e.g. ``"model"``.
        homes: The zoo's own entries, each with the module that registers it when it is imported.

    Example:
        >>> animals = Registry("animal")
        >>> @animals.register
        ... class Okapi: ...
        >>> list(animals)
        ['Okapi']
    """

    def __init__(self, kind: str, homes: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.homes = dict(homes or {})
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
            home = self.homes.get(name, getattr(entry, "__module__", None))
            if name in self._entries or home != getattr(entry, "__module__", None):
                raise ValueError(f"{self.kind} {name!r} is registered twice.")
            self._entries[name] = entry
            return entry

        return add

    def loaded(self, name: str) -> bool:
        """Says whether an entry has been imported, so that it can be asked itself."""
        return name in self._entries

    def __getitem__(self, name: str) -> T:
        if name not in self._entries and name in self.homes:
            importlib.import_module(self.homes[name])
        elif name not in self._entries:
            discover()
        try:
            return self._entries[name]
        except KeyError:
            message = f"unknown {self.kind} {quoted(name)}. {did_you_mean(name, self)}"
            raise UserError(message) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the entry of a name, or the default; `[]` refuses unknown names in a sentence."""
        return self[name] if name in self else default

    def __contains__(self, name: object) -> bool:
        if name in self._entries or name in self.homes:
            return True
        discover()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        discover()
        return iter([*self.homes, *(name for name in self._entries if name not in self.homes)])

    def __len__(self) -> int:
        return sum(1 for _ in self)
