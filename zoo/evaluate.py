"""Scores a model: ``python -m zoo.evaluate infogan_plus_mnist --protocol quick``.

A folder of images is judged as samples: ``python -m zoo.evaluate SAMPLES --data.path IMAGES``.
If a long evaluation was interrupted, the same command continues it.
On several processes: ``torchrun --nproc-per-node 2 -m zoo.evaluate infogan_plus_mnist``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.files import write_json
from zoo.core.threads import settle
from zoo.judge.options import add_judging_options, check_judging_options
from zoo.shelf.find import check_model, is_folder

__all__ = ["main"]


def _parser() -> Parser:
    parser = Parser("zoo.evaluate", __doc__)
    parser.add_argument(
        "model",
        metavar="NAME_OR_RUN",
        help="a published model, an address, a run's folder, or a folder of samples",
    )
    add_judging_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report here")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Scores the model and prints the scores.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    samples = is_folder(options.model)
    if not samples:
        check_model(options.model)
    check_judging_options(options)
    # Only from here on is torch needed: help and refusals need not wait for it.
    from zoo.core.tables import console as screen
    from zoo.judge.options import joined_processes, score_table
    from zoo.judge.peers import folder_subject
    from zoo.judge.subject import data_for, features_for, find_subject, judge, task_for

    settle()
    if samples:
        subject, data = folder_subject(options.model, options.data, options.root, options.path)
    else:
        subject = find_subject(options.model)
        data = data_for(subject, options.data, options.root, options.path)
    features = features_for(data, options.features)
    with joined_processes() as first:
        task = task_for(subject, data, features, options.protocol, device=options.device)
        report = judge(subject, task, options.protocol)
    if not first:
        return
    if options.json is not None:
        write_json(options.json, report)
    screen().print(score_table(f"{subject.name} on {data.name}", report["scores"]))


main = command("zoo.evaluate", run)


if __name__ == "__main__":
    sys.exit(main(None))
