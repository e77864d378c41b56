"""Scores of samples with known answers: real images, lost classes, copies."""

from dataclasses import replace

import pytest
import torch

from zoo.evaluation import Task, evaluate, fitting
from zoo.evaluation.samples import collect, sample_chunks


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
    assert value["gel_diversity"] > 0.8  # what the classifier calls wrongly is counted elsewhere
    assert value["class_variation"] < 0.03  # the errors of the classifier
    assert value["worst_class_factor"] < 1.2
    assert value["inception_style"] > 9


def test_real_images_that_were_not_trained_on_are_no_copies(perfect):
    assert perfect["memorisation_z"].value == pytest.approx(0, abs=1e-9)
    assert perfect["memorisation_z"].details["closer"] == pytest.approx(0.5)


def test_names_carry_the_protocol(perfect):
    assert perfect["fid"].name == "fid[digits-features,360,test]"
    assert perfect["gel_dropped"].name == "gel_dropped[kernel-et,36w,digits-features,360,test]"
    assert perfect["memorisation_z"].name == "memorisation_z[digits-features,360,1257-train/test]"


def test_lost_classes_are_named_exactly(replay, images, digits, features):
    found = scores_of(replay(images("test", without=(3, 7))[0]), digits, features)
    assert found["gel_dropped"].details["dropped"] == [3, 7]
    assert found["gel_dropped"].value == 2
    ratio = found["gel_divergence"].details["mass_ratio"]
    assert max(ratio[3], ratio[7]) < 0.25 < min(r for k, r in enumerate(ratio) if k not in (3, 7))
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


def test_processes_share_out_the_same_samples(replay, images, digits):
    whole = Task(replay(images("train")[0]), digits, split="train", limit=1200)
    parts = [list(sample_chunks(replace(whole, rank=rank, world=2))) for rank in (0, 1)]
    assert [len(chunk) for chunk in parts[0] + parts[1]] == [500, 200, 500]
    joined = torch.cat([parts[0][0], parts[1][0], parts[0][1]])
    assert torch.equal(joined, torch.cat(list(sample_chunks(whole))))
    assert not torch.equal(parts[0][0], parts[1][0])


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
