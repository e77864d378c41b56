"""One model answers several threads at once as it answers one, in whatever mode it was left."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from zoo.data import ImageSpec
from zoo.models import MODELS

DIGITS = ImageSpec(1, 8, 8, 10)
X = (torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
MORE = {"MADE": {"masks": 3, "hidden": (20,)}, "NADE": {"orders": 3}}  # those that change an order


@pytest.fixture(autouse=True)
def _threads_take_turns_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def ask(model, seed):
    """Asks for what a seed decides, by several methods."""
    told = []
    if hasattr(model, "sample"):
        told.append(model.sample(4, seed=seed))
    for name in ("ensemble_log_prob", "encode", "classify", "features", "attributes"):
        if hasattr(model, name):
            told.append(getattr(model, name)(X))
    return told


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_threads_get_the_answers_of_one(name, training):
    torch.manual_seed(0)
    model = MODELS[name](DIGITS, **MORE.get(name, {})).train(training)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    wanted = [ask(model, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, model, seed) for seed in range(4) for _ in range(3)]
        for i, future in enumerate(asked):
            for told, want in zip(future.result(), wanted[i // 3], strict=True):
                assert torch.equal(told, want)
    assert all(module.training == training for module in model.modules())
