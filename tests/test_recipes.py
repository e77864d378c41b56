"""Every recipe builds and trains a few steps, offline, on the embedded digits in its own size."""

from pathlib import Path

import pytest

from zoo.fit import run

SLOWLY_JUDGED = ("beta_tcvae_sprites", "beta_vae_sprites", "factor_vae_sprites")
LAB = ("_dots", "_pies", "_pairs")  # recipes that `zoo.probe` judges, by reading what was drawn
RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_trains_a_few_steps(path, tmp_path, offline):
    judged = path.stem not in SLOWLY_JUDGED and not path.stem.endswith(LAB)
    _train(path, tmp_path, offline, judged)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOWLY_JUDGED)
def test_recipe_is_judged(name, tmp_path, offline):
    folder = _train(next(p for p in RECIPES if p.stem == name), tmp_path, offline, True)
    assert folder.evaluation.is_file()


def _train(path, tmp_path, offline, judged):
    fit = run(
        [str(offline(path, tmp_path)), "--trainer.max_epochs", "1",
         "--trainer.limit_train_batches", "2", "--wandb", "off", "--evaluate", str(judged).lower(),
         "--run_root", str(tmp_path / "runs"), "--trainer.accelerator", "cpu",
         *(("--pictures_every", "2") if path.stem.endswith(LAB) else ())]
    )  # fmt: skip
    assert fit.trainer.global_step == 2
    assert fit.folder.last.is_file() and fit.folder.metrics.is_file()
    return fit.folder


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_says_how_it_runs_on_several_devices(path):
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("device" in line for line in head), "the header must speak of several devices"
    assert any("aper" in line for line in head), (
        "the header must cite the paper, or say there is none"
    )
