"""Codes that are the factors score 1; codes that mix or ignore them do not."""

import pytest
import torch

from zoo.data import Sprites
from zoo.judge.protocols.disentanglement import (
    fits_factors,
    fits_readers,
    score_factors,
    score_readers,
    score_units,
)
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
    task = Task(Encoder(mix), Grid(), limit=2000, importance_samples=1)
    return {score.name: score.value for score in (*score_factors(task), *score_readers(task))}


QUICK = {
    "mig[20-bins,2k]",
    "factor_vae_score[100->50-votes]",
    "beta_vae_score[100->50-votes]",
}
LONG = {"dci_disentanglement[forest,2k->1k]", "dci_completeness[forest,2k->1k]",
        "dci_informativeness[forest,2k->1k]", "sap[linear-svm,2k->1k]"}  # fmt: skip
MIXED = torch.tensor([[1.0, 1, 1], [1, -1, 0.5], [1, 0.7, -1]])


def test_factors_themselves_are_perfect_codes():
    found = scores(torch.eye(3))
    assert set(found) == QUICK | LONG
    # The gap is one less what independent factors seem to share in 2,000 examples.
    assert [found[name] for name in sorted(QUICK)] == pytest.approx([1, 1, 0.99], abs=0.01)
    assert [found[name] for name in sorted(LONG)] == pytest.approx(
        [1, 1, 1, 0.18], abs=0.02
    )  # SAP of categories


def test_every_unit_mixing_all_factors_is_no_code():
    found = scores(MIXED)
    assert found["mig[20-bins,2k]"] < 0.3
    assert found["dci_disentanglement[forest,2k->1k]"] < 0.6
    assert found["dci_completeness[forest,2k->1k]"] < 0.6
    assert found["dci_informativeness[forest,2k->1k]"] > 0.6  # all is there, though mixed
    assert found["sap[linear-svm,2k->1k]"] < 0.09


def test_while_training_no_classifiers_are_trained():
    task = Task(Encoder(torch.eye(3)), Sprites(), split="val")
    assert fits_factors(task) and not fits_readers(task)


def test_only_encoders_and_data_with_factors_are_asked():
    encoder = Encoder(torch.eye(3))
    assert fits_factors(Task(encoder, Sprites()))
    assert not fits_factors(Task(object(), Sprites()))
    assert not fits_factors(Task(encoder, Sprites(binarize="dynamic")))


def test_a_code_that_tells_one_factor_has_one_live_unit_and_says_which_are_lost():
    task = Task(Encoder(torch.diag(torch.tensor([0.0, 1.0, 0.0]))), Grid(), limit=2000)
    (found,) = score_units(task)
    assert found.name == "live_units[var>0.01,2k]"
    assert found.value == 1 and found.unit == "units"
    assert found.details["factor 2"] == pytest.approx(1, abs=1e-4)
    assert found.details["factor 1"] == found.details["factor 3"] < 0.01
