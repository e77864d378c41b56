"""Midpoints of a prior, on a model whose images are its codes."""

import pytest
import torch

from zoo.contract.codes import codes_at
from zoo.data import DATASETS
from zoo.judge.banks import Bank, collect
from zoo.judge.protocols.midpoints import fits_midpoints, score_midpoints
from zoo.judge.score import Features, Task


class Shower:
    """Shows the norm of a code as a grey level."""

    latent_dim = 64

    def __init__(self, prior="normal"):
        self.prior = prior

    def decode(self, z):
        return (z.norm(dim=1) / 16)[:, None, None, None].expand(-1, 1, 8, 8).clamp(0, 1)

    def sample(self, n, *, seed=None):
        return self.decode(codes_at("prior", self, n, seed))


class Norms:
    """Features are the norm that `Shower` shows, and noise of its own."""

    head = torch.nn.Linear(2, 2)
    device = torch.device("cpu")

    def __init__(self, spec):
        self.spec = spec

    def features(self, x):
        torch.manual_seed(0)
        return torch.stack([x.mean((1, 2, 3)) * 16, torch.randn(len(x))], dim=1)


@pytest.fixture
def data():
    return DATASETS["Digits"]()


def task(data, model):
    return Task(model, data, features=Features("norms", Norms(data.spec), ""), limit=300)


def test_the_scores_follow_the_norms(data, monkeypatch):
    model = Shower()
    real = model.decode(codes_at("prior", model, 300, 99))
    monkeypatch.setattr(
        "zoo.judge.protocols.midpoints.collect", lambda task, split: Bank.of([task.features(real)])
    )
    scores = {score.name.split("[")[0]: score for score in score_midpoints(task(data, model))}
    assert scores["fid_at_prior"].value < 0.1
    # |E|z| - E|z'||^2 = (7.97 - 5.64)^2, plus what the spreads differ
    assert scores["fid_at_midpoint"].value == pytest.approx((7.97 * (1 - 2**-0.5)) ** 2, rel=0.1)
    assert scores["fid_at_line"].value > scores["fid_at_midpoint"].value
    prior, middle = scores["fid_at_prior"].value, scores["fid_at_midpoint"].value
    assert scores["fid_rise_at_midpoint"].value == pytest.approx(middle / prior - 1)
    assert scores["fid_at_prior"].details == {"prior": "normal"}


def test_grey_images_are_compared_with_grey_ones_although_training_saw_bits(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "zoo.judge.protocols.midpoints.collect",
        lambda task, split: asked.append(task.data.binarize) or collect(task, split),
    )
    data = DATASETS["Digits"](binarize="static")
    names = [score.name for score in score_midpoints(task(data, Shower()))]
    assert asked == ["none"] and not any("bits" in name for name in names)


def test_it_fits_models_that_decode_a_named_prior_alone(data):
    assert fits_midpoints(task(data, Shower("cauchy")))
    assert not fits_midpoints(task(data, Shower("no prior of the zoo")))
    assert not fits_midpoints(Task(Shower(), data))
    conditional = Shower()
    conditional.num_labels = 10
    assert not fits_midpoints(task(data, conditional))
    assert not fits_midpoints(task(data, object()))
