"""Processes that watch each other, tried on small ones."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.core.errors import UserError
from zoo.core.processes import Children, held, lost_others, parent_run, port_is_taken

ROOT = Path(__file__).resolve().parents[2]


def python(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


PARENT = """
import subprocess, sys, time
from zoo.core.processes import Children
children = [subprocess.Popen([sys.executable, "-c", c]) for c in {codes!r}]
watch = Children(children)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "ending, code, words",
    [
        ("import os; os.kill(os.getpid(), 9)", 1, "process 2 of the run was killed (SIGKILL)"),
        ("raise SystemExit(3)", 1, "process 2 of the run failed, see above"),
        ("raise SystemExit(2)", 2, ""),
    ],
)
def test_a_failing_child_ends_all(ending, code, words):
    start = time.monotonic()
    parent = python(PARENT.format(codes=["import time; time.sleep(60)", ending]))
    _, errors = parent.communicate(timeout=50)
    assert parent.returncode == code
    assert words in errors
    assert bool(errors) == bool(words)
    assert time.monotonic() - start < 45


def test_children_that_end_well_end_nothing():
    process = python("pass")
    watch = Children([process])
    watch.wait(30)
    assert process.returncode == 0
    process.communicate()


def test_released_children_may_fail():
    process = python("raise SystemExit(1)")
    watch = Children([process])
    watch.release()
    assert process.wait(30) == 1
    process.communicate()
    time.sleep(0.6)  # a watch that had not been released would end this process


def test_killed_children_are_gone():
    process = python("import time; time.sleep(60)")
    Children([process]).kill()
    assert process.returncode == -9
    process.communicate()


def test_a_process_ends_after_its_parent():
    child = (
        "import time; from zoo.core.processes import watch_parent; watch_parent(); time.sleep(60)"
    )
    middle = python(
        "import os, subprocess, sys\n"
        "os.environ.update(ZOO_PARENT=str(os.getpid()), LOCAL_RANK='1')\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(child.pid, flush=True)\n"
        "import time; time.sleep(5)\n"
    )
    pid = int(middle.stdout.readline())
    middle.kill()
    end = time.monotonic() + 40
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
    middle.communicate()


def test_only_a_started_process_belongs_to_a_run(monkeypatch):
    monkeypatch.setenv("ZOO_RUN", "runs/some")
    monkeypatch.setenv("ZOO_PARENT", str(os.getppid()))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert parent_run() == "runs/some"
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert parent_run() is None
    monkeypatch.setenv("ZOO_PARENT", str(os.getpid()))  # what a first process tells its children
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert parent_run() is None


def test_lost_others_are_told_from_other_errors():
    lost = "[../third_party/gloo/gloo/transport/tcp/pair.cc:525] Connection closed by peer"
    assert lost_others(RuntimeError(lost))
    assert not lost_others(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not lost_others(ValueError("Connection closed by peer"))


# ---------------------------------------------------------------- one process for each run

HOLDER = """
import sys, time
from pathlib import Path
from zoo.core.processes import held
with held(Path(sys.argv[1] if len(sys.argv) > 1 else {folder!r})):
    print("held", flush=True)
    time.sleep({seconds})
"""


def test_a_folder_is_held_by_one_process(tmp_path):
    other = python(HOLDER.format(folder=str(tmp_path), seconds=60))
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=rf"by another process \({other.pid}\): wait for its end"):
        with held(tmp_path):
            pass
    other.kill()  # a dead owner holds nothing, although its file is still there
    other.communicate()
    assert (tmp_path / ".lock").is_file()
    with held(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    assert not list(tmp_path.iterdir())


def test_a_holder_that_ends_well_leaves_no_file(tmp_path):
    other = python(HOLDER.format(folder=str(tmp_path), seconds=0))
    other.communicate(timeout=50)
    assert other.returncode == 0
    assert not list(tmp_path.iterdir())


def test_without_locks_nothing_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.core.processes.fcntl", None)
    with held(tmp_path), held(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_told_from_lost_processes():
    said = "The server socket has failed to listen on any local network address. port: 29500, "
    assert port_is_taken(RuntimeError(said + "useIpv6: false, code: -98, name: EADDRINUSE"))
    assert not port_is_taken(RuntimeError("Connection closed by peer"))
