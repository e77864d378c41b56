"""A run's model on its way to the shelf: scored, drawn, written; and from there to the hub."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from zoo.contract.capabilities import can
from zoo.contract.model import Model
from zoo.core.errors import UserError
from zoo.core.files import PACKAGE, read_json, sha256
from zoo.data.module import data_root
from zoo.judge.presets import PRESETS
from zoo.judge.subject import Subject, data_for, features_for, judge, task_for
from zoo.recipe.reading import read_recipe
from zoo.shelf.card import CARD
from zoo.shelf.find import read_card
from zoo.shelf.hub import push
from zoo.shelf.page import model_card
from zoo.shelf.run_folder import RunFolder
from zoo.shelf.run_weights import load_run, read_training
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry
from zoo.show.drawing import unseen
from zoo.show.gallery.exhibit import precision_of
from zoo.show.pictures import save_png
from zoo.show.views import sheets

__all__ = ["add_seeds", "publish", "send"]


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
        if type(model).settle is not Model.settle:  # of the rounded weights, too
            model = load(name, shelf=draft)
            model.settle()
            write_entry(name, model, about, half=half, shelf=draft)
        card, _ = read_card(name, shelf=draft)
        published = load(name, shelf=draft)
    subject = Subject(name, published, recipe["data"], card["weights"]["sha256"], None, run,
                      RunFolder(run).learnt_from())  # fmt: skip
    data = data_for(subject, None, None)
    features = None if can(published, "features") else features_for(data)
    reports = {
        preset: judge(subject, task_for(subject, data, features, preset), preset)
        for preset in PRESETS
    }
    card = {**about, "evaluations": reports, "scores": reports["full"]["scores"]}
    folder = write_entry(name, model, card, half=half, shelf=shelf)
    for title, sheet in sheets(published, unseen(data, "test")).items():
        save_png(sheet, folder / f"{title}.png")
    return folder


def add_seeds(name: str, runs: Sequence[Path], *, shelf: Path | None = None) -> Path:
    """Adds runs with other seeds to the card of a published model, whose weights stay.

    Args:
        name: Name on the shelf.
        runs: Folders of runs of the recipe that the card holds.
        shelf: Another shelf than the zoo's.

    Returns:
        The model's folder on the shelf.

    Raises:
        UserError: if a run has another recipe, or the card has its seed already.
    """
    card, _ = read_card(name, shelf=shelf)
    model = load(name, shelf=shelf)
    added = [_seed_scores(run) for run in runs]
    seeds = list(card.get("seeds") or []) or [_published_seed(card, added[0]["scores"])]
    for run, one in zip(runs, added, strict=True):
        if key := _differs(card["recipe"], _portable(read_recipe(RunFolder(run).recipe))):
            raise UserError(f"the run {run} has another recipe than {name}: its {key} differs.")
        if _known_by(one) in map(_known_by, seeds):
            raise UserError(f"the card of {name} has seed {one['seed']} already.")
        seeds.append(one)
    about = {key: value for key, value in card.items() if key not in ("weights", "name")}
    half = card["weights"].get("parameters") == "float16"
    return write_entry(name, model, {**about, "seeds": seeds}, half=half, shelf=shelf)


def _published_seed(card: dict[str, Any], wanted: Container[str]) -> dict[str, Any]:
    """Returns what the list of seeds says of the published weights: the scores that runs take."""
    reports = [*card["evaluations"].values(), card]
    scores = {score["name"]: score["value"] for report in reports for score in report["scores"]}
    return {
        "seed": card["training"]["seed"],
        **{key: card["training"].get(key) for key in OF_A_SEED},
        "scores": {key: value for key, value in scores.items() if key in wanted},
    }


def _known_by(run: dict[str, Any]) -> tuple[Any, ...]:
    return run["seed"], precision_of(run)


def _differs(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Names an argument that decides the weights and is not the same; newer ones do not count."""
    for part in ("model", "data"):
        if ours[part]["class_path"] != theirs[part]["class_path"]:
            return part
        told = theirs[part].get("init_args") or {}
        for key, value in (ours[part].get("init_args") or {}).items():
            if told.get(key, value) != value:
                return f"{part}.{key}"
    for key in ("max_epochs", "max_steps"):
        if ours["trainer"].get(key) != theirs["trainer"].get(key):
            return f"trainer.{key}"
    return None


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
    ran_on = read_json(folder.environment)
    ran_on.pop("command", None)
    if isinstance(ran_on.get("data"), dict):
        ran_on["data"].pop("path", None)
    trained = read_training(folder.last)["callbacks"]["Checkpoints"]
    if trained["batches"] != ran_on.get("batches"):
        raise UserError(
            f"the run {run} has not ended: wait for it, or continue it with --ckpt_path "
            f"{folder.last}."
        )
    return {**ran_on, "commit": _commit()}


OF_A_SEED = ("training_seconds", "processor_seconds", "threads", "precision")


def _seed_scores(run: Path) -> dict[str, Any]:
    folder = RunFolder(run)
    if not folder.evaluation.is_file():
        raise UserError(f"the run {run} has no evaluation.json; it did not end.")
    try:
        ran_on = read_json(folder.environment)
        scores = read_json(folder.evaluation)["scores"]
        return {
            "seed": ran_on["seed"],
            **{key: ran_on.get(key) for key in OF_A_SEED},
            "scores": {score["name"]: score["value"] for score in scores},
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the run {run} has damaged records: {error!r}.") from None


def _commit() -> str | None:
    """Returns the checkout's commit, with ``+`` if files were changed since; None elsewhere."""
    folder = PACKAGE
    try:
        git = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
