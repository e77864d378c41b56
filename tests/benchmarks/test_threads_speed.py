"""A training with the number of threads that it chooses, beside one thread and two.

``python -m pytest tests/benchmarks/test_threads_speed.py --benchmark-only -m slow`` prints them: on
a quiet machine, beside a busy program, and with one core. The choice should be at most 1.2 times
the better of both. Where no quota can be set, the core is taken away by affinity.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SPIN = "while True: pass"
TRAIN = [
    "-m", "zoo.fit", "infogan_digits", "--trainer.max_epochs", "12", "--evaluate", "false",
    "--pictures_every", "100", "--wandb", "off", "--trainer.precision", "32-true",
]  # fmt: skip


@contextmanager
def quiet():
    yield None


@contextmanager
def busy():
    other = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        yield None
    finally:
        other.kill()
        other.wait()


@contextmanager
def one_core():
    yield lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.mark.parametrize("threads", ["chosen", "1", "2"])
@pytest.mark.parametrize("place", [quiet, busy, one_core], ids=lambda place: place.__name__)
def test_twelve_epochs(place, threads, benchmark, tmp_path):
    benchmark.group = f"twelve epochs of infogan_digits, {place.__name__}"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    words = [*TRAIN, "--run_root", str(tmp_path)]
    words += [] if threads == "chosen" else ["--threads", threads]

    def train():
        with place() as begin:
            subprocess.run(
                [sys.executable, *words], check=True, capture_output=True, preexec_fn=begin,
                env={**environment, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    benchmark.pedantic(train, rounds=2, warmup_rounds=0)
