"""Recipes: one YAML file per published run, checked before anything in it is imported.

A recipe names its model and its data set by their short names and sets their constructors'
arguments; the constructors' signatures are the schema. The check names the nearest valid choice
for whatever is misspelt, and refuses classes from outside the zoo and Lightning, so that reading
a recipe never runs foreign code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml

from zoo.data import DATASETS
from zoo.errors import UserError, did_you_mean
from zoo.models import MODELS

__all__ = [
    "RUN_OPTIONS",
    "arguments_of",
    "build",
    "check_arguments",
    "check_recipe",
    "find_recipe",
    "read_recipe",
    "recipe_folder",
]

RUN_OPTIONS = (
    "ckpt_path", "evaluate", "log_checkpoints", "monitor", "monitor_mode", "name", "pictures_every",
    "run_root", "save_every", "wandb",
)  # fmt: skip
SECTIONS = ("seed_everything", "trainer", "model", "data", *RUN_OPTIONS)
TRUSTED = ("zoo.", "lightning.pytorch.", "lightning.fabric.")
LINKED = {"model": ("spec",), "data": ("seed",)}  # filled in by the zoo, not by the recipe


def recipe_folder() -> Path:
    """Returns the folder of the zoo's own recipes: here, or beside the package in a checkout."""
    here = Path("recipes")
    return here if here.is_dir() else Path(__file__).resolve().parent.parent / "recipes"


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
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"recipe {path} is not a text file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise UserError(f"recipe {path}{line} is not valid YAML: {problem}.") from None
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}.") from None
    if not isinstance(recipe, dict):
        raise UserError(f"recipe {path} must be a mapping with keys {', '.join(SECTIONS[:4])}.")
    check_recipe(recipe, f"recipe {path}")
    return recipe


def arguments_of(cls: type) -> tuple[str, ...]:
    """Names a constructor's arguments."""
    return tuple(name for name in inspect.signature(cls).parameters if name != "self")


def _name_and_arguments(section: Any, where: str) -> tuple[str, dict[str, Any]]:
    if isinstance(section, str):
        return section, {}
    if not isinstance(section, dict) or not isinstance(section.get("class_path"), str):
        raise UserError(f"{where} needs a class_path, such as 'class_path: InfoGAN'.")
    for key in section:
        if key not in ("class_path", "init_args"):
            raise UserError(
                f"{where} has an unknown key {key!r}: arguments belong under init_args. "
                f"{did_you_mean(key, ('class_path', 'init_args'))}"
            )
    arguments = section.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise UserError(f"{where}.init_args must be a mapping, got {arguments!r}.")
    return section["class_path"].rsplit(".", 1)[-1] if section["class_path"].startswith(
        "zoo."
    ) else section["class_path"], arguments


def _check_class(kind: str, section: Any, where: str) -> None:
    name, arguments = _name_and_arguments(section, f"{where}: {kind}")
    cls = _entry(kind, name, where)
    allowed = arguments_of(cls)
    for key in arguments:
        if key not in allowed:
            open_to_user = [a for a in allowed if a not in LINKED[kind]]
            raise UserError(
                f"{where}: {name} has no argument {key!r}. {did_you_mean(str(key), open_to_user)}"
            )


def _entry(kind: str, name: str, where: str) -> type:
    try:
        return MODELS[name] if kind == "model" else DATASETS[name]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _class_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("class_path"), str):
            yield value["class_path"]
        for inner in value.values():
            yield from _class_paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _class_paths(inner)


def check_recipe(recipe: dict[str, Any], where: str = "recipe") -> None:
    """Checks the names in a recipe; values are checked by type when the run is built.

    Raises:
        UserError: on the first unknown key, model, data set or argument, or a foreign class.
    """
    for key in recipe:
        if key not in SECTIONS:
            raise UserError(f"{where}: unknown key {key!r}. {did_you_mean(str(key), SECTIONS)}")
    for kind in ("model", "data"):
        if kind in recipe:
            _check_class(kind, recipe[kind], where)
    trainer = recipe.get("trainer") or {}
    if not isinstance(trainer, dict):
        raise UserError(f"{where}: trainer must be a mapping, got {trainer!r}.")
    allowed = arguments_of(L.Trainer)
    for key in trainer:
        if key not in allowed:
            message = f"{where}: the trainer has no argument {key!r}."
            raise UserError(f"{message} {did_you_mean(str(key), allowed)}")
    for path in _class_paths(trainer):
        if "." in path and not path.startswith(TRUSTED):
            raise UserError(f"{where}: class_path {path!r} is refused; allowed are {TRUSTED}.")


def check_arguments(arguments: Sequence[str], recipe: dict[str, Any]) -> None:
    """Checks the keys of command-line overrides such as ``--model.width 64`` against a recipe.

    Raises:
        UserError: on the first unknown key, or a foreign class.
    """
    chosen = dict(recipe)
    pairs = [_split_option(arguments, i) for i, a in enumerate(arguments) if a.startswith("--")]
    for key, value in pairs:
        if key in ("model", "data") and value:
            chosen[key] = value
    for key, value in pairs:
        head, _, rest = key.partition(".")
        if head in ("help", "print_config", "config"):
            continue
        if head not in SECTIONS:
            known = [*SECTIONS, "help", "print_config"]
            raise UserError(f"unknown option --{key}. {did_you_mean(head, known)}")
        if value and "." in value and key.endswith("class_path") and not value.startswith(TRUSTED):
            raise UserError(f"--{key} {value}: the class is refused; allowed are {TRUSTED}.")
        name = rest.removeprefix("init_args.").split(".")[0]
        if not name or name in ("class_path", "init_args"):
            continue
        if head == "trainer":
            cls, allowed = L.Trainer, arguments_of(L.Trainer)
        elif head in ("model", "data") and head in chosen:
            short, _ = _name_and_arguments(chosen[head], head)
            cls = _entry(head, short, f"--{head}")
            allowed = tuple(a for a in arguments_of(cls) if a not in LINKED[head])
        else:
            continue
        if name.removesuffix("+") not in allowed:
            message = f"unknown option --{key}: {cls.__name__} has no argument {name!r}."
            raise UserError(f"{message} {did_you_mean(name, allowed)}")
    for kind in ("model", "data"):
        if kind in chosen:
            _check_class(kind, chosen[kind], "command line" if kind not in recipe else "recipe")


def _split_option(arguments: Sequence[str], index: int) -> tuple[str, str | None]:
    key, equals, value = arguments[index][2:].partition("=")
    if equals:
        return key, value
    following = arguments[index + 1 : index + 2]
    return key, following[0] if following and not following[0].startswith("--") else None


def build(kind: str, section: Any, **linked: Any) -> Any:
    """Builds the model or the data set that a checked recipe's section describes.

    Args:
        kind: ``"model"`` or ``"data"``.
        section: The recipe's section of that name.
        linked: Arguments that the zoo fills in, such as ``spec``.
    """
    name, arguments = _name_and_arguments(section, kind)
    own = {k: v for k, v in arguments.items() if k not in LINKED[kind]}
    own = {k: tuple(v) if isinstance(v, list) else v for k, v in own.items()}
    return _entry(kind, name, "recipe")(**{**own, **linked})
