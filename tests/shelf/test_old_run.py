"""A run from before the house was rebuilt loads, and goes on: its records name the old places."""

import gzip
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import zoo
from zoo.recipe.reading import read_recipe

OLD = Path(__file__).with_name("old_run")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "vae_digits" / "2026-11-28_21-57-54"
    shutil.copytree(OLD, folder)
    (folder / "checkpoints").mkdir()
    content = gzip.decompress((folder / "last.ckpt.gz").read_bytes())
    (folder / "checkpoints" / "last.ckpt").write_bytes(content)
    return folder


@pytest.mark.parametrize("path", ["zoo.models.VAE", "zoo.models.vae.VAE", "VAE"])
def test_an_old_run_loads(run, path):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["model"]["class_path"] = path
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    model = zoo.load_run(run)
    images = model.sample(4, seed=0)
    assert images.shape == (4, 1, 8, 8)
    found = [round(float(value), 4) for value in images.mean(dim=(1, 2, 3))]
    assert found == pytest.approx(SAMPLED, abs=2e-4)


SAMPLED = [0.4697, 0.4790, 0.4775, 0.4684]  # of the same weights, before


# With older releases of Lightning than the run's, which the project admits, too.
@pytest.mark.filterwarnings("ignore:The loaded checkpoint was produced with Lightning")
def test_an_old_run_goes_on(run, monkeypatch):
    from zoo import fit

    monkeypatch.setenv("WANDB_MODE", "disabled")
    last = run / "checkpoints" / "last.ckpt"
    options = ["--ckpt_path", str(last), "--trainer.max_epochs", "3", "--evaluate", "false"]
    assert fit.main([str(run / "recipe.yaml"), *options]) == 0
    state = torch.load(last, weights_only=True)
    assert state["epoch"] == 2 and state["callbacks"]["Checkpoints"]["batches"] == 57
    assert read_recipe(run / "recipe.yaml")["trainer"]["max_epochs"] == 3


LOOPS = [
    ("epoch_loop.automatic_optimization.optim_progress",),
    ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total"),
    ("epoch_loop.val_loop.batch_progress", "total"),
    ("epoch_loop.scheduler_progress", "current", "ready"),
    ("epoch_loop.manual_optimization.optim_step_progress", "total", "completed"),
]


@pytest.mark.parametrize("place", LOOPS, ids=lambda place: place[-1])
@pytest.mark.parametrize("value", ["gone", None, "x", []], ids=str)
def test_loops_that_cannot_be_taken_up_are_a_sentence(run, place, value, monkeypatch, capsys):
    from zoo import fit

    monkeypatch.setenv("WANDB_MODE", "disabled")
    last = run / "checkpoints" / "last.ckpt"
    state = torch.load(last, weights_only=True)
    inner = state["loops"]["fit_loop"]
    for key in place[:-1]:
        inner = inner[key]
    assert place[-1] in inner
    if value == "gone":
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    torch.save(state, last)
    options = ["--ckpt_path", str(last), "--trainer.max_epochs", "3", "--evaluate", "false"]
    assert fit.main([str(run / "recipe.yaml"), *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is damaged" in said and str(place[-1]) in said
