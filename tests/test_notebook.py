"""The notebook of the first hour: kept without outputs, and run from top to bottom."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "first_hour.ipynb"


def test_outputs_are_stripped():
    """A run in an editor would leave pictures of somebody's in every commit."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
def test_it_runs_within_a_minute_without_a_network(tmp_path):
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"),
                            "http://127.0.0.1:9")  # fmt: skip
    environment = {**os.environ, **nowhere, "PYTHONPATH": str(ROOT), "ZOO_DATA": str(tmp_path)}
    words = ["--nbmake", "--nbmake-timeout=60", "-p", "no:cacheprovider", "-q", str(NOTEBOOK)]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], env=environment, cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-3000:]
