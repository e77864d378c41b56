"""What keeps a run repeatable and its checkpoints usable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from zoo.data.loader import mix_seed
from zoo.files import replacing
from zoo.training import NonFinite

__all__ = ["KeepFinite", "SeedEachBatch", "atomic_checkpoints"]


class SeedEachBatch(L.Callback):
    """Makes the noise of a batch a function of (seed, rank, batch), whatever came before.

    A run that is killed and continued then draws the noise that the uninterrupted run would
    have drawn, on every rank, with no generator state in the checkpoint.

    Args:
        seed: The run's seed; a checkpoint brings back its own.
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
        """Brings the seed back."""
        self.seed = state_dict["seed"]


class KeepFinite(L.Callback):
    """Refuses to write a checkpoint with NaN or infinite weights, so that the last one is good."""

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Looks at every weight that is about to be written.

        Raises:
            NonFinite: naming the first bad tensor.
        """
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise NonFinite(
                    f"{name} holds NaN or infinite weights after batch {trainer.global_step}; they "
                    "were not saved, and the previous checkpoint stays. A smaller learning rate "
                    "is the first thing to try."
                )


class _AtomicCheckpoints(TorchCheckpointIO):
    """Writes checkpoints to a temporary name in the same folder and renames them.

    Lightning's own way writes to the system's temporary folder and moves, which is a copy when
    that folder is another disk, and a kill during the copy leaves a torn checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


def atomic_checkpoints() -> TorchCheckpointIO:
    """Returns the plugin that makes the trainer's checkpoints whole or not there."""
    return _AtomicCheckpoints()
