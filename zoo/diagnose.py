"""Writes a report on a model: ``python -m zoo.diagnose infogan_plus_mnist --out report.html``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.text import print_line
from zoo.core.threads import settle
from zoo.judge.options import add_judging_options, check_judging_options
from zoo.shelf.find import check_model

__all__ = ["main"]


def _parser() -> Parser:
    parser = Parser(
        "zoo.diagnose",
        "Shows what a model got wrong in one HTML file, with pictures; it can be read offline.",
    )
    parser.add_argument(
        "model", metavar="NAME_OR_RUN", help="a published model, an address, or a run's folder"
    )
    add_judging_options(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="default: report.html"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Judges the model and writes the report.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out must end in .html, got {options.out}.")
    check_model(options.model)
    check_judging_options(options)
    # Only from here on is torch needed: help and refusals need not wait for it.
    from dataclasses import replace

    from rich.markup import escape

    from zoo.core.files import write_text
    from zoo.core.tables import console as screen
    from zoo.judge.run import fitting
    from zoo.judge.subject import data_for, features_for, find_subject, judge, task_for
    from zoo.show.diagnosis import advise, open_case, page, summary

    settle()
    subject = find_subject(options.model)
    data = data_for(subject, options.data, options.root, options.path)
    features = features_for(data, options.features)
    # With a memory, so that the images behind the scores are those that were scored.
    task = replace(
        task_for(subject, data, features, options.protocol, device=options.device), memory={}
    )
    scored = judge(subject, task, options.protocol)["scores"] if fitting(task) else []
    case = open_case(subject, task, options.protocol, scored)
    write_text(options.out, page(case))
    evidence = case.evidence
    console = screen()
    console.print(escape(summary(evidence, advise(evidence))), highlight=False)
    print_line(options.out)


main = command("zoo.diagnose", run)


if __name__ == "__main__":
    sys.exit(main(None))
