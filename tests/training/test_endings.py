"""Runs that are stopped before they began, or that a second process wants to continue."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.core.processes import held
from zoo.fit import main
from zoo.training.run import Fit

SMALL = [
    "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2",
    "--wandb=off", "--evaluate=false", "--pictures_every=100", "--model.hidden=[8]",
]  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def fit(root, *more):
    return main(["vae_digits", f"--run_root={root}", *SMALL, *more])


def test_a_run_that_is_being_trained_is_not_continued(tmp_path, capsys):
    assert fit(tmp_path) == 0
    (folder,) = (tmp_path / "vae_digits").iterdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    last = f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}"
    for wanted in (last, "--ckpt_path=last"):
        with held(folder):
            assert fit(tmp_path, wanted, "--trainer.max_epochs=2") == 2
        said = capsys.readouterr().err
        assert f"the run in {folder} is being trained by another process ({os.getpid()})" in said
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert fit(tmp_path, last, "--trainer.max_epochs=2") == 0


def test_a_run_holds_its_folder_while_it_trains(tmp_path, monkeypatch):
    seen = []
    train = Fit._train
    monkeypatch.setattr(
        Fit, "_train", lambda self: (seen.append(list(self.folder.path.iterdir())), train(self))
    )
    assert fit(tmp_path) == 0
    assert [path.name for path in seen[0]] == [".lock"]


@pytest.mark.parametrize("where", ["_begin", "_options", "_train"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_first_batch_leaves_no_folder(
    tmp_path, monkeypatch, capsys, where, signum
):
    def stopped(self, *_):
        assert self.folder.path.is_dir()
        os.kill(os.getpid(), signum)
        time.sleep(10)

    monkeypatch.setattr(Fit, where, stopped)
    before = signal.getsignal(signal.SIGTERM)
    # A shell that starts the suite in the background has it ignore interrupts.
    own = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert fit(tmp_path) == 128 + signum
    finally:
        signal.signal(signal.SIGINT, own)
    assert capsys.readouterr().err.startswith("zoo.fit: stopped")
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "zoo.fit", "vae_digits", f"--run_root={tmp_path}", *SMALL,
             "--trainer.devices=2"],
            cwd=ROOT, text=True, capture_output=True, timeout=300,
            env={**os.environ, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1",
                 "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert f"another program listens on port {port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- a process that is stopped


def _children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _frozen(tmp_path, *more):
    """Starts a run of two processes and stops the second one in the midst of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo.fit", "vae_digits", f"--run_root={tmp_path}", *SMALL,
         "--trainer.devices=2", "--trainer.limit_train_batches=1.0", "--trainer.max_epochs=100000",
         "--save_every=5", *more],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for line in process.stdout:
        if "/100000" in line:  # the line of an epoch
            break
    (child,) = _children(process.pid)
    os.kill(child, signal.SIGSTOP)
    return process, child


def _is_gone(pid):
    end = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_silence_between_processes_has_a_limit(tmp_path):
    process, child = _frozen(tmp_path, "--silence_limit=20")
    try:
        _, errors = process.communicate(timeout=120)
    finally:
        os.kill(child, signal.SIGKILL) if not _is_gone(child) else None
        process.kill()
    assert process.returncode == 2, errors
    assert "process 1 of the run is stopped (SIGSTOP)" in errors
    assert "has not answered within --silence_limit seconds" in errors
    assert "Traceback" not in errors
    assert _is_gone(child)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_request_ends_a_run_that_waits_for_a_stopped_process(tmp_path, signum):
    process, child = _frozen(tmp_path)
    try:
        time.sleep(1)
        start = time.monotonic()
        process.send_signal(signum)
        _, errors = process.communicate(timeout=60)
        seconds = time.monotonic() - start
    finally:
        gone = _is_gone(child)
        if not gone:
            os.kill(child, signal.SIGKILL)
        process.kill()
    assert process.returncode == 128 + signum, errors
    assert seconds < 20
    assert "the run does not come to an end by itself; all of it stops" in errors
    assert gone


@pytest.mark.slow
def test_silence_has_a_limit_between_processes_of_torchrun(tmp_path):
    """Its launcher ends what it started, half a minute after a SIGTERM that is not heard."""
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m",
         "zoo.fit", "vae_digits", f"--run_root={tmp_path}", *SMALL, "--trainer.devices=2",
         "--trainer.limit_train_batches=1.0", "--trainer.max_epochs=100000", "--save_every=5",
         "--silence_limit=20"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for line in process.stdout:
        if "/100000" in line:  # the line of an epoch
            break
    ranks = _children(process.pid)
    (second,) = [
        pid for pid in ranks
        if b"LOCAL_RANK=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    ]  # fmt: skip
    os.kill(second, signal.SIGSTOP)
    try:
        _, errors = process.communicate(timeout=150)
    finally:
        for pid in ranks:
            os.kill(pid, signal.SIGKILL) if not _is_gone(pid) else None
        process.kill()
    assert process.returncode not in (0, None)
    assert "zoo.fit: another process of the run has not answered within --silence_limit" in errors
    assert all(_is_gone(pid) for pid in ranks)
