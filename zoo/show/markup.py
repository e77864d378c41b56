"""Pieces of a page that needs nothing but itself: text, tables, pictures and bars.

Everything that comes from outside passes `text`, so that no name can become markup.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from zoo.core.figures import shown, split_name
from zoo.judge.catalogue import row_of

__all__ = [
    "bar",
    "document",
    "figure",
    "png",
    "prose",
    "score_table",
    "section",
    "table",
    "text",
]

OPTION = re.compile(r"--\w[\w.]*")

STYLE = """
:root { color-scheme: light dark; --ground: #fcfcfb; --ink: #1d1f22; --soft: #5d636b;
  --line: #dcdfe3; --bar: #3b6ea8; --bad: #b3372a; --fair: #96690b; --good: #2c7a4b;
  --tint: #f1f3f5; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --ink: #e6e8ea; --soft: #a0a7b0;
  --line: #363b41; --bar: #6fa3dc; --bad: #f0877b; --fair: #e0b354; --good: #7cc99a;
  --tint: #1f2327; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p { margin: .5rem 0; max-width: 44rem; }
.soft, figcaption, dt, .meaning { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .8rem 0; }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, monospace; white-space: nowrap; }
.lead { font-size: 1.1rem; }
.box { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--soft); font-weight: 500; }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scores tbody th { min-width: 11rem; }
.scores code { display: block; color: var(--soft); font-weight: 400; font-size: .8em;
  white-space: normal; overflow-wrap: anywhere; }
.meaning { display: block; min-width: 17rem; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; image-rendering: pixelated;
  border-radius: 3px; }
figcaption { font-size: .88rem; margin-top: .3rem; }
.beside { display: grid; gap: 1.2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; }
.tiles figcaption { max-width: 5.5rem; line-height: 1.3; }
.curves { display: grid; gap: 1rem 1.4rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.curves svg { display: block; width: 100%; height: auto; background: var(--tint);
  border-radius: 3px; }
.curves polyline { fill: none; stroke: var(--bar); stroke-width: 1.6;
  vector-effect: non-scaling-stroke; }
.curves circle { fill: var(--bar); }
.bar { display: inline-block; position: relative; width: 8rem; height: .75rem;
  background: var(--tint); border-radius: 2px; vertical-align: -1px; }
.bar > span { position: absolute; inset: 0 auto 0 0; background: var(--bar);
  border-radius: 2px; }
.bar > i { position: absolute; top: -3px; bottom: -3px; width: 1px; background: var(--ink); }
.cell { white-space: nowrap; }
.bad .bar > span { background: var(--bad); }
.flag { color: var(--bad); font-weight: 600; white-space: nowrap; }
.finding { border-left: 4px solid var(--line); padding: .1rem 0 .1rem .9rem; margin: 1rem 0; }
.finding h3 { margin-top: 0; }
.serious { border-color: var(--bad); } .serious h3 { color: var(--bad); }
.notable { border-color: var(--fair); } .notable h3 { color: var(--fair); }
.good { border-color: var(--good); } .good h3 { color: var(--good); }
@media (max-width: 40rem) { .meaning { min-width: 26rem; } }
@media print { .box { overflow: visible; } }
"""


def text(value: object) -> str:
    """Makes anything safe to stand in the page.

    Example:
        >>> text("<script>")
        '&lt;script&gt;'
    """
    return escape(str(value))


def prose(value: object) -> str:
    """Like `text`, with options of the command line set as code, so that no line breaks in them.

    Example:
        >>> prose("try --model.lr & see")
        'try <code>--model.lr</code> &amp; see'
    """
    return OPTION.sub(lambda option: f"<code>{option[0]}</code>", escape(str(value)))


def document(title: str, body: str, style: str = "", head: str = "") -> str:
    """Wraps a body into a whole page.

    Args:
        title: Plain text.
        body: Markup.
        style: Further rules of style.
        head: Further markup of the head.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n{head}<style>{STYLE}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Returns a headed section; nothing if there is nothing to put into it."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>" if body else ""


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    kind: str = "",
    numbers: Sequence[int] = (),
) -> str:
    """Lays out a table that scrolls in a box of its own.

    Args:
        head: Titles of the columns, plain text.
        rows: Cells as markup; the first of each row is its heading.
        kind: Class of the table.
        numbers: Columns of numbers.
    """
    aligned = {column: ' class="number"' for column in numbers}
    titles = "".join(
        f'<th scope="col"{aligned.get(i, "")}>{text(title)}</th>' for i, title in enumerate(head)
    )
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{aligned.get(i, '')}>{cell}</td>" for i, cell in enumerate(rest, 1))
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    inside = f"<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="box" tabindex="0"><table class="{text(kind)}">{inside}</table></div>'


def score_table(
    scores: Sequence[dict[str, Any]],
    beside: str = "",
    compare: Callable[[dict[str, Any]], str] | None = None,
) -> str:
    """Lays scores out: name and protocol, value, unit, direction, and what they mean.

    Args:
        scores: As in a card.
        beside: Title of a column of values to compare with; empty for none.
        compare: Gives such a value to a score, as plain text.
    """
    head, rows = ["Score", "Value", "Unit", "Better", "What it means"], []
    if compare is not None:
        head.insert(2, beside)
    for score in scores:
        head, protocol = split_name(score["name"])
        known = row_of(score)
        row = [
            f"{text(head.replace('_', ' '))}<code>{text(protocol)}</code>",
            text(shown(score)),
            text(known.unit or "-"),
            text(known.better or "-"),
            f'<span class="meaning">{text(known.meaning)}</span>',
        ]
        if compare is not None:
            row.insert(2, text(compare(score)))
        rows.append(row)
    numbers = (1,) if compare is None else (1, 2)
    return table(head, rows, kind="scores", numbers=numbers)


def png(image: Tensor) -> tuple[str, int, int]:
    """Turns a picture in [0, 1], shape (3, H, W), into a data URI, its width and its height."""
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(rearrange(pixels, "c h w -> h w c").contiguous().numpy())
    if picture.convert("L").convert("RGB").tobytes() == picture.tobytes():
        picture = picture.convert("L")  # a third of the bytes
    picture.save(stream, format="PNG", optimize=True)
    code = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/png;base64,{code}", picture.width, picture.height


def figure(image: Tensor, alt: str, caption: str = "") -> str:
    """Returns a picture in [0, 1], shape (3, H, W), with words for those who do not see it.

    Args:
        image: The picture.
        alt: What it shows.
        caption: What stands below it; its lines stay lines.
    """
    source, width, height = png(image)
    lines = "<br>".join(text(line) for line in caption.splitlines())
    below = f"<figcaption>{lines}</figcaption>" if caption else ""
    return (
        f'<figure><img src="{source}" width="{width}" height="{height}" alt="{text(alt)}">'
        f"{below}</figure>"
    )


def bar(value: float, full: float, mark: float | None = None) -> str:
    """Draws a horizontal bar, for show: the number stands beside it.

    Args:
        value: Its length; below 0 and above full it is cut.
        full: The length that fills it.
        mark: Where to draw a line across it.
    """
    share = min(max(value / full, 0.0), 1.0) * 100
    line = "" if mark is None else f'<i style="left:{min(mark / full, 1.0) * 100:.1f}%"></i>'
    inside = f'<span style="width:{share:.1f}%"></span>{line}'
    return f'<span class="bar" aria-hidden="true">{inside}</span>'
