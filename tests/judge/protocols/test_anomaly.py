"""Anomaly scores and likelihoods of averages, on models whose answers are known."""

import math

import pytest
import torch

from zoo.judge.protocols.anomaly import fits_anomaly, score_anomaly
from zoo.judge.protocols.likelihood import fits_ensemble, score_ensemble
from zoo.judge.run import evaluate
from zoo.judge.score import Task


class Light:
    """Likes images that are brighter in their upper half by at least `least`."""

    device = torch.device("cpu")
    measure = "counting"

    def __init__(self, least=-1e9):
        self.least = least

    def log_prob(self, x):
        rows = x.double().mean((1, 3))
        half = rows.shape[1] // 2
        return (rows[:, :half].sum(1) - rows[:, half:].sum(1)).clamp(min=self.least)


def test_turning_an_image_upside_down_turns_such_a_score(digits, images):
    """AUROC of s against -s, per class and in all; a mirror image would not change s at all."""
    (score,) = score_anomaly(Task(Light(), digits))
    assert score.name == "anomaly_auroc[upside-down,log-likelihood,360,test]"
    assert score.better == "higher"
    x, labels = images("test")
    s = Light().log_prob(x)

    def share(s):
        return float(((s[:, None] > -s).double() + 0.5 * (s[:, None] == -s).double()).mean())

    assert score.value == pytest.approx(share(s), abs=1e-9)
    assert set(score.details["by_class"]) == set("0123456789")
    seven = share(s[labels == 7])
    assert score.details["by_class"]["7"] == pytest.approx(seven, abs=1e-4)
    assert abs(seven - 0.5) > 0.1  # a seven is not alike both ways


def test_a_likelihood_that_knows_nothing_scores_a_half(digits):
    (score,) = score_anomaly(Task(Light(least=1e9), digits))
    assert score.value == 0.5


def test_it_is_for_test_images_of_models_with_a_likelihood(digits, toy):
    assert fits_anomaly(Task(Light(), digits))
    assert not fits_anomaly(Task(Light(), digits, split="val"))
    assert not fits_anomaly(Task(toy(), digits))


class Two(Light):
    ensemble_size = 2
    levels = 2

    def ensemble_log_prob(self, x):
        return torch.full((len(x),), math.log(0.25), dtype=torch.float64)


def test_an_average_of_several_models_has_a_figure_of_its_own(digits):
    task = Task(Two(), digits)
    (score,) = score_ensemble(task)
    assert score.name == "nll[rounded-to-2,ensemble2,360,test]"
    assert score.value == pytest.approx(math.log(4))
    names = [score.name for score in evaluate(task)[0]]
    assert "nll[rounded-to-2,360,test]" in names and score.name in names
    assert "bpd[rounded-to-2,360,test]" in names
    assert not fits_ensemble(Task(Two(), digits, split="val"))
    Two.ensemble_size = 1
    assert not fits_ensemble(task)
