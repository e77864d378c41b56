"""The protocols by name, and the judge that runs those which fit a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from zoo.judge.protocols.anomaly import fits_anomaly, score_anomaly
from zoo.judge.protocols.captions import (
    fits_attributes,
    fits_captions,
    score_attributes,
    score_captions,
)
from zoo.judge.protocols.codes import fits_classifier, fits_codes, score_classifier, score_codes
from zoo.judge.protocols.disentanglement import fits_factors, score_factors
from zoo.judge.protocols.latents import fits_latents, score_latents
from zoo.judge.protocols.likelihood import (
    fits_elbo,
    fits_ensemble,
    fits_log_prob,
    score_elbo,
    score_ensemble,
    score_log_prob,
)
from zoo.judge.protocols.midpoints import fits_midpoints, score_midpoints
from zoo.judge.protocols.modes import fits_centres, fits_stacks, score_centres, score_stacks
from zoo.judge.protocols.samples import fits_samples, score_samples
from zoo.judge.score import Score, Task

__all__ = ["PROTOCOLS", "Protocol", "evaluate", "fitting"]


@dataclass(frozen=True)
class Protocol:
    """A way to score a model.

    Args:
        about: What its figures mean, in a line.
        fits: Says whether a task can be scored so; asks for capabilities, never for a class.
        run: Computes the scores.
    """

    about: str
    fits: Callable[[Task], bool]
    run: Callable[[Task], list[Score]]


PROTOCOLS: dict[str, Protocol] = {
    "classifier": Protocol("error of a supervised classifier", fits_classifier, score_classifier),
    "codes": Protocol(
        "error of the inferred class, its numbering matched to the labels on training data",
        fits_codes,
        score_codes,
    ),
    "latents": Protocol(
        "error of k-means clusters of the latents, matched as codes are",
        fits_latents,
        score_latents,
    ),
    "factors": Protocol(
        "codes against the factors of rendered images", fits_factors, score_factors
    ),
    "log_prob": Protocol("exact likelihood", fits_log_prob, score_log_prob),
    "ensemble": Protocol("exact likelihood of an average", fits_ensemble, score_ensemble),
    "anomaly": Protocol(
        "images against the same ones upside down, ranked by likelihood",
        fits_anomaly,
        score_anomaly,
    ),
    "elbo": Protocol("bounds on the likelihood", fits_elbo, score_elbo),
    "samples": Protocol(
        "generated against real images: quality, coverage, classes, memorisation",
        lambda task: fits_samples(task) and not fits_captions(task),  # which compares them, too
        score_samples,
    ),
    "centres": Protocol("modes of a Gaussian mixture", fits_centres, score_centres),
    "stacks": Protocol("modes of stacked digits", fits_stacks, score_stacks),
    "midpoints": Protocol(
        "images at midpoints of latents and on lines through the origin",
        fits_midpoints,
        score_midpoints,
    ),
    "attributes": Protocol(
        "error of a network that reads attributes", fits_attributes, score_attributes
    ),
    "captions": Protocol(
        "whether images show what their captions say, and both stages against real images",
        fits_captions,
        score_captions,
    ),
}


def fitting(task: Task) -> list[str]:
    """Names the protocols that fit a task."""
    return [name for name, protocol in PROTOCOLS.items() if protocol.fits(task)]


def evaluate(task: Task) -> tuple[list[Score], dict[str, float]]:
    """Scores a model by every protocol that fits it.

    On several processes each does its part, and all get the joint figures.

    Returns:
        The scores, and the seconds that each protocol took.
    """
    scores: list[Score] = []
    seconds: dict[str, float] = {}
    with torch.random.fork_rng():  # a run that is judged while it trains must not notice
        for name in fitting(task):
            start = time.perf_counter()
            scores += [score.finite() for score in PROTOCOLS[name].run(task)]
            seconds[name] = round(time.perf_counter() - start, 2)
    return scores, seconds
