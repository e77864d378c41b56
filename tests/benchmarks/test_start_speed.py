"""How soon the zoo answers, beside the libraries that it stands on: the least of a few processes.

``python -m pytest tests/benchmarks/test_start_speed.py --benchmark-only -m slow`` prints them.
What needs no torch should be within half a second of plain Python; `zoo.load` and `zoo.sample`
within 1.1 of ``import lightning``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
CASES = {
    "plain Python": ["-c", "pass"],
    "zoo": ["-m", "zoo"],
    "zoo.list": ["-m", "zoo.list"],
    "zoo.fit --help": ["-m", "zoo.fit", "--help"],
    "zoo.fit RECIPE --help": ["-m", "zoo.fit", "infogan_digits", "--help"],
    "zoo.fit, a wrong option": ["-m", "zoo.fit", "infogan_digits", "--model.widht", "3"],
    "zoo.sample, a wrong name": ["-m", "zoo.sample", "infogan_digitz"],
    "zoo.evaluate --help": ["-m", "zoo.evaluate", "--help"],
    "import torch": ["-c", "import torch"],
    "import lightning": ["-c", "import lightning"],
    "zoo.load": ["-c", "import zoo; zoo.load('infogan_digits')"],
    "zoo.sample": ["-m", "zoo.sample", "infogan_digits", "--out", "{out}"],
}


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("case", CASES)
def test_start(case, benchmark, tmp_path):
    words = [word.format(out=tmp_path / "grid.png") for word in CASES[case]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start():
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, check=False
        )
        assert done.returncode == (2 if "wrong" in case else 0), done.stderr[-500:]

    benchmark.pedantic(start, rounds=5, warmup_rounds=1)
