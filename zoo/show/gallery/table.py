"""The tables of models and of families as Markdown, and their places in documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from zoo.core.errors import UserError
from zoo.core.markdown import code, plain
from zoo.models.registry import MODELS
from zoo.recipe.paper import Paper
from zoo.show.gallery.exhibit import Exhibit
from zoo.show.gallery.prose import about

__all__ = ["BEGIN", "END", "FAMILIES", "families", "markdown", "with_table"]

BEGIN = "<!-- python -m zoo.list --markdown -->"
FAMILIES = "<!-- python -m zoo.list --families -->"
END = "<!-- end of table -->"
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
HEAD = (
    "model, family, data", "paper, method", "ours, protocol", "objective, differences", "training",
    "weights",
)  # fmt: skip
BESIDE = "\N{NO-BREAK SPACE}"
RECIPES = "../recipes"  # seen from the shelf, where the table lies


def markdown(shown: Sequence[Exhibit]) -> str:
    """Writes a row for each model, without a line's end at the end.

    Bold is what `zoo.show.gallery.standing.earns` says has earned it.

    Args:
        shown: From `zoo.show.gallery.exhibits`.
    """
    return _table(HEAD, ["---", "---:", "---:", "---", "---:", "---:"], map(_row, shown))


def families(shown: Sequence[Exhibit]) -> str:
    """Writes a row for each family: what it does, and its published models.

    Args:
        shown: From `zoo.show.gallery.exhibits`.
    """
    rows = []
    for name, group in groupby(shown, lambda exhibit: exhibit.family):
        models = ", ".join(code(exhibit.name) for exhibit in group)
        rows.append([_at_home(name), plain(about(name).summary.removesuffix(".")), models])
    return _table(("family", "what it does", "published"), ["---"] * 3, rows)


def _at_home(family: str) -> str:
    """Returns a family's name with a link to its file, seen from the project's own folder."""
    home = MODELS.homes.get(family)
    return plain(family) if home is None else f"[{plain(family)}]({home.replace('.', '/')}.py)"


def _table(head: Iterable[str], rule: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _row(exhibit: Exhibit) -> list[str]:
    name = code(exhibit.name)
    if exhibit.recipe is not None:
        name = f"[{name}]({RECIPES}/{exhibit.recipe.name})"
    took, _, where = exhibit.training.partition(", ")
    return [
        name + _below(f"{_plain(exhibit.family)}, {_plain(exhibit.data)}"),
        _theirs(exhibit),
        _ours(exhibit),
        _claim(exhibit.comparison),
        _plain(took) + _below(_plain(where)),
        _plain(exhibit.parameters) + _below(_plain(exhibit.size)),
    ]


def _theirs(exhibit: Exhibit) -> str:
    paper = exhibit.comparison
    if paper is None:
        return ""
    value = _plain(exhibit.theirs)
    if found := ARXIV.search(paper.source):
        value = f"[{value}](https://arxiv.org/abs/{found[1]})"
    quoted = f"quoted by {paper.quoted_by}" if paper.quoted_by else ""
    return value + _below(_plain(paper.method)) + _below(_plain(quoted))


def _ours(exhibit: Exhibit) -> str:
    if not exhibit.standings:
        return ""
    first, *hidden = exhibit.standings
    value = f"**{_plain(first.ours)}**" if exhibit.earned else _plain(first.ours)
    parts = [value, _below(code(first.name)), _below(_plain(exhibit.over_seeds))]
    for other in hidden:
        paper = f" (paper {other.paper})" if other.paper else ""
        parts.append(_below(f"{code(other.name)} {_plain(other.ours + paper)}"))
    return "".join(parts)


def _claim(paper: Paper | None) -> str:
    return "" if paper is None else paper.objective + _below(_plain(paper.differences))


def _below(markup: str) -> str:
    return f"<br><sub>{markup}</sub>" if markup else ""


def _plain(text: str) -> str:
    """Takes from a text what Markdown or HTML would act on; a unit stays beside its number."""
    return re.sub(r"(?<=\d) (?=[a-zA-Z%])", BESIDE, plain(text))


def with_table(document: str, table: str, where: str, begin: str = BEGIN) -> str:
    """Returns a document with the table between its two comments.

    Args:
        document: The text.
        table: From `markdown` or `families`.
        where: What messages call the document.
        begin: The first comment, `BEGIN` or `FAMILIES`.

    Only a comment that is a whole line counts, and no row of a table begins with one: the name of a
    score may hold what it likes.

    Raises:
        UserError: if the comments are not there, or the first is there twice.
    """
    lines = document.split("\n")
    first = lines.index(begin) if lines.count(begin) == 1 else len(lines)
    if END not in lines[first:]:
        raise UserError(f"{where} needs one line {begin!r} and after it one {END!r}.")
    end = lines.index(END, first)
    return "\n".join([*lines[: first + 1], table, *lines[end:]])
