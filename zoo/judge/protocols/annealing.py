"""Likelihoods whose constant is estimated by annealing, from both ends."""

from __future__ import annotations

import math
from typing import Any

from zoo.contract.capabilities import can
from zoo.functional.annealing import constant, reverse_constant
from zoo.judge.protocols.likelihood import OverImages, likelihood_scores
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import SEED, Score, Task, seed_batch

__all__ = ["fits_annealed", "score_annealed"]

CHAINS = 100
APART = 0.2  # nats between both ends from which a figure carries a word about it


def fits_annealed(task: Task) -> bool:
    """Models with a likelihood up to a constant."""
    return can(task.model, "anneal")


@protocol("annealed", fits_annealed, ["nll", "log_density", "bpd"], instead_of=["log_prob"])
def score_annealed(task: Task) -> list[Score]:
    """Log-likelihood of the split with log Z from annealed importance sampling.

    The figure is that of the walk to the model, whose log Z lies below the true one on average: it
    flatters. The walk back from samples of the model lies above, if the samples are the model's;
    the gap between both stands in the details, with the three-sigma band of log Z. The standard
    error is that over images and that of log Z together.
    """
    found = OverImages()
    for number, batch in task.batches(task.split, "unnormalised log-likelihood"):
        seed_batch(number)  # uniform dequantisation draws noise
        found.update(task.model.log_unnormalised(batch.image))
    nats, error = found.compute(task.count)
    walk: dict[str, Any] = {"chains": CHAINS, "temperatures": task.temperatures}
    there = constant(task.model.anneal(seed=SEED, **walk).double().cpu())
    back = reverse_constant(-task.model.anneal(seed=SEED + 1, reverse=True, **walk).double().cpu())
    log_z, log_z_error = float(there.log_z), float(there.standard_error)
    gap = float(back.log_z) - log_z
    beside: dict[str, Any] = {
        "log_z": log_z,
        "log_z_standard_error": log_z_error,
        "log_z_high": float(there.high),
        "log_z_reverse": float(back.log_z),
        "gap": gap,
    }
    if math.isfinite(float(there.low)):
        beside["log_z_low"] = float(there.low)
    if abs(gap) > APART:
        beside["warning"] = (
            f"both ends of the annealing are {gap:.2f} nats apart: it needs more temperatures, or "
            "the samples are not the model's"
        )
    total = None if error is None else math.hypot(error, log_z_error)
    return likelihood_scores(task, nats - log_z, total, beside, **walk)
