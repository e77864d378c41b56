"""Patience with what comes over a network: it ends, however slowly the bytes trickle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["at_a_pace"]

T = TypeVar("T")
PATIENCE = 45.0  # seconds before anything must have come
SLOWEST = 16_000  # bytes a second that must have come after that, on the whole
LOOK_EVERY = 0.25  # seconds


def at_a_pace(work: Callable[[], T], come: Callable[[], int]) -> T:
    """Fetches something, and gives up when too little of it has come for the time it took.

    A limit on a single silence is none on the whole: a byte a second, or headers without end, would
    hold a command for hours. So the time that is given grows with the bytes that have come.

    Args:
        work: Fetches it. After it was given up it may linger, but nobody waits for it.
        come: Says how many bytes have come so far.

    Returns:
        What the work returns; its error is raised.

    Raises:
        TimeoutError: if it is given up.
    """
    done, results, errors = threading.Event(), [], []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # the one who waits gets it, whatever it is
            errors.append(error)
        finally:
            done.set()

    begun = time.monotonic()
    threading.Thread(target=run, daemon=True, name="zoo-fetch").start()
    while not done.wait(LOOK_EVERY):
        took, bytes_come = time.monotonic() - begun, come()
        if took > PATIENCE + bytes_come / SLOWEST:
            raise TimeoutError(f"only {bytes_come:,} bytes came in {took:.0f} seconds")
    if errors:
        raise errors[0]
    return results[0]
