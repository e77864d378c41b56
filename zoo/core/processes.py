"""Several processes of one run: none outlives another, and the user hears one message.

Whoever starts the processes (the trainer itself, or torchrun) may lose one of them to a crash, to
the memory killer or to a signal. The others would wait for it in a collective operation, some
back ends for half an hour. So the first process watches those it has started, and each of those
watches the one that started it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from zoo.core.errors import UserError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

__all__ = [
    "Children",
    "Terminated",
    "announce_children",
    "held",
    "is_first",
    "lost_others",
    "parent_run",
    "port_is_taken",
    "silent_others",
    "terminated_by_exception",
    "watch_parent",
]

PARENT = "ZOO_PARENT"  # process that started this one
RUN = "ZOO_RUN"  # folder of the run that it started this one for
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # who started us sets one
CONTINUE = "--ckpt_path last continues it"
PATIENCE = 60.0  # seconds that a request to stop waits for the end of a batch and its checkpoint
INSISTED = 3.0  # the same when it is asked for again, or when a process is known to be stopped
PERIOD = 0.5  # seconds between looks at other processes
LOCK = ".lock"  # in a run's folder, while it is trained
TAKEN = re.compile(r"EADDRINUSE|address already in use", re.IGNORECASE)
SILENT = re.compile(r"timed? ?out", re.IGNORECASE)
LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|store", re.IGNORECASE)


def is_first() -> bool:
    """Says whether this process makes the run's folder, writes its files and speaks."""
    if "lightning" not in sys.modules:  # it would find the same, but importing it takes seconds
        return next((int(os.environ[name]) for name in RANKS if name in os.environ), 0) == 0
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    return rank_zero_only.rank == 0


def announce_children(folder: Any) -> None:
    """Tells processes that will be started by this one who their parent is, and which run it is."""
    os.environ[PARENT] = str(os.getpid())
    os.environ[RUN] = str(folder)


def parent_run() -> str | None:
    """Returns the folder of the run that this process was started for, None if it is the first."""
    return os.environ.get(RUN) if _started_by_run() else None


def _started_by_run() -> bool:
    """Says so even if the process that has started this one has ended since."""
    parent = os.environ.get(PARENT, str(os.getpid()))
    return parent != str(os.getpid()) and os.environ.get("LOCAL_RANK", "0") != "0"


def watch_parent() -> None:
    """Ends this process soon after the one that started it, if it is one of several of a run."""
    if _started_by_run():
        parent = int(os.environ[PARENT])
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        parent = os.getppid()
    else:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PERIOD)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="zoo-watch-parent").start()


def lost_others(error: BaseException) -> bool:
    """Says whether an error means that another process of the run has gone."""
    import torch

    network = getattr(torch.distributed, "DistError", ())
    return isinstance(error, network) or (
        isinstance(error, RuntimeError) and LOST.search(str(error)) is not None
    )


def port_is_taken(error: BaseException) -> bool:
    """Says whether processes could not meet because another one listens on their port."""
    return isinstance(error, (RuntimeError, OSError)) and TAKEN.search(str(error)) is not None


def silent_others(error: BaseException) -> bool:
    """Says whether an error means that another process has not answered in time."""
    return lost_others(error) and SILENT.search(str(error)) is not None


class Terminated(BaseException):
    """SIGTERM came where nothing can be saved."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def terminated_by_exception() -> Iterator[None]:
    """Has SIGTERM raise `Terminated`, so that what was begun is put away, as Ctrl-C does.

    Within training, the callbacks take the signal over and save first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a run's folder, so that no other process trains the same run meanwhile.

    The lock is one of the operating system's on a file in the folder, which ends with its owner
    however that ends. Where there are none (no fcntl, or a file system without locks), nothing is
    held.

    Args:
        folder: The run's folder, which exists.

    Raises:
        UserError: if another process holds it.
    """
    file = None if fcntl is None else _lock(folder / LOCK)
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                (folder / LOCK).unlink()
            os.close(file)


def _lock(path: Path) -> int | None:
    """Locks a file; returns its descriptor, or None where that cannot be."""
    assert fcntl is not None
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:  # a folder that only can be read is refused where it is written to
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            raise UserError(
                f"the run in {path.parent} is being trained by another process"
                f"{f' ({owner})' if owner.isdigit() else ''}: wait for its end or stop it, then "
                "continue it."
            ) from None
        except OSError:
            os.close(file)
            return None
        with suppress(OSError):  # gone: its owner put it away after we opened it
            if os.path.samestat(os.fstat(file), os.stat(path)):
                os.truncate(file, 0)
                os.write(file, f"{os.getpid()}\n".encode())
                return file
        os.close(file)


class _Asked:
    """Signals as they arrive: heard although the main thread waits within a library."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self.times: list[float] = []
        self.signum = 0

    def look(self) -> bool:
        """Takes down what has arrived; says whether anything has, ever."""
        with suppress(BlockingIOError):
            for signum in os.read(self._read, 64):
                if signum in (signal.SIGINT, signal.SIGTERM):
                    self.times.append(time.monotonic())
                    self.signum = self.signum or signum
        return bool(self.times)

    def release(self) -> None:
        """Gives the signals back."""
        with suppress(ValueError):  # not the main thread, which is about to end
            signal.set_wakeup_fd(self._before)


class Children:
    """The processes that this one has started; if one fails, all end.

    A signal ends all of them, too, if they do not come to an end by themselves: a process that is
    stopped, or has lost its way, keeps the others waiting where no handler of Python's is called.

    Args:
        processes: In the order of their ranks, from 1.
    """

    def __init__(self, processes: Sequence[subprocess.Popen[Any]] = ()) -> None:
        self._processes = list(processes)
        self._released = threading.Event()
        self._asked: _Asked | None = None
        self._beat, self._longest = time.monotonic(), 0.0
        self._told: set[int] = set()
        if self._processes:
            if threading.current_thread() is threading.main_thread():
                self._asked = _Asked()
            threading.Thread(target=self._watch, daemon=True, name="zoo-watch-children").start()

    def beat(self) -> None:
        """Takes down that the processes have just done something together, such as a batch."""
        now = time.monotonic()
        self._beat, self._longest = now, max(self._longest, now - self._beat)

    def release(self) -> None:
        """Stops watching: from now on they may end as they like."""
        self._released.set()
        if self._asked is not None:
            self._asked.release()

    def kill(self) -> None:
        """Ends them at once."""
        self.release()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def wait(self, seconds: float) -> None:
        """Lets them finish, and ends those that take longer."""
        self.release()
        end = time.monotonic() + seconds
        for process in self._processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _watch(self) -> None:
        while not self._released.wait(PERIOD):
            for rank, process in enumerate(self._processes, 1):
                code = process.poll()
                if code and not self._released.is_set():
                    self._end_run(rank, code)
            self._look_for_stopped()
            if self._asked is not None and self._asked.look() and self._is_late(self._asked):
                self._end("does not come to an end by itself", 128 + self._asked.signum)

    def _look_for_stopped(self) -> None:
        for rank, process in enumerate(self._processes, 1):
            if _is_stopped(process.pid) and rank not in self._told:
                self._told.add(rank)
                _say(f"process {rank} of the run is stopped (SIGSTOP); the others wait for it")

    def _is_late(self, asked: _Asked) -> bool:
        """Says whether a request to stop has waited long enough for a batch's end."""
        now = time.monotonic()
        if len(asked.times) > 1 and now - asked.times[1] > INSISTED:
            return True
        stopped = any(_is_stopped(process.pid) for process in self._processes)
        patience = INSISTED if stopped else max(PATIENCE, 2 * self._longest)
        return now - max(asked.times[0], self._beat) > patience

    def _end_run(self, rank: int, code: int) -> None:
        """Ends this process too, whatever it waits for; a wrong request has been explained."""
        if code == 2:
            self._end("", 2)
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else "failed, see above"
        self._end(f"process {rank} of the run {how}", 1)

    def _end(self, why: str, code: int) -> None:
        for process in self._processes:
            process.kill()
        if why:
            why = why if why.startswith("process") else f"the run {why}"
            _say(f"{why}; all of it stops. Its last checkpoint stays: {CONTINUE}")
        os._exit(code)


def _say(text: str) -> None:
    sys.stdout.flush()
    print(f"zoo.fit: {text}.", file=sys.stderr, flush=True)


def _is_stopped(pid: int) -> bool:
    """Says whether a process is stopped by a signal; False where that cannot be known."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "T"
