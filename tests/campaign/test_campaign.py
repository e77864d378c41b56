"""The campaign finds nothing, and would find what it looks for."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import nodes, spoil, spoil_bytes, value
from sandbox import Sandbox, Try

ROOT = Path(__file__).resolve().parents[2]


def campaign(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz.py")), *map(str, arguments)],
        cwd=ROOT, env=environment, text=True, capture_output=True,
    )  # fmt: skip


@pytest.mark.slow
def test_three_thousand_tries_and_no_failure():
    done = campaign("--tries", 3000, "--seed", 0)
    assert done.returncode == 0, f"{done.stdout[-8000:]}{done.stderr[-2000:]}"
    *_, every = done.stdout.splitlines()
    assert every.split()[:3] == ["all", "3000", "tried"] and every.split()[-2:] == ["0", "failed"]


# ------------------------------------------------------------------------- it sees what it should


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    made = Sandbox(tmp_path / "sandbox")
    made.work.mkdir(parents=True)
    monkeypatch.chdir(made.work)
    return made


def says(text, code, stream="stderr"):
    def action():
        print(text, end="", file=getattr(sys, stream))
        return code

    return action


def raises(error):
    def action():
        raise error

    return action


FAILURES = {
    "a traceback": (raises(KeyError("x")), "KeyError"),
    "an exit code of its own": (says("", 3), "exit code 3"),
    "a refusal without a word": (says("", 2), "not one line"),
    "a refusal of two lines": (says("a\nb\n", 2), "not one line"),
    "a refusal of 3 MB": (says("x" * 3_000_000 + "\n", 2), "3,000,001 characters"),
    "an escape": (says("\x1b[2J\n", 2), "control character"),
    "an escape in the output": (says("\x1b[2J\n", 0, "stdout"), "control character"),
    "half a character": (says("\ud800\n", 0), "half a character"),
    "hours": (lambda: time.sleep(60), "takes longer"),
    "a file beside the others": (lambda: Path("x").write_text("x") * 0, "changes a/b/c/work/x"),
    "a mark of foreign code": (lambda: Path("../../../../MARK").write_text(""), "runs code"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_one(kind, sandbox):
    action, words = FAILURES[kind]
    wrong, *_ = sandbox.judge(Try(action, kind), limit=0.2)
    assert wrong is not None and words in wrong


@pytest.mark.parametrize("action", [says("", 0), says("no.\n", 2), says("x\n" * 9, 0, "stdout")])
def test_an_answer_is_none(action, sandbox):
    assert sandbox.judge(Try(action, ""), limit=5)[0] is None


def test_a_place_that_may_be_written_is_none(sandbox):
    action = Try(lambda: Path("x").write_text("x") * 0, "", may_write=(Path("x"),))
    assert sandbox.judge(action, limit=5)[0] is None


def test_the_same_chance_spoils_the_same_way():
    tree = {"a": [1, {"b": "x"}], "c": {"d": 2.5}}
    assert len(list(nodes(tree))) == 6
    for seed in range(300):
        one, two = (spoil(random.Random(seed), tree) for _ in range(2))
        assert repr(one) == repr(two)
        pair = [spoil_bytes(random.Random(seed), b"0123456789" * 9) for _ in range(2)]
        assert pair[0] == pair[1]
        value(random.Random(seed))
    assert tree == {"a": [1, {"b": "x"}], "c": {"d": 2.5}}
