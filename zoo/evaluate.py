"""Scores a model: ``python -m zoo.evaluate infogan_mnist --protocol quick``.

Long bounds that were ended half-way go on when they are asked for again.
On several processes: ``torchrun --nproc-per-node 2 -m zoo.evaluate infogan_mnist``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from zoo.core.arguments import Parser
from zoo.core.errors import exit_on_user_error
from zoo.core.files import write_json
from zoo.judge.options import add_judging_options, joined_processes, score_table
from zoo.judge.subject import data_for, features_for, find_subject, judge, task_for

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = Parser("zoo.evaluate", __doc__)
    parser.add_argument(
        "model", metavar="NAME_OR_RUN", help="a published model, an address, or a run's folder"
    )
    add_judging_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report here")

    def run() -> None:
        options = parser.read(arguments)
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
        Console().print(score_table(f"{subject.name} on {type(data).__name__}", report["scores"]))

    return exit_on_user_error("zoo.evaluate", run)


if __name__ == "__main__":
    sys.exit(main())
