"""What the report is about: the model, its scores, and the images behind the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from zoo.contract.capabilities import can, capabilities
from zoo.core.files import read_json
from zoo.data.images import unit_range
from zoo.data.module import spread
from zoo.functional.gel.one_sample import gel_one_sample, gel_two_sample, kernel_moments
from zoo.functional.neighbours import nearest_neighbours
from zoo.judge.banks import Bank, as_sampled, collect, control_split
from zoo.judge.protocols.reweighting import witnesses_of
from zoo.judge.protocols.samples import TRAINING, fits_samples, knows_classes, quality
from zoo.judge.score import Task
from zoo.judge.subject import Subject
from zoo.show.diagnosis.evidence import Evidence

__all__ = ["Case", "Neighbours", "Weights", "open_case"]


@dataclass(frozen=True)
class Weights:
    """Weights of images in the reweighting that makes one set look like another.

    Args:
        values: N times the weight of each of N images: 1 is an image that counts as it should.
        exact: False where no weights from 0 on exist, so that negative ones had to be allowed.
    """

    values: Tensor
    exact: bool


@dataclass(frozen=True)
class Neighbours:
    """The nearest training images of generated ones.

    Args:
        distance: Of each generated image, shape (N,).
        index: Its neighbour among the training images, shape (N,).
        usual: Median distance of real images that were not trained on.
    """

    distance: Tensor
    index: Tensor
    usual: float


@dataclass(frozen=True)
class Case:
    """All that the report's sections draw on; what needs features is None without a network.

    Args:
        subject: The model with its name.
        task: The judge's task, with a memory of features.
        preset: Name of the preset.
        scores: The judge's scores as plain values.
        fake: Generated images.
        real: Images of the split.
        train: Training images, as many as the judge has seen.
    """

    subject: Subject
    task: Task
    preset: str
    scores: Sequence[dict[str, Any]]
    fake: Bank | None = None
    real: Bank | None = None
    train: Bank | None = None

    @property
    def model(self) -> Any:
        """The model."""
        return self.subject.model

    @property
    def title(self) -> str:
        """The model's name; of a run, the last two folders, which tell runs apart."""
        run = self.subject.run
        return self.subject.name if run is None else "/".join(run.path.parts[-2:])

    @property
    def knows_classes(self) -> bool:
        """Whether the feature network names the classes of the data."""
        return self.fake is not None and knows_classes(self.task)

    def images(self, split: str, indices: Tensor) -> Tensor:
        """Returns images of the data set in [0, 1], shape (N, C, H, W).

        Args:
            split: Which split.
            indices: Rows of the bank of features that the judge has gathered of it.
        """
        images = self.task.data.images(split)  # type: ignore[arg-type]
        places = spread(len(images), TRAINING if split == "train" else self.task.limit)
        return unit_range(images.fetch(places[indices.cpu()]))

    def generated(self, indices: Tensor) -> Tensor:
        """Returns generated images in [0, 1], shape (N, C, H, W)."""
        assert self.fake is not None and self.fake.images is not None
        return self.fake.images[indices.cpu()].float() / 255

    @cached_property
    def reference(self) -> dict[str, float]:
        """Scores of real training images in the place of samples, by the beginning of the name."""
        if self.fake is None or self.real is None or self.train is None:
            return {}
        count = len(self.fake.features)
        if len(self.train.features) < count:
            return {}
        instead = self.train.first(count)
        tag = {"features": "any", "count": count, "split": "train"}  # nobody reads it
        scores = [score.finite() for score in quality(self.real, instead, tag)]
        return {s.head: s.value for s in scores if s.value is not None}

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        assert self.fake is not None and self.real is not None and self.train is not None
        witnesses = witnesses_of(self.task, self.train)
        fake, real = (
            kernel_moments(bank.features * witnesses.scale, witnesses.features)
            for bank in (self.fake, self.real)
        )
        return fake, real

    @cached_property
    def coverage(self) -> Weights | None:
        """Weights of real images: low where the model makes nothing like them."""
        if self.fake is None:
            return None
        fake, real = self._moments
        for objective in ("et", "euclidean"):
            result = gel_one_sample(real, fake.mean(dim=0), objective)
            if result.status == "solved":
                return Weights(result.weights * len(real), objective == "et")
        return None

    @cached_property
    def credibility(self) -> Weights | None:
        """Weights of generated images: low where there are no real ones like them."""
        if self.fake is None:
            return None
        fake, real = self._moments
        for objective in ("et", "euclidean"):
            result = gel_two_sample(fake, real, objective)
            if result.status == "solved":
                return Weights(result.model_weights * len(fake), objective == "et")
        return None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """The training images nearest to generated ones."""
        if self.fake is None or self.real is None or self.train is None:
            return None
        distance, index = nearest_neighbours(self.fake.features, self.train.features)
        unseen = collect(self.task, control_split(self.task))
        usual = nearest_neighbours(unseen.features, self.train.features)[0].median()
        return Neighbours(distance[:, 0], index[:, 0], float(usual))

    @cached_property
    def shares(self) -> tuple[list[float], list[float]] | None:
        """Share of each class among generated and among real images."""
        if not self.knows_classes or self.fake is None or self.real is None:
            return None
        classes = self.task.data.spec.classes
        counts = (torch.bincount(b.labels, minlength=classes) for b in (self.fake, self.real))
        fake, real = ((c.double() / c.sum()).tolist() for c in counts)
        return fake, real

    @property
    def health(self) -> list[str]:
        """What the run's health watch has said."""
        file = None if self.subject.run is None else self.subject.run.path / "health.json"
        if file is None or not file.is_file():
            return []
        try:
            found = read_json(file)
            return [str(finding["text"]) for finding in found.values()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []  # a torn or foreign file is no reason to write no report

    @property
    def evidence(self) -> Evidence:
        """What the advice is drawn from."""
        fake, real = self.shares or ((), ())
        return Evidence(
            scores=self.scores,
            reference=self.reference,
            fake_share=fake,
            real_share=real,
            samples=0 if self.fake is None else len(self.fake.features),
            images=self.task.count,
            arguments=dict(self.model.hparams),
            implicit=can(self.model, "sample")
            and not {"elbo", "log_prob"} & set(capabilities(self.model)),
            features=self.task.features is not None,
            health=self.health,
        )


def open_case(subject: Subject, task: Task, preset: str, scores: Sequence[dict[str, Any]]) -> Case:
    """Gathers what the scores were computed from.

    Args:
        subject: The model.
        task: The task that the judge has scored, with a memory, so that nothing is drawn twice.
        preset: Name of the preset.
        scores: The judge's scores as plain values.
    """
    if not fits_samples(task):
        return Case(subject, task, preset, scores)
    task = as_sampled(task)
    banks = collect(task, "samples"), collect(task, task.split), collect(task, "train", TRAINING)
    return Case(subject, task, preset, scores, *banks)
