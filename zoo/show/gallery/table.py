"""The table of models as Markdown, and its place in a document."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zoo.core.errors import UserError
from zoo.core.markdown import code, plain
from zoo.show.gallery.exhibit import Exhibit

__all__ = ["BEGIN", "END", "markdown", "with_table"]

BEGIN = "<!-- python -m zoo.list --markdown -->"
END = "<!-- end of table -->"
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
HEAD = ("model, family, data", "paper", "ours, protocol", "training", "weights")
BESIDE = "\N{NO-BREAK SPACE}"


def markdown(shown: Sequence[Exhibit]) -> str:
    """Writes a row for each model, without a line's end at the end.

    Args:
        shown: From `zoo.show.gallery.exhibits`.
    """
    rows = [HEAD, ["---", *["---:"] * 4]]
    rows += [_row(exhibit) for exhibit in shown]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(exhibit: Exhibit) -> list[str]:
    name = code(exhibit.name)
    if exhibit.recipe is not None:
        name = f"[{name}](recipes/{exhibit.recipe.name})"
    theirs = _plain(exhibit.theirs)
    paper = exhibit.comparison
    if paper is not None and (found := ARXIV.search(paper.source)):
        theirs = f"[{theirs}](https://arxiv.org/abs/{found[1]})"
    ours = _plain(exhibit.ours)
    if exhibit.at_least_as_good:
        ours = f"**{ours}**"
    if exhibit.headline is not None:
        ours += _below(code(exhibit.headline["name"]))
        ours += _below(_plain(exhibit.over_seeds))
    took, _, where = exhibit.training.partition(", ")
    return [
        name + _below(f"{_plain(exhibit.family)}, {_plain(exhibit.data)}"),
        theirs,
        ours,
        _plain(took) + _below(_plain(where)),
        _plain(exhibit.parameters) + _below(_plain(exhibit.size)),
    ]


def _below(markup: str) -> str:
    return f"<br><sub>{markup}</sub>" if markup else ""


def _plain(text: str) -> str:
    """Takes from a text what Markdown or HTML would act on; a unit stays beside its number."""
    return re.sub(r"(?<=\d) (?=[a-zA-Z%])", BESIDE, plain(text))


def with_table(document: str, table: str, where: str) -> str:
    """Returns a document with the table between its two comments.

    Args:
        document: The text.
        table: From `markdown`.
        where: What messages call the document.

    Only a comment that is a whole line counts, and no row of a table begins with one: the name of a
    score may hold what it likes.

    Raises:
        UserError: if the comments are not there, or the first is there twice.
    """
    lines = document.split("\n")
    begin = lines.index(BEGIN) if lines.count(BEGIN) == 1 else len(lines)
    if END not in lines[begin:]:
        raise UserError(f"{where} needs one line {BEGIN!r} and after it one {END!r}.")
    end = lines.index(END, begin)
    return "\n".join([*lines[: begin + 1], table, *lines[end:]])
