"""The judge: runs the protocols that fit a model, and lets none of them end the others."""

from __future__ import annotations

import time
from collections.abc import Container

import torch

from zoo.judge.catalogue import SCORES
from zoo.judge.protocols.registry import PROTOCOLS, Protocol
from zoo.judge.score import UNCOMPUTABLE, Score, Task, reason

__all__ = ["evaluate", "fitting"]


def fitting(task: Task, only: Container[str] | None = None) -> list[str]:
    """Names the protocols that fit a task, without those whose work another one does.

    Args:
        task: The task.
        only: Protocols that come into question; None for all.
    """
    fits = {name: protocol for name, protocol in PROTOCOLS.items() if protocol.fits(task)}
    done = {other for protocol in fits.values() for other in protocol.instead_of}
    return [name for name in fits if name not in done and (only is None or name in only)]


def evaluate(
    task: Task, only: Container[str] | None = None
) -> tuple[list[Score], dict[str, float]]:
    """Scores a model by every protocol that fits it.

    On several processes each does its part, and all get the joint figures.

    Args:
        task: What is scored.
        only: Protocols that come into question; None for all.

    Returns:
        The scores, and the seconds that each protocol took. A score that cannot be computed has
        no value, and a status that says why; the others stand.
    """
    scores: list[Score] = []
    seconds: dict[str, float] = {}
    with torch.random.fork_rng():  # a run that is judged while it trains must not notice
        for name in fitting(task, only):
            start = time.perf_counter()
            scores += [score.finite() for score in _scores(PROTOCOLS[name], task)]
            seconds[name] = round(time.perf_counter() - start, 2)
    return scores, seconds


def _scores(protocol: Protocol, task: Task) -> list[Score]:
    try:
        return protocol.score(task)
    except UNCOMPUTABLE as error:
        if task.world > 1:  # the other processes wait for this one in the middle of the protocol
            raise
        status = {"status": reason(error)}
        rows = [SCORES[name] for name in protocol.scores]
        return [Score(row.name, None, row.unit, row.better, dict(status)) for row in rows]
