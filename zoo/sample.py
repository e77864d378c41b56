"""Draws from a model: ``python -m zoo.sample infogan_mnist --n 64 --out grid.png``."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.contracts import Interpolates, Samples, Traverses, capabilities, conditions
from zoo.errors import UserError, did_you_mean, exit_on_user_error
from zoo.pictures import grid, save_png
from zoo.shelf import load_any

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "zoo.sample",
        description="Draws images from a published model or a run, and writes them as one PNG.",
        epilog="With a model's name, --help also shows its conditions, such as --label.",
        add_help=False,
    )
    parser.add_argument("model", metavar="NAME_OR_RUN", nargs="?", help="see python -m zoo.list")
    parser.add_argument("-h", "--help", action="store_true", help="show this and stop")
    parser.add_argument("--n", type=int, default=64, help="images, or rows (default 64, 8 rows)")
    parser.add_argument("--seed", type=int, default=0, help="makes the draw repeatable (default 0)")
    parser.add_argument("--steps", type=int, default=10, help="images along a row (default 10)")
    parser.add_argument("--out", type=Path, default=Path("grid.png"), help="default: grid.png")
    parser.add_argument(
        "--traverse", nargs="?", const="", metavar="CODE", help="vary a latent code along each row"
    )
    parser.add_argument(
        "--interpolate", action="store_true", help="walk between two samples along each row"
    )
    return parser


def _add_conditions(parser: argparse.ArgumentParser, model: Any) -> None:
    """Adds an option for every condition that the model's sample method declares."""
    hints = inspect.signature(model.sample).parameters
    for name in conditions(model):
        kind = int if "int" in str(hints[name].annotation) else str
        parser.add_argument(f"--{name}", type=kind, help="condition of this model")


def _draw(model: Any, options: argparse.Namespace) -> Tensor:
    rows = min(options.n, 8) if options.n == 64 else options.n
    if options.traverse is not None and options.interpolate:
        raise UserError("--traverse and --interpolate are two pictures; ask for one at a time.")
    if options.traverse is not None:
        if not isinstance(model, Traverses):
            raise UserError(f"this model has no codes to traverse; it can {_can(model)}.")
        code = options.traverse or model.codes()[0]
        if code not in model.codes():
            raise UserError(f"unknown code {code!r}. {did_you_mean(code, model.codes())}")
        return model.traverse(code, rows=rows, steps=options.steps, seed=options.seed)
    if options.interpolate:
        if not isinstance(model, Interpolates):
            raise UserError(f"this model cannot interpolate; it can {_can(model)}.")
        return model.interpolate(rows=rows, steps=options.steps, seed=options.seed)
    if not isinstance(model, Samples):
        raise UserError(f"this model cannot sample; it can {_can(model)}.")
    given = {name: getattr(options, name) for name in conditions(model)}
    asked = {name: value for name, value in given.items() if value is not None}
    return model.sample(options.n, seed=options.seed, **asked)


def _can(model: Any) -> str:
    return ", ".join(capabilities(model)) or "nothing"


def run(arguments: Sequence[str]) -> None:
    """Draws and writes the picture.

    Raises:
        UserError: if anything in the request is wrong.
    """
    parser = _parser()
    known, _ = parser.parse_known_args(arguments)
    if known.model is None:
        parser.print_help()
        if not known.help:
            raise UserError("which model? Name one; python -m zoo.list shows them.")
        return
    if known.n < 1:
        raise UserError(f"--n must be at least 1, got {known.n}.")
    if known.out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {known.out}.")
    model = load_any(known.model)
    if hasattr(model, "sample"):
        _add_conditions(parser, model)
    if known.help:
        parser.print_help()
        return
    options = parser.parse_args(arguments)
    save_png(grid(_draw(model, options)), options.out)
    print(options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_on_user_error("zoo.sample", lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
