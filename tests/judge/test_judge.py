"""The judge finds what it is asked for, or says in a sentence why not."""

import json
import math
from dataclasses import replace

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.judge.run import fitting
from zoo.judge.score import Score
from zoo.judge.subject import (
    Subject,
    data_for,
    features_for,
    find_subject,
    judge,
    read_report,
    task_for,
)


@pytest.fixture
def subject(replay, images, digits, tmp_path):
    model = replay(images("test")[0], digits.spec)
    section = {"class_path": "Digits", "init_args": {"batch_size": 32}}
    return Subject("toy", model, section, "0" * 64, None, tmp_path)


def test_a_report_holds_all_that_changes_a_figure(subject, digits, features):
    task = task_for(subject, digits, features, "quick")
    report = judge(subject, task, "quick")
    assert report["weights_sha256"] == "0" * 64
    assert report["data"]["sha256"]["test"] == digits.fingerprint("test")
    assert report["features"] == {"name": "digits-features", "sha256": features.sha256}
    assert (report["preset"], report["split"], report["limit"]) == ("quick", "test", 2000)
    again = judge(subject, task, "quick")
    assert again["scores"] == report["scores"]
    json.dumps(report, allow_nan=False)


def test_a_report_is_read_back(subject, digits, features, tmp_path):
    report = judge(subject, task_for(subject, digits, features, "full"), "full")
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert read_report(path) == report
    path.write_text('{"scores": []}')
    with pytest.raises(UserError, match="not a readable report"):
        read_report(path)


def test_nothing_to_judge_is_said(subject, digits):
    idle = replace(subject, model=torch.nn.Identity())
    with pytest.raises(UserError, match="no protocol fits toy on Digits: what the model can do is"):
        judge(idle, task_for(idle, digits, None, "quick"), "quick")
    # samples without a feature network are judged by their pixels
    assert task_for(subject, digits, None, "quick").features.name == "pixels-8x8"


def test_data_come_from_the_recipe_or_by_name(subject):
    assert data_for(subject, None, None).batch_size == 32
    assert type(data_for(subject, "Digits", None)).__name__ == "Digits"
    with pytest.raises(UserError, match="Did you mean Digits"):
        data_for(subject, "digitz", None)


def test_models_of_bits_and_of_greys_are_compared_on_data_that_are_named(subject):
    """Naming the data is what a refusal to compare advises; bits would differ from greys again."""
    section = {"class_path": "Digits", "init_args": {"binarize": "dynamic", "pad": 12}}
    bits = replace(subject, data=section)
    subject.model.spec = ImageSpec(1, 12, 12, 10)
    assert data_for(bits, None, None).binarize == "dynamic"
    named = data_for(bits, "Digits", None)
    assert named.binarize == "none" and named.spec.shape == (1, 12, 12)


def test_data_of_another_shape_are_refused(subject):
    subject.model.spec = ImageSpec(1, 28, 28, 10)
    with pytest.raises(UserError, match=r"\(1, 28, 28\)"):
        data_for(subject, None, None)


def test_wrong_names_are_answered(subject, digits):
    with pytest.raises(UserError, match="Did you mean quick"):
        task_for(subject, digits, None, "quik")
    with pytest.raises(UserError, match="no model"):
        features_for(digits, "features_dogs")
    with pytest.raises(UserError, match="no model 'infogan_dogs'"):
        find_subject("infogan_dogs")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no recipe\.yaml"):
        find_subject(str(tmp_path))


def test_features_of_other_data_are_none(toy, digits, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_SHELF", str(tmp_path))
    assert features_for(digits) is None


def test_a_feature_network_is_asked_for_its_capability(features, digits):
    from zoo.judge.score import Task

    assert fitting(Task(features.network, digits, features=features)) == ["classifier"]


@pytest.mark.parametrize(
    ("value", "status"), [(math.inf, "infinite"), (math.nan, "undefined"), (-math.inf, "infinite")]
)
def test_scores_that_are_no_numbers_say_so(value, status):
    score = Score("x", value, details={"more": 1}).finite()
    assert score.value is None
    assert score.details == {"more": 1, "status": status}
