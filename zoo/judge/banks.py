"""Features of real and of generated images, computed once and shared by all that scores them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.data.loader import mix_seed
from zoo.data.module import Split, spread
from zoo.judge.score import SEED, Task

__all__ = ["Bank", "as_bytes", "as_sampled", "collect", "control_split", "sample_chunks"]

CHUNK = 500  # samples drawn from one seed, so that any number of ranks draws the same ones


@dataclass(frozen=True)
class Bank:
    """Features of a set of images, with a class each, on the CPU wherever they were computed.

    Args:
        features: Shape (N, F).
        labels: Shape (N,): true ones of real images, the network's ones of generated images.
        probabilities: Shape (N, K).
        images: Generated images as bytes, shape (N, C, H, W), where the task has a memory.
    """

    features: Tensor
    labels: Tensor
    probabilities: Tensor
    images: Tensor | None = None

    @classmethod
    def of(cls, looks: Iterable[tuple[Tensor, Tensor]]) -> Bank:
        """Joins what a network said of generated images: features and probabilities of batches."""
        features, probabilities = (torch.cat(parts).cpu() for parts in zip(*looks, strict=True))
        return cls(features, probabilities.argmax(dim=1), probabilities)

    def first(self, count: int) -> Bank:
        """Returns ``count`` of the images, spread evenly over them."""
        some = spread(len(self.features), count)
        return Bank(self.features[some], self.labels[some], self.probabilities[some])


def sample_chunks(task: Task) -> Iterator[tuple[int, Tensor]]:
    """Draws ``task.count`` samples in numbered chunks; each process draws every world-th one.

    Of samples that are there already (`zoo.judge.peers`), as many are taken, evenly spread.
    """
    at, parts = getattr(task.model, "at", None), torch.arange(task.count).split(CHUNK)
    if at is not None:
        parts = spread(task.model.number, task.count).split(CHUNK)
    for number in range(task.rank, len(parts), task.world):
        if at is not None:
            yield number, at(parts[number])
        else:
            yield number, task.model.sample(len(parts[number]), seed=mix_seed(SEED, number))


def collect(task: Task, source: Split | Literal["samples"], limit: int | None = None) -> Bank:
    """Looks at images through the feature network; all processes get the whole.

    Args:
        task: The task, which has features.
        source: ``"samples"``, or a split of the data set.
        limit: Largest number of images; default the task's.
    """
    key = (source, limit or task.limit)
    if task.memory is not None and key in task.memory:
        return task.memory[key]
    bank = _collect(task, source, limit or task.limit)
    if task.memory is not None:
        task.memory[key] = bank
    return bank


def _collect(task: Task, source: Split | Literal["samples"], limit: int) -> Bank:
    look = task.features
    assert look is not None
    rows: dict[int, tuple[Tensor, ...]] = {}
    if source == "samples":
        total = len(range(task.rank, -(-task.count // CHUNK), task.world))
        chunks = task.progress(_Sized(sample_chunks(task), total), "drawing samples")
        for number, images in chunks:
            features, probabilities = (part.cpu() for part in look(images))
            rows[number] = features, probabilities.argmax(dim=1), probabilities
            if task.memory is not None:
                rows[number] += (as_bytes(images),)
    else:
        for number, batch in task.batches(source, f"features of {source} images", limit=limit):
            features, probabilities = (part.cpu() for part in look(batch.image))
            rows[number] = features, batch.label, probabilities
    if task.world > 1:
        rows = _shared(rows)
    return Bank(
        *(torch.cat(column) for column in zip(*(rows[n] for n in sorted(rows)), strict=True))
    )


def _shared(rows: dict[int, tuple[Tensor, ...]]) -> dict[int, tuple[Tensor, ...]]:
    """Gives every process the rows of all."""
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return {number: row for part in parts for number, row in part.items()}


def as_bytes(images: Tensor) -> Tensor:
    """Rounds images in [0, 1] to 8 bits."""
    return (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


class _Sized:
    """Gives an iterator a length, for progress bars."""

    def __init__(self, items: Iterator[tuple[int, Tensor]], length: int) -> None:
        self.items, self.length = items, length

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        return self.items

    def __len__(self) -> int:
        return self.length


def as_sampled(task: Task) -> Task:
    """Returns the task on images of the kind that the model draws.

    Of models of binarised images some draw bits, others the probabilities of bits. The former are
    compared with images whose bits are fixed, the latter with the grey images themselves.
    """
    if task.data.binarize == "none":
        return task
    few = task.model.sample(2, seed=SEED)
    bits = bool(((few == 0) | (few == 1)).all())
    return replace(task, data=task.data.with_bits("static" if bits else "none"))


def control_split(task: Task) -> Split:
    """Names the real images that are nearest in kind to training images, but unseen."""
    return "val" if len(task.data.images("val")) else task.split
