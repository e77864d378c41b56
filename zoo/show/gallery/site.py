"""The gallery: a static site of one index and a page for every published model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from zoo.contract.capabilities import CAPABILITIES
from zoo.core.errors import UserError
from zoo.core.files import read_regular, replacing_folder
from zoo.show.gallery.exhibit import Exhibit
from zoo.show.gallery.pages import GENERATOR, caption, page
from zoo.show.gallery.prose import about
from zoo.show.gallery.wall import PLATE, plate
from zoo.show.markup import Figure, render
from zoo.show.pictures import open_picture
from zoo.show.views import VIEWS, view_of

__all__ = ["build_site", "check_target"]

OURS = {"index.html", "models", "pictures"}


def build_site(
    shown: Sequence[Exhibit],
    out: Path,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> None:
    """Writes the site into a folder, whole or not at all.

    Args:
        shown: From `zoo.show.gallery.exhibits`.
        out: The folder; an older gallery in it is replaced.
        progress: Shows progress.

    Raises:
        UserError: if the folder holds anything else, or cannot be written.
    """
    check_target(out)
    with replacing_folder(out) as draft:
        (draft / "models").mkdir()
        for exhibit in progress(shown, "building the gallery"):
            folder = draft / "pictures" / exhibit.name
            folder.mkdir(parents=True)
            if exhibit.generative:
                plate(exhibit).save(folder / "plate.png", optimize=True)
            markup = page(exhibit, _pictures(exhibit, folder))
            (draft / "models" / f"{exhibit.name}.html").write_text(markup, encoding="utf-8")
        (draft / "index.html").write_text(_index(shown), encoding="utf-8")


def check_target(out: Path) -> None:
    """Refuses a folder that holds anything but an older gallery.

    Raises:
        UserError: naming what is there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder.")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if not there:
        return
    index = out / "index.html"
    mark = f'content="{GENERATOR}"'
    ours = index.is_file() and mark.encode() in read_regular(index, 4000)
    foreign = sorted(there - OURS) if ours else sorted(there)
    if foreign:
        raise UserError(
            f"--out {out} holds {foreign[0]!r}, which is not of a gallery; name another folder."
        )


def _pictures(exhibit: Exhibit, folder: Path) -> dict[str, Figure]:
    """Copies a model's pictures, in the order of the views; others, which nobody knows, last."""
    order = list(VIEWS)

    def place(path: Path) -> tuple[int, tuple[str, int]]:
        found = view_of(path.stem)
        return order.index(found[0].name) if found else len(order), _natural(path.stem)

    paths = sorted(exhibit.folder.glob("*.png"), key=place)
    figures = {}
    for path in paths:
        with open_picture(path) as picture:
            width, height = picture.size
        shutil.copyfile(path, folder / path.name)
        source, words = f"../pictures/{exhibit.name}/{path.name}", caption(path.stem)
        figures[path.stem] = Figure(source, width, height, words, words)
    return figures


def _natural(name: str) -> tuple[str, int]:
    """Sorts z2 before z12."""
    digits = len(name) - len(name.rstrip("0123456789"))
    return (name[: len(name) - digits], int(name[len(name) - digits :] or 0))


# ---------------------------------------------------------------- the index


def _index(shown: Sequence[Exhibit]) -> str:
    made = [exhibit for exhibit in shown if exhibit.generative]
    families = [
        {"name": name, "summary": about(name).summary, "exhibits": list(group)}
        for name, group in groupby(shown, lambda e: e.family)
    ]
    kinds = len({exhibit.family for exhibit in made})
    filters = [
        ("family", "All families", list(dict.fromkeys(e.family for e in shown))),
        ("data", "All data", sorted({e.data for e in shown})),
        (
            "can",
            "Can do anything",
            [name for name in CAPABILITIES if any(name in e.can for e in shown)],
        ),
    ]
    return render(
        "index.html",
        generator=GENERATOR, made=len(made), kinds=kinds, families=families, plate=PLATE,
        filters=filters,
    )  # fmt: skip
