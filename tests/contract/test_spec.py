"""What a batch is, and what data and models say of it."""

import json
import pickle
import subprocess
import sys
from dataclasses import asdict
from typing import get_args

import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device

from zoo.contract.spec import FIELDS, WORDS, Batch, ImageSpec, Kind, check_kinds, lacking
from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.models import MODELS


def test_every_kind_has_a_field_and_words():
    assert set(get_args(Kind)) == set(FIELDS) == set(WORDS)
    assert set(FIELDS.values()) == set(Batch._fields)


def test_a_specification_is_known_without_torch():
    code = "import sys, zoo.contract.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------ points are a kind


def test_old_records_of_points_read_as_points():
    assert ImageSpec(**{"channels": 2, "height": 1, "width": 1, "classes": 25}).points
    assert not ImageSpec(**{"channels": 2, "height": 1, "width": 2}).points


def test_points_are_a_kind_and_no_shape():
    image = ImageSpec(2, 1, 1, kind="image")
    assert not image.points and ImageSpec(2, 1, 1).points
    assert image != ImageSpec(2, 1, 1)


@pytest.mark.parametrize("spec", [ImageSpec(2, 1, 1), ImageSpec(2, 1, 1, kind="image"),
                                  ImageSpec(3, 4, 4, 2, ("a",), (("b", 2),), target=(1, 4, 4))],
                         ids=str)  # fmt: skip
def test_a_specification_survives_json(spec):
    assert ImageSpec(**json.loads(json.dumps(asdict(spec)))) == spec


@pytest.mark.parametrize("wrong", [{"kind": "points"}, {"kind": "sound"}, {"target": (1, 2)},
                                   {"frames": -1}])  # fmt: skip
def test_impossible_specifications_are_refused(wrong):
    with pytest.raises(UserError):
        ImageSpec(1, 8, 8, **wrong)


# ------------------------------------------------------------------ batches travel


def test_a_batch_moves_and_is_pickled_with_all_its_fields():
    fields = {name: torch.ones(2, 1, 1, 1) for name in Batch._fields}
    batch = Batch(**fields)
    for moved in (batch.to("meta"), move_data_to_device(batch, torch.device("meta"))):
        assert type(moved) is Batch and all(x.device.type == "meta" for x in moved)
    assert torch.equal(pickle.loads(pickle.dumps(batch)).unlabelled, batch.unlabelled)
    few = Batch(torch.ones(2, 1, 1, 1), torch.zeros(2)).to("meta")
    assert few.image.is_meta and few.caption is None


# ------------------------------------------------------------------ needs


def test_data_that_lack_a_kind_are_refused_with_those_that_have_it():
    others = {"A": ("image",), "B": ("image", "caption"), "C": ("points", "label"),
              "D": ("image", "label")}  # fmt: skip
    needs = (("image",), ("caption", "label"))
    check_kinds("M", needs, "B", ("image", "caption"), lambda: others)
    with pytest.raises(UserError, match=r"^M needs captions or labels, which A does not have: "
                                        r"choose B or D\.$"):  # fmt: skip
        check_kinds("M", needs, "A", ("image",), lambda: others)
    with pytest.raises(UserError, match=r"^M needs masks, .* nor has any data set of the zoo\.$"):
        check_kinds("M", (("mask",),), "A", ("image",), lambda: others)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_it_needs_in_words_of_the_contract(name):
    needs = MODELS[name].needs
    assert needs and {kind for need in needs for kind in need} <= set(FIELDS)
    assert any(not lacking(needs, cls.kinds) for cls in DATASETS.values())


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_says_what_its_batches_hold(name):
    cls = DATASETS[name]
    assert set(cls.kinds) <= set(FIELDS)
    spec = getattr(cls, "native", None)
    if spec is not None:
        assert spec.kind in cls.kinds
        assert ("label" in cls.kinds) == (spec.classes > 0)
        assert ("attributes" in cls.kinds) == bool(spec.attributes)
