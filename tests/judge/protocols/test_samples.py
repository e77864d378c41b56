"""Scores of samples with known answers: real images, lost classes, copies."""

from dataclasses import replace

import pytest
import torch

from zoo.data import DATASETS
from zoo.judge.banks import collect, sample_chunks
from zoo.judge.run import evaluate, fitting
from zoo.judge.score import Task


def scores_of(model, digits, features):
    return {
        score.name.partition("[")[0]: score
        for score in evaluate(Task(model, digits, features=features))[0]
    }


@pytest.fixture(scope="module")
def perfect(replay, images, digits, features):
    return scores_of(replay(images("test")[0]), digits, features)


def test_real_images_score_as_real(perfect):
    value = {name: score.value for name, score in perfect.items()}
    assert value["fid"] == pytest.approx(0, abs=1e-6)
    assert value["kid"] < 0.01  # an unbiased estimate, which the very same images bring below 0
    assert value["precision"] == value["recall"] == value["coverage"] == 1
    assert value["gel_divergence"] == pytest.approx(0, abs=1e-6)
    assert value["gel_dropped"] == 0
    assert value["gel_imbalance"] == pytest.approx(0, abs=1e-3)
    assert value["gel_diversity"] > 0.8
    assert perfect["gel_diversity"].details["collapsed"] == []
    assert value["class_variation"] < 0.03  # the errors of the classifier
    assert value["worst_class_factor"] < 1.2
    assert value["inception_style"] > 9


def test_real_images_that_were_not_trained_on_are_no_copies(perfect):
    assert abs(perfect["memorisation_z"].value) < 2
    assert perfect["memorisation_z"].details["closer"] == pytest.approx(0.5, abs=0.05)


def test_names_carry_the_protocol(perfect):
    assert perfect["fid"].name == "fid[digits-features,360,test]"
    assert perfect["gel_dropped"].name == "gel_dropped[kernel-et,36w,digits-features,360,test]"
    assert perfect["memorisation_z"].name == "memorisation_z[digits-features,360,1257-train/val]"


def test_lost_classes_are_named_exactly(replay, images, digits, features):
    found = scores_of(replay(images("test", without=(3, 7))[0]), digits, features)
    assert found["gel_dropped"].details["dropped"] == [3, 7]
    assert found["gel_dropped"].value == 2
    ratio = found["gel_imbalance"].details["mass_ratio"]
    assert max(ratio[3], ratio[7]) < 0.2 < min(r for k, r in enumerate(ratio) if k not in (3, 7))
    shares = found["worst_class_factor"].details["class_share"]
    assert max(shares[3], shares[7]) < 0.02
    assert found["class_variation"].value > 0.15


def test_a_class_that_never_comes_has_no_finite_factor(replay, images, digits, features):
    """JSON knows no infinity: the value is missing and the details say why."""
    twos, labels = images("test")
    found = scores_of(replay(twos[labels == 2]), digits, features)
    assert found["worst_class_factor"].value is None
    assert found["worst_class_factor"].details["status"] == "infinite"


def test_copies_of_training_images_are_caught(replay, images, digits, features):
    found = scores_of(replay(images("train")[0]), digits, features)
    assert found["memorisation_z"].value < -15
    assert found["memorisation_z"].details["closer"] == 1
    assert found["gel_dropped"].value == 0  # copies have no other fault


def test_samples_unlike_all_real_images_belong_to_no_class(replay, digits, features):
    noise = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    scores = evaluate(Task(replay(noise), digits, features=features))[0]
    tried = [score for score in scores if score.name.startswith("gel_divergence")]
    assert [score.value for score in tried] == [None]  # a quarter is less than one per class
    assert not any(score.name.startswith(("gel_dropped", "gel_diversity")) for score in scores)


def test_bits_are_compared_with_bits_and_probabilities_with_greys(replay, features):
    digits = DATASETS["Digits"](binarize="dynamic")
    grey = DATASETS["Digits"]().images("test").fetch(torch.arange(360)).float() / 255
    bits = digits.with_bits("static").images("test").fetch(torch.arange(360)).float() / 255
    for pool, tag in ((grey, "test]"), (bits, "test,bits]")):
        scores = evaluate(Task(replay(pool), digits, features=features))[0]
        (fid,) = (score for score in scores if score.name.startswith("fid"))
        assert fid.name.endswith(tag)
        assert fid.value == pytest.approx(0, abs=1e-6)


def test_training_is_not_disturbed_by_a_judge(replay, images, digits, features):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    evaluate(Task(replay(images("test")[0]), digits, features=features))
    assert torch.equal(torch.rand(1), expected)


def test_processes_share_out_the_same_samples(replay, images, digits):
    whole = Task(replay(images("train")[0]), digits, split="train", limit=1150)
    parts = [list(sample_chunks(replace(whole, rank=rank, world=2))) for rank in (0, 1)]
    assert [number for number, _ in parts[0]] == [0, 2]
    joined = dict(parts[0] + parts[1])
    for number, chunk in sample_chunks(whole):
        assert torch.equal(joined[number], chunk)
    assert not torch.equal(joined[0], joined[1])


def test_a_memory_draws_once_and_keeps_the_images(replay, images, digits, features):
    model = replay(images("test")[0])
    task = Task(model, digits, features=features, memory={})
    evaluate(task)
    bank = collect(task, "samples")
    assert model.drawn == 360
    assert bank.images.dtype == torch.uint8
    again = task.features(bank.images.float() / 255)[0]
    torch.testing.assert_close(again, bank.features)
    assert collect(Task(model, digits, features=features), "samples").images is None


def test_without_a_feature_network_samples_are_not_scored(replay, images, digits):
    assert fitting(Task(replay(images("test")[0]), digits)) == []


def test_other_sizes_and_colours_are_brought_to_the_networks(digits, features, images):
    x = images("test")[0][:4]
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
    assert features(large)[0].shape == features(x)[0].shape
    assert features(large)[1].argmax(1).tolist() == features(x)[1].argmax(1).tolist()
