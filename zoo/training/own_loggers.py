"""A person's own loggers, ``--trainer.logger CSVLogger``, beside ``metrics.csv`` and W&B.

The parser knows a run's loggers as words only: they are built when the run has its folder, into
which they write unless they are told another place.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger

from zoo.core.errors import UserError, did_you_mean
from zoo.core.text import quoted
from zoo.recipe.yaml12 import plain_value

__all__ = ["build_loggers", "gather_loggers", "read_loggers"]

OPTION = "--trainer.logger"
KEY = OPTION.removeprefix("--")
# Which of the packages each needs, by the name under which it is imported and installed.
PACKAGES = {
    "CometLogger": {"comet_ml": "comet-ml"},
    "LitLogger": {"litlogger": "litlogger"},
    "MLFlowLogger": {"mlflow": "mlflow"},
    "TensorBoardLogger": {"tensorboard": "tensorboard", "tensorboardX": "tensorboardX"},
}


def gather_loggers(
    recipe: dict[str, Any], overrides: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Moves what a command line says of loggers into the recipe.

    Args:
        recipe: A checked recipe; not changed.
        overrides: Each in one piece, ``--trainer.logger.name=a``.

    Returns:
        The recipe, in which the loggers stand, and the other overrides.

    Example:
        >>> gather_loggers({}, ["--trainer.logger=CSVLogger", "--trainer.max_epochs=1"])
        ({'trainer': {'logger': 'CSVLogger'}}, ['--trainer.max_epochs=1'])
    """
    trainer = dict(recipe.get("trainer") or {})
    found, rest = trainer.get("logger"), []
    for override in overrides:
        key, _, text = override.removeprefix("--").partition("=")
        if key != KEY and not key.startswith((f"{KEY}.", f"{KEY}+")):
            rest.append(override)
            continue
        name = key.removeprefix(KEY).lstrip(".").removeprefix("init_args.")
        value = plain_value(text)
        if name in ("", "class_path"):
            found = value
        elif name == "+":
            before = found if isinstance(found, list) else [] if found is None else [found]
            found = [*before, *(value if isinstance(value, list) else [value])]
        else:
            found = _with_argument(found, name, value, override)
    if len(rest) == len(overrides):
        return recipe, rest
    return {**recipe, "trainer": {**trainer, "logger": found}}, rest


def _with_argument(found: Any, name: str, value: Any, override: str) -> Any:
    """Sets an argument of the only logger, or of the last one of a list."""
    if isinstance(found, list) and found:
        return [*found[:-1], _with_argument(found[-1], name, value, override)]
    if isinstance(found, str):
        found = {"class_path": found}
    if not isinstance(found, dict):
        raise UserError(f"{override}: name the logger first, with {OPTION} NAME.")
    return {**found, "init_args": {**(found.get("init_args") or {}), name: value}}


def read_loggers(section: Any) -> list[tuple[type[Logger], dict[str, Any]]]:
    """Reads what a recipe says of loggers, and checks it.

    Args:
        section: A name, a ``class_path`` with ``init_args``, a list of those, or nothing.

    Returns:
        Classes and the arguments that are given to them.

    Raises:
        UserError: if there is no such logger, it lacks its package, or it takes no such argument.
    """
    if section is None or section is True:  # both mean the zoo's own
        return []
    if section is False:
        raise UserError(
            f"{OPTION} false is refused: metrics.csv is what a run continues from; --wandb off "
            "leaves W&B out."
        )
    return [_read(one) for one in (section if isinstance(section, list) else [section])]


def _read(section: Any) -> tuple[type[Logger], dict[str, Any]]:
    section = {"class_path": section} if isinstance(section, str) else section
    known = {"class_path", "init_args"}
    if not isinstance(section, dict) or section.keys() - known or "class_path" not in section:
        raise UserError(
            f"{OPTION} must name a class, such as CSVLogger, or be a mapping of class_path and "
            f"init_args, got {quoted(section)}."
        )
    classes = _classes()
    path, arguments = section["class_path"], section.get("init_args") or {}
    name = str(path).rpartition(".")[2]
    if name == "WandbLogger":
        raise UserError(f"{OPTION} WandbLogger is refused: W&B is turned on by --wandb online.")
    if name not in classes:
        raise UserError(
            f"{OPTION}: there is no logger {quoted(path)}. {did_you_mean(name, classes)}"
        )
    needs = PACKAGES.get(name, {})
    if needs and not any(importlib.util.find_spec(package) for package in needs):
        install = " or ".join(f"pip install {package}" for package in needs.values())
        raise UserError(f"{OPTION} {name} needs a package that is not installed: {install}.")
    _check_arguments(classes[name], arguments)
    return classes[name], arguments


def _classes() -> dict[str, type[Logger]]:
    """Lists Lightning's loggers and those that a plug-in defines, by name."""
    others = set(loggers.__all__) - {"Logger", "WandbLogger"}
    found = {name: getattr(loggers, name) for name in sorted(others)}
    for cls in Logger.__subclasses__():
        if cls.__module__.partition(".")[0] not in ("lightning", "zoo"):
            found[cls.__name__] = cls
    return found


def _check_arguments(cls: type[Logger], arguments: Any) -> None:
    parameters = inspect.signature(cls).parameters
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not isinstance(arguments, dict):
        raise UserError(f"{OPTION}: init_args must be a mapping, got {quoted(arguments)}.")
    for name in arguments:
        if name not in parameters and not free:
            raise UserError(
                f"{OPTION}: {cls.__name__} has no argument {quoted(name)}. "
                f"{did_you_mean(str(name), parameters)}"
            )
    for name, parameter in parameters.items():
        optional = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if parameter.default is parameter.empty and not optional:
            if name not in arguments and name != "save_dir":
                raise UserError(f"{OPTION}: {cls.__name__} needs {OPTION}.{name}.")


def build_loggers(section: Any, folder: Path) -> list[Logger]:
    """Builds a run's loggers.

    Args:
        section: As in `read_loggers`.
        folder: The run's folder, where they write unless ``save_dir`` says otherwise.

    Raises:
        UserError: if one refuses its arguments.
    """
    built = []
    for cls, arguments in read_loggers(section):
        if "save_dir" in inspect.signature(cls).parameters:
            arguments = {"save_dir": str(folder), **arguments}
        try:
            built.append(cls(**arguments))
        except Exception as error:  # whatever such a package raises on a wrong wish
            text = " ".join(str(error).split())
            raise UserError(f"{OPTION} {cls.__name__} did not start: {text[:300]}") from error
    return built
