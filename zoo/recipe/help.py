"""What ``zoo.fit --help`` and ``zoo.fit RECIPE --help`` say."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.recipe.recipe import LINKED

__all__ = ["USAGE", "describe_command", "describe_recipe"]

USAGE = "python -m zoo.fit RECIPE [--key value ...]"

OPTIONS = {
    "seed_everything": "Seed of weights, order and noise; default 0.",
    "ckpt_path": "Continue from this checkpoint, or from the newest run of the recipe: last.",
    "run_root": "Folder of all runs; default runs/.",
    "name": "Name of the run; default: the recipe's.",
    "wandb": "Weights & Biases: auto (online if you are logged in, else offline), online, offline "
    "or off.",
    "log_checkpoints": "Send the checkpoints to W&B at the end (true or false).",
    "pictures_every": "Epochs between pictures and scores; default 1.",
    "save_every": "Batches between checkpoints, besides one at the end; default: half a minute's "
    "worth.",
    "monitor": "Logged quantity whose best checkpoint is kept, such as "
    "'val/code_error[one-to-one,train->val]'.",
    "monitor_mode": "Whether min or max of it is best; default min.",
    "evaluate": "Score the model on test images at the end (true or false); default true.",
}
TRAINER = {
    "max_epochs": "Passes over the data.",
    "max_steps": "Batches, instead of epochs.",
    "precision": "32-true, bf16-mixed, ...; default: what the model and the device do best.",
    "accelerator": "cpu, gpu or auto.",
    "devices": "Processes, each on its own device; more than one trains in parallel (DDP).",
    "num_nodes": "Machines.",
    "log_every_n_steps": "Batches between rows of metrics.csv.",
    "gradient_clip_val": "Largest norm of a player's gradients.",
    "limit_train_batches": "Use only so many batches of an epoch, for a trial.",
    "enable_progress_bar": "false: say nothing while training.",
}


def describe_command() -> str:
    """Returns the help of the command."""
    return f"""usage: {USAGE}

Trains the model of a recipe: a YAML file, or the name of one in recipes/. Any value in it can be
overridden on the line:
  python -m zoo.fit recipes/infogan_digits.yaml --trainer.max_epochs 3 --model.width 16
  python -m zoo.fit infogan_digits --ckpt_path last     continue the newest run
  python -m zoo.fit infogan_digits --print_config       show every value, run nothing
  python -m zoo.fit infogan_digits --help               explain the recipe's model and data

Options of the run:
{_table({f"--{name}": text for name, text in OPTIONS.items()})}
Options of the trainer, among others of Lightning's Trainer (--print_config shows them all):
{_table({f"--trainer.{name}": text for name, text in TRAINER.items()})}"""


def describe_recipe(recipe: dict[str, Any]) -> str:
    """Returns the help of a checked recipe: the arguments of its model and of its data set.

    Args:
        recipe: From `zoo.recipe.recipe.read_recipe`.
    """
    parts = [f"usage: {USAGE}", ""]
    for kind, registry in (("model", MODELS), ("data", DATASETS)):
        section = recipe[kind]
        path, given = (
            (section, {})
            if isinstance(section, str)
            else (section["class_path"], section.get("init_args") or {})
        )
        cls: type = registry[path.rpartition(".")[2]]
        first = (inspect.getdoc(cls) or "").partition("\n")[0]
        parts.append(f"{kind}: {cls.__name__}. {first}")
        parts.append(_arguments(kind, cls, given))
    parts.append("Options of the run and of the trainer: python -m zoo.fit --help")
    return "\n".join(parts)


def _arguments(kind: str, cls: type, given: dict[str, Any]) -> str:
    texts = _documented(cls)
    rows = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in LINKED[kind]:
            continue
        value = given.get(name, parameter.default)
        shown = "" if value is parameter.empty else f" Here: {_plain(value)}."
        rows[f"--{kind}.{name}"] = f"{texts.get(name, '')}{shown}".strip()
    return _table(rows)


def _plain(value: Any) -> str:
    """Writes a value as it would be typed."""
    if isinstance(value, tuple):
        value = list(value)
    return "null" if value is None else str(value)


def _documented(cls: type) -> dict[str, str]:
    """Reads the ``Args:`` of a class and of those that it inherits from."""
    texts: dict[str, str] = {}
    for ancestor in cls.__mro__:
        doc = inspect.cleandoc(ancestor.__doc__ or "")
        found = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)*)", doc, re.MULTILINE)
        for entry in re.split(r"^[ ]{4}(?=\w)", found[1] if found else "", flags=re.MULTILINE):
            name, colon, text = entry.partition(":")
            if colon and name.isidentifier():
                texts.setdefault(name, " ".join(text.split()))
    return texts


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
