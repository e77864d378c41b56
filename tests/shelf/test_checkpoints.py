"""Checkpoints of the right outer shape and wrong inside are a sentence, before anything trains."""

import copy
import gzip
import io
import random
from pathlib import Path

import pytest
import torch

import zoo.fit
from zoo.core.errors import UserError
from zoo.shelf.run_weights import load_run, read_checkpoint, read_training

OLD = Path(__file__).parent / "old_run"
REAL = torch.load(io.BytesIO(gzip.decompress((OLD / "last.ckpt.gz").read_bytes())))


def replaced(path, new):
    changed = copy.deepcopy(REAL)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return changed


FIT = ("loops", "fit_loop")
KEPT = ("callbacks", "Checkpoints")
WEIGHT = next(k for k, v in REAL["state_dict"].items() if v.is_floating_point() and v.ndim > 1)
TABLE = {
    "callbacks nothing": (("callbacks",), None, "callbacks must be a mapping, got null"),
    "callbacks a list": (("callbacks",), [], "callbacks must be a mapping"),
    "no callbacks": (("callbacks",), {}, "no state of training"),
    "our callback nothing": (KEPT, None, "callbacks.Checkpoints must be a mapping, got null"),
    "batches in words": ((*KEPT, "batches"), "x", "Checkpoints.batches must be a whole number"),
    "batches below zero": ((*KEPT, "batches"), -5, "must not be below zero, got -5"),
    "batches a fraction": ((*KEPT, "batches"), 1.5, "must be a whole number, got 1.5"),
    "step nothing": ((*KEPT, "step"), None, "Checkpoints.step must be a whole number"),
    "seconds in words": ((*KEPT, "seconds"), "1 s", "Checkpoints.seconds must be a number"),
    "best a list": ((*KEPT, "best_value"), [1], "best_value must be a number"),
    "version a list": (("pytorch-lightning_version",), [1], "must be text, got [1]"),
    "version in words": (("pytorch-lightning_version",), "new", "no known version"),
    "version of another age": (("pytorch-lightning_version",), "0.7.1", "no known version"),
    "loops nothing": (("loops",), None, "loops must be a mapping, got null"),
    "loops empty": (("loops",), {}, "loops.fit_loop must be a mapping, got nothing"),
    "fit loop nothing": (FIT, None, "loops.fit_loop must be a mapping"),
    "fit loop empty": (FIT, {}, "must be a mapping, got nothing"),
    "progress nothing": ((*FIT, "epoch_progress"), None, "epoch_progress must be a mapping"),
    "progress in words": ((*FIT, "epoch_progress", "total", "ready"), "x", "a whole number"),
    "progress below zero": (
        (*FIT, "epoch_progress", "current", "completed"), -7, "must not be below zero"
    ),
    "loader in words": ((*FIT, "state_dict"), {"combined_loader": "x"}, "combined_loader must"),
    "optimizers nothing": (("optimizer_states",), None, "optimizer_states must be a list"),
    "optimizers numbers": (("optimizer_states",), [1], "optimizer_states[0] must be a mapping"),
    "optimizer empty": (("optimizer_states",), [{}], "optimizer_states[0].state must be"),
    "schedulers in words": (("lr_schedulers",), "x", "lr_schedulers must be a list"),
    "epoch in words": (("epoch",), "first", "epoch must be a whole number"),
    "steps nothing": (("global_step",), None, "global_step must be a whole number"),
}  # fmt: skip
TENSORS = {
    "sparse": lambda dense: dense.flatten(1).to_sparse(),
    "compressed": lambda dense: dense.flatten(1).to_sparse_csr(),
    "meta": lambda dense: dense.to("meta"),
    "complex": lambda dense: dense.to(torch.complex64),
    "whole numbers": lambda dense: dense.long(),
    "quantized": lambda dense: torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8),
    "one number": lambda dense: torch.tensor(1.0),
}


@pytest.fixture
def run(tmp_path):
    """The old run, whose checkpoint a test writes."""
    for name in ("recipe.yaml", "environment.json", "metrics.csv"):
        (tmp_path / name).write_bytes((OLD / name).read_bytes())
    (tmp_path / "checkpoints").mkdir()
    torch.save(REAL, tmp_path / "checkpoints" / "last.ckpt")
    return tmp_path


def last(run):
    return run / "checkpoints" / "last.ckpt"


def test_a_sound_checkpoint_is_read(run):
    assert read_training(last(run)).keys() == REAL.keys()


@pytest.mark.parametrize("case", TABLE)
def test_each_kind_of_damage_is_a_sentence(case, run):
    path, new, words = TABLE[case]
    torch.save(replaced(path, new), last(run))
    with pytest.raises(UserError) as refused:
        read_training(last(run))
    assert words in str(refused.value) and str(last(run)) in str(refused.value)
    assert len(str(refused.value)) < 400 + len(str(run))
    read_checkpoint(last(run))  # its weights are sound


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", TENSORS)
def test_weights_that_are_no_plain_tensors_are_a_sentence(case, run):
    torch.save(
        replaced(("state_dict", WEIGHT), TENSORS[case](REAL["state_dict"][WEIGHT])), last(run)
    )
    with pytest.raises(UserError, match=r"not a plain tensor|another architecture|a readable"):
        load_run(run)


@pytest.mark.parametrize("case", ["loops nothing", "batches in words", "version a list"])
def test_nothing_trains_on_from_a_damaged_checkpoint(case, run, capsys):
    path, new, words = TABLE[case]
    torch.save(replaced(path, new), last(run))
    before = sorted(p.name for p in run.rglob("*"))
    line = [str(run / "recipe.yaml"), "--ckpt_path", str(last(run)), "--wandb", "off"]
    assert zoo.fit.main([*line, "--trainer.max_epochs", "999"]) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
    assert sorted(p.name for p in run.rglob("*")) == before


def nodes(value, path=()):
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from nodes(value[key], (*path, key))


def test_no_node_replaced_by_another_kind_is_a_traceback(run):
    chance = random.Random(0)
    found = [path for path in nodes(REAL) if path[0] != "state_dict"]
    for path in chance.sample(found, min(60, len(found))):
        other = chance.choice(("x", -9, 1.5, True, None, [], [1], {}, {"a": 1}, 10**30, [[None]]))
        torch.save(replaced(path, other), last(run))
        try:
            read_training(last(run))
        except UserError as error:
            assert str(last(run)) in str(error) and len(str(error)) < 500
