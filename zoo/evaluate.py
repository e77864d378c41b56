"""Scores a model: ``python -m zoo.evaluate infogan_mnist --protocol quick``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zoo.arguments import Parser
from zoo.errors import exit_on_user_error
from zoo.files import write_json
from zoo.judge import PRESETS, data_for, features_for, find_subject, judge, task_for

__all__ = ["add_judging_options", "main", "score_table", "shown"]


def add_judging_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all judging commands share."""
    parser.add_argument("--data", help="another data set than the model's own")
    parser.add_argument("--root", help="folder of data sets (default: $ZOO_DATA, else data/)")
    parser.add_argument("--features", help="another feature network of the shelf")
    parser.add_argument(
        "--protocol", default="quick", choices=sorted(PRESETS),
        help="quick: 2,000 images, a minute; full: 10,000, as published (default quick)",
    )  # fmt: skip


def shown(score: dict[str, Any]) -> str:
    """Writes a score's value, or why there is none.

    Example:
        >>> shown({"value": 0.5}), shown({"value": None, "details": {"status": "infeasible"}})
        ('0.5000', 'infeasible')
    """
    value = score["value"]
    if value is None or not math.isfinite(value):
        return score.get("details", {}).get("status", "none")
    return f"{value:.4f}"


def score_table(title: str, scores: Sequence[dict[str, Any]]) -> Table:
    """Lays scores out as a table."""
    table = Table(
        title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column, justify in (("score", "left"), ("value", "right"), ("unit", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for score in scores:
        arrow = {"lower": "lower is better", "higher": "higher is better"}.get(score["better"], "")
        unit = ", ".join(part for part in (score["unit"], arrow) if part)
        table.add_row(escape(score["name"]), shown(score), unit)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = Parser("zoo.evaluate", __doc__)
    parser.add_argument("model", metavar="NAME_OR_RUN", help="a published model, or a run's folder")
    add_judging_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report here")

    def run() -> None:
        options = parser.read(arguments)
        subject = find_subject(options.model)
        data = data_for(subject, options.data, options.root)
        task = task_for(subject, data, features_for(data, options.features), options.protocol)
        report = judge(subject, task, options.protocol)
        if options.json is not None:
            write_json(options.json, report)
        Console().print(score_table(f"{subject.name} on {type(data).__name__}", report["scores"]))

    return exit_on_user_error("zoo.evaluate", run)


if __name__ == "__main__":
    sys.exit(main())
