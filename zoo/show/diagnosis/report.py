"""The report: what its page shows, section by section; those that do not fit are left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from zoo.contract.capabilities import can
from zoo.core.figures import exact, split_name
from zoo.judge.protocols.reweighting import DROPPED
from zoo.show.curves import draw_curve, read_curves
from zoo.show.diagnosis.advice import advise, missing_classes, summary, varieties
from zoo.show.diagnosis.case import Case
from zoo.show.diagnosis.galleries import neighbours, spurious, uncovered
from zoo.show.markup import Bar, Figure, bar, drawn, render
from zoo.show.pictures import grid
from zoo.show.scores import ScoreText, score_rows
from zoo.show.views import REPORT, SEED, fitting

__all__ = ["page"]

SHOWN = 64  # images of a sheet
ROWS = 5  # of pictures that have as many as one likes
IMAGES = 32  # that pictures begin with
PARTS = 6  # of a picture that is drawn part by part; further ones are only named
CURVES = 24


def page(case: Case) -> str:
    """Writes the report as one HTML page that needs no network."""
    evidence = case.evidence
    found = advise(evidence)
    curves = {} if case.subject.run is None else read_curves(case.subject.run.metrics)
    return render(
        "report.html",
        title=case.title,
        facts=_facts(case),
        summary=summary(evidence, found),
        findings=found,
        samples=_samples(case),
        scores=_scores(case),
        compared=bool(case.reference),
        classes=_classes(case),
        uncovered=uncovered(case),
        spurious=spurious(case),
        neighbours=neighbours(case),
        views=_views(case),
        curves=[draw_curve(name, curve) for name, curve in list(curves.items())[:CURVES]],
        curves_left=max(0, len(curves) - CURVES),
        judged=case.fake is not None,
    )


# ---------------------------------------------------------------- what and how


def _facts(case: Case) -> dict[str, str]:
    data, task = case.task.data, case.task
    fingerprint = data.fingerprint(task.split)  # type: ignore[arg-type]
    samples = f", {len(case.fake.features):,} samples" if case.fake else ""
    return {
        "Model": f"{type(case.model).__name__}, weights {_brief(case.subject.weights_sha256)}",
        "Data": f"{data.name}, {task.split} images, {_brief(fingerprint)}",
        "Looked at": f"{task.count:,} real images{samples} (protocol {case.preset}, seed {SEED})",
        "Seen through": f"{task.features.name}, {_brief(task.features.sha256)}"
        if task.features
        else "no feature network",
    }


def _brief(digest: str) -> str:
    return f"sha256 {digest[:10]}…" if digest else "of unknown hash"


def _samples(case: Case) -> list[Figure]:
    """Shows samples beside images of the data."""
    if not can(case.model, "sample"):
        return []
    count = min(SHOWN, case.task.count)
    name = case.task.data.name
    real = grid(case.images(case.task.split, torch.arange(count)))
    if case.fake is not None:
        fake = case.generated(torch.arange(min(SHOWN, len(case.fake.features))))
    else:
        fake = case.model.sample(SHOWN, seed=SEED)
    return [
        drawn(
            grid(fake), f"{len(fake)} generated images in a grid",
            f"{len(fake)} samples, the first ones drawn, none chosen",
        ),
        drawn(
            real, f"{count} real images of {name} in a grid",
            f"The first {count} {case.task.split} images of {name}",
        ),
    ]  # fmt: skip


def _scores(case: Case) -> list[ScoreText]:
    def of_real_images(score: dict[str, Any]) -> str:
        value = case.reference.get(split_name(score["name"])[0])
        return "" if value is None else exact(value)

    return score_rows(case.scores, of_real_images)


# ---------------------------------------------------------------- classes


class Cell(NamedTuple):
    """A figure of a class, with a bar if it is known; bad ones are marked."""

    text: str
    bar: Bar | None = None
    bad: bool = False


class Class(NamedTuple):
    """A row of the table of classes; what is not known of any class is None."""

    name: int
    flag: str
    share: Cell
    due: str
    mass: Cell | None
    variety: Cell | None


def _classes(case: Case) -> dict[str, Any] | None:
    """Sets each class's share of the samples beside its due, its GEL mass and its variety."""
    if case.shares is None:
        return None
    fake, real = case.shares
    details = case.evidence.details
    ratio = details("gel_imbalance").get("mass_ratio")
    dropped = set(details("gel_dropped").get("dropped", []))
    variety = varieties(case.evidence)
    collapsed = set(details("gel_diversity").get("collapsed", []))
    missing, doubtful = missing_classes(case.evidence)
    most = max(max(fake), max(real), 1e-9)
    rows = []
    for k, (own, due) in enumerate(zip(fake, real, strict=True)):
        flag = "missing" if k in missing else "rare" if k in doubtful else ""
        rows.append(
            Class(
                name=k,
                flag=flag,
                share=Cell(f"{own:.1%}", bar(own, most, due), bool(flag)),
                due=f"{due:.1%}",
                mass=_multiple(ratio[k], k in dropped) if ratio else None,
                variety=_variety(variety[k], own, k in collapsed) if variety else None,
            )
        )
    head = ["Class", "Share of samples", "Share of data"]
    head += ["GEL mass, 1 is right"] if ratio else []
    head += ["Variety, 1 is right"] if variety else []
    return {"head": head, "rows": rows, "masses": bool(ratio), "varieties": bool(variety),
            "dropped_below": f"{DROPPED:g}"}  # fmt: skip


def _multiple(value: float, bad: bool) -> Cell:
    return Cell(f"{value:.2f}", bar(value, 2.0, 1.0), bad)


def _variety(value: float | None, share: float, bad: bool) -> Cell:
    if value is None:
        return Cell("not known" if share > 0 else "no samples")
    return _multiple(value, bad)


# ---------------------------------------------------------------- what the model can show


def _views(case: Case) -> Iterator[dict[str, Any]]:
    """Draws all that can be shown of the model, view by view."""
    split, spec = case.task.split, case.task.data.spec
    images = None if spec.points else case.images(split, torch.arange(min(IMAGES, case.task.count)))
    for view in fitting(case.model, REPORT, images is not None):
        parts = view.parts_of(case.model)
        begin = {"images": images} if view.images else {}
        size = {"n": ROWS} if view.in_rows else {}
        pictures = [
            view.picture(case.model, part, seed=SEED, **begin, **size) for part in parts[:PARTS]
        ]
        figures = [drawn(p.explained(), p.caption, p.caption) for p in pictures]
        yield {"title": view.title, "figures": figures, "left": parts[PARTS:]}
