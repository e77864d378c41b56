"""Codes that are the factors score 1; codes that mix or ignore them do not."""

import pytest
import torch

from zoo.data import Sprites
from zoo.judge.protocols.disentanglement import fits_factors, score_factors
from zoo.judge.score import Task


class Grid:
    """Data with three factors that are its three pixels."""

    factor_sizes = (4, 5, 6)
    binarize = "none"

    def render(self, factors):
        return (factors / torch.tensor(self.factor_sizes))[:, None, None, :].float()


class Encoder:
    def __init__(self, mix):
        self.mix = mix

    def encode(self, x):
        return x.flatten(1) @ self.mix


def scores(mix):
    found = score_factors(Task(Encoder(mix), Grid(), limit=2000, importance_samples=1))
    return {score.name: score.value for score in found}


NAMES = {"mig[20-bins,2k]", "factor_vae_score[100->50-votes]", "beta_vae_score[100->50-votes]"}


def test_factors_themselves_are_perfect_codes():
    found = scores(torch.eye(3))
    assert set(found) == NAMES
    # The gap is one less what independent factors seem to share in 2,000 examples.
    assert sorted(found.values()) == pytest.approx([0.99, 1, 1], abs=0.01)


def test_every_unit_mixing_all_factors_is_no_code():
    found = scores(torch.tensor([[1.0, 1, 1], [1, -1, 0.5], [1, 0.7, -1]]))
    assert found["mig[20-bins,2k]"] < 0.3


def test_only_encoders_and_data_with_factors_are_asked():
    encoder = Encoder(torch.eye(3))
    assert fits_factors(Task(encoder, Sprites()))
    assert not fits_factors(Task(object(), Sprites()))
    assert not fits_factors(Task(encoder, Sprites(binarize="dynamic")))
