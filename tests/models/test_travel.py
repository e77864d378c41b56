"""Models of every family can be pickled, copied, saved whole and sent to a spawned process."""

import copy
import io
import multiprocessing
import pickle
from operator import methodcaller

import pytest
import torch

from zoo.data import ImageSpec
from zoo.models import MODELS

DIGITS = ImageSpec(1, 8, 8, 10)


def make(name):
    torch.manual_seed(0)
    return MODELS[name](DIGITS).eval()


def question(model):
    """Returns what a model can be asked, and can be asked again elsewhere."""
    if hasattr(model, "sample"):
        return methodcaller("sample", 2, seed=1)
    return methodcaller("features", torch.linspace(0, 1, 128).view(2, 1, 8, 8))


def saved_whole(model):
    stream = io.BytesIO()
    torch.save(model, stream)
    return torch.load(io.BytesIO(stream.getvalue()), weights_only=False)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("way", [pickled, copy.deepcopy, saved_whole], ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_travels_and_answers_as_before(name, way):
    model = make(name)
    ask = question(model)
    before = ask(model)  # whatever an answer leaves behind must travel, too
    assert torch.equal(ask(way(model)), before)


def test_every_family_can_be_sent_to_a_spawned_process():
    models = [make(name) for name in MODELS]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for model in models:
            ask = question(model)
            torch.testing.assert_close(pool.apply(ask, (model,)), ask(model))
