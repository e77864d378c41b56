"""Shows what there is: ``python -m zoo.list``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from zoo.contract.capabilities import capabilities
from zoo.core.arguments import Parser
from zoo.core.errors import UserError, exit_on_user_error
from zoo.core.tables import PlainTable
from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import read_recipe, recipe_folder
from zoo.shelf.find import available
from zoo.show.gallery import exhibit, exhibits, markdown

__all__ = ["main"]


def shelf_table() -> PlainTable:
    """Returns the published models, each with the score that stands for it."""
    table = PlainTable(
        "Published models: zoo.load(name)", "name", "model", "data", "weights", "score"
    )
    for name in available():
        try:
            shown = exhibit(name)
        except UserError as error:
            table.add_row(name, "unusable", "", "", error)
            continue
        score = "" if shown.headline is None else f"{shown.ours}  {shown.headline['name']}"
        table.add_row(name, shown.family, shown.data, shown.size, score)
    return table


def recipe_table() -> PlainTable:
    """Returns the recipes."""
    table = PlainTable("Recipes: python -m zoo.fit recipes/NAME.yaml", "name", "model", "data")
    for path in sorted(recipe_folder().glob("*.yaml")):
        try:
            recipe = read_recipe(path)
        except UserError as error:
            table.add_row(path.stem, "unusable", error)
            continue
        table.add_row(path.stem, *(class_name(kind, recipe[kind]) for kind in ("model", "data")))
    return table


def model_table() -> PlainTable:
    """Returns the families with what each can do."""
    table = PlainTable("Families", "model", "can")
    for name, cls in MODELS.items():
        table.add_row(name, ", ".join(capabilities(cls)))
    return table


def data_table() -> PlainTable:
    """Returns the data sets."""
    table = PlainTable("Data sets", "name", "images", "classes", "needs")
    for name, cls in DATASETS.items():
        spec = getattr(cls, "native", None)
        shape = "x".join(map(str, spec.shape)) if spec else "as they are"
        classes = str(spec.classes) if spec else "from folders"
        table.add_row(name, shape, classes, cls.needs)
    return table


def run() -> None:
    """Prints the four tables."""
    console = Console()
    for table in (shelf_table(), recipe_table(), model_table(), data_table()):
        console.print(table)
        console.print()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = Parser("zoo.list", __doc__)
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="only print the published models, with the papers' figures, as a table for a document",
    )

    def read_and_run() -> None:
        if parser.read(arguments).markdown:
            print(markdown(exhibits()))
        else:
            run()

    return exit_on_user_error("zoo.list", read_and_run)


if __name__ == "__main__":
    sys.exit(main())
