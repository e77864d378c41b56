"""Rates and weights that change as a training goes on; all depend on the batch alone."""

from __future__ import annotations

import math

import lightning as L
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch.optim import Optimizer

__all__ = ["fade", "follow_cosine", "follow_one_cycle", "progress", "risen"]

COLD = 1 / 25  # of one cycle: its first rate against the highest
SPENT = 1e-4  # its last rate against the first


def progress(module: L.LightningModule) -> float:
    """Returns which share of the planned batches has passed, in [0, 1); 0 where none is planned.

    For schedules of losses and rates: it depends on the batch alone, so a continued run follows
    the same schedule.
    """
    planned = _planned(module)
    return min(module.trainer.fit_loop.total_batch_idx / planned, 1.0) if planned else 0.0


def _planned(module: L.LightningModule) -> int:
    """Counts the batches of the whole training; 0 where it has not begun, or has no end."""
    trainer, batches = module.trainer, module.trainer.num_training_batches
    plans = []
    if trainer.max_steps > 0:
        plans.append(trainer.max_steps * trainer.accumulate_grad_batches)
    if trainer.max_epochs is not None and trainer.max_epochs > 0 and not math.isinf(batches):
        plans.append(trainer.max_epochs * int(batches))
    return min(plans, default=0)


def risen(module: L.LightningModule, share: float) -> float:
    r"""Returns the weight of a term that rises over the first part of the training.

    .. math:: \min(1, t / \mathrm{share})

    Args:
        module: A module in training; t is its `progress`.
        share: Share of the training after which the weight is 1; 0 for a weight of 1 throughout.
    """
    return min(progress(module) / share, 1.0) if share else 1.0


def fade(optimizer: Optimizer | LightningOptimizer, lr: float, done: float, share: float) -> None:
    r"""Sets an optimiser's rate for the coming batch: constant, at the end falling to zero.

    .. math:: \mathrm{lr} \cdot \min\big(1, (1 - t) / \mathrm{share}\big)

    Args:
        optimizer: The optimiser.
        lr: Its rate until then.
        done: Share t of the training, or of a phase of it, that has passed.
        share: Share of the training in which the rate falls, 0 for none.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * (min(1.0, (1 - done) / share) if share else 1.0)


def follow_cosine(module: L.LightningModule, highest: float, warm: float = 0.0) -> None:
    r"""Sets the rate of a module's first optimiser for the coming batch.

    .. math:: \mathrm{highest} \cdot \min\big(t / \mathrm{warm}, \tfrac12 + \tfrac12 \cos \pi t\big)

    Args:
        module: A module in training; t is its `progress`.
        highest: Rate from which the cosine falls to zero.
        warm: Share of the training in which the rate rises, 0 for none.
    """
    falling = 0.5 + 0.5 * math.cos(math.pi * progress(module))
    rate = highest * min(risen(module, warm), falling)
    for group in module.trainer.optimizers[0].param_groups:
        group["lr"] = rate


def follow_one_cycle(module: L.LightningModule, *highest: float, warm: float) -> None:
    r"""Sets the rates of a module's first optimiser: up once along a cosine, then down to nothing.

    torch's ``OneCycleLR`` with its defaults and without a cycle of momentum. That one keeps the
    length of the training it was made for, so that no run could be continued beyond.

    Args:
        module: A module in training.
        highest: The highest rate of each group of weights.
        warm: Share of the training in which the rates rise; without a planned end they stay.

    Reference: Smith & Topin 2017, arXiv:1708.07120.
    """
    planned, now = _planned(module), module.trainer.fit_loop.total_batch_idx
    last, top = planned - 1, warm * planned - 1
    if not planned:
        start, end, part = 1.0, 1.0, 0.0
    elif now <= top:
        start, end, part = COLD, 1.0, now / top if top else 1.0
    else:
        start, end, part = 1.0, COLD * SPENT, min(1.0, (now - top) / (last - top))
    share = end + (start - end) * (0.5 + 0.5 * math.cos(math.pi * part))
    for group, rate in zip(module.trainer.optimizers[0].param_groups, highest, strict=True):
        group["lr"] = rate * share
