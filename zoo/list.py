"""Shows what there is: ``python -m zoo.list``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from zoo.contracts import capabilities
from zoo.data import DATASETS
from zoo.errors import exit_on_user_error
from zoo.models import MODELS
from zoo.recipe import read_recipe, recipe_folder
from zoo.shelf import available, read_card

__all__ = ["main"]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def shelf_table() -> Table:
    """Returns the published models with their first score."""
    table = _table("Published models: zoo.load(name)", "name", "model", "data", "KiB", "score")
    for name in available():
        card, _ = read_card(name)
        scores = card.get("scores") or []
        best = f"{scores[0]['name']} {scores[0]['value']:.4f}" if scores else ""
        size = f"{card['weights']['bytes'] / 1024:.0f}"
        table.add_row(name, card["model"], card.get("data", {}).get("name", ""), size, best)
    return table


def recipe_table() -> Table:
    """Returns the recipes."""
    table = _table("Recipes: python -m zoo.fit recipes/NAME.yaml", "name", "model", "data")
    for path in sorted(recipe_folder().glob("*.yaml")):
        recipe = read_recipe(path)
        table.add_row(path.stem, *(str(recipe[k]["class_path"]) for k in ("model", "data")))
    return table


def model_table() -> Table:
    """Returns the families with what each can do."""
    table = _table("Families", "model", "can")
    for name, cls in MODELS.items():
        table.add_row(name, ", ".join(capabilities(cls)))
    return table


def data_table() -> Table:
    """Returns the data sets."""
    table = _table("Data sets", "name", "images", "classes", "needs")
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
    argparse.ArgumentParser("zoo.list", description=__doc__).parse_args(arguments)
    return exit_on_user_error("zoo.list", run)


if __name__ == "__main__":
    sys.exit(main())
