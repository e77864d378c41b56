"""What keeps a run repeatable, finite and equal on all of its processes."""

from __future__ import annotations

import math
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from zoo.core.errors import UserError
from zoo.data.loader import mix_seed
from zoo.optim.steps import NonFinite

__all__ = ["ClipGradients", "EqualBuffers", "KeepFinite", "SeedEachBatch"]


class SeedEachBatch(L.Callback):
    """Makes the noise of a batch a function of (seed, rank, batch), whatever came before.

    A run that is killed and continued then draws the noise that the uninterrupted run would
    have drawn, on every rank, with no generator state in the checkpoint.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds the global generators."""
        seed = mix_seed(self.seed, trainer.global_rank, trainer.fit_loop.total_batch_idx)
        torch.default_generator.manual_seed(seed & 0xFFFFFFFF)  # the CPU's engine takes 32 bits
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def state_dict(self) -> dict[str, int]:
        """Keeps the seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Compares the seeds.

        Raises:
            UserError: if they differ: the order of images and all noise would change half-way.
        """
        if state_dict["seed"] != self.seed:
            raise UserError(
                f"the checkpoint belongs to a run with seed {state_dict['seed']}, not {self.seed}: "
                f"add --seed_everything {state_dict['seed']} to continue it."
            )


class KeepFinite(L.Callback):
    """Stops a run whose loss or weights are NaN or infinite, so that its checkpoints stay good.

    Models with manual optimisation name their terms themselves, by `zoo.optim.steps.record`; under
    automatic optimisation the loss is looked at before its gradients are made.
    """

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        """Looks at the loss.

        Raises:
            NonFinite: if it is not finite.
        """
        if pl_module.automatic_optimization and pl_module.device.type == "cpu":
            value = loss.item()
            if not math.isfinite(value):
                raise NonFinite.of("the loss", value, trainer)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Looks at every weight that is about to be written.

        Raises:
            NonFinite: naming the first bad tensor.
        """
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NonFinite.of(name, float(tensor[~torch.isfinite(tensor)][0]), trainer)


class ClipGradients(L.Callback):
    """Clips gradients before every optimiser step, of every kind of model and optimiser.

    The trainer's own clipping refuses models with manual optimisation, and fused optimisers in
    mixed precision.

    Args:
        value: Largest global norm, or largest absolute value.
        by: Which of the two.

    Raises:
        UserError: if value is not positive.
    """

    def __init__(self, value: float, by: Literal["norm", "value"] = "norm") -> None:
        if not value > 0:
            raise UserError(f"--trainer.gradient_clip_val must be positive, got {value}.")
        self.value, self.by = value, by

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Clips."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if self.by == "norm":
            torch.nn.utils.clip_grad_norm_(weights, self.value)
        else:
            torch.nn.utils.clip_grad_value_(weights, self.value)


class EqualBuffers(L.Callback):
    """Gives all processes the first one's buffers whenever the model is about to be looked at.

    Gradients keep the weights equal. Running statistics of batch normalisation, and averages of
    them, are each process' own: the first one's are in force, since DDP hands them to all
    processes before every batch and checkpoints hold them. After the last batch of an epoch this
    callback does the same, so that scores are those of the weights in the checkpoint.
    """

    def _share(self, module: L.LightningModule) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Makes them equal before validation."""
        self._share(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Makes them equal before pictures, scores and checkpoints."""
        self._share(pl_module)
