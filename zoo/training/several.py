"""Several runs of one recipe, one after the other: over seeds, over values, or over both.

What is finished is kept and what was stopped goes on when the same command is given again. At the
end one table and one picture show all of them, with mean and spread where there are several seeds.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from zoo.core.errors import UserError
from zoo.core.files import read_json, write_json
from zoo.core.line import take
from zoo.core.text import clean, print_line, say
from zoo.judge.catalogue import row_of
from zoo.recipe.reading import read_recipe
from zoo.recipe.yaml12 import NotYAML, read_yaml
from zoo.shelf.run_folder import RunFolder
from zoo.show.curves import read_curves, save_curves

if TYPE_CHECKING:
    from zoo.core.tables import PlainTable

__all__ = ["Variant", "begun_run", "run_several", "summary", "take_several", "variants"]

SEEDS, GRID = "--seeds", "--grid"
MOST = 1000  # runs of one command


@dataclass(frozen=True)
class Variant:
    """One of the runs.

    Args:
        values: What is varied, in words; empty if only seeds are.
        seed: Its seed.
        overrides: What stands on its command line for that.
    """

    values: str
    seed: int
    overrides: tuple[str, ...]

    def name(self, base: str) -> str:
        """Returns the name of its runs: the recipe's, the values and the seed."""
        values = re.sub(r"[^\w.=,-]+", "", self.values.replace(", ", ","))
        return "-".join(filter(None, (base, values, f"seed{self.seed}")))[:200]


# ---------------------------------------------------------------- what is asked for


def take_several(
    arguments: Sequence[str],
) -> tuple[list[str], list[int] | None, dict[str, list[Any]]]:
    """Takes ``--seeds`` and ``--grid`` off a command line.

    Returns:
        The rest; the seeds, None for the recipe's; and the values of each key of the grid.

    Raises:
        UserError: if one of them is not written as it should be.

    Example:
        >>> take_several(["--seeds", "2", "--grid", "model.latent_dim=2,5", "--name=a"])
        (['--name=a'], [0, 1], {'model.latent_dim': [2, 5]})
    """
    seeds, grid = None, {}
    rest, taken = take(arguments, SEEDS, GRID)
    for option, value in taken:
        if option == SEEDS:
            seeds = _seeds(value)
            continue
        key, values = _grid(value)
        if key in grid:
            raise UserError(f"{GRID} {key} is given twice: separate its values by commas.")
        grid[key] = values
    return rest, seeds, grid


def _seeds(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise UserError(f"{SEEDS} must be a number of seeds, or seeds as 3,7,9; got {text!r}.")
    seeds = [int(word) for word in words]
    if len(seeds) == 1 and "," not in text:
        if not 1 <= seeds[0] <= MOST:
            raise UserError(f"{SEEDS} must be between 1 and {MOST}, got {text}.")
        return list(range(seeds[0]))
    return list(dict.fromkeys(seeds))


def _grid(text: str) -> tuple[str, list[Any]]:
    key, equals, listed = text.partition("=")
    key = key.removeprefix("--")
    try:
        values = read_yaml(f"[{listed}]")
    except NotYAML:
        values = None
    if not (key and equals and values):
        raise UserError(
            f"{GRID} takes a key and values as in model.latent_dim=2,5,10; got {text!r}."
        )
    return key, values


def variants(seeds: Sequence[int], grid: Mapping[str, Sequence[Any]]) -> list[Variant]:
    """Lists all runs: every combination of the grid's values with every seed.

    Raises:
        UserError: if they are too many.
    """
    found = []
    for combination in itertools.product(*grid.values()):
        pairs = list(zip(grid, (_written(value) for value in combination), strict=True))
        values = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in pairs)
        overrides = [f"--{key}={value}" for key, value in pairs]
        found += [
            Variant(values, seed, (*overrides, f"--seed_everything={seed}")) for seed in seeds
        ]
    if len(found) > MOST:
        raise UserError(f"that makes {len(found):,} runs; at most {MOST:,} are started at once.")
    return found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# ---------------------------------------------------------------- training


def begun_run(root: Path, name: str) -> tuple[RunFolder | None, bool]:
    """Finds the run of a name: the newest that is finished, else the newest that can go on.

    Returns:
        The run, or None, and whether it is finished.
    """
    runs = [RunFolder(path) for path in (root / name).glob("*") if path.is_dir()]
    saved = [run for run in runs if run.last.is_file()]
    finished = [run for run in saved if _finished(run)]
    newest = max(finished or saved, key=lambda run: run.last.stat().st_mtime, default=None)
    return newest, bool(finished)


def _finished(run: RunFolder) -> bool:
    try:
        epochs = read_json(run.environment)["epochs"]
        return epochs >= read_recipe(run.recipe)["trainer"]["max_epochs"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # it was killed before it could say


def run_several(
    train: Callable[[list[str]], Any],
    line: Sequence[str],
    base: str,
    root: Path,
    runs: Sequence[Variant],
) -> int:
    """Trains what is not finished, then shows all.

    Args:
        train: Trains by a command line, as `zoo.fit.run` does.
        line: The recipe and what all runs have in common.
        base: The common name of the runs.
        root: Folder of all runs.
        runs: The runs.

    Returns:
        How many failed; the others are trained all the same.
    """  # fmt: skip
    failures = 0
    for number, variant in enumerate(runs, 1):
        name = variant.name(base)
        run, finished = begun_run(root, name)
        place = clean(f"[{number}/{len(runs)}] {name}")
        print_line(f"{place}: {'done before' if finished else 'goes on' if run else 'begins'}")
        if finished:
            continue
        words = [*line, *variant.overrides, f"--name={name}", f"--run_root={root}"]
        words += [f"--ckpt_path={run.last}"] if run else []
        try:
            train(words)
        except UserError as error:  # the others are worth seeing all the same
            failures += 1
            say(f"zoo.fit: {name}: {error}")
    _show(runs, base, root)
    return failures


def _show(runs: Sequence[Variant], base: str, root: Path) -> None:
    from zoo.core.tables import console

    done = {v: run for v in runs if (run := begun_run(root, v.name(base))[0]) is not None}
    reports = {
        v: read_json(run.evaluation)["scores"]
        for v, run in done.items()
        if run.evaluation.is_file()
    }
    if reports:
        console().print(summary(f"{base}: {len(reports)} of {len(runs)} runs", reports))
        write_json(root / f"{base}-several.json", [
            {"values": v.values, "seed": v.seed, "run": str(done[v].path), "scores": scores}
            for v, scores in reports.items()
        ])  # fmt: skip
        print_line(root / f"{base}-several.json")
    curves = {v.name("").lstrip("-"): read_curves(run.metrics) for v, run in done.items()}
    if any(curves.values()):
        save_curves(curves, root / f"{base}-several.png")
        print_line(root / f"{base}-several.png")


def summary(title: str, reports: Mapping[Variant, Sequence[Mapping[str, Any]]]) -> PlainTable:
    """Lays scores out: a line for each, a column for each combination of values.

    Args:
        title: Stands above.
        reports: The scores of each run.

    Returns:
        A table whose cells are means over seeds with the standard deviation and its number, or
        the figure where there is one seed.
    """
    from zoo.core.tables import PlainTable

    table = PlainTable(title, "score")
    combinations = list(dict.fromkeys(variant.values for variant in reports))
    for values in combinations:
        table.add_column(values or "mean (standard deviation, seeds)", justify="right")
    figures: dict[str, dict[str, list[float]]] = {}
    for variant, scores in reports.items():
        for score in scores:
            if score["value"] is not None:
                by_values = figures.setdefault(score["name"], {})
                by_values.setdefault(variant.values, []).append(float(score["value"]))
    for name, by_values in figures.items():
        cells = [_cell(name, by_values.get(values, [])) for values in combinations]
        table.add_row(name, *cells)
    return table


def _cell(name: str, figures: Sequence[float]) -> str:
    if not figures:
        return ""
    row = row_of({"name": name})
    if len(figures) == 1:
        return row.brief(figures[0])
    return f"{row.brief(fmean(figures))} ({row.brief(stdev(figures))}, {len(figures)})"
