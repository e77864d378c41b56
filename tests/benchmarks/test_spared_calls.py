"""What is saved by passing over the trainer's empty calls, which the zoo does in one place each.

``python -m pytest tests/benchmarks/test_spared_calls.py --benchmark-only -m slow`` prints a run of
small batches as it is, with all hooks called, and with signatures looked up anew for every batch.
"""

import pytest

from zoo.fit import run
from zoo.training import trainer

pytestmark = pytest.mark.slow
EPOCHS = 60  # of 19 batches, some 2 ms each


@pytest.mark.benchmark(group="spared calls")
@pytest.mark.parametrize("case", ["as it is", "all hooks are called", "signatures are looked up"])
def test_spared_calls(case, benchmark, tmp_path, monkeypatch):
    if case == "all hooks are called":
        monkeypatch.setattr(trainer, "_spare_empty_hooks", lambda callbacks: None)
    if case == "signatures are looked up":
        monkeypatch.setattr(trainer, "_answer_beforehand", lambda step: None)
    line = ["vae_digits", f"--trainer.max_epochs={EPOCHS}", "--evaluate=false", "--wandb=off"]
    line += ["--pictures_every=1000", f"--run_root={tmp_path}", "--trainer.devices=1"]
    benchmark.pedantic(run, args=(line,), rounds=4, warmup_rounds=1)
