"""How chains mix, counted by hand; the Parzen protocol against its mathematics."""

import pytest
import torch

from zoo.data import DATASETS
from zoo.functional.parzen import parzen_log_density, parzen_width
from zoo.judge.protocols.chains import mixing, score_chains, score_parzen
from zoo.judge.score import Features, Task
from zoo.models import MODELS


def test_changes_are_counted_within_chains():
    """Rejects a change counted from the end of one chain to the start of the next."""
    labels = torch.tensor([[0, 0, 0, 1, 1], [2, 2, 2, 2, 2]])
    assert mixing(labels) == (8.0, 1.5)
    with pytest.raises(ValueError, match="no chain ever changes"):
        mixing(labels[1:])


class Ticking:
    """A chain whose image has a brightness of its step: classes 0, 0, 1, 1, ... by turns."""

    def sample(self, n, *, seed=None):
        return torch.zeros(n, 1, 8, 8)

    def chain(self, *, rows=8, steps=10, seed=0):
        turn = torch.arange(steps) // 2 % 3
        return (turn / 10).view(1, -1, 1, 1, 1).expand(rows, steps, 1, 8, 8)


class Bright:
    """Names a class by brightness."""

    def __init__(self):
        self.spec, self.device = DATASETS["Digits"].native, torch.device("cpu")
        self.head = torch.nn.Linear(1, 10)

    def features(self, x):
        return x.flatten(1)[:, :1]


def test_chains_are_read_by_the_classes_of_their_states():
    look = Features("bright", Bright(), "")
    nearest = torch.arange(10) / 10
    look.network.head.weight.data = 2 * nearest[:, None]  # -(x - c)^2, but for x^2
    look.network.head.bias.data = -nearest.square()
    task = Task(Ticking(), DATASETS["Digits"](), limit=120, features=look)
    lag, classes = score_chains(task)
    assert lag.name == "chain_lag[bright,10x12]" and lag.value == pytest.approx(11 / 5)
    assert classes.value == 3


def test_parzen_has_the_width_of_validation_images_and_the_test_images_density():
    """Rejects a width that test images chose, and bits compared with means."""
    torch.manual_seed(0)
    data = DATASETS["Digits"](binarize="dynamic")
    model = MODELS["GSN"](data.spec, hidden=(8,), burn_in=2).eval()
    (score,) = score_parzen(Task(model, data, limit=60))
    assert score.name == "parzen[60-samples,60,test]"
    from zoo.judge.banks import sample_chunks

    grey = Task(model, data.with_bits("none"), limit=60)
    samples = torch.cat([part.flatten(1) for _, part in sample_chunks(grey)])
    val, test = (torch.cat([b.image for _, b in grey.batches(part, "", limit=n)]).flatten(1)
                 for part, n in (("val", 1000), ("test", 60)))  # fmt: skip
    width = parzen_width(val, samples)
    assert score.details["width"] == width
    wanted = parzen_log_density(test, samples, width)
    assert score.value == pytest.approx(float(wanted.mean()))
