"""Packages whose names are imported when they are asked for, so that nobody waits for the rest."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["lazily"]


def lazily(
    package: str,
    homes: Mapping[str, str],
    names: Iterable[str] = (),
    modules: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name.
        homes: Each public name with the module that has it.
        names: What the package has already, for ``dir``.
        modules: Names that stand for whole modules.

    Example:
        >>> found, listed = lazily("shapes", {"sqrt": "math"}, ["area"])
        >>> found("sqrt")(9.0), listed()
        (3.0, ['area', 'sqrt'])
    """
    whole = modules or {}

    def found(name: str) -> Any:
        if name in whole:
            return importlib.import_module(whole[name])
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    def listed() -> list[str]:
        return sorted({*names, *homes, *whole})

    return found, listed
