"""Ten trials of each recipe on the grid of 25 Gaussians, by the protocol of PacGAN.

    python -m pytest -m slow -s tests/reproduction/test_grid.py -k wgan_gp_grid

prints mean and standard error over the trials, which differ in their seeds only. The bounds below
are where a trial of such a recipe must lie if nothing is broken; the figures are what is printed.
Cards list such trials where their runs were given to `zoo.publish --seeds`.
"""

import json
import math
import statistics

import pytest

from zoo.fit import run

TRIALS = 10
BOUNDS = {  # modes and high quality that the mean must reach
    "gan_grid": (15.0, 0.85),
    "pacgan_grid": (22.0, 0.8),
    "wgan_gp_grid": (24.8, 0.8),
}


def summary(values):
    """Mean and standard error."""
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("recipe", BOUNDS)
def test_trials_of_a_recipe(recipe, tmp_path):
    found: dict[str, list[float]] = {}
    for seed in range(TRIALS):
        fit = run(
            [recipe, "--seed_everything", str(seed), "--wandb", "off",
             "--trainer.accelerator", "cpu", "--run_root", str(tmp_path)]
        )  # fmt: skip
        for score in json.loads(fit.folder.evaluation.read_text(encoding="utf-8"))["scores"]:
            value = math.nan if score["value"] is None else score["value"]  # where no mode is found
            found.setdefault(score["name"], []).append(value)
        print(f"\n{recipe}, seed {seed}:", {name: values[-1] for name, values in found.items()})
    means = {}
    for name, values in found.items():
        means[name], error = summary(values)
        print(f"{recipe}: {name} {means[name]:.4f}, standard error {error:.4f}")
    modes, high_quality = means["modes[25,3sigma,2500]"], means["high_quality[3sigma,2500]"]
    assert modes >= BOUNDS[recipe][0] and high_quality >= BOUNDS[recipe][1]
