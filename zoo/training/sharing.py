"""What several processes of a run share: every batch, and what is taken over its images."""

from __future__ import annotations

import lightning as L
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.contract.model import facts
from zoo.nets.affine import BatchNorm

__all__ = ["about_sharing", "most_that_share", "normalises_batches"]


def normalises_batches(model: L.LightningModule) -> bool:
    """Says whether torch can synchronise a batch normalisation of the model."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def most_that_share(model: L.LightningModule, batch_size: int, devices: int) -> int:
    """Returns how many devices ``auto`` takes: all that share a batch and keep the law of a recipe.

    One, where the model takes something over a batch that each device would take over its share.

    Args:
        model: The model.
        batch_size: Images of the whole batch.
        devices: How many there are.
    """
    affine = any(isinstance(module, BatchNorm) for module in model.modules())
    if affine or facts(model).over_batches:
        return 1
    return max(n for n in range(1, max(devices, 1) + 1) if batch_size % n == 0)


def about_sharing(
    model: L.LightningModule, batch_size: int, processes: int, synchronised: bool
) -> str:
    """Says how a batch is shared, and what each process takes over its own images alone.

    Means of losses over the shares have the mean of their gradients as gradient, so they follow
    the law of the whole batch; what is not a mean over images does not.

    Args:
        model: The model.
        batch_size: Images of the whole batch.
        processes: Number of processes, more than one.
        synchronised: Whether torch's batch normalisation takes its moments over all processes.
    """
    own = [words] if (words := facts(model).over_batches) else []
    affine = any(isinstance(module, BatchNorm) for module in model.modules())
    if affine or (normalises_batches(model) and not synchronised):
        own.append("the moments of batch normalisation")
    share = f"{processes} processes take {batch_size // processes} images each of every batch"
    return share + (f"; each takes {' and '.join(own)} over its own images" if own else "")
