"""What a latent space knows of the classes without being asked: its k-means clusters."""

from __future__ import annotations

import torch

from zoo.contract.capabilities import Compresses, can
from zoo.functional.kmeans import kmeans, nearest
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, measure
from zoo.metrics.clustering import CodeError

__all__ = ["fits_latents", "score_latents"]


def fits_latents(task: Task) -> bool:
    """Models that encode but infer no class, on labelled data; codes shorter than the images."""
    model = task.model
    if not can(model, "encode") or can(model, "classify"):
        return False
    shorter = isinstance(model, Compresses) and model.latent_dim < task.data.spec.size
    return shorter and task.data.spec.classes > 1


@protocol("latents", fits_latents, ["kmeans_error"])
def score_latents(task: Task) -> list[Score]:
    """Error of as many k-means clusters as there are classes, matched one-to-one on training data.

    For comparison with models that cluster by themselves. Centres come from as many training
    images as are scored.
    """
    model, classes = task.model, task.data.spec.classes
    coded = {}
    for split in ("train", task.split):
        loader = task.data.loader(split, limit=task.limit)  # type: ignore[arg-type]
        pairs = [(model.encode(batch.image).cpu(), batch.label) for batch in loader]
        coded[split] = tuple(torch.cat(part) for part in zip(*pairs, strict=True))

    def compute() -> list[float]:
        generator = torch.Generator().manual_seed(0)
        centres = kmeans(coded["train"][0], classes, generator=generator)
        error = CodeError(classes, classes, "one-to-one")
        for split, role in (("train", "train"), (task.split, "test")):
            codes, labels = coded[split]
            error.update(nearest(codes, centres), labels, split=role)  # type: ignore[arg-type]
        return [float(error.compute())]

    how = {"clusters": classes, "matching": "one-to-one", **task.scope}
    return measure(["kmeans_error"], compute, **how)
