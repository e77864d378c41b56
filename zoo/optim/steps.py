"""What models need from the engine, so that the traps of manual optimisation stay in one place.

- `minimise` makes one optimiser step; only the counted one advances `trainer.global_step`.
- `frozen` keeps a network's weights out of a backward pass.
- `record` names the terms of a loss: a run whose terms are not finite stops before they reach
  the weights, and the terms are logged when a log line is due.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lightning as L
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Adam, AdamW

from zoo.core.errors import UserError

__all__ = ["NonFinite", "adam", "adamw", "frozen", "minimise", "record"]

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
