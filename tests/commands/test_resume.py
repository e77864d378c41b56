"""Kill a run at any moment: it continues to the very weights that it would have had."""

import csv
import json

import pytest
import torch

from zoo.fit import main

BATCHES = 19  # per epoch
COMMON = ("--save_every=7", "--data.binarize=dynamic", "--pictures_every=2")
ACCIDENTS = {
    "in mid-epoch": {"kill_at": 30},
    "before the first batch of an epoch": {"kill_at": 38},
    "in the first batch after a checkpoint and a row": {"kill_at": 35},
    "while writing a checkpoint": {"tear": 4},
}


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def assert_equal(a, b, where=""):
    """Compares nested states bit by bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{index}")
    else:
        assert a == b, where


@pytest.fixture(scope="module")
def killed(shared_runs):
    """Starts the runs that will be killed, and meanwhile the one that will not."""
    plan = json.dumps(list(ACCIDENTS.values()))
    process = shared_runs.start(plan, *COMMON, name="killedNAME")
    assert shared_runs.here(*COMMON, name="whole") == 0
    output, errors = process.communicate(timeout=300)
    assert json.loads(output.splitlines()[-1]) == [-9] * len(ACCIDENTS), errors
    return {what: f"killed{index}" for index, what in enumerate(ACCIDENTS)}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_killed_run_continues_to_equal_weights(shared_runs, killed, accident):
    name, whole = killed[accident], shared_runs.checkpoint("whole")
    before = shared_runs.checkpoint(name)  # readable, whatever happened
    assert 0 < before["global_step"] < whole["global_step"] == 3 * BATCHES

    assert shared_runs.here(*COMMON, "--ckpt_path=last", name=name) == 0

    after = shared_runs.checkpoint(name)
    assert_equal(after["state_dict"], whole["state_dict"])
    assert_equal(after["optimizer_states"], whole["optimizer_states"])
    assert after["global_step"] == whole["global_step"]
    assert after["epoch"] == whole["epoch"]
    assert after["callbacks"]["Checkpoints"]["batches"] == 3 * BATCHES
    assert rows(shared_runs.folder(name)) == rows(shared_runs.folder("whole"))
    left = [path.name for path in shared_runs.folder(name).rglob("*") if path.is_file()]
    assert sorted(left) == sorted(
        path.name for path in shared_runs.folder("whole").rglob("*") if path.is_file()
    )


def test_rows_are_one_per_step(shared_runs, killed):
    found = rows(shared_runs.folder("whole"))
    steps = [int(row["step"]) for row in found]
    # Every fifth batch, and the ends of the second and of the last epoch, which are scored.
    assert steps == sorted({*range(5, 58, 5), 2 * BATCHES, 3 * BATCHES})
    assert [int(row["epoch"]) for row in found] == [(step - 1) // BATCHES for step in steps]
    assert found[-1]["val/code_error[one-to-one,train->val]"]


def test_the_weights_depend_on_all_batches(shared_runs, killed):
    """The comparison above would pass if training did nothing."""
    first = shared_runs.checkpoint("whole")["state_dict"]
    assert shared_runs.here(*COMMON, "--seed_everything=1", name="other") == 0
    other = shared_runs.checkpoint("other")["state_dict"]
    weights = [key for key in first if first[key].is_floating_point()]
    assert all(not torch.equal(first[key], other[key]) for key in weights if "weight" in key)


def test_a_finished_run_continues_with_more_epochs(shared_runs, killed):
    """Schedules see another plan, so the weights differ; the count goes on without a seam."""
    two = ("--trainer.max_epochs=2",)
    assert shared_runs.here(*COMMON, *two, name="longer") == 0
    assert shared_runs.here(*COMMON, "--ckpt_path=last", name="longer") == 0
    whole, longer = shared_runs.checkpoint("whole"), shared_runs.checkpoint("longer")
    assert longer["global_step"] == whole["global_step"]
    assert longer["epoch"] == whole["epoch"]
    a, b = (rows(shared_runs.folder(name)) for name in ("longer", "whole"))
    assert [(r["step"], r["epoch"]) for r in a] == [(r["step"], r["epoch"]) for r in b]


def test_a_runs_own_recipe_continues_that_run_and_not_a_newer_one(runs):
    one = (*COMMON, "--trainer.max_epochs=1")
    assert runs.here(*one, "--seed_everything=3") == 0
    older = runs.folder()
    assert runs.here(*one, "--seed_everything=4", "--name=newer") == 0
    (newer,) = (runs.root / "newer").iterdir()
    newer = newer.rename(older.with_name("newer"))
    before = rows(newer)
    line = ["--ckpt_path=last", "--trainer.max_epochs=2"]
    assert main([str(older / "recipe.yaml"), *line]) == 0
    assert rows(newer) == before and int(rows(older)[-1]["step"]) == 2 * BATCHES


def test_another_seed_is_refused(shared_runs, killed, capsys):
    code = shared_runs.here(*COMMON, "--ckpt_path=last", "--seed_everything=5", name="whole")
    assert code == 2
    assert "seed_everything 0, not 5" in capsys.readouterr().err
    recipe = shared_runs.folder("whole") / "recipe.yaml"
    assert "seed_everything: 0" in recipe.read_text()  # the record tells what was run
