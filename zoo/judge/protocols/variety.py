"""Whether the noise of a model of captions says anything: variety among images of one caption."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.contract.capabilities import can
from zoo.data.loader import mix_seed
from zoo.functional.positions import centroids, spread_within
from zoo.judge.banks import CHUNK
from zoo.judge.protocols.captions import HasPrompts
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, measure

__all__ = ["HasLoneObjects", "fits_places", "score_places"]

CAPTIONS, DRAWS = 50, 20
PROMPTS = 2000  # among which are the captions of one object
SEED = 0


@runtime_checkable
class HasLoneObjects(Protocol):
    """A data set of captions that knows which of its scenes show one object."""

    def alone(self, attributes: Tensor) -> Tensor:
        """Says which scenes show one object, from their attributes (N, A); booleans, (N,)."""
        ...


def fits_places(task: Task) -> bool:
    """Models that illustrate captions, on data that asks for one object."""
    data = task.data
    asks = isinstance(data, HasPrompts) and isinstance(data, HasLoneObjects)
    return asks and can(task.model, "illustrate") and task.model.words == data.spec.words


@protocol("places", fits_places, ["position_spread"])
def score_places(task: Task) -> list[Score]:
    """How far the object of an image wanders among samples of one caption, and in real images.

    Captions say what an object is, never where. 50 captions of one object are drawn 20 times each;
    of the real images those of one object are taken, sorted by what they show. Every process
    computes the same figures.
    """
    data = task.data
    assert isinstance(data, HasPrompts) and isinstance(data, HasLoneObjects)
    tokens, asked = data.prompts(PROMPTS, SEED)
    tokens = tokens[data.alone(asked)][:CAPTIONS].repeat_interleave(DRAWS, dim=0)
    numbers = torch.arange(len(tokens))

    def compute() -> list[tuple[float, dict[str, float]]]:
        drawn = [
            centroids(task.model.illustrate(tokens[rows], seed=mix_seed(SEED, number)).cpu())
            for number, rows in enumerate(task.progress(numbers.split(CHUNK), "places"))
        ]
        found = float(spread_within(torch.cat(drawn), numbers // DRAWS))
        right = float(spread_within(*_real(task, data)))
        return [(found, {"data": round(right, 4), "share": round(found / right, 4)})]

    return measure(["position_spread"], compute, captions=CAPTIONS, draws=DRAWS)


def _real(task: Task, data: HasLoneObjects) -> tuple[Tensor, Tensor]:
    """Returns the places of lone objects of real images, and a number for what each shows."""
    places, kinds = [], []
    for _, batch in task.alone().batches(task.split, "real places"):
        assert batch.attributes is not None
        attributes = batch.attributes.cpu()
        rows = data.alone(attributes)
        places.append(centroids(batch.image.cpu()[rows]))
        kinds.append(attributes[rows])
    return torch.cat(places), torch.cat(kinds).unique(dim=0, return_inverse=True)[1]
