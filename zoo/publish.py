"""Puts a run's model on the shelf: ``python -m zoo.publish runs/infogan_digits/<time>``.

With ``--hub owner/name``, the published model is also uploaded to the Hugging Face Hub. A model
that is already on the shelf is uploaded by name and not scored again. Without ``--hub``, nothing
is uploaded. ``python -m zoo.publish NAME --seeds RUN ...`` adds the scores of runs with other seeds
to the card of a model that is on the shelf.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.figures import score_line
from zoo.core.text import print_line
from zoo.core.threads import settle
from zoo.shelf.card import CARD, NAME
from zoo.shelf.find import available, writable_shelf
from zoo.shelf.hub import check_repository, who_pushes

__all__ = ["main", "run"]


def _parser() -> Parser:
    parser = Parser("zoo.publish", __doc__)
    parser.add_argument(
        "run", metavar="RUN_OR_NAME",
        help="folder of a run that has ended; with --hub or --seeds also the name of a published "
        "model",
    )  # fmt: skip
    parser.add_argument("--name", help="name on the shelf; default: the recipe's")
    parser.add_argument("--full", action="store_true", help="keep float32 parameters")
    parser.add_argument(
        "--seeds", type=Path, nargs="*", default=[], help="runs with other seeds, for the card"
    )
    parser.add_argument(
        "--hub",
        metavar="OWNER/NAME",
        help="also send it to this repository of the hub",
    )
    return parser


def _to_shelf(options: argparse.Namespace) -> str:
    """Puts the run on the shelf, and prints its scores; returns its name there."""
    run = Path(options.run)
    name = options.name or run.resolve().parent.name
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a valid name: use lower-case letters, digits and _.")
    shelf = writable_shelf()  # before the scores, which take minutes
    # Only from here on is torch needed: help and refusals need not wait for it.
    from zoo.show.publishing import publish

    settle()
    folder = publish(run, name, half=not options.full, spread=options.seeds)
    print_line(f"published {name} on {shelf}")
    for score in json.loads((folder / CARD).read_text())["scores"]:
        print_line(f"  {score_line(score)}")
    if (readme := shelf.parent / "README.md").is_file():
        print_line(f"  next: python -m zoo.gallery --readme {os.path.relpath(readme)}")
    return name


def run(arguments: Sequence[str]) -> None:
    """Puts the model where it is asked for.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    if options.hub:
        check_repository(options.hub)
        who_pushes()  # before the scores, too
    known = options.run in available() and not Path(options.run).is_dir()
    if known and options.seeds:
        from zoo.show.publishing import add_seeds

        add_seeds(options.run, options.seeds)
        print_line(f"added {len(options.seeds)} runs to the card of {options.run}")
    name = options.run if known and (options.hub or options.seeds) else _to_shelf(options)
    if options.hub:
        from zoo.show.publishing import send

        address = send(name, options.hub)
        print_line(f"sent {name} to the hub; zoo.load({address!r}) loads it")


main = command("zoo.publish", run)


if __name__ == "__main__":
    sys.exit(main(None))
