"""Annealed likelihoods against machines whose constant is a sum over a few hidden units."""

import math

import pytest
import torch
import torch.nn.functional as F

from zoo.data import DATASETS
from zoo.judge.protocols.annealing import score_annealed
from zoo.judge.run import fitting
from zoo.judge.score import Task
from zoo.models import MODELS


def machine(spec, scale, **options):
    torch.manual_seed(0)
    model = MODELS["RBM"](spec, hidden=6, warming=20, burn_in=20, **options).eval()
    net = model.average.module
    for weight in (net.w, net.b, net.c):
        torch.nn.init.normal_(weight, std=scale)
    return model


def exact_log_z(model):
    """Sums over hidden units, each of whose states leaves pixels independent."""
    net = model.average.module
    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)
    return float((h @ net.c + F.softplus(net.b + h @ net.w.T).sum(1)).logsumexp(0))


def test_the_figure_is_the_exact_one_within_its_error():
    """Rejects an error of the images alone, the other end's log Z, and a log Z that is left out."""
    data = DATASETS["Digits"](binarize="static")
    model = machine(data.spec, 0.4)
    task = Task(model, data, limit=50, temperatures=200)
    assert "annealed" in fitting(task) and "log_prob" not in fitting(task)
    (score,) = score_annealed(task)
    assert score.name == "nll[static,ais100x200,50,test]"
    found, exact = score.details, exact_log_z(model)
    x = torch.cat([batch.image for _, batch in task.batches("test", "")])
    values = model.log_unnormalised(x).double()
    assert found["log_z"] == pytest.approx(exact, abs=3 * found["log_z_standard_error"])
    assert found["log_z_reverse"] == pytest.approx(exact, abs=0.1)
    assert found["log_z_low"] < found["log_z"] < found["log_z_high"]
    assert score.value == pytest.approx(found["log_z"] - float(values.mean()), abs=1e-4)
    both = math.hypot(float(values.std()) / math.sqrt(50), found["log_z_standard_error"])
    assert found["standard_error"] == pytest.approx(both, rel=1e-4)
    assert "warning" not in found


def test_too_few_temperatures_are_said():
    data = DATASETS["Digits"](binarize="static")
    (score,) = score_annealed(Task(machine(data.spec, 1.5), data, limit=20, temperatures=3))
    assert score.details["gap"] > 1
    assert "nats apart: it needs more temperatures" in score.details["warning"]


def test_normal_units_have_a_density():
    data = DATASETS["Digits"]()
    task = Task(machine(data.spec, 0.1, visible="gaussian"), data, limit=20, temperatures=20)
    density, bits = score_annealed(task)
    assert density.name == "log_density[unit-range,uniform-dequant,ais100x20,20,test]"
    assert bits.name == "bpd[uniform-dequant,ais100x20,20,test]"
    assert bits.value == pytest.approx((math.log(256) - density.value / 64) / math.log(2))
