"""The page of a run, ``run.html``: how far it is, its curves, newest pictures, scores and recipe.

It needs neither network nor server; while the run trains, a browser loads it anew by itself.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from zoo.core.files import read_json, write_text
from zoo.shelf.run_folder import RunFolder
from zoo.show.curves import draw_curve, read_curves, save_curves
from zoo.show.markup import Figure, render
from zoo.show.scores import score_rows

__all__ = ["write_curves", "write_page"]

EPOCH = re.compile(r"(?P<name>.+)-epoch(?P<epoch>\d+)")
LARGEST = 4_000_000  # bytes of a picture that a page carries
CURVES, PICTURES = 24, 9
LEAST = 3  # points of a curve
FACTS = {
    "device": "Device", "precision": "Precision", "threads": "Threads", "seed": "Seed",
    "epochs": "Epochs", "batches": "Batches", "training_seconds": "Seconds of training",
    "torch": "torch", "zoo": "zoo",
}  # fmt: skip


def write_page(folder: RunFolder, state: str, *, again: int | None = None) -> None:
    """Writes the page of a run.

    Args:
        folder: The run's folder.
        state: How far it is, in words.
        again: Seconds after which a browser loads the page anew; None for a run that has ended.
    """
    curves = read_curves(folder.metrics)
    shown = sorted(curves.items(), key=lambda curve: not curve[0].startswith("val/"))
    write_text(
        folder.page,
        render(
            "run.html",
            title=f"{folder.path.parent.name}, {folder.path.name}",
            state=state,
            again=again,
            facts=_facts(folder),
            scores=score_rows(_read(folder.evaluation).get("scores") or []),
            curves=[draw_curve(name, curve) for name, curve in shown[:CURVES]],
            curves_left=max(0, len(curves) - CURVES),
            pictures=_pictures(folder.pictures),
            recipe=folder.recipe.read_text(encoding="utf-8") if folder.recipe.is_file() else "",
            folder=str(folder.path),
        ),
    )


def write_curves(folder: RunFolder) -> None:
    """Draws ``curves.png``, once any figure has been logged often enough to make a curve."""
    curves = read_curves(folder.metrics)
    if any(len(curve) >= LEAST for curve in curves.values()):
        save_curves({folder.path.name: curves}, folder.curves)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _facts(folder: RunFolder) -> dict[str, str]:
    about = _read(folder.environment)
    return {
        title: f"{about[key]:,}" if isinstance(about[key], (int, float)) else str(about[key])
        for key, title in FACTS.items()
        if about.get(key) is not None
    }


def _pictures(folder: Path) -> list[Figure]:
    """Takes the pictures of the newest epoch into the page, whole sheets first."""
    found = [
        (path, match) for path in folder.glob("*.png") if (match := EPOCH.fullmatch(path.stem))
    ]
    newest = max((int(match["epoch"]) for _, match in found), default=0)
    named = {match["name"]: path for path, match in found if int(match["epoch"]) == newest}
    figures = []
    for name in sorted(named, key=lambda name: (name.startswith("traverse-"), name))[:PICTURES]:
        try:
            with Image.open(named[name]) as picture:
                width, height = picture.size
            code = named[name].read_bytes()
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue  # of a run that was killed, or a person's own file
        if len(code) <= LARGEST:
            source = f"data:image/png;base64,{base64.b64encode(code).decode('ascii')}"
            caption = f"{name.replace('-', ' ')}, epoch {newest}"
            figures.append(Figure(source, width, height, caption, caption))
    return figures
