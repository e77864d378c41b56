"""Scores of text to image: whether images show what their captions say, and what Stage II adds."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.contracts import Illustrates, InfersAttributes
from zoo.data.loader import mix_seed
from zoo.evaluation.score import Score, Task, short
from zoo.metrics.features import FrechetDistance

__all__ = [
    "HasPrompts",
    "fits_attributes",
    "fits_captions",
    "score_attributes",
    "score_captions",
    "shows",
]

CHUNK = 500  # captions illustrated from one seed
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
    return isinstance(task.model, InfersAttributes) and bool(notes)


def score_attributes(task: Task) -> list[Score]:
    """Share of real images of which an attribute is read wrongly, and each attribute's error."""
    wrong: list[Tensor] = []
    for batch in task.progress(task.data.loader(task.split, limit=task.limit), "attributes"):
        assert batch.attributes is not None
        wrong.append(task.model.attributes(batch.image).cpu() != batch.attributes.cpu())
    rows = torch.cat(wrong)
    names = [name for name, _ in task.data.spec.attributes]
    details = dict(zip(names, [round(v, 5) for v in rows.double().mean(0).tolist()], strict=True))
    value = float(rows.any(dim=1).double().mean())
    return [Score(f"error[any-attribute,{task.scope}]", value, "share", "lower", details)]


def fits_captions(task: Task) -> bool:
    """Models that illustrate captions, on data that asks, with a network that reads attributes."""
    return (
        isinstance(task.model, Illustrates)
        and isinstance(task.data, HasPrompts)
        and task.features is not None
        and isinstance(task.features.network, InfersAttributes)
        and task.model.words == task.data.spec.words
    )


def score_captions(task: Task) -> list[Score]:
    """Share of images that show all attributes of their caption, and distances of both stages.

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
            found.append(task.features.network.attributes(images).cpu())
        read = torch.cat(found)
        right = ((read == asked) | (asked < 0)).double().mean(dim=0)
        details = dict(zip(names, [round(v, 4) for v in right.tolist()], strict=True))
        name = f"captions_shown[{task.features.name},{kind},{short(count)}]"
        value = float(shows(read, asked).double().mean())
        scores.append(Score(name, value, "share", "higher", details))
    return scores + _distances(task, count)


def _illustrations(
    task: Task, tokens: Tensor, stage: int, title: str
) -> list[tuple[Tensor, Tensor]]:
    parts = torch.arange(len(tokens)).split(CHUNK)
    return [
        (rows, task.model.illustrate(tokens[rows], seed=mix_seed(SEED, number), stage=stage))
        for number, rows in enumerate(task.progress(parts, title))
    ]


def _distances(task: Task, count: int) -> list[Score]:
    """Distances of both stages, drawn for the test set's captions at full size, to its images."""
    look = task.features
    assert look is not None
    real, captions = [], []
    for batch in task.data.loader(task.split, limit=count):
        real.append(look(batch.image)[0].cpu())
        captions.append(batch.caption)
    features, tokens = torch.cat(real), torch.cat(captions)
    scores = []
    for stage in (1, 2):
        distance = FrechetDistance(features.shape[1])
        distance.update(features, real=True)
        for _, images in _illustrations(task, tokens, stage, f"stage {stage}"):
            distance.update(look(images)[0].cpu(), real=False)
        kind = "stage1-enlarged" if stage == 1 else "stage2"
        name = f"fid[{look.name},{kind},{short(len(tokens))},{task.split}]"
        scores.append(Score(name, float(distance.compute()), "", "lower"))
    return scores
