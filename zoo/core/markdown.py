"""Text from outside in Markdown: it neither ends a cell nor becomes markup."""

from __future__ import annotations

import re
from html import escape

from zoo.core.text import clean

__all__ = ["code", "fenced", "plain"]

LONGEST = 300  # characters in a cell
ACTIVE = re.compile(r"([\\`*_~\[\]|])")  # what Markdown acts on within a line
ADDRESS = re.compile(r"(?i):(?=//)|(?<!\w)w(?=ww\.)")  # by which GitHub knows a link in plain text
BAR = r"\|"  # which GitHub reads as a bar in a cell, in code too


def plain(text: object) -> str:
    r"""Takes from a text what Markdown or HTML would act on.

    Example:
        >>> plain("a*b | <b>")
        'a\\*b \\| &lt;b&gt;'
    """
    words = ACTIVE.sub(r"\\\1", escape(clean(text, LONGEST), quote=False))
    return ADDRESS.sub(lambda found: f"&#{ord(found[0])};", words)


def code(text: object) -> str:
    r"""Sets a name as code, which only a backtick could end, and in a table only a bar.

    Example:
        >>> code("fid[a|b]`")
        '`fid[a\\|b]`'
    """
    return f"`{clean(text, LONGEST).replace('`', '').replace('|', BAR)}`"


def fenced(text: str, language: str = "") -> str:
    """Sets lines as a block of code, between fences longer than any that they hold.

    Example:
        >>> print(fenced("a: '```'", "yaml"))
        ````yaml
        a: '```'
        ````
    """
    longest = max((len(found) for found in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
