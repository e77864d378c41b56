"""Patience ends, however slowly the bytes trickle; who is quick enough is waited for."""

import threading
import time

import pytest

from zoo.core import waiting
from zoo.core.waiting import at_a_pace


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0.2)
    monkeypatch.setattr(waiting, "SLOWEST", 100)
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.01)


def test_what_is_fetched_comes_back_and_so_does_an_error():
    assert at_a_pace(lambda: 3, lambda: 0) == 3
    with pytest.raises(KeyError, match="gone"):
        at_a_pace(lambda: {}["gone"], lambda: 0)


def test_nothing_that_comes_is_given_up():
    stop = threading.Event()
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="only 0 bytes came in 0 seconds"):
        at_a_pace(lambda: stop.wait(20), lambda: 0)
    stop.set()
    assert time.monotonic() - begun < 10


def test_a_trickle_is_given_up_and_a_stream_is_not():
    def stream(rate):
        """Lets so many bytes come each hundredth of a second, for a second."""
        stop, come = threading.Event(), [0]

        def work():
            for _ in range(100):
                if stop.wait(0.01):
                    return None
                come[0] += rate
            return come[0]

        try:
            return at_a_pace(work, lambda: come[0])
        finally:
            stop.set()

    assert stream(50) == 5000
    with pytest.raises(TimeoutError, match="bytes came"):
        stream(0)
