"""Likelihoods: nats per example and bits per dimension, every Jacobian accounted for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from zoo.contract.capabilities import can
from zoo.contract.model import facts
from zoo.data import Batch
from zoo.functional.bounds import joined_bound
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, scored, seed_batch

__all__ = ["OverImages", "bits_per_dim", "bound_in_chunks", "details_of", "fits_elbo",
           "fits_ensemble", "fits_log_prob", "likelihood_scores", "pixels_of", "score_elbo",
           "score_ensemble", "score_log_prob"]  # fmt: skip

AT_ONCE = 50  # importance samples that pass a decoder, for each of a batch's images


def bits_per_dim(
    nats: Tensor, dimensions: int, bins: int = 256, measure: str = "counting"
) -> Tensor:
    r"""Converts a log-likelihood to bits per dimension of 8-bit images.

    .. math:: \mathrm{bpd} = \frac{-\log p / D + \log s}{\log 2}

    with s = 1 for a probability of the 256 grey levels (counting measure) and s = 256 for a
    density of pixels scaled to [0, 1], one unit of which holds 256 levels (Lebesgue measure). A
    density of uniformly dequantised pixels bounds the probability from below (Theis et al. 2016,
    arXiv:1511.01844), so the result is a bound from above.

    Args:
        nats: log p(x) per example, any shape.
        dimensions: Numbers per image.
        bins: Grey levels.
        measure: ``"counting"`` or ``"lebesgue"``.

    Raises:
        ValueError: if the measure is unknown.

    Example:
        >>> bits_per_dim(torch.tensor(0.0), 784, measure="lebesgue")  # uniform on [0, 1]
        tensor(8.)
    """
    if measure not in ("counting", "lebesgue"):
        raise ValueError(f"measure must be 'counting' or 'lebesgue', got {measure!r}.")
    shift = math.log(bins) if measure == "lebesgue" else 0.0
    return (-nats / dimensions + shift) / math.log(2)


def bound_in_chunks(elbo: Callable[[Tensor, int], Tensor], x: Tensor, samples: int) -> Tensor:
    """Bounds log p(x) with many importance samples, a chunk at a time: chunks join exactly.

    Args:
        elbo: ``model.elbo``, taking images and a number of samples.
        x: Images, shape (B, C, H, W).
        samples: Number of importance samples.

    Returns:
        Nats, shape (B,), float64.
    """
    counts = [min(AT_ONCE, samples - done) for done in range(0, samples, AT_ONCE)]
    return joined_bound((elbo(x, count), count) for count in counts)


class OverImages:
    """A mean over images and its standard error; no number if a single image's value is none."""

    def __init__(self) -> None:
        self._mean, self._square = (
            MeanMetric(nan_strategy=math.nan).to(torch.float64) for _ in range(2)
        )

    def update(self, values: Tensor) -> None:
        """Takes the values of some images, shape (B,)."""
        values = values.detach().double().cpu()
        self.join(float(values.mean()), float(values.square().mean()), len(values))

    def join(self, mean: float, square: float, count: int) -> None:
        """Takes the mean of some images, and that of the squares."""
        self._mean.update(mean, weight=count)
        self._square.update(square, weight=count)

    def compute(self, count: int) -> tuple[float, float | None]:
        """Returns the mean, and the deviation over so many images by the root of their number."""
        mean, square = float(self._mean.compute()), float(self._square.compute())
        if count < 2:
            return mean, None
        return mean, math.sqrt(max(square - mean**2, 0.0) / (count - 1))


def details_of(error: float | None, scale: float = 1.0) -> dict[str, float]:
    """Returns what stands beside a figure; without a number, nothing."""
    if error is None or not math.isfinite(error):
        return {}
    return {"standard_error": error * scale}


def pixels_of(task: Task) -> str:
    """Names what a pixel is to the model: a bit, or which values."""
    spec, levels = task.data.spec, facts(task.model).levels
    if task.data.binarize != "none":
        return task.data.binarize
    if levels != 256:
        return f"rounded-to-{levels}"  # the model's own way to look at pixels
    if facts(task.model).expects_bits:
        return "expected-bits"
    return "points" if spec.points else "grey" if spec.channels == 1 else "colour"


def fits_log_prob(task: Task) -> bool:
    """Models with an exact likelihood."""
    return can(task.model, "log_prob")


@protocol("log_prob", fits_log_prob, ["nll", "log_density", "bpd"])
def score_log_prob(task: Task) -> list[Score]:
    """Log-likelihood of the split; bits per dimension where there are 8-bit pixels.

    A probability is given as ``nll`` in nats. A density is not to be mistaken for one: it is given
    as ``log_density``, of pixels dequantised uniformly and scaled to [0, 1] (the protocol of Dinh
    et al. 2014, arXiv:1410.8516), or of points of the plane in [0, 1]^2.
    """
    found = OverImages()
    for number, batch in task.batches(task.split, "log-likelihood"):
        seed_batch(number)  # uniform dequantisation draws noise
        found.update(task.model.log_prob(batch.image))
    return likelihood_scores(task, *found.compute(task.count), {})


def likelihood_scores(
    task: Task, nats: float, error: float | None, beside: Mapping[str, Any], **how: Any
) -> list[Score]:
    """Names a log-likelihood by what it is one of; see `score_log_prob`.

    Args:
        task: What was scored.
        nats: Mean over images.
        error: Its standard error, if it is known.
        beside: Further details.
        how: Values of the protocol, besides those of pixels and images.
    """
    scope = {**how, "count": task.count, "split": task.split}
    known, beside = beside, {**details_of(error), **beside}
    points, pixels = task.data.spec.points, task.data.binarize == "none"
    measure = facts(task.model).measure
    if measure == "counting" or not pixels:
        scores = [scored("nll", -nats, beside, pixels=pixels_of(task), **scope)]
    else:
        what = {"range": "unit-range", "dequantisation": "uniform-dequant"}
        what = {"range": "points"} if points else what
        scores = [scored("log_density", nats, beside, **what, **scope)]
    if pixels and not points:
        counted = {"grey": "exact", "colour": "exact"}.get(pixels_of(task), pixels_of(task))
        dequantised = "uniform-dequant" if measure == "lebesgue" else counted
        size = task.data.spec.size
        bits = bits_per_dim(torch.tensor(nats), size, measure=measure)
        beside = {**details_of(error, 1 / (size * math.log(2))), **known}
        scores.append(scored("bpd", float(bits), beside, pixels=dequantised, **scope))
    return scores


def fits_ensemble(task: Task) -> bool:
    """Models that hold several ones, whose average is better; on test images, since it is long."""
    several = can(task.model, "ensemble_log_prob") and task.model.ensemble_size > 1
    return several and task.split == "test"


@protocol("ensemble", fits_ensemble, ["nll"])
def score_ensemble(task: Task) -> list[Score]:
    """Log-likelihood of the split under the average, such as that over orders of the pixels."""
    found = OverImages()
    for number, batch in task.batches(task.split, "log-likelihood of the average"):
        seed_batch(number)
        found.update(task.model.ensemble_log_prob(batch.image))
    how = {"pixels": pixels_of(task), "ensemble": task.model.ensemble_size}
    nats, error = found.compute(task.count)
    return [scored("nll", -nats, details_of(error), **how, count=task.count, split=task.split)]


def fits_elbo(task: Task) -> bool:
    """Models with a bound on the likelihood."""
    return can(task.model, "elbo")


def _bounds(task: Task, number: int, batch: Batch, samples: int) -> list[float]:
    """Computes a batch's bounds, with one sample and, unless that is all, with many.

    Returns:
        For each, the mean over images and that of the squares.
    """
    seed_batch(number)
    bounds = [task.model.elbo(batch.image, 1).double()]
    if samples > 1:
        bounds.append(bound_in_chunks(task.model.elbo, batch.image, samples))
    return [part.mean().item() for bound in bounds for part in (bound, bound.square())]


@protocol("elbo", fits_elbo, ["elbo", "nll", "bpd"])
def score_elbo(task: Task) -> list[Score]:
    """The bound with one sample, and with many importance samples; of 256 levels in bits, too.

    Where grey values stand for expected bits, the bound is one on a cross-entropy. It is given for
    comparison only, and importance samples, which lead to a likelihood, are not drawn.
    """
    one, many = OverImages(), OverImages()
    how = pixels_of(task)
    samples = 1 if how == "expected-bits" else task.importance_samples
    for number, batch in task.batches(task.split, f"bounds with {samples} samples"):
        means = task.notes.recall(f"elbo {number}", partial(_bounds, task, number, batch, samples))
        for found, at in ((one, 0), (many, 2)):
            if at < len(means):
                found.join(means[at], means[at + 1], len(batch.image))
    tag = {"pixels": how, "count": task.count, "split": task.split}
    nats, error = one.compute(task.count)
    scores = [scored("elbo", nats, details_of(error), **tag)]
    if samples > 1:
        nats, error = many.compute(task.count)
        tag = {"importance_samples": samples, **tag}
        scores.append(scored("nll", -nats, details_of(error), **tag))
    # Of a density of pixels that nobody spread out, bits would bound nothing.
    if tag["pixels"] in ("grey", "colour") and facts(task.model).measure == "counting":
        size = task.data.spec.size
        bits = float(bits_per_dim(torch.tensor(nats), size))
        beside = details_of(error, 1 / (size * math.log(2)))
        scores.append(scored("bpd", bits, beside, **{**tag, "pixels": "bound"}))
    return scores
