"""The judge at work on the shelf: finds model, data and feature network, and writes the report."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import torch

from zoo.contract.capabilities import can
from zoo.core.devices import device_for
from zoo.core.errors import UserError, check_choice
from zoo.core.files import PACKAGE, read_json, sha256
from zoo.core.memory import keep_freed_memory
from zoo.core.progress import bar
from zoo.data import DATASETS, ImageData
from zoo.data.identity import check_classes, check_identity
from zoo.data.module import Split
from zoo.judge.inception import INCEPTION, inception
from zoo.judge.notes import Notes
from zoo.judge.pixels import pixels
from zoo.judge.presets import PRESETS
from zoo.judge.protocols.modes import StacksDigits
from zoo.judge.run import evaluate, fitting
from zoo.judge.score import Features, Progress, Task, no_progress
from zoo.recipe.building import build
from zoo.recipe.checking import class_name
from zoo.recipe.reading import read_recipe
from zoo.shelf.card import digest, open_entry
from zoo.shelf.find import available, check_model, place_of, read_card
from zoo.shelf.run_folder import RunFolder, environment
from zoo.shelf.run_weights import load_run
from zoo.shelf.web import cache_folder
from zoo.shelf.weights import load, load_entry

__all__ = ["Subject", "features_for", "find_subject", "judge", "task_for"]


@dataclass(frozen=True)
class Subject:
    """A model to be judged, with what is known of its making.

    Args:
        name: Name on the shelf, address, or the run's folder.
        model: The model.
        data: The recipe's section on data.
        weights_sha256: Hash of the file that the weights came from.
        run: The run's folder, or None for a published model.
        folder: Where its files are.
        learnt_from: Which files of somebody's own it learnt from, as `identity_of` says; empty
            where it learnt from a known data set.
    """

    name: str
    model: Any
    data: Any
    weights_sha256: str
    run: RunFolder | None
    folder: Path
    learnt_from: Mapping[str, Any] = field(default_factory=dict)


def find_subject(name_or_run: str) -> Subject:
    """Loads a published model by its name or address, or a run by its folder.

    Raises:
        UserError: if there is neither, or a card does not say what data the model learnt from.
    """
    path = Path(name_or_run)
    if (path / "recipe.yaml").is_file():
        run = RunFolder(path)
        recipe = read_recipe(run.recipe)
        model, learnt_from = load_run(path), run.learnt_from()  # refuses a file of an absurd size
        digest = sha256(run.last) if run.last.is_file() else ""
        return Subject(str(path), model, recipe["data"], digest, run, path, learnt_from)
    check_model(name_or_run)
    entry = open_entry(place_of(name_or_run))
    name, recipe = entry.place.label, entry.card.get("recipe")
    if not isinstance(recipe, dict) or "data" not in recipe:
        raise UserError(f"the card of {name} does not say what data the model learnt from.")
    model, digest = load_entry(entry), entry.card["weights"]["sha256"]
    learnt_from = (entry.card.get("training") or {}).get("data") or {}
    return Subject(name, model, recipe["data"], digest, None, entry.place.folder, learnt_from)


def data_for(
    subject: Subject, name: str | None, root: str | None, path: str | None = None
) -> ImageData:
    """Builds the data set that a subject is judged on: its own, or another by name.

    Args:
        subject: The model.
        name: Another data set. Its images get the size and the colours of the model's.
        root: Folder of data sets.
        path: Where a folder of images is now: the subject's own, or that of the data set named.

    Raises:
        UserError: if there is no such data set, its images have another shape than the model, or
            its own folder holds other files than those it learnt from.
    """
    own = subject.data if isinstance(subject.data, dict) else {"class_path": subject.data}
    if name is not None:
        check_choice("data set", name, DATASETS)
        if name != class_name("data", own):
            own = _fitting(name, subject)
        else:  # what is named is compared: bits are a choice of one recipe
            kept = {k: v for k, v in (own.get("init_args") or {}).items() if k != "binarize"}
            own = {**own, "init_args": kept}
    known = own.get("init_args") or {}
    data = build("data", section_for(class_name("data", own), known, root, path))
    if data.spec.shape != subject.model.spec.shape:
        raise UserError(
            f"{subject.name} makes images of shape {subject.model.spec.shape}, "
            f"{data.name} has {data.spec.shape}."
        )
    if name is None:
        check_identity(subject.learnt_from, data.identity(), subject.name)
    else:
        check_classes(subject.learnt_from.get("classes", []), data.identity(), subject.name)
    return data


def _fitting(name: str, subject: Subject) -> dict[str, Any]:
    """Describes another data set than the subject's own, in the size that the subject makes."""
    channels, height, _ = subject.model.spec.shape
    colours = {1: "grey", 3: "colour"}.get(channels, "auto")
    return {"class_path": name, "init_args": {"size": height, "channels": colours}}


def section_for(
    kind: str, arguments: Mapping[str, Any], root: str | None, path: str | None
) -> dict[str, Any]:
    """Describes a data set whose place a command line says.

    Args:
        kind: Its name.
        arguments: Of its constructor; of those that it has not, none is passed on.
        root: Folder of data sets, for those that have one; sets that are drawn have none.
        path: Folder of images.

    Raises:
        UserError: if it needs a path and none is given, or reads none and one is.
    """
    allowed = signature(DATASETS[kind]).parameters
    if path is not None and "path" not in allowed:
        raise UserError(f"--data.path names a folder, but {kind} reads none.")
    given = {k: v for k, v in {"path": path, "root": root}.items() if v is not None}
    known = {k: v for k, v in {**arguments, **given}.items() if k in allowed}
    if "path" in allowed and allowed["path"].default is Parameter.empty and "path" not in known:
        raise UserError(f"--data {kind} needs {DATASETS[kind].needs}.")
    return {"class_path": kind, "init_args": known}


def features_for(data: ImageData, name: str | None = None) -> Features | None:
    """Loads the feature network of a data set, ``features_<data set>`` on the shelf.

    Of a data set whose channels are images of another one, it is the other one's.

    Args:
        data: The data set.
        name: Another feature network of the shelf, or ``inception-legacy`` or
            ``inception-clean``, named after how images are resized.

    Returns:
        The network, or None where the shelf has none for this data set.

    Raises:
        UserError: if the named network is not there or is no feature network.
    """
    kind = data.channel_data if isinstance(data, StacksDigits) else data.name
    if name in INCEPTION:
        return inception(name.removeprefix("inception-"))  # type: ignore[union-attr, arg-type]
    wanted = name or f"features_{kind.lower()}"
    if name is None and wanted not in available():
        return None
    network = load(wanted).requires_grad_(False)
    if not can(network, "features"):
        raise UserError(f"{wanted} is no feature network; try features_mnist.")
    digest = read_card(wanted)[0]["weights"]["sha256"]
    return Features(wanted.removeprefix("features_") + "-features", network, digest)


def task_for(
    subject: Subject,
    data: ImageData,
    features: Features | None,
    preset: str,
    *,
    split: Split = "test",
    progress: Progress = bar,
    device: str = "auto",
) -> Task:
    """Puts together what is to be scored, and moves the networks to where they are to work.

    Args:
        subject: The model.
        data: The data.
        features: The feature network; where it is None and nothing can be scored without one,
            pixels take its place.
        preset: Name of the preset.
        split: Reference split.
        progress: Shows progress.
        device: ``auto`` for a GPU where there is one, or a name that torch knows.

    Raises:
        UserError: if the preset is unknown or there is no such device.
    """
    check_choice("protocol", preset, PRESETS)
    chosen, place = PRESETS[preset], device_for(device)
    subject.model.to(place)
    if features is not None:
        features.network.to(place)
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if together else 0
    world = torch.distributed.get_world_size() if together else 1
    limit = min(chosen.limit, getattr(subject.model, "number", chosen.limit))
    task = Task(
        subject.model, data, split, limit, features, progress if rank == 0 else no_progress,
        chosen.importance_samples, rank, world, temperatures=chosen.temperatures,
    )  # fmt: skip
    return task if fitting(task) else replace(task, features=pixels(data.spec))


def judge(
    subject: Subject, task: Task, preset: str, only: Container[str] | None = None
) -> dict[str, Any]:
    """Scores a subject and returns a report of plain values.

    The report holds everything that changes a figure: hashes of data, weights and feature
    network, counts, seeds and versions. If the same was asked for before and ended half-way, long
    work goes on from there.

    Args:
        subject: The model.
        task: What is looked at; see `task_for`.
        preset: Name of the preset.
        only: Protocols that come into question; None for all.

    Raises:
        UserError: if no protocol fits.
    """
    if not fitting(task, only):
        raise UserError(
            f"no protocol fits {subject.name} on {task.data.name}: what the model can do is not "
            "scored on these data. Name others with --data, or a feature network with --features."
        )
    keep_freed_memory()
    report = {
        "model": type(subject.model).__name__,
        "weights_sha256": subject.weights_sha256,
        "data": {
            "name": task.data.name,
            "binarize": task.data.binarize,
            "sha256": {split: task.data.fingerprint(split) for split in ("train", task.split)},
        },
        "features": {"name": task.features.name, "sha256": task.features.sha256}
        if task.features
        else None,
        "preset": preset,
        "split": task.split,
        "limit": task.limit,
        "seed": 0,
        "environment": {k: v for k, v in environment().items() if k != "command"},
    }
    notes = _notes(report, task)
    scores, seconds = evaluate(replace(task, notes=notes), only)
    notes.forget()
    return {**report, "scores": [score.as_dict() for score in scores], "seconds": seconds}


def _notes(report: dict[str, Any], task: Task) -> Notes:
    """Returns the notes of this very question in the user's cache; none where there are no hashes.

    The zoo's own code is part of the question: a figure is never made by two versions of it.
    Processes that judge together keep a file each.
    """
    if report["weights_sha256"] is None:
        return Notes()
    code = digest(b"".join(path.read_bytes() for path in sorted(PACKAGE.rglob("*.py"))))
    amounts = (task.importance_samples, task.temperatures)
    how = (code, *amounts, str(task.model.device), task.rank, task.world)
    asked = json.dumps([report, *how], sort_keys=True)
    return Notes(cache_folder() / "judgements" / f"{digest(asked.encode())}.json")


def read_report(path: Path) -> dict[str, Any]:
    """Reads a report that `judge` made.

    Raises:
        UserError: if the file is not a report.
    """
    try:
        report = read_json(path)
        report["scores"][0]["name"]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise UserError(f"{path} is not a readable report of an evaluation.") from None
    return report
