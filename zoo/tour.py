"""Trains the whole zoo on the embedded digits and compares: ``python -m zoo.tour``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import fit
from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError, check_interval, did_you_mean
from zoo.core.figures import shown, split_name
from zoo.core.files import write_json
from zoo.core.outline import outline_of
from zoo.core.tables import PlainTable
from zoo.core.text import print_line, say
from zoo.judge.catalogue import find
from zoo.models.registry import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.cost import read_cost
from zoo.recipe.reading import read_recipe, recipe_folder
from zoo.training.several import begun_run

if TYPE_CHECKING:
    from zoo.judge.subject import Subject

__all__ = ["main", "overview", "stated_seconds", "stations"]

SHARED = ("fid", "precision", "recall", "coverage")
ABOUT = """Trains the small recipe of every family on the embedded digits, one after another, and
compares them in one table and one picture. If it is interrupted, the same command continues and
keeps what is finished. It needs no download and no account."""


def stations() -> dict[str, Path]:
    """Returns the recipes of the tour by name: those on digits whose models draw images."""
    found = {}
    for path in sorted(recipe_folder().glob("*_digits.yaml")):
        model = class_name("model", read_recipe(path)["model"])
        if "sample" in outline_of(MODELS, model).methods:
            found[path.stem] = path
    return found


def stated_seconds(recipe: Path) -> float:
    """Returns the training time that a recipe states; NaN if none."""
    section = read_recipe(recipe).get("cost")
    return read_cost(section, f"recipe {recipe}").seconds if section else math.nan


def train_all(recipes: Mapping[str, Path], root: Path, epochs: int | None) -> dict[str, str]:
    """Trains what is not finished.

    Args:
        recipes: Files by name.
        root: Folder of the runs.
        epochs: Instead of the recipes' own.

    Returns:
        What went wrong, by name.

    Raises:
        Stopped: if the user asked for it; what was trained so far is saved.
    """
    failures = {}
    for number, (name, path) in enumerate(recipes.items(), 1):
        run, finished = begun_run(root, name)
        place = f"[{number}/{len(recipes)}] {name}"
        if finished:
            print_line(f"{place}: done before")
            continue
        print_line(f"{place}: {'continues' if run else 'begins'}")
        line = [str(path), f"--run_root={root}", "--wandb=off", "--evaluate=false"]
        line += [f"--trainer.max_epochs={epochs}"] if epochs else []
        line += [f"--ckpt_path={run.last}"] if run else []
        line += [] if sys.stdout.isatty() else ["--trainer.enable_progress_bar=false"]
        try:
            fit.run(line)
        except UserError as error:  # the others are worth seeing all the same
            failures[name] = str(error)
            say(f"zoo.tour: {name}: {error}")
    return failures


def report(subjects: Mapping[str, Subject], root: Path) -> None:
    """Scores all models, prints a line for each, and writes a picture and a JSON of all scores."""
    from zoo.core.tables import console as screen
    from zoo.judge.subject import data_for
    from zoo.show.comparison import compare, save_samples

    groups: dict[bool, dict[str, Subject]] = {}  # grey images and bits are different data
    for name, subject in subjects.items():
        bits = data_for(subject, None, None).binarize != "none"
        groups.setdefault(bits, {})[name] = subject
    reports = {n: r for members in groups.values() for n, r in compare(members, "quick").items()}
    write_json(root / "tour.json", reports)
    console = screen()
    for table in overview(reports):
        console.print(table)
        console.print()
    save_samples(subjects, root / "tour.png")
    for file in ("tour.json", "tour.png"):
        print_line(root / file)


def overview(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[PlainTable]:
    """Lays reports out with a line for each model: the scores that all share, and one of its own.

    Only scores of the same protocol stand in one table.
    """
    from zoo.show.comparison import best_of

    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for model, report in reports.items():
        fid = find(report["scores"], "fid")
        protocol = "" if fid is None else split_name(fid["name"])[1]
        groups.setdefault(protocol, {})[model] = {
            score["name"]: score for score in report["scores"]
        }
    for protocol, members in groups.items():
        table = PlainTable(f"scores of samples [{protocol}], best marked *")
        table.add_column("model", no_wrap=True)
        columns = {score: f"{score}[{protocol}]" for score in SHARED}
        best = {}
        for score, name in columns.items():
            table.add_column(score, justify="right", no_wrap=True)
            values = {m: scores[name]["value"] for m, scores in members.items() if name in scores}
            better = next((s[name]["better"] for s in members.values() if name in s), "")
            best[name] = best_of(values, better)
        table.add_column("its own")
        for model, scores in members.items():
            cells = [
                f"{'* ' if model in best[name] else ''}{shown(scores[name])}"
                if name in scores else ""
                for name in columns.values()
            ]  # fmt: skip
            own = next((s for n, s in scores.items() if split_name(n)[0] not in SHARED), None)
            last = f"{own['name']} {shown(own)}" if own else ""
            table.add_row(model, *cells, last)
        yield table


def _parser() -> Parser:
    parser = Parser("zoo.tour", ABOUT)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these recipes only")
    parser.add_argument("--out", type=Path, default=Path("tour"), help="folder (default tour)")
    parser.add_argument("--epochs", type=int, help="for a trial, which gets a subfolder of its own")
    return parser


def _chosen(names: Sequence[str] | None) -> dict[str, Path]:
    known = stations()
    for name in names or ():
        if name not in known:
            raise UserError(f"{name!r} is not a recipe of the tour. {did_you_mean(name, known)}")
    return {name: path for name, path in known.items() if not names or name in names}


def _announce(recipes: Mapping[str, Path], root: Path, epochs: int | None) -> None:
    todo = [path for name, path in recipes.items() if not begun_run(root, name)[1]]
    seconds = sum(seconds for path in todo if math.isfinite(seconds := stated_seconds(path)))
    takes = f" about {max(1, round(seconds / 60))} minutes on two cores," if not epochs else ""
    print_line(f"{len(todo)} of {len(recipes)} recipes to train,{takes} in {root}")


def run(arguments: Sequence[str] | None) -> int:
    """Goes on the tour; returns 1 if a recipe failed.

    Raises:
        UserError: if anything in the request is wrong.
        Stopped: if the user asked for it.
    """
    options = _parser().read(arguments)
    if options.epochs is not None:
        check_interval("--epochs", options.epochs, "[1, inf)")
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"--out must be a folder, but {options.out} is a file.")
    recipes = _chosen(options.only)
    if not recipes:
        raise UserError(f"there are no recipes on digits in {recipe_folder()}.")
    # A trial's schedules have come to their end, so that the whole tour cannot go on from it.
    root = options.out / f"{options.epochs}_epochs" if options.epochs else options.out
    start = time.monotonic()
    _announce(recipes, root, options.epochs)
    failures = train_all(recipes, root, options.epochs)
    runs = {name: begun_run(root, name) for name in recipes}
    ended = {name: str(found.path) for name, (found, done) in runs.items() if found and done}
    from zoo.judge.subject import find_subject

    subjects = {name: find_subject(folder) for name, folder in ended.items()}
    if subjects:
        report(subjects, root)
    print_line(f"{len(subjects)} of {len(recipes)} recipes, {time.monotonic() - start:.0f} s")
    return 1 if failures else 0


def _command(arguments: Sequence[str]) -> int:
    _parser().read(arguments)  # before torch, for which help and refusals need not wait
    from zoo.training.callbacks import Stopped

    try:
        return run(arguments)
    except Stopped as stop:
        say("zoo.tour: run the same command again to continue.")
        return 128 + stop.signum


main = command("zoo.tour", _command)


if __name__ == "__main__":
    sys.exit(main(None))
