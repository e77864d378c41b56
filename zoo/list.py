"""Shows what there is: ``python -m zoo.list``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from zoo.contract.capabilities import capabilities_of
from zoo.contract.spec import ImageSpec
from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.outline import Made, outline_of
from zoo.core.tables import PlainTable, console
from zoo.core.text import say
from zoo.data.registry import DATASETS
from zoo.models.registry import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import Recipes, recipe_folder
from zoo.shelf.find import available
from zoo.show.gallery.exhibit import Exhibit, exhibit, exhibits
from zoo.show.gallery.table import families as table_of_families
from zoo.show.gallery.table import markdown
from zoo.show.shelf import check_filters, chosen

__all__ = ["main"]

Rows = list[dict[str, Any]]


# ---------------------------------------------------------------- what there is


def published(recipes: Recipes, asked: argparse.Namespace) -> Rows:
    """Lists the published models that are asked for, each with the score that stands for it."""
    return list(_published(recipes, asked))


def _published(recipes: Recipes, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    filters = (asked.pattern, asked.family, asked.data, asked.can)
    for name in available():
        if not fnmatchcase(name, asked.pattern):
            continue
        try:
            shown = exhibit(name, recipes=recipes)
        except UserError as error:
            yield {"name": name, "unusable": str(error)}
            continue
        if chosen([shown], *filters):
            yield _told(shown)


def _told(shown: Exhibit) -> dict[str, Any]:
    score, paper = shown.headline, shown.comparison
    return {
        "name": shown.name,
        "family": shown.family,
        "data": shown.data,
        "can": list(shown.can),
        "bytes": shown.card["weights"].get("bytes"),
        "numbers": shown.card["weights"].get("numbers"),
        "size": shown.size,
        "score": None if score is None else {"name": score["name"], "value": score["value"]},
        "figure": shown.ours,
        "paper": None if paper is None else paper.value,
        "training_seconds": (shown.card.get("training") or {}).get("training_seconds"),
    }


def written(recipes: Recipes, asked: argparse.Namespace) -> Rows:
    """Lists the recipes that are asked for."""
    rows: Rows = []
    for path in sorted(recipe_folder().glob("*.yaml")):
        if not fnmatchcase(path.stem, asked.pattern):
            continue
        try:
            recipe = recipes[path]
        except UserError as error:
            rows.append({"name": path.stem, "unusable": str(error)})
            continue
        family, data = (class_name(kind, recipe[kind]) for kind in ("model", "data"))
        fits = asked.family in (None, family) and asked.data in (None, data)
        if fits and (asked.can is None or asked.can in _can(family)):
            rows.append({"name": path.stem, "family": family, "data": data})
    return rows


def families(asked: argparse.Namespace) -> Rows:
    """Lists the families that are asked for, with what each can do."""
    return [
        {"name": name, "can": _can(name)}
        for name in MODELS
        if asked.family in (None, name) and (asked.can is None or asked.can in _can(name))
    ]


def _can(family: str) -> list[str]:
    return list(capabilities_of(outline_of(MODELS, family).methods)) if family in MODELS else []


def data_sets(asked: argparse.Namespace) -> Rows:
    """Lists the data sets that are asked for."""
    rows: Rows = []
    for name in DATASETS:
        spec = _native(name)
        row = {
            "name": name,
            "images": "x".join(map(str, spec.shape)) if spec else "as they are",
            "classes": spec.classes if spec else None,
            "needs": outline_of(DATASETS, name).facts.get("needs", ""),
        }
        rows += [row] if asked.data in (None, name) else []
    return rows


def _native(name: str) -> ImageSpec | None:
    """Returns the shape of a data set's images; None where they are of any shape."""
    if DATASETS.loaded(name):
        return getattr(DATASETS[name], "native", None)
    made = outline_of(DATASETS, name).facts.get("native")
    return ImageSpec(*made.positional, **made.named) if isinstance(made, Made) else None


# ---------------------------------------------------------------- how it is shown


def _table(rows: Rows, *columns: str) -> PlainTable:
    """Lays rows out; names are never broken, and an unusable entry says why it is."""
    table = PlainTable("")
    for column in columns:
        table.add_column(column, no_wrap=column in ("name", "family", "data", "size"))
    for row in rows:
        told = row
        if "unusable" in row:
            told = {"name": row["name"], "family": "unusable", columns[-1]: row["unusable"]}
        table.add_row(*(_cell(told.get(column)) for column in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)


def _tables(found: dict[str, Rows]) -> Iterator[tuple[str, PlainTable]]:
    shelf = [
        {**row, "score": f"{row['figure']}  {row['score']['name']}"} if row.get("score") else row
        for row in found["models"]
    ]
    data = [{**row, "classes": row["classes"] if row["classes"] is not None else "from folders"}
            for row in found["data"]]  # fmt: skip
    columns = ("name", "family", "data")
    yield "Published models: zoo.load(name)", _table(shelf, *columns, "size", "score")
    yield "Recipes: python -m zoo.fit recipes/NAME.yaml", _table(found["recipes"], *columns)
    yield "Families", _table(found["families"], "name", "can")
    yield "Data sets", _table(data, "name", "images", "classes", "needs")


def _parser() -> Parser:
    parser = Parser("zoo.list", __doc__)
    parser.add_argument("pattern", nargs="?", default="*", help="only names like this: 'vae*'")
    parser.add_argument("--family", help="only of this family, such as VAE")
    parser.add_argument("--data", help="only of this data set, such as MNIST")
    parser.add_argument("--can", metavar="WHAT", help="only what can do this, such as traverse")
    parser.add_argument("--json", action="store_true", help="print it all as JSON, for programs")
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="only print the published models, with the papers' figures, as a table for a document",
    )
    parser.add_argument(
        "--families",
        action="store_true",
        help="only print the families with their published models, as a table for a document",
    )
    return parser


def _left_out(name: str, error: UserError) -> None:
    say(f"zoo.list: {name} is unusable and left out: {error}")


def run(arguments: Sequence[str]) -> None:
    """Prints the four tables, or those of what is asked for.

    Raises:
        UserError: if anything in the request is wrong.
    """
    asked = _parser().read(arguments)
    check_filters(asked.family, asked.data, asked.can)
    filters = (asked.pattern, asked.family, asked.data, asked.can)
    if asked.markdown or asked.families:
        if asked.json or (asked.markdown and asked.families):
            raise UserError("--json, --markdown and --families are ways to print; choose one.")
        shown = chosen(exhibits(unusable=_left_out), *filters)
        print(markdown(shown) if asked.markdown else table_of_families(shown))
        return
    recipes = Recipes()
    found = {"models": published(recipes, asked), "recipes": written(recipes, asked)}
    named = asked.pattern != "*"
    found["families"] = [] if named or asked.data else families(asked)
    found["data"] = [] if named or asked.family or asked.can else data_sets(asked)
    if asked.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    if not any(found.values()):
        raise UserError("there is nothing of that kind; python -m zoo.list shows all there is.")
    screen = console()
    for title, table in _tables(found):
        if table.row_count or filters == ("*", None, None, None):
            screen.print(title, style="bold", soft_wrap=True, highlight=False)
            screen.print(table)
            screen.print()


main = command("zoo.list", run)


if __name__ == "__main__":
    sys.exit(main(None))
