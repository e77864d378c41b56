"""Optimisers' averages from a checkpoint are of the model's shapes, all there, and numbers."""

import copy
from pathlib import Path

import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.models import MODELS
from zoo.training.averages import check_averages

SPEC = ImageSpec(1, 8, 8, 10)
FAMILIES = {
    "VAE": {"hidden": (8,), "latent_dim": 2},  # one Adam
    "GAN": {"width": 4, "latent_dim": 2},  # two
    "MADE": {"hidden": (8,)},  # AdamW
    "NICE": {},  # with groups
    "PixelCNN": {},
}
WRONG = {
    "a number": lambda now: 1.0,
    "nothing": lambda now: None,
    "no dimension": lambda now: torch.tensor(0.0),
    "longer": lambda now: torch.zeros(*now.shape, 2),
    "a row more": lambda now: torch.zeros(len(now) + 1, *now.shape[1:]),
    "turned": lambda now: torch.zeros(now.shape[::-1] if now.shape != now.shape[::-1] else (7,)),
    "empty": lambda now: torch.zeros(0),
    "whole numbers": lambda now: torch.zeros(now.shape, dtype=torch.int64),
}


def begun(family):
    """A model, and what a checkpoint holds of its optimisers after one step."""
    torch.manual_seed(0)
    model = MODELS[family](SPEC, **FAMILIES[family])
    made = model.configure_optimizers()
    optimizers = made if isinstance(made, (list, tuple)) else [made]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    states = [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers]
    return model, {"optimizer_states": states, "lr_schedulers": []}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_step_has_left_is_taken(family):
    model, saved = begun(family)
    check_averages(Path("x"), saved, model)
    for state in saved["optimizer_states"]:
        state["state"] = {}  # no step was made
    check_averages(Path("x"), saved, model)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("family", FAMILIES)
def test_another_shape_is_a_sentence(family, wrong):
    model, saved = begun(family)
    averages = saved["optimizer_states"][-1]["state"]
    number = max(averages, key=lambda n: averages[n]["exp_avg"].ndim)
    for name in ("exp_avg", "exp_avg_sq", "step"):
        spoilt = copy.deepcopy(saved)
        kept = spoilt["optimizer_states"][-1]["state"][number]
        if name == "step" and wrong in ("no dimension", "a row more", "turned"):
            continue
        kept[name] = WRONG[wrong](kept[name])
        with pytest.raises(UserError, match=rf"optimizer_states.*\.{name} (must be|holds)"):
            check_averages(Path("x"), spoilt, model)


@pytest.mark.parametrize("name", ["step", "exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_average_that_is_missing_is_a_sentence(family, name):
    """In all parameters alike: that they differ is another thing."""
    model, saved = begun(family)
    for averages in saved["optimizer_states"][-1]["state"].values():
        del averages[name]
    with pytest.raises(UserError, match=f"has no {name}"):
        check_averages(Path("x"), saved, model)
