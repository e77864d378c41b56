"""From templates to pages that need nothing but themselves.

The pages stand in ``zoo/show/templates`` with their style beside them. Whatever a template is given
is escaped, so that no name, unit or text of a card can become markup; what is here is what a
template cannot do: links and code inside of prose, and pictures as data.
"""

from __future__ import annotations

import base64
import html
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

__all__ = ["Bar", "Figure", "bar", "drawn", "linked", "prose", "render", "templates"]

TEMPLATES = Path(__file__).resolve().parent / "templates"
OPTION = re.compile(r"--\w[\w.]*")
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
INLINE = re.compile(r"``([^`]+)``|`([^`]+)`")


class Figure(NamedTuple):
    """A picture on a page.

    Args:
        source: Its address, or the picture itself as a data URI.
        width: In pixels.
        height: In pixels.
        alt: What it shows, for those who do not see it.
        caption: What stands below it; its lines stay lines.
    """

    source: str
    width: int
    height: int
    alt: str
    caption: str = ""


class Bar(NamedTuple):
    """A horizontal bar, in per cent of its room.

    Args:
        share: Its length.
        mark: Where a line crosses it, if anywhere.
    """

    share: float
    mark: float | None


def prose(value: object) -> Markup:
    """Escapes text, and sets options of the command line as code, so that no line breaks in them.

    Example:
        >>> str(prose("try --model.lr & see"))
        'try <code>--model.lr</code> &amp; see'
    """
    return Markup(OPTION.sub(lambda found: f"<code>{found[0]}</code>", html.escape(str(value))))


def linked(value: object) -> Markup:
    """Like `prose`, with papers of arXiv as links and `code` as code.

    Example:
        >>> str(linked("<b> arXiv:1312.6114"))
        '&lt;b&gt; <a href="https://arxiv.org/abs/1312.6114">arXiv:1312.6114</a>'
    """
    safe = ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', str(prose(value)))
    return Markup(INLINE.sub(lambda found: f"<code>{found[1] or found[2]}</code>", safe))


def upper_first(text: str) -> str:
    """Lets a text begin as a sentence does, and leaves its other letters as they are.

    Example:
        >>> upper_first("a VAE")
        'A VAE'
    """
    return f"{text[:1].upper()}{text[1:]}"


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Returns the templates; a value that a page forgets to give is an error, not an empty text."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    found.filters.update(prose=prose, linked=linked, upper_first=upper_first)
    return found


def render(template: str, **values: Any) -> str:
    """Fills a template of ``zoo/show/templates``."""
    return templates().get_template(template).render(values)


def drawn(image: Tensor, alt: str, caption: str = "") -> Figure:
    """Makes a figure of a picture, in [0, 1] or uint8, that carries its own pixels.

    Args:
        image: The picture, shape (3, H, W).
        alt: What it shows.
        caption: What stands below it.
    """
    pixels = image.detach().cpu()
    if pixels.dtype != torch.uint8:
        pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    picture = Image.fromarray(rearrange(pixels, "c h w -> h w c").contiguous().numpy())
    if picture.convert("L").convert("RGB").tobytes() == picture.tobytes():
        picture = picture.convert("L")  # a third of the bytes
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    code = base64.b64encode(stream.getvalue()).decode("ascii")
    return Figure(f"data:image/png;base64,{code}", picture.width, picture.height, alt, caption)


def bar(value: float, full: float, mark: float | None = None) -> Bar:
    """Measures a bar.

    Args:
        value: Its length; below 0 and above full it is cut.
        full: The length that fills it.
        mark: Where to draw a line across it.
    """
    share = 100 * min(max(value / full, 0.0), 1.0)
    return Bar(share, None if mark is None else 100 * min(mark / full, 1.0))
