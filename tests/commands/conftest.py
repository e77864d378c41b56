"""Short runs of zoo.fit on the embedded digits, in this process or in one of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

collect_ignore = ["planted.py"]  # a plug-in: its import registers families for everybody

ROOT = Path(__file__).resolve().parents[2]
RECIPE = str(ROOT / "recipes" / "infogan_digits.yaml")
DRIVER = str(Path(__file__).with_name("driver.py"))

SMALL = [
    "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.max_epochs=3",
    "--trainer.log_every_n_steps=5", "--model.width=4", "--model.features=8",
    "--data.batch_size=64", "--wandb=off", "--evaluate=false", "--pictures_every=100",
]  # fmt: skip
BATCHES = 19  # per epoch


class Runs:
    """Starts runs below one root."""

    def __init__(self, root):
        self.root = root

    def arguments(self, *more, name="infogan_digits"):
        return [RECIPE, *SMALL, f"--run_root={self.root}", f"--name={name}", *more]

    def here(self, *more, name="infogan_digits"):
        """Runs in this process; returns the exit code."""
        from zoo.fit import main

        return main(self.arguments(*more, name=name))

    def start(self, plan, *more, name="infogan_digits", launcher=()):
        """Starts a process of its own."""
        command = [sys.executable, *launcher, DRIVER, plan, *self.arguments(*more, name=name)]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def folder(self, name="infogan_digits"):
        """Returns the only run of that name."""
        (found,) = (self.root / name).iterdir()
        return found

    def checkpoint(self, name="infogan_digits", file="last.ckpt"):
        path = self.folder(name) / "checkpoints" / file
        return torch.load(path, weights_only=True, map_location="cpu")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """All processes sum in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))
