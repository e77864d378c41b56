"""What the judge says: a figure under a name that carries everything that changes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.core.figures import split_name
from zoo.data import Batch, ImageData
from zoo.data.loader import mix_seed
from zoo.data.module import Split
from zoo.judge.catalogue import SCORES
from zoo.judge.notes import Notes

__all__ = ["SEED", "Features", "Progress", "Score", "Task", "attempt", "measure", "reason",
           "scored", "seed_batch"]  # fmt: skip

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable to show its progress under a title."""

    def __call__(self, items: Iterable[T], title: str) -> Iterable[T]:
        """Passes the items through."""
        ...


SEED = 0  # of all randomness in the judge
UNCOMPUTABLE = (ValueError, ArithmeticError, torch.linalg.LinAlgError)  # pyright: ignore[reportPrivateImportUsage]


def no_progress(items: Iterable[T], title: str) -> Iterable[T]:
    """Shows nothing."""
    return items


@dataclass(frozen=True)
class Score:
    """One figure and what it takes to get it again; `scored` makes one from the catalogue.

    Args:
        name: Protocol, with everything in brackets that changes the figure.
        value: The figure; None where it does not exist (an infeasible problem, say).
        unit: ``share``, ``nats``, ``bits/dim`` or empty.
        better: ``lower``, ``higher``, or empty where neither is.
        details: Plain values that explain the figure, such as one number per class.
        parameters: The protocol's values, from which the name is written.
    """

    name: str
    value: float | None
    unit: str = ""
    better: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def finite(self) -> Score:
        """Returns the score without a value that is not a number; the details then say why.

        Example:
            >>> Score("worst_class_factor", math.inf).finite().details
            {'status': 'infinite'}
        """
        if self.value is None or math.isfinite(self.value):
            return self
        status = "undefined" if math.isnan(self.value) else "infinite"
        return replace(self, value=None, details={**self.details, "status": status})

    @property
    def head(self) -> str:
        """The name without its protocol."""
        return split_name(self.name)[0]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def scored(
    name: str, value: float | None, details: Mapping[str, Any] | None = None, /, **parameters: Any
) -> Score:
    """Makes a score of the catalogue.

    Args:
        name: Its row, such as ``fid``.
        value: The figure; None where it does not exist, and the details say why.
        details: See `Score`.
        parameters: The protocol's values; those that are None or False are left out.

    Raises:
        ValueError: if a value of the protocol is missing, or is none of it.

    Example:
        >>> scored("nll", 86.3, pixels="static", count=10_000, split="test").name
        'nll[static,10k,test]'
    """
    row = SCORES[name]
    kept = {key: v for key, v in parameters.items() if v is not None and v is not False}
    return Score(row.text(kept), value, row.unit, row.better, dict(details or {}), kept)


def attempt(
    names: Sequence[str], make: Callable[[], list[Score]], /, **parameters: Any
) -> list[Score]:
    """Makes scores; where they cannot be made, they have no value and say why, and end nothing.

    A judgement has many scores, and too few images for one are enough for others.

    Args:
        names: Which rows of the catalogue have no value then.
        make: Makes the scores.
        parameters: The protocol's values of those without a value.
    """
    try:
        return make()
    except UNCOMPUTABLE as error:
        return [scored(name, None, {"status": reason(error)}, **parameters) for name in names]


def measure(
    names: Sequence[str], compute: Callable[[], Sequence[Any]], /, **parameters: Any
) -> list[Score]:
    """Makes scores of one protocol that are computed together, as `attempt` does.

    Args:
        names: Their rows in the catalogue.
        compute: Returns a value for each, or a pair of a value and its details.
        parameters: The protocol's values, the same for all of them.

    Example:
        >>> def too_few(): raise ValueError("5 neighbours need 6 samples, got 3")
        >>> (score,) = measure(["elbo"], too_few, pixels="grey", count=3, split="test")
        >>> score.value, score.details
        (None, {'status': '5 neighbours need 6 samples, got 3'})
    """

    def make() -> list[Score]:
        found = [value if isinstance(value, tuple) else (value, {}) for value in compute()]
        return [
            scored(name, value, details, **parameters)
            for name, (value, details) in zip(names, found, strict=True)
        ]

    return attempt(names, make, **parameters)


def reason(error: BaseException) -> str:
    """Says in a line why a score could not be computed."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


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
    def protocol(self) -> dict[str, Any]:
        """What protocols call the network."""
        return {"features": self.name}

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
        temperatures: Steps of annealed importance sampling.
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
    temperatures: int = 1000

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
    def scope(self) -> dict[str, Any]:
        """Names the split, and how much of it where that is not all, as values of protocols."""
        whole = self.count == len(self.data.images(self.split))
        return {"split": self.split} if whole else {"split": self.split, "count": self.count}


def seed_batch(number: int) -> None:
    """Seeds torch for a batch's own randomness, such as dequantisation or latent samples.

    `zoo.judge.run.evaluate` keeps this from whatever random state its caller has.
    """
    torch.manual_seed(mix_seed(SEED, number))
