"""How many threads a command uses: what was asked for, what is allowed, what is faster."""

import os
import time

import pytest
import torch

from zoo.core import threads
from zoo.core.errors import UserError
from zoo.core.threads import allowed, asked, settle, take_threads


@pytest.fixture(autouse=True)
def _nobody_asked(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    take_threads([])
    torch.set_num_threads(before)


def test_the_option_is_taken_off_the_line_and_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert asked() == 3
    assert take_threads(["a", "--threads", "2", "--x", "1"]) == ["a", "--x", "1"]
    assert asked() == 2 and settle() == 2 and torch.get_num_threads() == 2
    assert take_threads(["--threads=5"]) == [] and asked() == 5
    assert take_threads(["a"]) == ["a"] and asked() == 3  # one line's option is not the next one's


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1.5", "²", "99999"])
def test_what_is_no_number_of_threads_is_refused(value):
    with pytest.raises(UserError, match=r"--threads must be a positive number of threads, got"):
        take_threads(["--threads", value])
    with pytest.raises(UserError, match="--threads must"):
        take_threads(["--threads"])


@pytest.mark.parametrize(("variable", "number"), [("4", 4), ("4,2", 4), ("", None), ("x", None)])
def test_the_variable_as_openmp_reads_it(variable, number, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert asked() == number


GROUPS = {
    # membership, files of the group tree, cores' worth (of eight)
    "none": ("", {}, 8),
    "version 2": ("0::/", {"cpu.max": "300000 100000"}, 3),
    "no quota": ("0::/", {"cpu.max": "max 100000"}, 8),
    "a part of a core": ("0::/", {"cpu.max": "50000 100000"}, 1),
    "one and a half": ("0::/", {"cpu.max": "150000 100000"}, 1),
    "a parent's": ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
    "the least": ("0::/a/b", {"a/cpu.max": "400000 100000", "a/b/cpu.max": "500000 100000"}, 4),
    "version 1": (
        "5:memory:/x\n4:cpu,cpuacct:/x",
        {"cpu/x/cpu.cfs_quota_us": "200000", "cpu/x/cpu.cfs_period_us": "100000"}, 2,
    ),
    "version 1, none": (
        "4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8,
    ),
    "another's": ("0::/a", {"b/cpu.max": "100000 100000"}, 8),
    "nonsense": ("0::/\nx\n", {"cpu.max": "many"}, 8),
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPS)
def test_a_container_s_quota_bounds_the_cores(case, tmp_path, monkeypatch):
    membership, files, cores = GROUPS[case]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    (tmp_path / "self").write_text(membership)
    assert allowed(tmp_path / "groups", tmp_path / "self") == cores


def test_fewer_cores_by_affinity(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert allowed(tmp_path, tmp_path / "none") == 1


@pytest.mark.parametrize(("late", "number"), [(0.0, 2), (0.02, 1)])
def test_a_command_takes_several_threads_only_where_they_help(late, number, monkeypatch):
    monkeypatch.setattr(threads, "allowed", lambda: 2)
    now = {"threads": 1, "seconds": 0.0}

    def use(count):
        now["threads"] = count

    def clock():  # a product takes 10 ms, half of it with two threads, unless they wait
        now["seconds"] += 0.005 + late if now["threads"] == 2 else 0.01
        return now["seconds"]

    monkeypatch.setattr(torch, "set_num_threads", use)
    monkeypatch.setattr(time, "perf_counter", clock)
    assert settle() == number == now["threads"]
