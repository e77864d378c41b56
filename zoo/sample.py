"""Draws from a model: ``python -m zoo.sample infogan_mnist --n 64 --out grid.png``."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.contract.answering import SEEDS
from zoo.contract.capabilities import (
    Completes,
    Interpolates,
    Samples,
    Traverses,
    capabilities,
    conditions,
)
from zoo.core.arguments import Parser
from zoo.core.errors import (
    UserError,
    check_choice,
    check_interval,
    did_you_mean,
    exit_on_user_error,
)
from zoo.data.decode import Unreadable, decode
from zoo.shelf.shelf import load_any
from zoo.show.pictures import grid, save_png

__all__ = ["main"]


HALVES = ("top", "bottom", "left", "right")
MOST = 10_000  # images in one PNG; more is no picture but a way to run out of memory


def _parser() -> Parser:
    parser = Parser(
        "zoo.sample",
        "Draws images from a published model or a run, and writes them as one PNG.",
        epilog="With a model's name, --help also shows its conditions, such as --label.",
        add_help=False,
    )
    parser.add_argument(
        "model",
        metavar="NAME_OR_RUN",
        nargs="?",
        help="see python -m zoo.list; hf://owner/name works, too",
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this and stop")
    parser.add_argument("--n", type=int, help="images (default 64), or rows (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="makes the draw repeatable (default 0)")
    parser.add_argument("--steps", type=int, help="images along a row (default 10)")
    parser.add_argument("--out", type=Path, default=Path("grid.png"), help="default: grid.png")
    parser.add_argument(
        "--traverse", nargs="?", const="", metavar="CODE", help="vary a latent code along each row"
    )
    parser.add_argument(
        "--interpolate", action="store_true", help="walk between two samples along each row"
    )
    parser.add_argument(
        "--complete", type=Path, metavar="IMAGE", help="draw what --mask covers of an image anew"
    )
    parser.add_argument(
        "--mask",
        metavar="HALF_OR_PNG",
        help="top, bottom (default), left, right, or a picture that is white where it covers",
    )
    return parser


def _add_conditions(parser: Parser, model: Any) -> None:
    """Adds an option for every condition that the model's sample method declares."""
    hints = inspect.signature(model.sample).parameters
    for name in conditions(model):
        annotation = str(hints[name].annotation)
        kind = next((kind for kind in (int, float) if kind.__name__ in annotation), str)
        parser.add_argument(f"--{name}", type=kind, help="condition of this model")


def _check(options: argparse.Namespace) -> None:
    """Refuses what no model could draw.

    Raises:
        UserError: naming the option.
    """
    rows = options.traverse is not None or options.interpolate
    given = {"--traverse": options.traverse is not None, "--interpolate": options.interpolate,
             "--complete": options.complete is not None}  # fmt: skip
    asked = [name for name, is_given in given.items() if is_given]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are different pictures; ask for one at a time.")
    if options.mask is not None and options.complete is None:
        raise UserError("--mask belongs to --complete.")
    if options.steps is not None and not rows:
        raise UserError("--steps belongs to --traverse or --interpolate.")
    for name in ("n", "steps"):
        value = getattr(options, name)
        if value is not None:
            check_interval(f"--{name}", value, f"[1, {MOST}]")
    if rows and (options.n or 8) * (options.steps or 10) > MOST:
        raise UserError(f"--n times --steps must be at most {MOST}: they share one picture.")
    check_interval("--seed", options.seed, SEEDS)
    if options.out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {options.out}.")


def _draw(model: Any, options: argparse.Namespace) -> Tensor:
    given = {name: getattr(options, name) for name in conditions(model)} if _samples(model) else {}
    asked = {name: value for name, value in given.items() if value is not None}
    if options.complete is not None:
        return _completions(model, options, asked)
    if options.traverse is None and not options.interpolate:
        if not _samples(model):
            raise UserError(f"this model cannot sample; it can {_can(model)}.")
        return model.sample(64 if options.n is None else options.n, seed=options.seed, **asked)
    if asked:
        raise UserError(f"--{next(iter(asked))} is a condition of samples, not of this picture.")
    size = {"rows": options.n or 8, "steps": options.steps or 10, "seed": options.seed}
    if options.interpolate:
        if not isinstance(model, Interpolates):
            raise UserError(f"this model cannot interpolate; it can {_can(model)}.")
        return model.interpolate(**size)
    if not isinstance(model, Traverses):
        raise UserError(f"this model has no codes to traverse; it can {_can(model)}.")
    code = options.traverse or model.codes()[0]
    check_choice("code", code, model.codes())
    return model.traverse(code, **size)


def _completions(model: Any, options: argparse.Namespace, asked: dict[str, Any]) -> Tensor:
    """Returns the image, the image with its covered part in grey, and completions of it."""
    spec = model.spec
    if not isinstance(model, Completes):
        raise UserError(f"this model cannot complete images; it can {_can(model)}.")
    image = _picture(options.complete, spec, spec.channels)
    height, width = image.shape[-2:]
    mask = torch.zeros(1, 1, height, width, dtype=torch.bool)
    half = "bottom" if options.mask is None else options.mask
    parts = {
        "top": (slice(0, height // 2), slice(None)),
        "bottom": (slice(height // 2, None), slice(None)),
        "left": (slice(None), slice(0, width // 2)),
        "right": (slice(None), slice(width // 2, None)),
    }
    if half in parts:
        mask[(..., *parts[half])] = True
    elif not Path(half).is_file():
        raise UserError(f"--mask is neither a half nor a file. {did_you_mean(half, HALVES)}")
    else:
        mask = _picture(Path(half), spec, 1) > 0.5
    count = 14 if options.n is None else options.n
    images = image.expand(count, -1, -1, -1)
    done = model.complete(images, mask, seed=options.seed, **asked).cpu()
    return torch.cat([image, image.where(~mask, 0.5), done])


def _picture(path: Path, spec: Any, channels: int) -> Tensor:
    """Reads an image file in the size of a model's images, in [0, 1], shape (1, C, H, W)."""
    if spec.height != spec.width:
        raise UserError(f"only square images are completed; the model's are {spec.shape}.")
    try:
        pixels, _ = decode(path, spec.height, channels, "centre")
    except Unreadable as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    return pixels[None].float() / 255


def _samples(model: Any) -> bool:
    return isinstance(model, Samples)


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
        if not known.help:
            raise UserError("which model? Name one; python -m zoo.list shows them.")
        parser.print_help()
        return
    if not known.help:
        _check(known)
    model = load_any(known.model)
    if _samples(model):
        _add_conditions(parser, model)
    if known.help:
        parser.print_help()
        return
    options = parser.read(arguments)
    save_png(grid(_draw(model, options)), options.out)
    print(options.out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return exit_on_user_error("zoo.sample", lambda: run(given))


if __name__ == "__main__":
    sys.exit(main())
