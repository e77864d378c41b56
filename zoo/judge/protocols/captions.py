"""Scores of text to image: whether images show what their captions say, and what Stage II adds."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.contract.capabilities import can
from zoo.data.loader import mix_seed
from zoo.judge.banks import CHUNK, Bank, collect
from zoo.judge.protocols.registry import protocol
from zoo.judge.protocols.samples import copies, frechet, quality
from zoo.judge.score import Score, Task, scored

__all__ = [
    "HasPrompts",
    "fits_attributes",
    "fits_captions",
    "score_attributes",
    "score_captions",
    "shows",
]

PROMPTS = 2000  # captions at most
SEED = 0


@runtime_checkable
class HasPrompts(Protocol):
    """A data set that can ask for images, and knows what it has asked for."""

    def prompts(self, n: int, seed: int, unseen: bool = False) -> tuple[Tensor, Tensor]:
        """Returns tokens (n, T) and the attributes that they ask for (n, A), -1 for any."""
        ...


def shows(found: Tensor, asked: Tensor) -> Tensor:
    """Says which images show all that was asked of them.

    Args:
        found: Attributes of the images, shape (B, A).
        asked: Attributes asked for, shape (B, A), -1 where any value will do.

    Returns:
        Booleans, shape (B,).

    Example:
        >>> shows(torch.tensor([[1, 2], [1, 3]]), torch.tensor([[1, 2], [-1, 2]])).tolist()
        [True, False]
    """
    return ((found == asked) | (asked < 0)).all(dim=1)


def fits_attributes(task: Task) -> bool:
    """Networks that infer attributes, on data whose attributes are known."""
    notes = task.data.spec.attributes
    return can(task.model, "attributes") and bool(notes)


@protocol("attributes", fits_attributes, ["error"])
def score_attributes(task: Task) -> list[Score]:
    """Share of real images of which an attribute is read wrongly, and each attribute's error.

    Every process computes the same figures.
    """
    wrong: list[Tensor] = []
    for _, batch in task.alone().batches(task.split, "attributes"):
        assert batch.attributes is not None
        wrong.append(task.model.attributes(batch.image).cpu() != batch.attributes.cpu())
    rows = torch.cat(wrong)
    names = [name for name, _ in task.data.spec.attributes]
    details = dict(zip(names, [round(v, 5) for v in rows.double().mean(0).tolist()], strict=True))
    value = float(rows.any(dim=1).double().mean())
    return [scored("error", value, details, what="any-attribute", **task.scope)]


def fits_captions(task: Task) -> bool:
    """Models that illustrate captions, on data that asks, with a network that reads its notes."""
    network = None if task.features is None else task.features.network
    return (
        can(task.model, "illustrate")
        and isinstance(task.data, HasPrompts)
        and can(network, "attributes")
        and network.spec.attributes == task.data.spec.attributes  # type: ignore[attr-defined]
        and task.model.words == task.data.spec.words
    )


@protocol(
    "captions", fits_captions,
    ["captions_shown", "fid", "kid", "precision", "recall", "density", "coverage",
     "memorisation_z"],
    instead_of=["samples"],
)  # fmt: skip
def score_captions(task: Task) -> list[Score]:
    """Share of images that show all attributes of their caption, and both stages' quality.

    Every process computes the same figures.
    """
    assert task.features is not None and isinstance(task.data, HasPrompts)
    count = min(PROMPTS, task.limit)
    names = [name for name, _ in task.data.spec.attributes]
    scores = []
    for kind in ("seen", "unseen"):
        tokens, asked = task.data.prompts(count, SEED, kind == "unseen")
        found = []
        for rows, images in _illustrations(task, tokens, 2, f"{kind} captions"):
            assert len(rows) == len(images)
            seen = task.features.prepared(images)
            found.append(task.features.network.attributes(seen).cpu())
        read = torch.cat(found)
        right = ((read == asked) | (asked < 0)).double().mean(dim=0)
        details = dict(zip(names, [round(v, 4) for v in right.tolist()], strict=True))
        value = float(shows(read, asked).double().mean())
        how = {**task.features.protocol, "captions": kind, "count": count}
        scores.append(scored("captions_shown", value, details, **how))
    return scores + _against_real(task, count)


def _illustrations(
    task: Task, tokens: Tensor, stage: int, title: str
) -> list[tuple[Tensor, Tensor]]:
    parts = torch.arange(len(tokens)).split(CHUNK)
    return [
        (rows, task.model.illustrate(tokens[rows], seed=mix_seed(SEED, number), stage=stage))
        for number, rows in enumerate(task.progress(parts, title))
    ]


def _against_real(task: Task, count: int) -> list[Score]:
    """Compares both stages, drawn for the test set's captions at full size, with its images.

    Of Stage I the distance alone, for comparison with Stage II's.
    """
    look = task.features
    assert look is not None
    batches = [batch for _, batch in task.alone().batches(task.split, "captions", limit=count)]
    tokens = torch.cat([batch.caption for batch in batches if batch.caption is not None])
    real = collect(task, task.split, count)
    scores: list[Score] = []
    for stage, kind in ((1, "stage1-enlarged"), (2, "stage2")):
        drawn = _illustrations(task, tokens, stage, f"stage {stage}")
        fake = Bank.of([look(images) for _, images in drawn])
        tag = {**look.protocol, "stage": kind, "count": len(tokens), "split": task.split}
        if stage == 1:
            scores += frechet(real, fake, tag)
        else:
            # The network's classes are values of several attributes: none of them is the class.
            found = quality(real, fake, tag)
            scores += [score for score in found if score.head != "inception_style"]
            scores += copies(task, fake)
    return scores
