"""Every recipe builds and trains a few steps, offline, on the embedded digits in its own size."""

from pathlib import Path

import pytest
import yaml

from zoo.data import DATASETS, Digits
from zoo.fit import run
from zoo.recipe import arguments_of, read_recipe

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.yaml"))


def embedded(recipe):
    """Returns the recipe's data section with the digits in the place of its data set."""
    arguments = dict(recipe["data"].get("init_args") or {})
    if DATASETS[recipe["data"]["class_path"]].needs.startswith("nothing"):
        return recipe["data"]  # it is always there: train on it as it is
    native = getattr(DATASETS[recipe["data"]["class_path"]], "native", None)
    side = native.height if native else arguments.get("size", 64)  # folders are of any size
    if side != 8:
        arguments.setdefault("resize", side)
    kept = {k: v for k, v in arguments.items() if k in arguments_of(Digits)}
    return {"class_path": "Digits", "init_args": {**kept, "batch_size": 16}}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_trains_a_few_steps(path, tmp_path):
    recipe = read_recipe(path)
    local = tmp_path / path.name
    local.write_text(yaml.safe_dump({**recipe, "data": embedded(recipe)}))
    fit = run(
        [str(local), "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2",
         "--wandb", "off", "--run_root", str(tmp_path / "runs"), "--trainer.accelerator", "cpu"]
    )  # fmt: skip
    assert fit.trainer.global_step == 2
    assert fit.folder.last.is_file() and fit.folder.metrics.is_file()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_says_how_it_runs_on_several_devices(path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("device" in line for line in head), "the header must speak of several devices"
    assert any("aper" in line for line in head), (
        "the header must cite the paper, or say there is none"
    )
