"""What ``zoo.fit --help`` and ``zoo.fit RECIPE --help`` say."""

from __future__ import annotations

import textwrap
from typing import Any

from zoo.core.arguments import ON_EVERY_LINE
from zoo.core.outline import REQUIRED, Outline, outline_of
from zoo.recipe.checking import LINKED, REGISTRIES, name_and_arguments
from zoo.recipe.options import OPTIONS, TRAINER

__all__ = ["USAGE", "describe_command", "describe_recipe"]

USAGE = "python -m zoo.fit RECIPE [--key value ...]"
EVERYWHERE = {
    option: f"{text[0].upper()}{text[1:]}." for option, (_, text) in ON_EVERY_LINE.items()
}


def describe_command() -> str:
    """Returns the help of the command."""
    return f"""usage: {USAGE}

Trains the model of a recipe: a YAML file, or the name of one in recipes/. Any value in it can be
overridden on the line:
  python -m zoo.fit recipes/infogan_digits.yaml --trainer.max_epochs 3 --model.width 16
  python -m zoo.fit infogan_digits --ckpt_path last     continue the newest run
  python -m zoo.fit infogan_digits --seeds 5            five runs, one table and one picture
  python -m zoo.fit vae_digits --grid model.latent_dim=2,5,10    the same over values
  python -m zoo.fit infogan_digits --print_config       show every value, run nothing
  python -m zoo.fit infogan_digits --help               explain the recipe's model and data

Options of the run:
{_table({f"--{name}": text for name, text in OPTIONS.items()} | EVERYWHERE)}
Options of the trainer, among others of Lightning's Trainer (--print_config shows them all):
{_table({f"--trainer.{name}": text for name, text in TRAINER.items()})}"""


def describe_recipe(recipe: dict[str, Any]) -> str:
    """Returns the help of a checked recipe: the arguments of its model and of its data set.

    Args:
        recipe: From `zoo.recipe.reading.read_recipe`.
    """
    parts = [f"usage: {USAGE}", ""]
    for kind, registry in REGISTRIES.items():
        name, given = name_and_arguments(kind, recipe[kind], "recipe")
        outline = outline_of(registry, name)
        parts.append(f"{kind}: {name}. {outline.summary}")
        parts.append(_arguments(kind, outline, given))
    parts.append("Options of the run and of the trainer: python -m zoo.fit --help")
    return "\n".join(parts)


def _arguments(kind: str, outline: Outline, given: dict[str, Any]) -> str:
    rows = {}
    for name, default in outline.arguments.items():
        if name in LINKED[kind]:
            continue
        value = given.get(name, default)
        shown = "" if value is REQUIRED else f" Here: {_plain(value)}."
        rows[f"--{kind}.{name}"] = f"{outline.texts.get(name, '')}{shown}".strip()
    return _table(rows)


def _plain(value: Any) -> str:
    """Writes a value as it would be typed."""
    if isinstance(value, tuple):
        value = list(value)
    return "null" if value is None else str(value)


def _table(rows: dict[str, str], width: int = 100) -> str:
    left = max(map(len, rows), default=0) + 2
    lines = [
        textwrap.fill(
            text,
            width,
            initial_indent=f"  {name:{left}s}",
            subsequent_indent=" " * (left + 2),
            break_on_hyphens=False,
        )
        for name, text in rows.items()
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"
