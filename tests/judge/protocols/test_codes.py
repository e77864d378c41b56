"""Codes with known answers: a permutation of the classes, and more codes than classes."""

import pytest
import torch

from zoo.judge.protocols.codes import score_codes
from zoo.judge.run import evaluate
from zoo.judge.score import Task


@pytest.fixture
def labelled(toy, digits):
    """A model that knows all images by heart and answers with a function of the label."""
    known = {}
    for split in ("train", "test"):
        images = digits.images(split)
        for number, label in enumerate(images.labels.tolist()):
            known[images.fetch(torch.tensor([number])).numpy().tobytes()] = label

    def build(num_codes, code):
        model = toy()
        model.num_codes = num_codes

        def classify(x):
            rows = (x * 255).round().to(torch.uint8)
            return torch.tensor([code(known[row[None].numpy().tobytes()]) for row in rows])

        model.classify = classify
        return model

    return build


def test_a_permutation_of_the_classes_has_no_error(labelled, digits):
    error, nmi, ari = evaluate(Task(labelled(10, lambda label: (label * 3 + 1) % 10), digits))[0]
    assert error.name == "code_error[one-to-one,train->test]"
    assert (error.value, nmi.value, ari.value) == (0, pytest.approx(1), pytest.approx(1))


def test_two_classes_in_one_code_cost_one_of_them(labelled, digits):
    """One-to-one matching cannot give a code two classes."""
    error = evaluate(Task(labelled(10, lambda label: 0 if label == 1 else label), digits))[0][0]
    labels = digits.images("test").labels
    lost = (
        min(int((labels == k).sum()) for k in (0, 1)),
        max(int((labels == k).sum()) for k in (0, 1)),
    )
    assert round(error.value * 360) in lost


def test_more_codes_than_classes_are_matched_by_vote_and_say_so(labelled, digits):
    seen = {}

    def code(label):
        seen[label] = seen.get(label, 0) + 1
        return label + 10 * (seen[label] % 2)

    error = evaluate(Task(labelled(20, code), digits))[0][0]
    assert error.name == "code_error[majority-of-20,train->test]"
    assert error.value == 0


def test_the_feature_network_is_scored_as_a_classifier(digits, features):
    (score,) = evaluate(Task(features.network, digits))[0]
    assert score.name == "error[test]"
    wrong = features(digits.images("test").fetch(torch.arange(360)).float() / 255)[1].argmax(1)
    assert score.value == pytest.approx(
        float((wrong != digits.images("test").labels).float().mean()), abs=1e-6
    )
    assert score.value < 0.05


def test_a_name_says_how_much_of_the_split_was_looked_at(digits):
    # 200 of 360 images give another figure than all of them, so it must have another name.
    model = type("Coded", (), {"num_codes": 10, "device": torch.device("cpu")})()
    model.classify = lambda x: torch.zeros(len(x), dtype=torch.int64)
    part = score_codes(Task(model, digits, limit=200))
    assert [score.name for score in part] == [
        "code_error[one-to-one,train->test:200]", "nmi[codes,test:200]", "ari[codes,test:200]"
    ]  # fmt: skip
