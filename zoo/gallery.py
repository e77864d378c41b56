"""Shows the shelf: ``python -m zoo.gallery`` builds a site of all published models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.files import open_text, write_text
from zoo.core.progress import bar
from zoo.core.text import print_line, say
from zoo.shelf.find import shelf_folder

if TYPE_CHECKING:
    from zoo.show.gallery import Exhibit

__all__ = ["WALL", "main"]

WALL = "wall.png"  # on the shelf


def _folder() -> Path:
    """Returns the shelf's folder.

    Raises:
        UserError: if the shelf is on the web.
    """
    try:
        return shelf_folder()
    except UserError:
        raise UserError(
            "the gallery shows the pictures that lie beside the models of a shelf, and a shelf on "
            "the web does not say which there are: set ZOO_SHELF to a folder, such as a copy of "
            "it. python -m zoo.list lists its models."
        ) from None


def _update(documents: Sequence[Path], shelf: Path, shown: Sequence[Exhibit]) -> None:
    """Brings the tables of documents and the shelf's wall up to date.

    Raises:
        UserError: if a document cannot be read or has no place for a table; none is changed then.
    """
    from zoo.show.gallery import families, markdown, save_wall, with_table
    from zoo.show.gallery.table import BEGIN, FAMILIES

    renewed = {}
    for document in documents:
        try:
            with open_text(document) as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise UserError(f"--readme {document} cannot be read: {reason}.") from None
        if FAMILIES in text.split("\n"):
            renewed[document] = with_table(text, families(shown), str(document), FAMILIES)
        else:
            renewed[document] = with_table(text, markdown(shown), str(document), BEGIN)
    save_wall(shown, shelf / WALL)
    print_line(shelf / WALL)
    for document, text in renewed.items():
        write_text(document, text)
        print_line(document)


def _parser() -> Parser:
    parser = Parser(
        "zoo.gallery",
        "Builds a static site of all published models, which can be viewed without a network.",
        epilog="After publishing: python -m zoo.gallery --readme README.md checkpoints/README.md",
    )
    parser.add_argument("--out", type=Path, help="folder of the site (default gallery)")
    parser.add_argument(
        "--readme",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="instead, update the tables of models or families in these files, and the shelf's "
        "wall of pictures; with --out, do both",
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Builds the site, or brings a document up to date.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    shelf = _folder()
    # Only from here on is torch needed: help and refusals need not wait for it.
    from zoo.show.gallery import build_site, exhibits

    left: dict[str, UserError] = {}
    # A site without one model is still a site; a README without it would forget it.
    shown = exhibits(unusable=None if options.readme else left.__setitem__)
    if not shown:
        why = next((f", for example {name}: {error}" for name, error in left.items()), ".")
        raise UserError(f"there is no usable model on the shelf {shelf}{why}")
    for name, error in left.items():
        say(f"zoo.gallery: {name} is unusable and left out: {error}")
    if options.readme is not None:
        _update(options.readme, shelf, shown)
    if options.out is not None or options.readme is None:
        out = options.out or Path("gallery")
        build_site(shown, out, bar)
        print_line(out / "index.html")


main = command("zoo.gallery", run)


if __name__ == "__main__":
    sys.exit(main(None))
