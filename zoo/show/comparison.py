"""Several models side by side: one table of scores, one picture of samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.contract.capabilities import can
from zoo.core.errors import UserError, did_you_mean
from zoo.core.figures import shown, split_name
from zoo.core.files import read_json, replacing
from zoo.core.tables import PlainTable, styled
from zoo.judge.subject import Subject, data_for, features_for, find_subject, judge, task_for
from zoo.shelf.card import split_pin
from zoo.shelf.find import is_address
from zoo.shelf.run_folder import is_time_of_run
from zoo.show.pictures import grid

__all__ = [
    "best_of",
    "compare",
    "comparison_table",
    "labelled_rows",
    "markdown",
    "read_reports",
    "save_samples",
    "short_names",
    "subjects_for",
]

SEED = 0
COLUMNS = 12  # samples of each model in the picture
INK, GROUND = (25, 25, 25), (245, 245, 245)


def short_names(names: Sequence[str]) -> list[str]:
    """Shortens paths of runs to the recipe, and to as many folders more as tell them apart.

    Raises:
        UserError: if a model is named twice.

    Example:
        >>> short_names(["infogan_mnist", "runs/vae/2026-11-23_05-38-38"])
        ['infogan_mnist', 'vae']
        >>> short_names(["infogan_mnist", "runs/vae/monday", "runs/vae/tuesday"])
        ['infogan_mnist', 'vae/monday', 'vae/tuesday']
    """
    plain = [split_pin(name)[0] if is_address(name) else name for name in names]
    parts = [Path(name).parts or (name,) for name in plain]
    recipes = [
        "/".join(part[-2:-1] if is_time_of_run(part[-1]) else part[-2:]) or name
        for part, name in zip(parts, plain, strict=True)
    ]
    if len(set(recipes)) == len(recipes):
        return recipes
    for length in range(2, max(2, *map(len, parts)) + 1):
        short = ["/".join(part[-length:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    raise UserError("a model is named twice; compare different ones.")


def subjects_for(names: Sequence[str]) -> dict[str, Subject]:
    """Loads the models and checks that they can be compared.

    Raises:
        UserError: if there are less than two, or their images have different shapes.
    """
    if len(names) < 2:
        raise UserError("name at least two models to compare; python -m zoo.list shows them.")
    subjects = dict(zip(short_names(names), map(find_subject, names), strict=True))
    shapes = {name: subject.model.spec.shape for name, subject in subjects.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UserError(f"models to compare must make images of one shape, but: {told}.")
    return subjects


def compare(
    subjects: Mapping[str, Subject],
    preset: str,
    *,
    data_name: str | None = None,
    root: str | None = None,
    path: str | None = None,
    features_name: str | None = None,
    device: str = "auto",
) -> dict[str, dict[str, Any]]:
    """Scores models on the same images and the same features.

    Args:
        subjects: The models by the names that they get in the table.
        preset: Name of the protocol.
        data_name: Data set; default the one that all of them were trained on.
        root: Folder of data sets.
        path: Folder of images, where the data set is one.
        features_name: Feature network of the shelf; default that of the data set.
        device: Where the networks work.

    Returns:
        The judge's report of each model.

    Raises:
        UserError: if they were trained on different data and none was named.
    """
    datas = {name: data_for(subject, data_name, root, path) for name, subject in subjects.items()}
    prints = {name: (type(d).__name__, d.fingerprint("test")) for name, d in datas.items()}
    if len(set(prints.values())) > 1:
        told = ", ".join(f"{name}: {kind}" for name, (kind, _) in prints.items())
        raise UserError(
            f"the models have different test images ({told}); choose one data set with --data."
        )
    features = features_for(next(iter(datas.values())), features_name)
    return {
        name: judge(
            subject, task_for(subject, datas[name], features, preset, device=device), preset
        )
        for name, subject in subjects.items()
    }


def best_of(values: Mapping[str, float | None], better: str) -> set[str]:
    """Names who has the best value; nobody where neither is better, or there is no other.

    A value that is missing or infinite is worse than any.

    Example:
        >>> best_of({"a": 1.0, "b": 2.0, "c": None}, "lower")
        {'a'}
    """
    known = {n: v for n, v in values.items() if v is not None and math.isfinite(v)}
    if better not in ("lower", "higher") or len(values) < 2 or not known:
        return set()
    best = min(known.values()) if better == "lower" else max(known.values())
    return {name for name, value in known.items() if value == best}


def _rows(
    reports: Mapping[str, Mapping[str, Any]], chosen: Sequence[str]
) -> list[tuple[str, list[str], str]]:
    """Lays reports out side by side, with a star before the best values of a row.

    Returns:
        Of each score whose name begins like a chosen one, or of all where none is: its name, a
        cell for each model, and which is better.

    Raises:
        UserError: if no score's name begins like a chosen one.
    """
    by_name = {m: {s["name"]: s for s in report["scores"]} for m, report in reports.items()}
    known = sorted({name for scores in by_name.values() for name in scores})
    for begin in chosen:
        if not any(name.startswith(begin) for name in known):
            heads = {split_name(name)[0] for name in known}
            raise UserError(f"no score is called {begin!r}. {did_you_mean(begin, heads)}")
    rows = []
    for score in dict.fromkeys(s for scores in by_name.values() for s in scores):
        if chosen and not score.startswith(tuple(chosen)):
            continue
        row = {m: scores[score] for m, scores in by_name.items() if score in scores}
        better = next(iter(row.values()))["better"]
        best = best_of({m: s["value"] for m, s in row.items()}, better)
        cells = [
            "" if m not in row else f"{'* ' if m in best else ''}{shown(row[m])}" for m in reports
        ]
        rows.append((score, cells, better))
    return rows


def comparison_table(
    title: str, reports: Mapping[str, Mapping[str, Any]], chosen: Sequence[str] = ()
) -> PlainTable:
    """Lays reports out side by side; the best value of each row is marked with a star.

    Args:
        title: Stands above.
        reports: The judge's report of each model.
        chosen: How the names of the scores to show begin; none for all.
    """
    table = PlainTable(title, "score")
    for name in reports:
        table.add_column(name, justify="right")
    table.add_column("better")
    for score, cells, better in _rows(reports, chosen):
        marked = [styled(cell, "bold" if cell.startswith("*") else "") for cell in cells]
        table.add_row(score, *marked, better)
    return table


def markdown(reports: Mapping[str, Mapping[str, Any]], chosen: Sequence[str] = ()) -> str:
    """Writes the same table for a document; the best value of each row is bold."""
    lines = [["score", *reports, "better"], ["---", *["---:"] * len(reports), "---"]]
    for score, cells, better in _rows(reports, chosen):
        bold = [f"**{cell[2:]}**" if cell.startswith("* ") else cell for cell in cells]
        lines.append([f"`{score}`", *bold, better])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def read_reports(path: Path) -> dict[str, dict[str, Any]]:
    """Reads what `--json` wrote.

    Raises:
        UserError: if the file is no such thing.
    """
    try:
        reports = read_json(path)
        readable = bool(_rows(reports, ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        readable = False
    if not readable:
        raise UserError(f"{path} is not a readable report of zoo.compare.")
    return reports


def labelled_rows(rows: Mapping[str, Tensor]) -> Image.Image:
    """Draws one row of images per model under the model's name.

    Args:
        rows: Images in [0, 1], shape (N, C, H, W), by name; N is the same for all.
    """
    font = ImageFont.load_default(size=16)
    strips = {}
    for name, images in rows.items():
        pixels = (grid(images, columns=len(images)) * 255).round().to(torch.uint8)
        strips[name] = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    line, gap = 24, 8
    widest = max(int(font.getlength(name)) for name in strips)
    width = max(widest, *(strip.width for strip in strips.values()))
    height = sum(line + strip.height + gap for strip in strips.values())
    sheet = Image.new("RGB", (width + 2 * gap, height + gap), GROUND)
    pen, top = ImageDraw.Draw(sheet), gap // 2
    for name, strip in strips.items():
        pen.text((gap, top + 2), name, fill=INK, font=font)
        sheet.paste(strip, (gap, top + line))
        top += line + strip.height + gap
    return sheet


def save_samples(subjects: Mapping[str, Subject], path: Path) -> bool:
    """Writes a picture with a row of samples of each model that draws; says whether any does."""
    rows = {
        name: subject.model.sample(COLUMNS, seed=SEED)
        for name, subject in subjects.items()
        if can(subject.model, "sample")
    }
    if rows:
        with replacing(path) as temporary:
            labelled_rows(rows).save(temporary, format="PNG")
    return bool(rows)
