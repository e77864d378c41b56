"""How many threads compute: no more than this process may use, and one where two would wait.

Threads that share the work of a layer meet at its end. Beside another busy program, or in a
container whose quota is smaller than the cores it sees, one of them is always late, and a small
network trains ten times as slowly with two threads as with one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from zoo.core.errors import UserError
from zoo.core.line import take

__all__ = ["allowed", "asked", "settle", "take_threads"]

OPTION = "--threads"
VARIABLE = "OMP_NUM_THREADS"
GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
WORTH = 0.8  # share of one thread's time below which several are worth having
ROUNDS, WIDTH = 5, 384  # products in a probe, each of some milliseconds

_line: list[int] = []  # the number on the command line, if there is one


def take_threads(arguments: Sequence[str]) -> list[str]:
    """Takes ``--threads N`` off a command line, and returns the rest.

    Raises:
        UserError: if N is missing or no positive number.
    """
    rest, taken = take(arguments, OPTION)
    _line.clear()
    for _, value in taken:
        number = int(value) if value.isascii() and value.isdigit() else 0
        if not 1 <= number <= 4096:
            raise UserError(f"{OPTION} must be a positive number of threads, got {value!r}.")
        _line[:] = [number]
    return rest


def asked() -> int | None:
    """Returns the number that a person asked for: on the command line, or in $OMP_NUM_THREADS."""
    if _line:
        return _line[0]
    first = os.environ.get(VARIABLE, "").partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() and int(first) > 0 else None


def allowed(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Counts the cores that this process may use: by its affinity, and its container's quota.

    Args:
        groups: Where control groups are mounted.
        membership: File that says which of them this process is in.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min([cores, *map(int, _quotas(groups, membership))]))


def _quotas(groups: Path, membership: Path) -> list[float]:
    """Lists the cores' worth of time that this process's groups have, in either version."""
    found = []
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for base in (groups, *(groups / name for name in (controllers, "cpu") if controllers)):
            inside = base / place.strip("/")
            for folder in (inside, *inside.parents):  # a group has no more than its parents
                if folder == base.parent:
                    break
                found += _quota(folder)
    return found


def _quota(folder: Path) -> list[float]:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                for name in ("quota", "period")
            )
        share = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max": no quota
        return []
    return [share] if share > 0 else []


def settle() -> int:
    """Sets the number of torch's threads for a command that answers once, and returns it.

    What a person asked for; else all allowed cores, if a product computed by them together is
    ready sooner than by one alone just now.
    """
    import torch

    number = asked() or _quicker(allowed(), torch.set_num_threads)
    torch.set_num_threads(number)
    return number


def _quicker(most: int, use: Callable[[int], None]) -> int:
    import torch

    if most == 1:
        return 1
    matrix = torch.ones(WIDTH, WIDTH)
    seconds: dict[int, list[float]] = {most: [], 1: []}
    for turn in range(ROUNDS + 1):
        for number, times in seconds.items():
            use(number)
            began = time.perf_counter()
            torch.mm(matrix, matrix)
            if turn:  # in the first one threads are started
                times.append(time.perf_counter() - began)
    return most if median(seconds[most]) < WORTH * median(seconds[1]) else 1
