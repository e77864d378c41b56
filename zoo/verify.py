"""Re-runs a card's evaluation and compares: ``python -m zoo.verify infogan_plus_mnist``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.figures import shown
from zoo.core.threads import settle
from zoo.judge.options import add_device_option
from zoo.judge.presets import PRESETS
from zoo.shelf.find import available, check_model, read_card

if TYPE_CHECKING:
    from zoo.core.tables import PlainTable

__all__ = ["compare_scores", "main", "verify"]

RELATIVE, ABSOLUTE = 5e-3, 2e-3  # what another processor's rounding may change


def compare_scores(
    claimed: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]
) -> list[tuple[str, float | None, float | None, bool]]:
    """Pairs scores by name.

    Returns:
        Name, claimed value, measured value, and whether they agree: both missing, or apart by at
        most the rounding that another processor brings. A score that only one side has disagrees.
    """
    sides = [{score["name"]: score["value"] for score in side} for side in (claimed, measured)]
    rows = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        first, second = (side.get(name) for side in sides)
        if name not in sides[0] or name not in sides[1]:
            agrees = False
        elif first is None or second is None:
            agrees = first is second
        else:
            agrees = abs(first - second) <= ABSOLUTE + RELATIVE * abs(first)
        rows.append((name, first, second, agrees))
    return rows


def verify(
    name: str, preset: str, root: str | None, device: str = "auto"
) -> tuple[PlainTable, bool]:
    """Re-runs the evaluation that a card claims.

    Returns:
        A table of claimed against measured, and whether all agree.

    Raises:
        UserError: if the model's files were changed, its data differ, or its card has no such
            evaluation.
    """
    card, _ = read_card(name)
    claim = (card.get("evaluations") or {}).get(preset)
    if claim is None:
        raise UserError(f"the card of {name} has no evaluation with protocol {preset!r}.")
    # Only from here on is torch needed: help and refusals need not wait for it.
    from zoo.core.tables import PlainTable
    from zoo.judge.subject import data_for, features_for, find_subject, judge, task_for

    settle()
    subject = find_subject(name)
    data = data_for(subject, None, root)
    features = features_for(data) if claim["features"] else None
    if claim["features"] and (features is None or features.sha256 != claim["features"]["sha256"]):
        raise UserError(
            f"the figures of {name} were computed with another feature network than the shelf's."
        )
    for split, expected in claim["data"]["sha256"].items():
        if data.fingerprint(split) != expected:
            raise UserError(
                f"the {split} images of {claim['data']['name']} differ from those that the figures "
                f"of {name} were computed on."
            )
    task = task_for(subject, data, features, preset, device=device)
    ran = claim.get("seconds")  # by protocol: the judge may have learned others since
    report = judge(subject, task, preset, ran if isinstance(ran, dict) and ran else None)
    rows = compare_scores(claim["scores"], report["scores"])
    table = PlainTable(name, "score", "claimed", "measured", "")
    for label, first, second, agrees in rows:
        table.add_row(label, _shown(first), _shown(second), "ok" if agrees else "DRIFT")
    return table, all(agrees for *_, agrees in rows)


def _shown(value: float | None) -> str:
    return shown({"value": value})


def _parser() -> Parser:
    parser = Parser("zoo.verify", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="published models")
    parser.add_argument("--all", action="store_true", help="every model on the shelf")
    parser.add_argument("--protocol", default="quick", choices=sorted(PRESETS))
    parser.add_argument("--root", help="folder of data sets (default: $ZOO_DATA, else data/)")
    add_device_option(parser)
    return parser


def run(arguments: Sequence[str]) -> int:
    """Verifies the models; returns 0 if all figures agree, 1 on drift.

    Raises:
        UserError: if anything in the request is wrong.
    """
    options = _parser().read(arguments)
    names = available() if options.all else options.names
    if not names:
        raise UserError("which model? Name some, or say --all; python -m zoo.list shows them.")
    for name in options.names:
        check_model(name)
    from zoo.core.tables import PlainTable
    from zoo.core.tables import console as screen

    console, good, unusable = screen(), True, 0
    for name in names:
        try:
            table, agrees = verify(name, options.protocol, options.root, options.device)
        except UserError as error:
            if not options.all:  # who asked for a model by its name gets this one answer
                raise
            table, agrees, unusable = PlainTable(name, "unusable"), True, unusable + 1
            table.add_row(error)
        console.print(table)
        good = good and agrees
    if unusable:
        console.print("all other figures hold" if good else "figures have drifted")
        raise UserError(f"{unusable} of {len(names)} models cannot be verified, see above.")
    console.print("all figures hold" if good else "figures have drifted")
    return 0 if good else 1


main = command("zoo.verify", run)


if __name__ == "__main__":
    sys.exit(main(None))
