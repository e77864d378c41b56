"""What models need from the engine, so that the traps of manual optimisation stay in one place.

- `minimise` makes one optimiser step; only the counted one advances `trainer.global_step`.
- `frozen` keeps a network's weights out of a backward pass.
- `record` names the terms of a loss: a run whose terms are not finite stops before they reach
  the weights, and the terms are logged when a log line is due.
- `ema_of` and `update_ema` keep an exponential moving average of a network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.errors import UserError

__all__ = [
    "NonFinite",
    "adam",
    "adamw",
    "ema_of",
    "fade",
    "follow_cosine",
    "follow_one_cycle",
    "frozen",
    "minimise",
    "progress",
    "record",
    "risen",
    "update_ema",
]

COLD = 1 / 25  # of one cycle: its first rate against the highest
SPENT = 1e-4  # its last rate against the first
CHECK_EVERY = 50  # batches between looks at an accelerator's terms: each look waits for it


class NonFinite(UserError):
    """A term of the loss became NaN or infinite; the run stops and its checkpoints stay."""

    @classmethod
    def of(cls, what: str, value: float, trainer: L.Trainer) -> NonFinite:
        """Returns the error for a quantity that was just seen to be bad."""
        return cls(
            f"{what} became {value} in epoch {trainer.current_epoch + 1}, batch "
            f"{trainer.fit_loop.total_batch_idx + 1}. Checkpoints of earlier batches stay good; a "
            "smaller learning rate or --trainer.precision 32-true are the first things to try."
        )


def minimise(
    module: L.LightningModule,
    optimizer: LightningOptimizer,
    loss: Tensor,
    *,
    counted: bool = True,
    clip_norm: float | None = None,
) -> None:
    """Makes one optimiser step on a scalar loss, under manual optimisation.

    Lightning counts a step for every optimiser that steps, so that a GAN would reach
    ``max_steps`` twice as fast as its batches pass (Lightning-AI/pytorch-lightning#17958).
    Exactly one step per batch should be counted.

    Args:
        module: The model in training.
        optimizer: One of ``module.optimizers()``.
        loss: Scalar to minimise; its gradients replace those of the optimiser's parameters.
        counted: Whether this step advances ``trainer.global_step``.
        clip_norm: Largest global gradient norm, or None for no clipping. Not for ``16-mixed``
            precision, whose gradients are still scaled at this point.
    """
    if not counted:  # private names of Lightning: the test of global_step guards them
        optimizer._on_before_step = do_nothing_closure
        optimizer._on_after_step = do_nothing_closure
    optimizer.zero_grad(set_to_none=True)
    module.manual_backward(loss)
    if clip_norm is not None:
        # Not the trainer's own clipping, which refuses fused optimisers in mixed precision.
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, clip_norm)
    optimizer.step()


def adam(network: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
    """Returns Adam for all weights of a network, in one kernel."""
    return Adam(network.parameters(), lr, betas, fused=True)


def adamw(
    network: nn.Module, lr: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)
) -> AdamW:
    """Returns AdamW for all weights of a network, in one kernel."""
    return AdamW(network.parameters(), lr, betas, weight_decay=weight_decay, fused=True)


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Spares the gradients of these networks' weights; gradients still flow through them.

    Weights that were frozen before stay frozen after.
    """
    weights = [p for network in networks for p in network.parameters() if p.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def record(module: L.LightningModule, terms: Mapping[str, Tensor], split: str = "train") -> None:
    """Checks the named terms of a loss and logs them as ``split/name``, unweighted.

    To be called before the optimiser steps, so that bad terms never reach the weights. On an
    accelerator the check runs every 50 batches, because each check waits for the device; the
    checkpoint callback refuses weights that went bad in between.

    Args:
        module: The model in training.
        terms: Scalars by name; names carry their unit where they have one (``rate_nats``).
        split: ``train`` or ``val``.

    Raises:
        NonFinite: naming the first term that is NaN or infinite.
    """
    trainer = module.trainer
    batch = trainer.fit_loop.total_batch_idx
    every = max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
    due = (batch + 1) % every == 0 or split != "train"
    if module.device.type == "cpu" or due or batch % CHECK_EVERY == 0:
        for name, term in terms.items():
            value = term.item()
            if not math.isfinite(value):
                raise NonFinite.of(f"{split}/{name}", value, trainer)
    if due:
        named = {f"{split}/{name}": term.detach() for name, term in terms.items()}
        module.log_dict(named, sync_dist=split != "train")


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
    if math.isinf(batches):
        return 0
    plans = []
    if trainer.max_steps > 0:
        plans.append(trainer.max_steps * trainer.accumulate_grad_batches)
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
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


def ema_of(network: nn.Module, decay: float) -> AveragedModel:
    r"""Returns an exponential moving average of a network, its buffers included.

    .. math:: \bar w \leftarrow d_n \bar w + (1 - d_n) w, \quad
              d_n = \min\big(d, \tfrac{1 + n}{10 + n}\big)

    after n updates: it begins short-sighted, so that a short training does not remember its start.

    Args:
        network: The network in training.
        decay: Share d of the old average kept at each update, in [0, 1).

    Raises:
        UserError: if decay lies outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise UserError(f"ema_decay must lie in [0, 1), got {decay}.")

    def move(average: Any, present: Any, updates: Tensor) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(average, present, updates)

    average = AveragedModel(network, multi_avg_fn=move, use_buffers=True)  # type: ignore[arg-type]
    return average.requires_grad_(False)


def update_ema(average: AveragedModel, network: nn.Module) -> None:
    """Moves an average from `ema_of` towards the network's present weights."""
    average.update_parameters(network)
