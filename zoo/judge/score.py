"""What the judge says: a figure under a name that carries everything that changes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data import Batch, ImageData
from zoo.data.loader import mix_seed
from zoo.data.module import Split
from zoo.judge.notes import Notes

__all__ = ["SEED", "Features", "Progress", "Score", "Task", "seed_batch", "short"]

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable to show its progress under a title."""

    def __call__(self, items: Iterable[T], title: str) -> Iterable[T]:
        """Passes the items through."""
        ...


SEED = 0  # of all randomness in the judge


def no_progress(items: Iterable[T], title: str) -> Iterable[T]:
    """Shows nothing."""
    return items


@dataclass(frozen=True)
class Score:
    """One figure and what it takes to get it again.

    Args:
        name: Protocol, with everything in brackets that changes the figure.
        value: The figure; None where it does not exist (an infeasible problem, say).
        unit: ``share``, ``nats``, ``bits/dim`` or empty.
        better: ``lower``, ``higher``, or empty where neither is.
        details: Plain values that explain the figure, such as one number per class.
    """

    name: str
    value: float | None
    unit: str = ""
    better: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def finite(self) -> Score:
        """Returns the score without a value that is no number; the details then say why.

        Example:
            >>> Score("worst_class_factor", math.inf).finite()
            Score(name='worst_class_factor', value=None, unit='', better='', \
details={'status': 'infinite'})
        """
        if self.value is None or math.isfinite(self.value):
            return self
        status = "undefined" if math.isnan(self.value) else "infinite"
        return replace(self, value=None, details={**self.details, "status": status})

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Features:
    """A frozen feature network of the shelf, under the name that its scores carry.

    Args:
        name: For instance ``mnist-features``.
        network: A model with ``features``, ``probabilities`` and ``spec``.
        sha256: Hash of its weights.
    """

    name: str
    network: Any
    sha256: str

    @property
    def classes(self) -> int:
        """How many classes of the data the network names."""
        return len(self.network.head.bias)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images in [0, 1] to features (B, F) and class probabilities (B, K)."""
        images = self.prepared(images)
        features = self.network.features(images)
        with torch.no_grad():
            return features, self.network.head(features).softmax(dim=1)

    def prepared(self, images: Tensor) -> Tensor:
        """Brings images to the size and the device that the network wants.

        They are resized (bilinear, antialiased); grey is repeated to colour, colour averaged to
        grey.
        """
        channels, height, width = self.network.spec.shape
        images = images.to(self.network.device)
        if images.shape[1] != channels:
            images = images.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
        if images.shape[2:] != (height, width):
            images = F.interpolate(
                images, (height, width), mode="bilinear", antialias=True, align_corners=False
            )
        return images


@dataclass(frozen=True)
class Task:
    """What is to be scored, and how much of it is looked at.

    Args:
        model: A model of the zoo.
        data: A data set.
        split: Reference split, ``test`` for figures to publish, ``val`` while training.
        limit: Largest number of images or samples to look at.
        features: The feature network, or None where there is none.
        progress: Shows progress.
        importance_samples: Samples of importance-weighted bounds.
        rank: This process, from 0.
        world: Number of processes, each of which does its part.
        memory: Where banks of features are kept for whoever asks for them again; None keeps none.
        notes: Keeps figures of batches, so that a long judgement can go on after an end.
    """

    model: Any
    data: ImageData
    split: Split = "test"
    limit: int = 10_000
    features: Features | None = None
    progress: Progress = no_progress
    importance_samples: int = 5000
    rank: int = 0
    world: int = 1
    memory: dict[Any, Any] | None = None
    notes: Notes = field(default_factory=Notes)

    @property
    def count(self) -> int:
        """Images of the split that are looked at."""
        return min(self.limit, len(self.data.images(self.split)))

    def batches(
        self, split: Split, title: str, *, limit: int | None = None
    ) -> Iterator[tuple[int, Batch]]:
        """Yields this process' batches of a split with their numbers among all batches.

        Batches do not depend on the number of processes. Whoever needs randomness for one calls
        `seed_batch` with its number, and gets the same on any process.

        Args:
            split: Which split; binarised images are those whose bits are fixed.
            title: What is done, for the progress bar.
            limit: Largest number of images; default the task's.
        """
        data = self.data if self.data.binarize == "none" else self.data.with_bits("static")
        loader = data.dealt(split, limit=limit or self.limit, rank=self.rank, world=self.world)
        for turn, batch in enumerate(self.progress(loader, title)):
            yield self.rank + turn * self.world, batch

    def alone(self) -> Task:
        """Returns the task of a process that does all of it, whatever the others do."""
        return replace(self, rank=0, world=1)

    @property
    def scope(self) -> str:
        """Names the split, and how much of it where that is not all: ``test`` or ``test:2k``."""
        whole = self.count == len(self.data.images(self.split))
        return self.split if whole else f"{self.split}:{short(self.count)}"


def seed_batch(number: int) -> None:
    """Seeds torch for a batch's own randomness, such as dequantisation or latent samples.

    `zoo.judge.run.evaluate` keeps this from whatever random state its caller has.
    """
    torch.manual_seed(mix_seed(SEED, number))


def short(number: int) -> str:
    """Writes a count as protocols do.

    Example:
        >>> short(10_000), short(2_000), short(360)
        ('10k', '2k', '360')
    """
    return f"{number // 1000}k" if number >= 1000 and number % 1000 == 0 else str(number)
