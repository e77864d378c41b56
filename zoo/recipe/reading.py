"""Recipes as files: one for each published run, in YAML, found by path or by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.core.errors import UserError, did_you_mean
from zoo.core.files import PACKAGE, read_regular
from zoo.recipe.checking import check_recipe
from zoo.recipe.yaml12 import NotYAML, read_yaml

__all__ = ["Recipes", "find_recipe", "read_recipe", "recipe_folder"]

LARGEST_RECIPE = 2**20  # bytes


def recipe_folder() -> Path:
    """Returns the folder of the zoo's own recipes: here, or beside or in the package."""
    here, package = Path("recipes"), PACKAGE
    beside = package.parent / "recipes"
    return next((path for path in (here, beside) if path.is_dir()), package / "recipes")


def find_recipe(name: str) -> Path:
    """Finds a recipe by path, or by the name of one of the zoo's own.

    Raises:
        UserError: if there is none; names the nearest.
    """
    path = Path(name)
    if path.is_file():
        return path
    own = {p.stem: p for p in sorted(recipe_folder().glob("*.yaml"))}
    if name in own:
        return own[name]
    what = "is a folder, not a recipe" if path.is_dir() else "does not exist"
    raise UserError(f"recipe {name!r} {what}. {did_you_mean(path.stem, own)}")


def read_recipe(path: Path) -> dict[str, Any]:
    """Reads and checks a recipe.

    Raises:
        UserError: if the file is no YAML mapping, or `check_recipe` refuses it.
    """
    try:
        content = read_regular(path, LARGEST_RECIPE)
        if len(content) > LARGEST_RECIPE:
            raise UserError(f"recipe {path} is larger than {LARGEST_RECIPE:,} bytes; refused.")
        recipe = read_yaml(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"recipe {path} is not a text file.") from None
    except NotYAML as error:
        line = f", line {error.line}" if error.line else ""
        raise UserError(f"recipe {path}{line} is not valid YAML: {error}.") from None
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}.") from None
    if not isinstance(recipe, dict):
        raise UserError(f"recipe {path} must be a mapping with the keys model, data and trainer.")
    check_recipe(recipe, f"recipe {path}")
    return recipe


class Recipes:
    """Recipes by path, each read once.

    Example:
        >>> Recipes()[recipe_folder() / "vae_digits.yaml"]["data"]["class_path"]
        'Digits'
    """

    def __init__(self) -> None:
        self._read: dict[Path, dict[str, Any] | UserError] = {}

    def __getitem__(self, path: Path) -> dict[str, Any]:
        if path not in self._read:
            try:
                self._read[path] = read_recipe(path)
            except UserError as error:
                self._read[path] = error
        found = self._read[path]
        if isinstance(found, UserError):
            raise found
        return found
