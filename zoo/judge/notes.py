"""What a long judgement has behind it, so that it goes on where it was ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from zoo.core.errors import UserError
from zoo.core.files import read_json, write_json

__all__ = ["Notes"]

A_MINUTE = 60.0  # shorter judgements leave no file


class Notes:
    """Figures of the batches that were looked at, kept in a file while the work lasts.

    Only for figures that depend on nothing but their batch, its own seed included.

    Args:
        path: The file, named after all that changes a figure; None keeps nothing. One that cannot
            be read or written is done without.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._known = _read(path)
        self._written = time.monotonic()

    def recall(self, key: str, compute: Callable[[], list[float]]) -> list[float]:
        """Returns what is known under a key, or computes it and writes it down."""
        if key not in self._known:
            self._known[key] = compute()
            if time.monotonic() - self._written > A_MINUTE:
                self._write()
        return self._known[key]

    def forget(self) -> None:
        """Removes the file: all is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._written = time.monotonic()
        if self.path is not None:
            try:
                write_json(self.path, self._known)
            except UserError:
                self.path = None


def _read(path: Path | None) -> dict[str, list[float]]:
    try:
        found = read_json(path) if path is not None else {}
        return {str(key): [float(value) for value in values] for key, values in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
