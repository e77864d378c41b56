import subprocess
import sys

import pytest

from zoo.core.memory import keep_freed_memory

FAULTS = """
import resource, sys
import torch
from zoo.core.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in range(1 << 21, 6 << 20, 1 << 16):  # each block a bit larger than the one before
    torch.ones(size)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_pages_are_cleared_once_and_not_for_every_block():
    assert faults("kept") < faults("given back") / 3


def test_other_systems_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
