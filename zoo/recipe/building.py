"""Models and data sets built from a recipe's words."""

from __future__ import annotations

from typing import Any

from zoo.recipe.checking import LINKED, REGISTRIES, name_and_arguments
from zoo.recipe.values import check_values

__all__ = ["build", "with_full_paths"]

TEXTS = ("name", "run_root")  # options that may look like a number


def build(kind: str, section: Any, **linked: Any) -> Any:
    """Builds the model or the data set that a checked recipe's section describes.

    Args:
        kind: ``"model"`` or ``"data"``.
        section: The recipe's section of that name.
        linked: Arguments that the zoo fills in, such as ``spec``.

    Raises:
        UserError: if there is no such class, or its constructor refuses an argument.
    """
    name, arguments = name_and_arguments(kind, section, "recipe")
    own = {k: v for k, v in arguments.items() if k not in LINKED[kind]}
    own = {k: tuple(v) if isinstance(v, list) else v for k, v in own.items()}
    cls, arguments = REGISTRIES[kind][name], {**own, **linked}
    check_values(cls, arguments, f"--{kind}.")
    return cls(**arguments)


def with_full_paths(recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns a checked recipe whose model and data set are named by where they stand today.

    All classes are imported, so that the parser knows those that a command line names, too.
    """
    full = {k: str(v) if k in TEXTS and type(v) in (int, float) else v for k, v in recipe.items()}
    if full.get("trainer") is None:
        full.pop("trainer", None)  # nothing after the colon
    for kind, registry in REGISTRIES.items():
        classes = dict(registry)
        name, arguments = name_and_arguments(kind, recipe[kind], "recipe")
        path = f"{classes[name].__module__}.{name}"
        full[kind] = {"class_path": path, **({"init_args": arguments} if arguments else {})}
    return full
