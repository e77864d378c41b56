"""What a recipe may say: every name in it is checked before anything is imported.

A recipe names its model and its data set by their short names and sets their constructors'
arguments; the constructors' signatures are the schema. The check names the nearest valid choice
for whatever is misspelt, and refuses classes from outside the zoo and Lightning, so that reading
a recipe never runs foreign code; the parser, which builds the classes, refuses them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zoo.contract.spec import check_kinds
from zoo.core.errors import UserError, check_interval, did_you_mean
from zoo.core.outline import outline_of, trainer_arguments
from zoo.core.registry import Registry
from zoo.data.registry import DATASETS, kinds_of_all
from zoo.models.registry import MODELS
from zoo.recipe.cost import read_cost
from zoo.recipe.options import RUN_OPTIONS
from zoo.recipe.paper import read_paper
from zoo.recipe.yaml12 import plain_value

__all__ = [
    "LINKED",
    "REGISTRIES",
    "TRUSTED",
    "arguments_of",
    "check_arguments",
    "check_recipe",
    "class_name",
    "differences",
    "name_and_arguments",
]

SECTIONS = ("seed_everything", "trainer", "model", "data", *RUN_OPTIONS)
FACTS = ("paper", "cost")  # what a recipe states and no command line overrides
TRUSTED = ("zoo", "lightning.pytorch", "lightning.fabric")  # whose classes a recipe may name
FLAGS = ("help", "print_config")  # options without a value
REGISTRIES: dict[str, Registry[Any]] = {"model": MODELS, "data": DATASETS}
LINKED = {"model": ("spec",), "data": ("seed",)}  # filled in by the zoo, not by the recipe


def arguments_of(kind: str, name: str) -> tuple[str, ...]:
    """Names the arguments of a registered model or data set that are a user's to set.

    Raises:
        UserError: if there is no such entry.
    """
    found = outline_of(REGISTRIES[kind], name).arguments
    return tuple(argument for argument in found if argument not in LINKED[kind])


def name_and_arguments(kind: str, section: Any, where: str) -> tuple[str, dict[str, Any]]:
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
    return _of_today(_short(kind, section["class_path"]), arguments)


def _of_today(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns what a recipe, card or run says in today's words.

    The plain autoencoder was a VAE without a posterior before it had a name of its own.
    """
    if name == "VAE" and arguments.get("posterior") == "none":
        known = arguments_of("model", "Autoencoder")
        return "Autoencoder", {k: v for k, v in arguments.items() if k in known}
    return name, arguments


def class_name(kind: str, section: Any) -> str:
    """Returns the registered name of the model or data set that a section names.

    Raises:
        UserError: if the section names none.
    """
    return name_and_arguments(kind, section, "recipe")[0]


def _short(kind: str, path: str) -> str:
    """Returns the registered name of a class's import path; other text as it is."""
    name = path.rpartition(".")[2]
    if name not in REGISTRIES[kind]:
        return path
    # Wherever in the zoo it stands or has stood: records of old runs name modules that have moved.
    home = f"zoo.{'models' if kind == 'model' else kind}."
    module, registry = path.rpartition(".")[0], REGISTRIES[kind]
    own = registry[name].__module__ if registry.loaded(name) else registry.homes.get(name)
    return name if path.startswith(home) or module == own else path


def _allowed(kind: str, name: str, where: str) -> tuple[str, ...]:
    try:
        return arguments_of(kind, name)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_class(kind: str, section: Any, where: str) -> None:
    name, arguments = name_and_arguments(kind, section, where)
    allowed = _allowed(kind, name, where)
    for key in arguments:
        if key not in allowed:
            raise UserError(
                f"{where}: {name} has no argument {key!r}. {did_you_mean(str(key), allowed)}"
            )


def _check_trainer(trainer: Any, where: str) -> None:
    if not isinstance(trainer, dict):
        raise UserError(f"{where}: trainer must be a mapping, got {trainer!r}.")
    allowed = trainer_arguments()
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
    if _has_key(trainer, "dict_kwargs"):
        raise UserError(f"{where}: dict_kwargs is unknown; arguments belong under init_args.")


def _has_key(value: Any, key: str) -> bool:
    inner = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inner, list):
        return False
    return (isinstance(value, dict) and key in value) or any(_has_key(v, key) for v in inner)


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
    if recipe.get("trainer") is not None:
        _check_trainer(recipe["trainer"], where)
    if "seed_everything" in recipe:
        _check_seed(recipe["seed_everything"], f"{where}: seed_everything")
    if recipe.get("paper") is not None:  # null in the record of a run whose recipe has none
        read_paper(recipe["paper"], where)
    if recipe.get("cost") is not None:
        read_cost(recipe["cost"], where)


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
            chosen[kind] = plain_value(value)
            _check_class(kind, chosen[kind], f"--{key}")
    for key, value in pairs:
        if key not in FLAGS:
            _check_option(key, plain_value(value or ""), chosen)
    _check_pairing(chosen)
    return [f"--{key}" if value is None else f"--{key}={value}" for key, value in pairs]


def _check_pairing(recipe: dict[str, Any]) -> None:
    """Refuses a data set whose batches lack what the model needs."""
    model, data = (class_name(kind, recipe[kind]) for kind in ("model", "data"))
    needs = outline_of(REGISTRIES["model"], model).facts.get("needs", ())
    kinds = outline_of(REGISTRIES["data"], data).facts["kinds"]
    check_kinds(model, needs, data, kinds, kinds_of_all)


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


def _check_option(key: str, value: Any, chosen: dict[str, Any]) -> None:
    head, _, rest = key.removesuffix("+").partition(".")
    if head not in SECTIONS or (rest and head in RUN_OPTIONS):
        raise UserError(f"unknown option --{key}. {did_you_mean(head, (*SECTIONS, *FLAGS))}")
    name = rest.removeprefix("init_args.").partition(".")[0]
    if head == "trainer":
        if not rest:
            _check_trainer(value, "--trainer")
            return
        short, allowed = "Trainer", trainer_arguments()
        _check_trainer(
            {name: {rest.rpartition(".")[2]: value}} if name in allowed else {}, f"--{key}"
        )
    elif head == "seed_everything":
        _check_seed(value, f"--{key}")
        return
    elif head in REGISTRIES and name not in ("", "class_path", "init_args"):
        short, _ = name_and_arguments(head, chosen[head], f"--{head}")
        allowed = _allowed(head, short, f"--{head}")
    else:
        return
    if name not in allowed:
        message = f"unknown option --{key}: {short} has no argument {name!r}."
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
