"""Scores several models side by side: ``python -m zoo.compare infogan_plus_mnist gan_mnist``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.files import write_json
from zoo.core.text import print_line
from zoo.core.threads import settle
from zoo.judge.options import add_judging_options, check_judging_options
from zoo.shelf.find import check_model
from zoo.shelf.run_folder import RunFolder

__all__ = ["main", "run"]


def _parser() -> Parser:
    parser = Parser(
        "zoo.compare",
        "Scores several models on the same images and features: one table, and one picture with "
        "a row of samples per model.",
    )
    parser.add_argument("models", metavar="NAME_OR_RUN", nargs="*", help="two or more models")
    add_judging_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("compare.png"), help="default: compare.png"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the reports here")
    parser.add_argument(
        "--scores", nargs="+", metavar="NAME", default=[],
        help="show only scores whose names begin with one of these (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--table", type=Path, metavar="FILE",
        help="only print the table of a file that --json wrote, as Markdown",
    )  # fmt: skip
    parser.add_argument(
        "--curves", type=Path, metavar="FILE", nargs="?", const=Path("curves.png"),
        help="only draw the training curves of runs over each other (default: curves.png)",
    )  # fmt: skip
    return parser


def _draw_curves(names: Sequence[str], out: Path) -> None:
    """Draws the curves of runs over each other; needs no model and no torch."""
    from zoo.show.curves import read_curves, save_curves

    runs = {}
    for name in names:
        folder = RunFolder(Path(name))
        if not folder.metrics.is_file():
            raise UserError(f"{name} is not a run with curves: it has no {folder.metrics.name}.")
        runs[name] = read_curves(folder.metrics)
    if not runs:
        raise UserError("whose curves? Name the folders of one or more runs.")
    save_curves(runs, out)
    print_line(out)


def run(arguments: Sequence[str]) -> None:
    """Scores the models, prints the table and writes the picture.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    if options.table is not None:
        if options.models:
            raise UserError("--table prints a file of reports; it takes no models.")
        from zoo.show.comparison import markdown, read_reports

        print(markdown(read_reports(options.table), options.scores))
        return
    for option, path in (("out", options.out), ("curves", options.curves)):
        if path is not None and path.suffix.lower() != ".png":
            raise UserError(f"--{option} must end in .png, got {path}.")
    if options.curves is not None:
        _draw_curves(options.models, options.curves)
        return
    for name in options.models:
        check_model(name)
    check_judging_options(options)
    # Only from here on is torch needed: help and refusals need not wait for it.

    from zoo.core.tables import console as screen
    from zoo.show.comparison import compare, comparison_table, save_samples, subjects_for

    settle()
    subjects = subjects_for(options.models)
    reports = compare(
        subjects, options.protocol, data_name=options.data, root=options.root,
        path=options.path, features_name=options.features, device=options.device,
    )  # fmt: skip
    if options.json is not None:
        write_json(options.json, reports)
    data = next(iter(reports.values()))["data"]["name"]
    table = comparison_table(f"on {data}, best marked *", reports, options.scores)
    screen().print(table)
    if save_samples(subjects, options.out):
        print_line(options.out)


main = command("zoo.compare", run)


if __name__ == "__main__":
    sys.exit(main(None))
