"""Puts a run's model on the shelf: ``python -m zoo.publish runs/infogan_digits/<time>``.

With ``--hub owner/name``, what is on the shelf then also goes to the Hugging Face Hub; a model that
is on the shelf already goes there by its name, without being scored again. Nothing else sends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.core.arguments import Parser
from zoo.core.errors import UserError, exit_on_user_error
from zoo.core.figures import score_line
from zoo.core.files import sha256
from zoo.data.module import data_root
from zoo.judge.subject import PRESETS, Subject, data_for, features_for, judge, task_for
from zoo.recipe.reading import read_recipe
from zoo.shelf.card import CARD, NAME
from zoo.shelf.find import available, read_card, writable_shelf
from zoo.shelf.hub import check_repository, push, who_pushes
from zoo.shelf.page import model_card
from zoo.shelf.run_folder import RunFolder
from zoo.shelf.run_weights import load_run, read_checkpoint
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry
from zoo.show.drawing import unseen
from zoo.show.pictures import save_png
from zoo.show.views import sheets

__all__ = ["main", "publish", "send"]


def publish(
    run: Path,
    name: str,
    *,
    half: bool = True,
    spread: Sequence[Path] = (),
    shelf: Path | None = None,
) -> Path:
    """Writes weights, scores the very weights that were written, and completes the card.

    Args:
        run: The folder of a run that has ended.
        name: Name on the shelf.
        half: Whether to store parameters in float16.
        spread: Runs of the same recipe with other seeds, whose scores the card lists.
        shelf: Another shelf than the zoo's.

    Returns:
        The model's folder on the shelf.
    """
    model = load_run(run)
    recipe = read_recipe(RunFolder(run).recipe)
    about = {
        "recipe_name": recipe.get("name"),
        "recipe": _portable(recipe),
        "norm_mode": "running",
        "training": _training(run),
        "seeds": [_seed_scores(folder) for folder in (run, *spread)] if spread else [],
    }
    # Scored are the very weights that will be written, rounding and all; the shelf itself changes
    # only when there is a score.
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder)
        write_entry(name, model, about, half=half, shelf=draft)
        card, _ = read_card(name, shelf=draft)
        published = load(name, shelf=draft)
    subject = Subject(name, published, recipe["data"], card["weights"]["sha256"], None, run,
                      RunFolder(run).learnt_from())  # fmt: skip
    data = data_for(subject, None, None)
    features = None if hasattr(published, "features") else features_for(data)
    reports = {
        preset: judge(subject, task_for(subject, data, features, preset), preset)
        for preset in PRESETS
    }
    card = {**about, "evaluations": reports, "scores": reports["full"]["scores"]}
    folder = write_entry(name, model, card, half=half, shelf=shelf)
    for title, sheet in sheets(published, unseen(data, "test")).items():
        save_png(sheet, folder / f"{title}.png")
    return folder


def send(name: str, repository: str) -> str:
    """Sends a model of the shelf to the hub: card, weights, pictures and a page about it.

    Args:
        name: Name on the shelf.
        repository: ``owner/name``.

    Returns:
        The address that loads exactly what was sent.

    Raises:
        UserError: if the shelf's files are damaged, or the hub refuses.
    """
    card, folder = read_card(name)
    load(name)  # what cannot be loaded here is not sent
    page = model_card(card, repository, sha256(folder / CARD))
    names = [CARD, card["weights"]["file"], *(path.name for path in sorted(folder.glob("*.png")))]
    files: dict[str, Path | bytes] = {name: folder / name for name in names}
    push(repository, {**files, "README.md": page.encode()}, old=("*.safetensors", "*.png"))
    return f"hf://{repository}#sha256={sha256(folder / CARD)}"


def _portable(recipe: dict[str, Any]) -> dict[str, Any]:
    """Keeps what decides the weights; where files lay and who watched is nobody's business."""
    kept = {key: recipe[key] for key in ("seed_everything", "trainer", "model", "data")}
    arguments = dict(kept["data"].get("init_args") or {})
    root = data_root(arguments.pop("root", None)).absolute()
    if "path" in arguments:
        place = Path(arguments["path"])
        inside = place.is_relative_to(root)
        arguments["path"] = place.relative_to(root).as_posix() if inside else place.name
    return {**kept, "data": {**kept["data"], "init_args": arguments}}


def _training(run: Path) -> dict[str, Any]:
    """Reads where and for how long a run was trained; refuses one that has not ended."""
    folder = RunFolder(run)
    ran_on = json.loads(folder.environment.read_text(encoding="utf-8"))
    ran_on.pop("command", None)
    if isinstance(ran_on.get("data"), dict):
        ran_on["data"].pop("path", None)
    trained = read_checkpoint(folder.last).get("callbacks", {}).get("Checkpoints", {})
    if trained.get("batches") != ran_on.get("batches"):
        raise UserError(
            f"the run {run} has not ended: wait for it, or continue it with --ckpt_path "
            f"{folder.last}."
        )
    return {**ran_on, "commit": _commit()}


def _seed_scores(run: Path) -> dict[str, Any]:
    folder = RunFolder(run)
    if not folder.evaluation.is_file():
        raise UserError(f"the run {run} has no evaluation.json; it did not end.")
    try:
        ran_on = json.loads(folder.environment.read_text(encoding="utf-8"))
        scores = json.loads(folder.evaluation.read_text(encoding="utf-8"))["scores"]
        return {
            "seed": ran_on["seed"],
            "training_seconds": ran_on.get("training_seconds"),
            "scores": {score["name"]: score["value"] for score in scores},
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the run {run} has damaged records: {error!r}.") from None


def _commit() -> str | None:
    """Returns the checkout's commit, with ``+`` if files were changed since; None elsewhere."""
    folder = Path(__file__).resolve().parent
    try:
        git = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _parser() -> Parser:
    parser = Parser("zoo.publish", __doc__)
    parser.add_argument(
        "run", metavar="RUN_OR_NAME",
        help="folder of a run that has ended; with --hub also the name of a published model",
    )  # fmt: skip
    parser.add_argument("--name", help="name on the shelf; default: the recipe's")
    parser.add_argument("--full", action="store_true", help="keep float32 parameters")
    parser.add_argument(
        "--seeds", type=Path, nargs="*", default=[], help="runs with other seeds, for the card"
    )
    parser.add_argument(
        "--hub",
        metavar="OWNER/NAME",
        help="also send it to this repository of the hub",
    )
    return parser


def _to_shelf(options: argparse.Namespace) -> str:
    """Puts the run on the shelf, and prints its scores; returns its name there."""
    run = Path(options.run)
    name = options.name or run.resolve().parent.name
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a model: use lower-case letters, digits, _.")
    shelf = writable_shelf()  # before the scores, which take minutes
    folder = publish(run, name, half=not options.full, spread=options.seeds)
    print(f"published {name} on {shelf}")
    for score in json.loads((folder / CARD).read_text())["scores"]:
        print(f"  {score_line(score)}")
    if (readme := shelf.parent / "README.md").is_file():
        print(f"  next: python -m zoo.gallery --readme {os.path.relpath(readme)}")
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""

    def run() -> None:
        options = _parser().read(arguments)
        if options.hub:
            check_repository(options.hub)
            who_pushes()  # before the scores, too
        known = options.hub and options.run in available() and not Path(options.run).is_dir()
        name = options.run if known else _to_shelf(options)
        if options.hub:
            address = send(name, options.hub)
            print(f"sent {name} to the hub; zoo.load({address!r}) loads it")

    return exit_on_user_error("zoo.publish", run)


if __name__ == "__main__":
    sys.exit(main())
