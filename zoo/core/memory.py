"""Freed memory stays with the process that works long, instead of going back page by page."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# Parameters of mallopt(3) and what they are set to, in bytes. Maps of features have up to some
# tens of MiB; the largest threshold that glibc takes is 32 MiB.
TRIM_THRESHOLD, TRIM = -1, 1 << 30
TOP_PAD, PAD = -2, 1 << 26
MMAP_THRESHOLD, MMAP = -3, 1 << 25


def keep_freed_memory() -> bool:
    """Asks glibc to keep freed memory for what is allocated next.

    By default it returns large blocks to the system, which then clears every page of the next one
    as it is first written; convolutional networks on a CPU wait for that a good part of their time.
    For commands that work long; the setting lasts as long as the process.

    Returns:
        Whether the allocator was told; other systems' are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from other C libraries
    if mallopt is None:
        return False
    wanted = ((TRIM_THRESHOLD, TRIM), (TOP_PAD, PAD), (MMAP_THRESHOLD, MMAP))
    return all([mallopt(parameter, value) == 1 for parameter, value in wanted])
