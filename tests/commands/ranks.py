"""Trains recipes one after another as one of two processes: ``ranks.py OUT RECIPE ...``.

Not a test: the test starts both processes, which write what they hold in the end to OUT.0 and
OUT.1. They stay for all recipes, since importing takes longer than training.
"""

import hashlib
import os
import sys
from pathlib import Path

import torch

from zoo.fit import _quieten
from zoo.recipe.checking import check_arguments
from zoo.recipe.reading import find_recipe, read_recipe
from zoo.training.run import Fit

LINE = [
    "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3",
    "--data.batch_size=32", "--wandb=off", "--evaluate=false",
    "--pictures_every=100",
]  # fmt: skip
# A training without noise: what it learns does not depend on who takes which images.
QUIET = ("pixelcnn_digits", "--model.dropout=0", "--trainer.precision=32-true")


def digests(model):
    """Returns a hash of every tensor that the model holds, in the place of the tensors."""
    return {
        key: hashlib.sha256(value.numpy().tobytes()).hexdigest()
        for key, value in model.state_dict().items()
    }


def fitted(root, name, *more):
    """Trains a recipe a few steps; returns the weights before, and what was built."""
    path = find_recipe(name)
    recipe = read_recipe(path)
    fit = Fit(path, recipe, check_arguments([*LINE, f"--run_root={root}", *more], recipe))
    before = {key: value.clone() for key, value in fit.model.state_dict().items()}
    fit.fit()
    return before, fit


def train(name, root):
    """Trains a recipe a few steps on two processes; returns what this one holds then."""
    path = find_recipe(name)
    recipe = read_recipe(path)
    line = [*LINE, "--trainer.devices=2", f"--run_root={root}"]
    fit = Fit(path, recipe, check_arguments(line, recipe))
    before = digests(fit.model)
    fit.fit()
    model = fit.model.eval()
    after = digests(model)
    assert fit.trainer.world_size == 2
    seen = fit.trainer.train_dataloader.sampler.batches()
    return {
        "after": after,
        "still": [
            key for key, value in model.named_parameters()
            if value.requires_grad and after[key] == before[key]
        ],
        "samples": model.sample(4, seed=0) if hasattr(model, "sample") else None,
        "seen": torch.cat(list(seen)[:3]),
        "steps": fit.trainer.global_step,
    }  # fmt: skip


def main(out, names):
    """Trains all recipes, up to the first that fails."""
    _quieten()
    found = {}
    try:
        for name in names:
            print("recipe", name, flush=True)
            found[Path(name).stem] = train(name, f"{out}-runs")
        name, *more = QUIET
        _, fit = fitted(f"{out}-runs", name, "--trainer.devices=2", *more)
        found["quiet"] = fit.model.state_dict()
    finally:
        torch.save(found, f"{out}.{os.environ['LOCAL_RANK']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
