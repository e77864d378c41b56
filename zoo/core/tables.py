"""Tables on the terminal: plain ones, in which no text from outside is more than text."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zoo.core.text import clean

__all__ = ["PlainTable", "console", "styled"]

LONGEST_CELL = 1000  # characters
WHOLE_LINES = 10_000  # columns of what is read by programs


def console() -> Console:
    """Returns the screen; what is piped is as wide as it is, so that no name in it is broken."""
    screen = Console()
    return screen if screen.is_terminal else Console(width=WHOLE_LINES)


class Styled(str):
    """Markup that `styled` made."""


def styled(text: object, style: str = "") -> Styled:
    """Makes text fit for a cell, in a style such as ``bold``; nothing in it is read as markup."""
    plain = escape(clean(text, LONGEST_CELL))
    return Styled(f"[{style}]{plain}[/{style}]" if style else plain)


class PlainTable(Table):
    """A table without lines. Its cells are text: nothing in them is read as markup or an escape.

    Args:
        title: Stands above; nothing if it is empty.
        columns: Titles of columns; `add_column` adds others.
        caption: Stands below.
    """

    def __init__(self, title: object, *columns: str, caption: str | None = None) -> None:
        super().__init__(
            title=styled(title) or None, title_style="bold", title_justify="left", caption=caption,
            box=None, pad_edge=False,
        )  # fmt: skip
        for column in columns:
            self.add_column(column)

    def add_column(self, header: object = "", **kwargs: Any) -> None:
        """Adds a column; long words of it are folded unless ``overflow`` says otherwise."""
        super().add_column(styled(header), **{"overflow": "fold", **kwargs})

    def add_row(self, *cells: object, **kwargs: Any) -> None:
        """Adds a row of texts, or of what `styled` returns."""
        row = [cell if isinstance(cell, Styled) else styled(cell) for cell in cells]
        super().add_row(*row, **kwargs)
