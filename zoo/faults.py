"""Plants known faults in real images and shows which score sees which."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError, check_choice
from zoo.core.figures import digits, split_name
from zoo.core.files import read_json, write_json
from zoo.core.threads import settle
from zoo.data.registry import DATASETS
from zoo.judge.presets import PRESETS

if TYPE_CHECKING:
    from zoo.core.tables import PlainTable

__all__ = ["main", "markdown"]


def _parser() -> Parser:
    parser = Parser("zoo.faults", __doc__)
    parser.add_argument("--data", default="MNIST", help="data set with labels (default MNIST)")
    parser.add_argument("--root", help="folder of data sets (default: $ZOO_DATA, else data/)")
    parser.add_argument("--features", help="another feature network of the shelf")
    parser.add_argument(
        "--protocol", default="quick", choices=sorted(PRESETS),
        help="quick: 2,000 images, two minutes; full: 5,000 (default quick)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        help="only print the table of a file that --json wrote, as Markdown",
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Plants the faults and prints what each score sees.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    if options.table is not None:
        print(markdown(read_findings(options.table)))
        return
    check_choice("data set", options.data, DATASETS)
    report = judge_faults(options)
    if options.json is not None:
        write_json(options.json, report)
    from zoo.core.tables import console as screen

    screen().print(_table(report))


def judge_faults(options: Any) -> dict[str, Any]:
    """Scores all faults and returns a report of plain values."""
    from zoo.core.progress import bar
    from zoo.judge.protocols.faults import DRAWS, score_faults
    from zoo.judge.score import Task
    from zoo.judge.subject import features_for
    from zoo.recipe.building import build
    from zoo.shelf.run_folder import environment

    settle()
    own = {} if options.root is None else {"root": options.root}
    data = build("data", {"class_path": options.data, "init_args": own})
    features = features_for(data, options.features)
    if features is None:
        raise UserError(f"the shelf has no feature network for {options.data}; see zoo.list.")
    # Half of the unseen images, so that enough are left when classes are taken away.
    count = min(PRESETS[options.protocol].limit, len(data.images("val")) // 2)
    findings, named = score_faults(Task(None, data, "test", count, features, bar, memory={}))
    return {
        "data": {"name": options.data, "sha256": data.fingerprint("test")},
        "features": {"name": features.name, "sha256": features.sha256},
        "images": count,
        "draws": DRAWS,
        "findings": [asdict(finding) for finding in findings],
        "named": named,
        "environment": {k: v for k, v in environment().items() if k != "command"},
    }


def read_findings(path: Path) -> dict[str, Any]:
    """Reads a report of this command.

    Raises:
        UserError: if the file is none.
    """
    try:
        report = read_json(path)
        _ = report["findings"][0]["seen"], report["named"]["none"]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise UserError(f"{path} is not a readable report of zoo.faults.") from None
    return report


def _rows(report: dict[str, Any]) -> list[list[str]]:
    """Lays the findings out; what a score has seen stands in asterisks."""
    from zoo.judge.protocols.faults import columns

    faults = [fault for fault, _ in columns()]
    rows = []
    for finding in report["findings"]:
        cells = [split_name(finding["name"])[0]]
        cells.append(_cell(finding["none"]))
        for fault in faults:
            text = _cell(finding["values"][fault])
            cells.append(f"**{text}**" if fault in finding["seen"] else text)
        rows.append(cells)
    names = ["classes that kernel GEL names"]
    for fault in ("none", *faults):
        named = report["named"][fault]
        parts = [f"{', '.join(map(str, named[what]))} {what}" for what in named if named[what]]
        names.append(f"**{'; '.join(parts)}**" if parts else "")
    return [*rows, names]


def _cell(value: float | None) -> str:
    return "none" if value is None else digits(value)


def _head() -> list[str]:
    from zoo.judge.protocols.faults import columns

    return ["score", "no fault", *(title for _, title in columns())]


def markdown(report: dict[str, Any]) -> str:
    """Writes the findings as a table for a document."""
    head = _head()
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *_rows(report)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table(report: dict[str, Any]) -> PlainTable:
    from zoo.core.tables import PlainTable, styled
    from zoo.judge.protocols.faults import DRAWS, SEEN

    table = PlainTable(
        f"{report['images']:,} unseen images of {report['data']['name']} instead of samples",
        *_head(),
        caption=f"marked: more than {SEEN:g} standard deviations from {DRAWS} fault-free draws",
    )
    for row in _rows(report):
        marked = (
            styled(f"{cell[2:-2]} *", "bold red") if cell.startswith("**") else cell for cell in row
        )
        table.add_row(*marked)
    return table


main = command("zoo.faults", run)


if __name__ == "__main__":
    sys.exit(main(None))
