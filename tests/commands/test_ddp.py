"""Two processes of one run: disjoint data, equal weights, one voice, and no survivor."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from zoo.data.loader import Order
from zoo.judge.catalogue import find

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 9  # per epoch: 1,257 images, 128 a batch
TWO = (
    "--trainer.devices=2", "--trainer.max_epochs=2", "--pictures_every=2", "--data.batch_size=128",
)  # fmt: skip
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def finish(process, seconds=240):
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, output, errors


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def check_run(runs, name, output, final):
    """Checks what two processes have left: one run, equal states, disjoint data."""
    folder = runs.folder(name)  # fails if there are two
    first, second = (torch.load(f"{final}.{rank}", weights_only=True) for rank in (0, 1))
    assert first["state"].keys() == second["state"].keys()
    for key, tensor in first["state"].items():
        assert torch.equal(tensor, second["state"][key]), key
    saved = runs.checkpoint(name)["state_dict"]
    assert all(torch.equal(tensor, saved[key]) for key, tensor in first["state"].items())

    alone = Order(1257, 128, shuffle=True, seed=0)
    alone.set_epoch(1)
    both = torch.cat([half["seen"].view(BATCHES, 64) for half in (first, second)], dim=1)
    assert torch.equal(both.sort(dim=1).values, torch.stack(alone.batches()).sort(dim=1).values)

    with (folder / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [5, 10, 15, 18]
    for words in ("run folder", "1/2", "2/2", "done in"):
        assert output.count(words) == 1, output
    assert runs.checkpoint(name)["global_step"] == 2 * BATCHES


def test_two_processes_train_one_model(runs, tmp_path):
    final = tmp_path / "final"
    process = runs.start(json.dumps({"final_state": str(final)}), *TWO)
    code, output, errors = finish(process)
    assert code == 0, errors
    check_run(runs, "infogan_digits", output, final)
    assert errors.strip() == ""
    assert "2 processes take 64 images each of every batch; each takes the moments of " in output

    # The same figure as one process finds on the same weights.
    from zoo.data import DATASETS
    from zoo.judge.run import evaluate
    from zoo.judge.score import Task
    from zoo.shelf.run_weights import load_run

    model, data = load_run(runs.folder()), DATASETS["Digits"](batch_size=64)
    scores = {score.name: score.value for score in evaluate(Task(model, data, "val", 5000))[0]}
    with (runs.folder() / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    compared = [name for name in scores if name.startswith(("code_error", "nmi"))]
    assert compared
    for name in compared:
        assert float(last[f"val/{name}"]) == pytest.approx(scores[name], abs=1e-6)


def test_a_child_that_dies_ends_the_run(runs):
    plan = '{"kill_at": 12, "ranks": [1], "say": 11}'
    process = runs.start(plan, *TWO, f"--save_every={BATCHES}")
    assert _until_ready(process) == process.pid
    start = time.monotonic()
    code, _, errors = finish(process, 60)
    assert time.monotonic() - start < 30
    assert code == 1
    assert errors.count("zoo.fit:") == 1, errors
    assert "process 1 of the run was killed (SIGKILL)" in errors
    assert "Traceback" not in errors
    assert runs.checkpoint()["callbacks"]["Checkpoints"]["batches"] == BATCHES


def test_no_child_outlives_the_run(runs):
    """The first process is killed while the second one waits for it."""
    process = runs.start('{"say": 5, "wait": 0.2}', *TWO)
    _until_ready(process)
    (child,) = children_of(process.pid)
    process.kill()
    end = time.monotonic() + 30
    while alive(child) and time.monotonic() < end:
        time.sleep(0.1)
    assert not alive(child)
    process.communicate(timeout=10)
    assert process.returncode == -9


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [[0], [1], [0, 1]], ids=str)
def test_terms_that_are_not_finite_are_told_once(runs, ranks):
    process = runs.start(json.dumps({"nan_at": 12, "ranks": ranks}), *TWO)
    code, _, errors = finish(process)
    assert code == 2, errors
    assert errors.count("zoo.fit:") == 1, errors
    assert "train/generator_loss became nan in epoch 2, batch 13" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_torchrun_trains_one_model(runs, tmp_path):
    final = tmp_path / "final"
    plan = json.dumps({"final_state": str(final)})
    code, output, errors = finish(runs.start(plan, *TWO, launcher=TORCHRUN))
    assert code == 0, errors
    check_run(runs, "infogan_digits", output, final)


@pytest.mark.slow
def test_torchrun_ends_with_a_rank(runs):
    start = time.monotonic()
    plan = '{"kill_at": 12, "ranks": [1]}'
    code, _, errors = finish(runs.start(plan, *TWO, launcher=TORCHRUN))
    assert code == 1
    assert time.monotonic() - start < 120
    assert errors.count("zoo.fit:") <= 1, errors


@pytest.mark.slow
def test_a_wrong_request_under_torchrun_is_told_once(runs):
    wrong = "--model.categories=1"
    code, _, errors = finish(runs.start("{}", *TWO, wrong, launcher=TORCHRUN))
    assert code == 1  # torchrun's own
    assert errors.count("categories must") == 1, errors


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_several_processes_stop_together(runs, signum):
    plan = json.dumps({"signal_at": 4, "signal": signum, "wait": 0.05})
    code, _, errors = finish(runs.start(plan, *TWO, "--trainer.max_epochs=20"))
    assert code == 128 + signum, errors
    batches = runs.checkpoint()["callbacks"]["Checkpoints"]["batches"]
    assert f"stopped after batch {batches}" in errors
    assert batches == 9  # asked at batch 5: the next common look is at the end of the epoch
    assert "Traceback" not in errors


@pytest.mark.slow
def test_two_processes_continue(runs):
    plan = '{"kill_at": 12, "ranks": [0]}'
    code, _, errors = finish(runs.start(plan, *TWO, f"--save_every={BATCHES}"))
    assert code == -9
    code, output, errors = finish(runs.start("{}", *TWO, "--ckpt_path=last"))
    assert code == 0, errors
    assert "continuing last.ckpt after batch 9" in output
    assert runs.checkpoint()["global_step"] == 2 * BATCHES


def test_several_processes_are_not_started_from_python(runs, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest", "tests"])
    assert runs.here(*TWO) == 2
    assert "only started from the command line" in capsys.readouterr().err
    assert not list(runs.root.iterdir())


def test_a_batch_that_cannot_be_shared_is_refused(runs, capsys, monkeypatch):
    line = ("--trainer.devices=2", "--data.batch_size=63")
    monkeypatch.setattr(sys, "argv", ["zoo.fit", *runs.arguments(*line)])
    assert runs.here(*line) == 2
    told = capsys.readouterr()
    assert "--data.batch_size 63 cannot be shared equally by 2 processes" in told.err
    assert "choose 62 or 64" in told.err
    assert len(told.err.splitlines()) == 1 and told.out == ""
    assert not list(runs.root.iterdir())


SHORT = {
    "infogan_digits": (60, "code_error", 0.05),
    "vae_digits": (30, "elbo", 0.3),
}  # epochs, a score, and what seeds make of it at least


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SHORT)
def test_a_recipe_means_the_same_on_one_and_on_two_processes(tmp_path, recipe):
    """The noise of a step differs, as between seeds; the law does not."""
    epochs, score, least = SHORT[recipe]

    def figure(seed, devices):
        root = tmp_path / f"{seed}-{devices}"
        line = [
            sys.executable, "-m", "zoo.fit", f"recipes/{recipe}.yaml", f"--run_root={root}",
            f"--seed_everything={seed}", f"--trainer.devices={devices}", "--wandb=off",
            f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu", "--pictures_every=1000",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        subprocess.run(line, cwd=ROOT, check=True, capture_output=True, env=environment)
        (report,) = root.glob("*/*/evaluation.json")
        return find(json.loads(report.read_text())["scores"], score)["value"]

    one = torch.tensor([figure(seed, 1) for seed in range(4)])
    two = torch.tensor([figure(seed, 2) for seed in range(3)])
    spread = max(float(one.std()), least)
    assert abs(float(two.mean() - one.mean())) < 2 * spread, (one, two)


def _until_ready(process):
    """Reads what a process says up to its word that it is ready; returns its number."""
    for line in process.stdout:
        if line.startswith("ready"):
            return int(line.split()[1])
    raise AssertionError(process.stderr.read())


@pytest.fixture(autouse=True)
def no_survivors():
    """No test leaves a process behind."""
    before = set(children_of(os.getpid()))
    yield
    assert set(children_of(os.getpid())) <= before
