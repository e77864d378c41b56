"""Shows what there is: ``python -m zoo.list``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from zoo.contract.capabilities import capabilities_of
from zoo.contract.spec import ImageSpec
from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.outline import Made, outline_of
from zoo.core.tables import PlainTable
from zoo.core.text import say
from zoo.data.registry import DATASETS
from zoo.models.registry import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import Recipes, recipe_folder
from zoo.shelf.find import available
from zoo.show.gallery.exhibit import exhibit, exhibits
from zoo.show.gallery.table import markdown

__all__ = ["main"]


def shelf_table(recipes: Recipes) -> PlainTable:
    """Returns the published models, each with the score that stands for it."""
    table = PlainTable(
        "Published models: zoo.load(name)", "name", "model", "data", "weights", "score"
    )
    for name in available():
        try:
            shown = exhibit(name, recipes=recipes)
        except UserError as error:
            table.add_row(name, "unusable", "", "", error)
            continue
        score = "" if shown.headline is None else f"{shown.ours}  {shown.headline['name']}"
        table.add_row(name, shown.family, shown.data, shown.size, score)
    return table


def recipe_table(recipes: Recipes) -> PlainTable:
    """Returns the recipes."""
    table = PlainTable("Recipes: python -m zoo.fit recipes/NAME.yaml", "name", "model", "data")
    for path in sorted(recipe_folder().glob("*.yaml")):
        try:
            recipe = recipes[path]
        except UserError as error:
            table.add_row(path.stem, "unusable", error)
            continue
        table.add_row(path.stem, *(class_name(kind, recipe[kind]) for kind in ("model", "data")))
    return table


def model_table() -> PlainTable:
    """Returns the families with what each can do."""
    table = PlainTable("Families", "model", "can")
    for name in MODELS:
        table.add_row(name, ", ".join(capabilities_of(outline_of(MODELS, name).methods)))
    return table


def data_table() -> PlainTable:
    """Returns the data sets."""
    table = PlainTable("Data sets", "name", "images", "classes", "needs")
    for name in DATASETS:
        spec = _native(name)
        shape = "x".join(map(str, spec.shape)) if spec else "as they are"
        classes = str(spec.classes) if spec else "from folders"
        table.add_row(name, shape, classes, outline_of(DATASETS, name).facts.get("needs", ""))
    return table


def _native(name: str) -> ImageSpec | None:
    """Returns the shape of a data set's images; None where they are of any shape."""
    if DATASETS.loaded(name):
        return getattr(DATASETS[name], "native", None)
    made = outline_of(DATASETS, name).facts.get("native")
    return ImageSpec(*made.positional, **made.named) if isinstance(made, Made) else None


def _parser() -> Parser:
    parser = Parser("zoo.list", __doc__)
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="only print the published models, with the papers' figures, as a table for a document",
    )
    return parser


def _left_out(name: str, error: UserError) -> None:
    say(f"zoo.list: {name} is unusable and left out: {error}")


def run(arguments: Sequence[str]) -> None:
    """Prints the four tables.

    Raises:
        UserError: if anything in the request is wrong.
    """
    if _parser().read(arguments).markdown:
        print(markdown(exhibits(unusable=_left_out)))
        return
    console, recipes = Console(), Recipes()
    for table in (shelf_table(recipes), recipe_table(recipes), model_table(), data_table()):
        console.print(table)
        console.print()


main = command("zoo.list", run)


if __name__ == "__main__":
    sys.exit(main(None))
