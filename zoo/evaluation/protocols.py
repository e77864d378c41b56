"""Protocols: how a figure is computed, under a name that says it.

A protocol asks for a capability, never for a class. Its name carries everything that changes
the figure: the reference split, the number of samples, the features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from zoo.contracts import Classifies
from zoo.data import Batch, ImageData
from zoo.metrics.clustering import ClusterAgreement, CodeError

__all__ = ["PROTOCOLS", "Protocol", "Score", "evaluate", "fitting"]

Progress = Callable[[Iterable[Batch], str], Iterable[Batch]]


@dataclass(frozen=True)
class Score:
    """One figure and what it takes to get it again.

    Args:
        name: Protocol, with everything in brackets that changes the figure.
        value: The figure.
        unit: Its unit: ``share``, ``nats``, ``bits/dim`` or empty.
        counts: How many images of which split went in.
        seconds: What it took.
    """

    name: str
    value: float
    unit: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Protocol:
    """A way to score a model.

    Args:
        name: Short name.
        about: What the figure means, in a line.
        fits: Says whether a model on a data set can be scored so.
        run: Computes the scores.
    """

    name: str
    about: str
    fits: Callable[[Any, ImageData], bool]
    run: Callable[..., list[Score]]


def _fits_codes(model: Any, data: ImageData) -> bool:
    return isinstance(model, Classifies) and data.spec.classes > 1


def _score_codes(
    model: Any, data: ImageData, *, split: str, limit: int | None, progress: Progress
) -> list[Score]:
    """Error of the inferred code after the best matching learned on training data."""
    matching = "one-to-one" if model.num_codes <= data.spec.classes else "majority"
    error = CodeError(model.num_codes, data.spec.classes, matching=matching).to(model.device)
    agreement = ClusterAgreement(model.num_codes, data.spec.classes).to(model.device)
    seen = {}
    for part, role in (("train", "train"), (split, "test")):
        seen[part] = 0
        loader = data.loader(part, limit=limit)
        for batch in progress(loader, f"codes of {part} images"):
            codes, labels = model.classify(batch.image), batch.label.to(model.device)
            error.update(codes, labels, split=role)
            if role == "test":
                agreement.update(codes, labels)
            seen[part] += len(labels)
    tag = f"{matching},train->{split}"
    agree = agreement.compute()
    return [
        Score(f"code_error[{tag}]", float(error.compute()), "share", seen),
        Score(f"nmi[codes,{split}]", float(agree["nmi"]), "", {split: seen[split]}),
        Score(f"ari[codes,{split}]", float(agree["ari"]), "", {split: seen[split]}),
    ]


PROTOCOLS: dict[str, Protocol] = {
    "codes": Protocol(
        "codes",
        "error of the inferred class, its numbering matched to the labels on training data",
        _fits_codes,
        _score_codes,
    ),
}


def fitting(model: Any, data: ImageData) -> list[Protocol]:
    """Returns the protocols that fit a model and a data set."""
    return [protocol for protocol in PROTOCOLS.values() if protocol.fits(model, data)]


def evaluate(
    model: Any,
    data: ImageData,
    *,
    split: str = "test",
    limit: int | None = None,
    progress: Progress = lambda batches, _: batches,
) -> list[Score]:
    """Scores a model by every protocol that fits it.

    On several processes each scores its part of the data, and all get the joint figures.

    Args:
        model: A model of the zoo.
        data: A data set, set up for the split and for training.
        split: ``"test"`` for figures to publish, ``"val"`` while training.
        limit: Use at most so many images of each split, for a quick look.
        progress: Wraps an iterable of batches to show its progress.
    """
    scores = []
    for protocol in fitting(model, data):
        start = time.perf_counter()
        found = protocol.run(model, data, split=split, limit=limit, progress=progress)
        seconds = time.perf_counter() - start
        scores += [
            Score(s.name, s.value, s.unit, s.counts, round(seconds / len(found), 3)) for s in found
        ]
    return scores
