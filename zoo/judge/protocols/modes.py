"""Modes that can be counted: Gaussians of a mixture, and the thousand stacks of three digits.

A data set says what its modes are, and the protocol follows from that. Samples are drawn in
numbered chunks, each from its own seed, so any number of processes draws the same ones; the
metrics add up over processes by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.contract.capabilities import can
from zoo.data.loader import mix_seed
from zoo.functional.modes import mode_kl
from zoo.judge.banks import CHUNK
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, scored
from zoo.metrics.modes import ClassModes, ModeCoverage

__all__ = [
    "HasCentres",
    "StacksDigits",
    "fits_centres",
    "fits_stacks",
    "score_centres",
    "score_stacks",
]

SEED = 0  # of all samples
WITHIN = 3.0  # standard deviations that a sample of high quality may lie from its mode
# Samples of the protocols, whatever the judge's limit: the modes that are reached grow with them.
POINTS = 2_500
STACKS = 26_000
DIGITS = 10
NO_MODE = {"status": "no mode captured"}


@runtime_checkable
class HasCentres(Protocol):
    """A data set of points around known centres."""

    centres: Tensor
    """Centres in the plane's units, shape (K, 2)."""
    sigma: float
    """Standard deviation around each of them."""

    def plane(self, x: Tensor) -> Tensor:
        """Maps images, shape (N, 2, 1, 1), to the plane's units, shape (N, 2)."""
        ...


@runtime_checkable
class StacksDigits(Protocol):
    """A data set whose channels are images of another one, each with a class of its own."""

    channel_data: str
    """The data set in the channels; its labels are the digits of ours to base 10."""


def _draws(task: Task, count: int, title: str) -> Iterator[Tensor]:
    """Draws samples in chunks; each process draws every world-th of them."""
    sizes = [len(part) for part in torch.arange(count).split(CHUNK)]
    for number in task.progress(range(task.rank, len(sizes), task.world), title):
        yield task.model.sample(sizes[number], seed=mix_seed(SEED, number))


def fits_centres(task: Task) -> bool:
    """Models that sample, on points around known centres."""
    return can(task.model, "sample") and isinstance(task.data, HasCentres)


@protocol("centres", fits_centres, ["modes", "high_quality", "mode_spread", "mode_kl"])
def score_centres(task: Task) -> list[Score]:
    """Modes captured, share of high quality, spread inside the modes, and how uneven they are.

    Reference: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761; Lin et al. 2018 (PacGAN),
    arXiv:1712.04086: 2,500 samples, of high quality within 3 standard deviations.
    """
    data: Any = task.data
    metric = ModeCoverage(data.centres, data.sigma, WITHIN).to(task.model.device)
    for x in _draws(task, POINTS, "drawing points"):
        metric.update(data.plane(x))
    found, modes = metric.compute(), len(data.centres)
    counts = _summed(metric.counts, task)  # `compute` leaves each process with its own counts
    tag = {"within": WITHIN, "samples": POINTS}
    kl, why = (float(mode_kl(counts)), {}) if counts.any() else (None, NO_MODE)
    told = {"of": modes, "counts": counts.tolist()}
    return [
        scored("modes", float(found["modes"]), told, of=modes, **tag),
        scored("high_quality", float(found["high_quality"]), **tag),
        scored("mode_spread", float(found["spread"]), of=modes, **tag),
        scored("mode_kl", kl, why, of=modes, **tag),
    ]


def _summed(counts: Tensor, task: Task) -> Tensor:
    if task.world > 1:
        counts = counts.clone()
        torch.distributed.all_reduce(counts)
    return counts.cpu()


def fits_stacks(task: Task) -> bool:
    """Models that sample, on stacks of images whose classifier is at hand."""
    return (
        can(task.model, "sample")
        and isinstance(task.data, StacksDigits)
        and task.features is not None
        and task.features.classes == DIGITS
    )


@protocol("stacks", fits_stacks, ["modes", "mode_kl"])
def score_stacks(task: Task) -> list[Score]:
    """Modes that 26,000 samples reach, and the divergence of their law from the even one.

    A classifier names the digit in each channel. A perfect sampler has a divergence of about
    .02 nats, from the counting of 26,000 samples in 1,000 modes.

    Reference: Metz et al. 2017, arXiv:1611.02163; Lin et al. 2018 (PacGAN), arXiv:1712.04086,
    whose published code takes the even law as the true one.
    """
    look = task.features
    assert look is not None
    channels = task.data.spec.channels
    metric = ClassModes(DIGITS**channels).to(look.network.device)
    for x in _draws(task, STACKS, "drawing stacks"):
        digits = look(x.flatten(0, 1)[:, None])[1].argmax(dim=1).view(-1, channels)
        place = DIGITS ** torch.arange(channels - 1, -1, -1, device=digits.device)
        metric.update((digits * place).sum(dim=1))
    found = metric.compute()
    tag = {"of": DIGITS**channels, **look.protocol, "samples": STACKS}
    return [
        scored("modes", float(found["modes"]), **tag),
        scored("mode_kl", float(found["kl_nats"]), **tag),
    ]
