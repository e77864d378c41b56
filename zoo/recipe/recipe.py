"""Recipes: one YAML file per published run, checked before anything in it is imported.

A recipe names its model and its data set by their short names and sets their constructors'
arguments; the constructors' signatures are the schema. The check names the nearest valid choice
for whatever is misspelt, and refuses classes from outside the zoo and Lightning, so that reading
a recipe never runs foreign code; the parser, which builds the classes, refuses them again.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml

from zoo.core.errors import UserError, check_interval, did_you_mean
from zoo.core.files import PACKAGE
from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.recipe.paper import read_paper

__all__ = [
    "RUN_OPTIONS",
    "TRUSTED",
    "arguments_of",
    "build",
    "check_arguments",
    "check_recipe",
    "class_name",
    "differences",
    "find_recipe",
    "read_recipe",
    "recipe_folder",
]

RUN_OPTIONS = (
    "ckpt_path", "evaluate", "log_checkpoints", "monitor", "monitor_mode", "name", "pictures_every",
    "run_root", "save_every", "wandb",
)  # fmt: skip
SECTIONS = ("seed_everything", "trainer", "model", "data", *RUN_OPTIONS)
FACTS = ("paper",)  # what a recipe states and no command line overrides
TRUSTED = (
    "zoo",
    "lightning.pytorch",
    "lightning.fabric",
)  # packages whose classes a recipe may name
FLAGS = ("help", "print_config")  # options without a value
REGISTRIES: dict[str, Mapping[str, type]] = {"model": MODELS, "data": DATASETS}
LINKED = {"model": ("spec",), "data": ("seed",)}  # filled in by the zoo, not by the recipe


class _Loader(yaml.SafeLoader):
    """Plain YAML in which 1e-4 is a number and no key may be given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # pyright: ignore
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)


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
        recipe = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UnicodeDecodeError:
        raise UserError(f"recipe {path} is not a text file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds characters that YAML does not allow"
        raise UserError(f"recipe {path}{line} is not valid YAML: {problem}.") from None
    except (ValueError, TypeError, RecursionError):  # impossible dates, unhashable keys, [[[[...
        raise UserError(f"recipe {path} is not valid YAML.") from None
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}.") from None
    if not isinstance(recipe, dict):
        raise UserError(f"recipe {path} must be a mapping with the keys model, data and trainer.")
    check_recipe(recipe, f"recipe {path}")
    return recipe


def arguments_of(cls: type) -> tuple[str, ...]:
    """Names a constructor's arguments."""
    return tuple(name for name in inspect.signature(cls).parameters if name != "self")


def _name_and_arguments(kind: str, section: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Reads a section, which is a name, or a class_path with init_args."""
    if isinstance(section, str):
        section = {"class_path": section}
    if not isinstance(section, dict) or not isinstance(section.get("class_path"), str):
        raise UserError(
            f"{where}: {kind} must name a class, such as '{kind}: {{class_path: NAME}}'. "
            f"{did_you_mean('', REGISTRIES[kind])}"
        )
    for key in section:
        if key not in ("class_path", "init_args"):
            raise UserError(
                f"{where}: {kind} has an unknown key {key!r}; arguments belong under init_args. "
                f"{did_you_mean(str(key), ('class_path', 'init_args'))}"
            )
    arguments = section.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise UserError(f"{where}: {kind}.init_args must be a mapping, got {arguments!r}.")
    return _short(kind, section["class_path"]), arguments


def class_name(kind: str, section: Any) -> str:
    """Returns the registered name of the model or data set that a section names.

    Raises:
        UserError: if the section names none.
    """
    return _name_and_arguments(kind, section, "recipe")[0]


def _short(kind: str, path: str) -> str:
    """Returns the registered name of a class's import path; other text as it is."""
    name = path.rpartition(".")[2]
    if name not in REGISTRIES[kind]:
        return path
    # Wherever in the zoo it stands or has stood: records of old runs name modules that have moved.
    home = f"zoo.{'models' if kind == 'model' else kind}."
    return name if path.startswith((home, f"{REGISTRIES[kind][name].__module__}.")) else path


def _entry(kind: str, name: str, where: str) -> type:
    try:
        return REGISTRIES[kind][name]
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _open_to_user(kind: str, cls: type) -> tuple[str, ...]:
    return tuple(name for name in arguments_of(cls) if name not in LINKED.get(kind, ()))


def _check_class(kind: str, section: Any, where: str) -> None:
    name, arguments = _name_and_arguments(kind, section, where)
    allowed = _open_to_user(kind, _entry(kind, name, where))
    for key in arguments:
        if key not in allowed:
            raise UserError(
                f"{where}: {name} has no argument {key!r}. {did_you_mean(str(key), allowed)}"
            )


def _check_trainer(trainer: Any, where: str) -> None:
    if not isinstance(trainer, dict):
        raise UserError(f"{where}: trainer must be a mapping, got {trainer!r}.")
    allowed = arguments_of(L.Trainer)
    for key in trainer:
        if key not in allowed:
            message = f"{where}: the trainer has no argument {key!r}."
            raise UserError(f"{message} {did_you_mean(str(key), allowed)}")
    for path in _class_paths(trainer):
        if "." in path and not path.startswith(tuple(f"{package}." for package in TRUSTED)):
            raise UserError(
                f"{where}: the class {path!r} is refused: a recipe may only name classes of the "
                "zoo and of Lightning."
            )


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
        if key not in (*SECTIONS, *FACTS):
            near = did_you_mean(str(key), (*SECTIONS, *FACTS))
            raise UserError(f"{where}: unknown key {key!r}. {near}")
    for kind, registry in REGISTRIES.items():
        if kind not in recipe:
            choices = did_you_mean("", registry)
            raise UserError(f"{where} has no {kind}: add '{kind}: {{class_path: NAME}}'. {choices}")
        _check_class(kind, recipe[kind], where)
    _check_trainer(recipe.get("trainer") or {}, where)
    if "seed_everything" in recipe:
        _check_seed(recipe["seed_everything"], f"{where}: seed_everything")
    if recipe.get("paper") is not None:  # null in the record of a run whose recipe has none
        read_paper(recipe["paper"], where)


def _check_seed(seed: Any, where: str) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UserError(f"{where} must be a whole number, got {seed!r}.")
    check_interval(where, seed, "[0, 4294967295]")  # what NumPy, which is seeded too, accepts


def check_arguments(arguments: Sequence[str], recipe: dict[str, Any]) -> list[str]:
    """Checks the keys of command-line overrides such as ``--model.width 64`` against a recipe.

    Returns:
        The overrides, each in one piece: ``--model.width=64``.

    Raises:
        UserError: on the first unknown key, missing value, or foreign class.
    """
    pairs = list(_pairs(arguments))
    chosen = dict(recipe)
    for key, value in pairs:
        kind, _, rest = key.partition(".")
        if kind in REGISTRIES and value and rest in ("", "class_path"):
            chosen[kind] = _plain(value)
            _check_class(kind, chosen[kind], f"--{key}")
    for key, value in pairs:
        if key not in FLAGS:
            _check_option(key, _plain(value or ""), chosen)
    return [f"--{key}" if value is None else f"--{key}={value}" for key, value in pairs]


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Splits a command line into keys and values; flags have no value."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        word = "--help" if word == "-h" else word
        if not word.startswith("--"):
            raise UserError(f"unexpected argument {word!r}: overrides look like --model.width 64.")
        key, equals, value = word[2:].partition("=")
        if equals or key in FLAGS:
            yield key, value if equals else None
        elif not rest or rest[0].startswith("--"):
            head = key.partition(".")[0]
            hint = "" if head in SECTIONS else f" {did_you_mean(key, SECTIONS)}"
            raise UserError(f"--{key} needs a value.{hint}")
        else:
            yield key, rest.pop(0)


def _plain(text: str) -> Any:
    """Reads a value from the command line as YAML, as the parser will."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return text


def _check_option(key: str, value: Any, chosen: dict[str, Any]) -> None:
    head, _, rest = key.removesuffix("+").partition(".")
    if head not in SECTIONS or (rest and head in RUN_OPTIONS):
        raise UserError(f"unknown option --{key}. {did_you_mean(head, (*SECTIONS, *FLAGS))}")
    name = rest.removeprefix("init_args.").partition(".")[0]
    if head == "trainer":
        if not rest:
            _check_trainer(value, "--trainer")
            return
        cls, allowed = L.Trainer, arguments_of(L.Trainer)
        _check_trainer(
            {name: {rest.rpartition(".")[2]: value}} if name in allowed else {}, f"--{key}"
        )
    elif head == "seed_everything":
        _check_seed(value, f"--{key}")
        return
    elif head in REGISTRIES and name not in ("", "class_path", "init_args"):
        short, _ = _name_and_arguments(head, chosen[head], f"--{head}")
        cls = _entry(head, short, f"--{head}")
        allowed = _open_to_user(head, cls)
    else:
        return
    if name not in allowed:
        message = f"unknown option --{key}: {cls.__name__} has no argument {name!r}."
        raise UserError(f"{message} {did_you_mean(name, allowed)}")


def differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields what both recipes say, but differently: key, value before and value after.

    Example:
        >>> list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "d": 4}}))
        [('a.b', 1, 3)]
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() & after.keys():
            yield from differences(before[name], after[name], f"{key}.{name}".lstrip("."))
    elif before != after:
        yield key, before, after


def build(kind: str, section: Any, **linked: Any) -> Any:
    """Builds the model or the data set that a checked recipe's section describes.

    Args:
        kind: ``"model"`` or ``"data"``.
        section: The recipe's section of that name.
        linked: Arguments that the zoo fills in, such as ``spec``.
    """
    name, arguments = _name_and_arguments(kind, section, "recipe")
    own = {k: v for k, v in arguments.items() if k not in LINKED[kind]}
    own = {k: tuple(v) if isinstance(v, list) else v for k, v in own.items()}
    return _entry(kind, name, "recipe")(**{**own, **linked})
