"""Whatever limit ends a run, continuing it gives the batches of a run that was never ended."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Timer

from zoo.fit import main
from zoo.training.callbacks import SeedEachBatch

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 6  # per epoch
SMALL = {
    "gan_digits": ("--model.width=4",),
    "vae_digits": ("--model.hidden=[8]",),
    "made_digits": ("--model.hidden=[16,16]",),
}
COMMON = (
    "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.max_epochs=3",
    "--trainer.log_every_n_steps=5", "--data.batch_size=200", "--wandb=off", "--evaluate=false",
    "--pictures_every=100",
)  # fmt: skip
STEPS, TIME = "--trainer.max_steps={}", "--trainer.max_time=00:00:00:{:02d}"
LIMIT = ("--trainer.limit_train_batches=4", "--trainer.max_epochs=1")
# What each part of a run is given; a number stands for a signal after so many batches.
ENDINGS = {
    "max_steps in mid-epoch": ((STEPS.format(8),), ()),
    "max_steps in mid-epoch, then more": ((STEPS.format(8),), (STEPS.format(18),)),
    "max_steps twice in one epoch": ((STEPS.format(8),), (STEPS.format(10),), ()),
    "max_steps at the end of an epoch": ((STEPS.format(6),), (STEPS.format(18),)),
    "max_time": ((TIME.format(8),), ()),
    "max_time, then more": ((TIME.format(8),), (TIME.format(20),)),
    "limit_train_batches": (LIMIT, ()),
    "a signal": (8, ()),
    "a signal under max_steps": (12, (STEPS.format(18),)),
}
SAME_PLAN = ("max_time", "max_time, then more", "a signal")  # schedules see no other end


@pytest.fixture
def seen(monkeypatch):
    """Lists the batches that were trained with; each takes a second of the trainer's clock."""
    found, before = [], SeedEachBatch.on_train_batch_start

    def note(self, trainer, module, batch, batch_idx):
        digest = hashlib.sha256(batch.image.numpy().tobytes()).hexdigest()
        found.append((trainer.fit_loop.total_batch_idx, batch_idx, digest))
        if len(found) == self.signal_after:
            os.kill(os.getpid(), signal.SIGTERM)
        before(self, trainer, module, batch, batch_idx)

    monkeypatch.setattr(SeedEachBatch, "signal_after", None, raising=False)
    monkeypatch.setattr(SeedEachBatch, "on_train_batch_start", note)
    monkeypatch.setattr(Timer, "time_elapsed", lambda *_: len(found))
    return found


def fit(root, recipe, *more):
    path = str(ROOT / "recipes" / f"{recipe}.yaml")
    return main([path, *COMMON, *SMALL[recipe], f"--run_root={root}", *more])


def checkpoint(root, recipe):
    (path,) = (root / recipe).glob("*/checkpoints/last.ckpt")
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def wholes():
    """What runs that were never ended have seen and learnt, by recipe."""
    return {}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("recipe", SMALL)
def test_a_run_goes_on_with_the_next_batch(tmp_path, seen, wholes, monkeypatch, recipe, ending):
    if recipe not in wholes:
        assert fit(tmp_path / "whole", recipe) == 0
        wholes[recipe] = seen.copy(), checkpoint(tmp_path / "whole", recipe)
        seen.clear()
    whole, wanted = wholes[recipe]
    assert [place[:2] for place in whole] == [(n, n % BATCHES) for n in range(3 * BATCHES)]

    for number, part in enumerate(ENDINGS[ending]):
        more = ("--ckpt_path=last",) if number else ()
        if isinstance(part, int):
            monkeypatch.setattr(SeedEachBatch, "signal_after", part)
            assert fit(tmp_path, recipe, *more) == 128 + signal.SIGTERM
            monkeypatch.setattr(SeedEachBatch, "signal_after", None)
        else:
            assert fit(tmp_path, recipe, *more, *part) == 0
        saved = checkpoint(tmp_path, recipe)["callbacks"]["Checkpoints"]["batches"]
        assert saved == len(seen)

    assert seen == whole
    last = checkpoint(tmp_path, recipe)
    assert last["global_step"] == wanted["global_step"] == 3 * BATCHES
    if ending in SAME_PLAN:
        for key, tensor in wanted["state_dict"].items():
            assert torch.equal(tensor, last["state_dict"][key]), key


@pytest.mark.parametrize("recipe", SMALL)
def test_an_epoch_that_stays_short_is_complete(tmp_path, seen, recipe):
    limit = "--trainer.limit_train_batches=4"
    assert fit(tmp_path / "whole", recipe, limit) == 0
    whole = seen.copy()
    seen.clear()
    assert fit(tmp_path, recipe, limit, "--trainer.max_epochs=1") == 0
    assert fit(tmp_path, recipe, limit, "--ckpt_path=last") == 0
    assert len(seen) == 12
    assert seen == whole


# ---------------------------------------------------------------- nothing to do, and too little


@pytest.fixture
def ended(tmp_path, seen, capsys):
    """A VAE that has seen two epochs and two batches, after as many seconds."""
    assert fit(tmp_path, "vae_digits", TIME.format(14)) == 0
    assert len(seen) == 14
    capsys.readouterr()
    seen.clear()
    return lambda *more: fit(tmp_path, "vae_digits", "--ckpt_path=last", *more)


@pytest.mark.parametrize(
    "limit, words",
    [
        (TIME.format(14), "the time of --trainer.max_time is spent"),
        (STEPS.format(14), "the 14 steps of --trainer.max_steps are done"),
        ("--trainer.max_epochs=2", "the 2 epochs of --trainer.max_epochs are done"),
    ],
)
def test_a_spent_limit_is_told(ended, seen, monkeypatch, capsys, limit, words):
    monkeypatch.setattr(Timer, "time_elapsed", lambda *_: 14)
    assert ended(limit) == 0
    assert seen == []
    assert f"nothing was left to train: {words}; raise it to continue" in capsys.readouterr().out


@pytest.mark.parametrize("limit, what", [("max_epochs=1", "2 epochs"), ("max_steps=9", "14 steps")])
def test_less_than_is_done_is_refused(ended, seen, capsys, tmp_path, limit, what):
    (recipe,) = tmp_path.glob("vae_digits/*/recipe.yaml")
    before = recipe.read_bytes()
    assert ended(f"--trainer.{limit}") == 2
    told = capsys.readouterr()
    assert f"was written after {what}, more than --trainer.{limit.replace('=', ' ')}" in told.err
    assert len(told.err.splitlines()) == 1
    assert seen == [] and told.out == ""
    assert recipe.read_bytes() == before


@pytest.mark.parametrize(
    "limit, words",
    [
        ("fast_dev_run=true", "this was a rehearsal; leave out --trainer.fast_dev_run"),
        ("max_steps=0", "no batch was trained"),
        ("max_epochs=0", "no batch was trained"),
        ("limit_train_batches=0", "no batch was trained"),
    ],
)
def test_without_weights_there_is_nothing_to_sample_from(tmp_path, capsys, limit, words):
    assert fit(tmp_path, "vae_digits", f"--trainer.{limit}", "--evaluate=true") == 0
    said = capsys.readouterr().out
    assert f"nothing is saved: {words}" in said
    assert "zoo.sample" not in said and "zoo.evaluate" not in said
    (folder,) = (tmp_path / "vae_digits").iterdir()
    assert not (folder / "evaluation.json").exists()
    assert json.loads((folder / "environment.json").read_text())["device"] == "cpu"
