"""Families train on two processes, which end with the same weights and draw the same images."""

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import read_recipe

ROOT = Path(__file__).resolve().parents[2]
DRIVER = str(Path(__file__).with_name("ranks.py"))
PATIENCE = 900  # seconds; on two idle cores all of it takes a minute


def smallest_recipes():
    """Names the smallest recipe of every family that needs no download."""
    found = {}
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        recipe = read_recipe(path)
        if DATASETS[class_name("data", recipe["data"])].needs.startswith("nothing"):
            found.setdefault(class_name("model", recipe["model"]), []).append(path.stem)
    rank = {name: (not name.endswith("_digits"), len(name)) for n in found.values() for name in n}
    return {family: min(names, key=rank.__getitem__) for family, names in sorted(found.items())}


RECIPES = [path.stem for path in sorted((ROOT / "recipes").glob("*.yaml"))]
SMALLEST = smallest_recipes()
OTHERS = [name for name in RECIPES if name not in SMALLEST.values()]


@pytest.fixture(scope="module")
def ended(tmp_path_factory, offline):
    """Tells what both processes held after training recipes; each set of them is trained once."""
    trained = {}

    def hold(names):
        key = tuple(names)
        if key not in trained:
            trained[key] = _train(tmp_path_factory.mktemp("ranks"), names, offline)
        return trained[key]

    return hold


def _train(folder, names, offline):
    out = folder / "out"
    local = [str(offline(ROOT / "recipes" / f"{name}.yaml", folder)) for name in names]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0",
        "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, DRIVER, str(out), *local], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **common, "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], said[0] + said[1]
    return [torch.load(f"{out}.{rank}", weights_only=True) for rank in (0, 1)]


def test_every_family_is_among_them():
    assert SMALLEST.keys() == set(MODELS)


@pytest.mark.parametrize("recipe", SMALLEST.values())
def test_two_processes_hold_one_model(recipe, ended):
    first, second = (found[recipe] for found in ended(SMALLEST.values()))
    assert not first["still"], f"training did not reach {first['still']}"
    _check_one_model(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", OTHERS)
def test_two_processes_hold_one_model_of_other_recipes(recipe, ended):
    # Three steps may not move all of a larger network.
    _check_one_model(*(found[recipe] for found in ended(OTHERS)))


def _check_one_model(first, second):
    assert first["after"] == second["after"]
    if first["samples"] is not None:
        assert torch.equal(first["samples"], second["samples"])
    # They agree although they saw different images, so what they learnt has been exchanged.
    seen = torch.cat([first["seen"], second["seen"]])
    assert len(first["seen"]) == len(second["seen"]) == 48
    assert len(seen) == len(seen.unique()) == 96
    assert first["steps"] == second["steps"] == 3


def test_two_processes_learn_what_one_learns(ended, tmp_path):
    """The average of both gradients is the gradient of the whole batch."""
    driver = runpy.run_path(DRIVER)
    driver["_quieten"]()
    name, *more = driver["QUIET"]
    before, fit = driver["fitted"](tmp_path, name, "--trainer.devices=1", *more)
    alone, together = fit.model.state_dict(), ended(SMALLEST.values())[0]["quiet"]
    moved, apart = (
        sum(float((a[key] - b[key]).square().sum()) for key in alone) ** 0.5
        for a, b in ((before, alone), (together, alone))
    )
    assert moved > 0.1
    assert apart < 1e-3 * moved
