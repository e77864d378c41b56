"""The page, section by section; those that do not fit the model are left out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from zoo.contract.capabilities import Samples
from zoo.core.figures import exact, split_name
from zoo.judge.protocols.reweighting import DROPPED
from zoo.show.diagnosis.advice import advise, missing_classes, summary, varieties
from zoo.show.diagnosis.case import Case
from zoo.show.diagnosis.curves import curve_svg, read_curves
from zoo.show.diagnosis.evidence import upper
from zoo.show.diagnosis.galleries import neighbours, spurious, uncovered
from zoo.show.markup import bar, document, figure, prose, score_table, section, table, text
from zoo.show.pictures import grid
from zoo.show.views import REPORT, SEED, fitting

__all__ = ["page"]

SHOWN = 64  # images of a sheet
ROWS = 5  # of pictures that have as many as one likes
IMAGES = 32  # that pictures begin with
PARTS = 6  # of a picture that is drawn part by part; further ones are only named
CURVES = 24


def page(case: Case) -> str:
    """Writes the report as one HTML page that needs no network."""
    parts = (
        _head(case), _verdict(case), _samples(case), _scores(case), _classes(case),
        uncovered(case), spurious(case), neighbours(case), *_views(case), _curves(case),
        _notes(case),
    )  # fmt: skip
    title = f"Diagnosis of {case.title}"
    return document(title, "\n".join(part for part in parts if part))


# ---------------------------------------------------------------- what and how


def _head(case: Case) -> str:
    data, task = case.task.data, case.task
    facts = {
        "Model": f"{type(case.model).__name__}, weights {_brief(case.subject.weights_sha256)}",
        "Data": f"{type(data).__name__}, {task.split} images, "
        f"{_brief(data.fingerprint(task.split))}",  # type: ignore[arg-type]
        "Looked at": f"{task.count:,} real images"
        + (f", {len(case.fake.features):,} samples" if case.fake else "")
        + f" (protocol {case.preset}, seed {SEED})",
        "Seen through": f"{task.features.name}, {_brief(task.features.sha256)}"
        if task.features
        else "no feature network",
    }
    rows = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in facts.items())
    return f"<header>\n<h1>Diagnosis of {text(case.title)}</h1>\n<dl>{rows}</dl>\n</header>"


def _brief(digest: str) -> str:
    return f"sha256 {digest[:10]}…" if digest else "of unknown hash"


def _verdict(case: Case) -> str:
    evidence = case.evidence
    found = advise(evidence)
    boxes = [
        f'<div class="finding {advice.level}"><h3>{text(upper(advice.title))}</h3>'
        f"<p>{prose(advice.what)}</p>"
        + (f"<p><strong>To try:</strong> {prose(advice.tip)}</p>" if advice.tip else "")
        + "</div>"
        for advice in found
    ]
    lead = f'<p class="lead">{text(summary(evidence, found))}</p>'
    return section("What is wrong, and what to try", lead, *boxes)


def _samples(case: Case) -> str:
    if not isinstance(case.model, Samples):
        return ""
    count = min(SHOWN, case.task.count)
    name = type(case.task.data).__name__
    real = grid(case.images(case.task.split, torch.arange(count)))
    if case.fake is not None:
        fake = case.generated(torch.arange(min(SHOWN, len(case.fake.features))))
    else:
        fake = case.model.sample(SHOWN, seed=SEED)
    figures = figure(
        grid(fake), f"{len(fake)} generated images in a grid",
        f"{len(fake)} samples, the first ones drawn, none chosen",
    ) + figure(
        real, f"{count} real images of {name} in a grid",
        f"The first {count} {case.task.split} images of {name}",
    )  # fmt: skip
    return section("Samples beside data", f'<div class="beside">{figures}</div>')


def _scores(case: Case) -> str:
    if not case.scores:
        return ""
    about = (
        "<p>“Real images” is what as many training images score in the place of the samples: "
        "the figure to hope for, since few images give no perfect score even if all is well.</p>"
        if case.reference
        else ""
    )
    compare = partial(_of_real_images, case) if case.reference else None
    return section("Scores", about, score_table(case.scores, "Real images", compare))


def _of_real_images(case: Case, score: dict[str, Any]) -> str:
    value = case.reference.get(split_name(score["name"])[0])
    return "" if value is None else exact(value)


# ---------------------------------------------------------------- classes


def _classes(case: Case) -> str:
    if case.shares is None:
        return ""
    fake, real = case.shares
    details = case.evidence.details
    ratio = details("gel_imbalance").get("mass_ratio")
    dropped = set(details("gel_dropped").get("dropped", []))
    variety = varieties(case.evidence)
    collapsed = set(details("gel_diversity").get("collapsed", []))
    head = ["Class", "Share of samples", "Share of data"]
    head += ["GEL mass, 1 is right"] if ratio else []
    head += ["Variety, 1 is right"] if variety else []
    missing, doubtful = missing_classes(case.evidence)
    most = max(max(fake), max(real), 1e-9)
    rows = []
    for k, (own, due) in enumerate(zip(fake, real, strict=True)):
        flag = "missing" if k in missing else "rare" if k in doubtful else ""
        row = [
            f"{k}" + (f' <span class="flag">{flag}</span>' if flag else ""),
            _cell(bar(own, most, due), f"{own:.1%}", bool(flag)),
            f"{due:.1%}",
        ]
        if ratio:
            row.append(_cell(bar(ratio[k], 2.0, 1.0), f"{ratio[k]:.2f}", k in dropped))
        if variety:
            row.append(_variety(variety[k], own, k in collapsed))
        rows.append(row)
    about = (
        "<p>The share of samples is what the classifier counts; the line in each bar is the "
        "data's share. "
        + (
            "GEL mass never asks the classifier about samples: it is the weight that the real "
            "images of a class keep when the real images are made to look like the samples, as a "
            f"multiple of their share. Below {DROPPED:g}, a class counts as dropped. "
            if ratio
            else "There is no GEL mass: no reweighting of the real images has the samples' kernel "
            "moments, because part of the samples lies outside of the data. "
        )
        + (
            "Variety is that of the samples of a class over that of as many unseen real images."
            if variety
            else ""
        )
        + "</p>"
    )
    return section("Classes", about, table(head, rows, numbers=(2,)))


def _variety(value: float | None, share: float, bad: bool) -> str:
    if value is None:
        return "not known" if share > 0 else "no samples"
    return _cell(bar(value, 2.0, 1.0), f"{value:.2f}", bad)


def _cell(drawn: str, value: str, bad: bool) -> str:
    return f'<span class="cell{" bad" if bad else ""}">{drawn} {text(value)}</span>'


# ---------------------------------------------------------------- what the model can show


def _views(case: Case) -> Iterator[str]:
    """Shows all that the model can show, a section for each view."""
    split, spec = case.task.split, case.task.data.spec
    images = None if spec.points else case.images(split, torch.arange(min(IMAGES, case.task.count)))
    for view in fitting(case.model, REPORT, images is not None):
        parts = view.parts_of(case.model)
        begin = {"images": images} if view.images else {}
        size = {"n": ROWS} if view.in_rows else {}
        pictures = (
            view.picture(case.model, part, seed=SEED, **begin, **size) for part in parts[:PARTS]
        )
        drawn = "".join(figure(p.sheet, p.caption, p.caption) for p in pictures)
        more = f"<p>Not shown: {text(', '.join(parts[PARTS:]))}.</p>" if parts[PARTS:] else ""
        yield section(view.title, f'<div class="beside">{drawn}</div>', more)


def _curves(case: Case) -> str:
    if case.subject.run is None:
        return ""
    curves = read_curves(case.subject.run.metrics)
    drawn = [curve_svg(name, curve) for name, curve in list(curves.items())[:CURVES]]
    if not drawn:
        return ""
    left = len(curves) - len(drawn)
    more = f"<p>{left} more are in metrics.csv.</p>" if left else ""
    return section("Training", f'<div class="curves">{"".join(drawn)}</div>', more)


def _notes(case: Case) -> str:
    if case.fake is None:
        return ""
    return section(
        "How to read this",
        "<p>Classes of samples are those that the feature network names, which errs itself at "
        "times, and most on odd images. All distances are in its features: what it does not see, "
        "no score here sees. Weights of single images point to where to look; they are no "
        "verdict on an image.</p>",
    )
