"""The walk of one batch: how many files of the zoo it, and what is made of it, is handed to."""

import sys
from pathlib import Path

import pytest
import torch

import zoo
from zoo.contract.spec import Batch
from zoo.fit import run
from zoo.training.callbacks import SeedEachBatch

ROOT = Path(zoo.__file__).parent
MOST = 9  # files from the trainer's call to the optimiser's step


@pytest.mark.parametrize("recipe", ["vae_digits", "gan_digits", "made_digits", "nice_digits"])
def test_a_batch_passes_few_files(recipe, tmp_path, monkeypatch):
    entered: set[str] = set()
    start, step = SeedEachBatch.on_train_batch_start, torch.optim.Optimizer.zero_grad

    def look(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and ROOT in path.parents:
            names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
            if any(isinstance(frame.f_locals.get(name), (Batch, torch.Tensor)) for name in names):
                entered.add(str(path.relative_to(ROOT)))

    def begin(self, trainer, *rest):
        start(self, trainer, *rest)
        if trainer.fit_loop.total_batch_idx == 2:
            sys.setprofile(look)

    def end(*arguments, **named):  # of the model's first optimiser: its step is next
        sys.setprofile(None)
        return step(*arguments, **named)

    monkeypatch.setattr(SeedEachBatch, "on_train_batch_start", begin)
    monkeypatch.setattr(torch.optim.Optimizer, "zero_grad", end)
    try:
        run([recipe, "--trainer.max_epochs=1", "--trainer.limit_train_batches=4", "--wandb=off",
             "--evaluate=false", f"--run_root={tmp_path}"])  # fmt: skip
    finally:
        sys.setprofile(None)
    assert 0 < len(entered) <= MOST, " ".join(sorted(entered))
