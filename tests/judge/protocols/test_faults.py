"""Planted faults are what they are called, and the judge finds them."""

from dataclasses import replace

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.faults import markdown
from zoo.judge.protocols.faults import FAULTS, plant, score_faults
from zoo.judge.score import Task


@pytest.fixture(scope="module")
def task(features):
    """Half of the digits are kept from training here, so that some remain for every fault."""
    return Task(None, DATASETS["Digits"](val_size=700), "test", 300, features, memory={})


@pytest.fixture(scope="module")
def report(task):
    findings, named = score_faults(task)
    return findings, named


def classes(task, fault):
    """Labels of planted images, found by looking the images up."""
    planted = plant(task, fault).images
    source = task.data.images("train" if fault == "memorised" else "val")
    pool = source.fetch(torch.arange(len(source))).float() / 255
    same = (planted[:, None] == pool[None]).flatten(2).all(2)
    assert bool(same.any(1).all())  # each planted image is an image of the source
    return source.labels[same.int().argmax(1)]


def test_faults_are_what_they_are_called(task):
    counts = {fault: torch.bincount(classes(task, fault), minlength=10)
              for fault in ("none", "dropped", "rare", "collapsed", "memorised")}  # fmt: skip
    assert all(int(count.sum()) == 300 for count in counts.values())
    assert counts["dropped"][[3, 7]].tolist() == [0, 0]
    assert counts["rare"][1] < 0.45 * counts["none"][1]
    assert len(plant(task, "collapsed").images[classes(task, "collapsed") == 5].unique(dim=0)) <= 20
    assert len(plant(task, "none").images.unique(dim=0)) == 300


def test_blurred_images_keep_their_mean_and_lose_their_edges(task):
    sharp, blurred = plant(task, "none").images, plant(task, "blurred").images
    assert blurred.mean() == pytest.approx(float(sharp.mean()), rel=0.05)
    assert blurred.diff(dim=3).square().mean() < 0.9 * sharp.diff(dim=3).square().mean()


def test_each_fault_is_seen_by_the_score_made_for_it(report):
    findings, named = report
    seen = {finding.name.partition("[")[0]: finding.seen for finding in findings}
    assert {"dropped", "blurred"} <= set(seen["fid"])
    assert "memorised" in seen["memorisation_z"] and "memorised" not in seen["fid"]
    assert {"dropped", "rare"} <= set(seen["worst_class_factor"])
    assert named["dropped"]["dropped"] == [3, 7]
    assert named["none"]["dropped"] == named["memorised"]["dropped"] == []
    assert set(named) == {"none", *FAULTS, "memorised"}


def test_too_few_images_are_refused(task):
    with pytest.raises(UserError, match="validation images are left with the fault 'dropped'"):
        plant(replace(task, data=DATASETS["Digits"](val_size=310)), "dropped")
    with pytest.raises(UserError, match="ten classes and a feature network"):
        score_faults(replace(task, features=None))


def test_the_table_marks_what_was_seen():
    finding = {"name": "fid[x]", "none": 1.0, "chance": 0.1, "seen": ["rare"],
               "values": dict.fromkeys((*FAULTS, "memorised"), 2.0)}  # fmt: skip
    named = {fault: {"dropped": [], "rare": []} for fault in ("none", *FAULTS, "memorised")}
    named["rare"]["rare"] = [1]
    lines = markdown({"findings": [finding], "named": named}).splitlines()
    assert lines[2] == "| fid | 1 | 2 | **2** | 2 | 2 | 2 |"
    assert lines[3].count("**1 rare**") == 1
