"""Exponential moving averages of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.core.errors import UserError

__all__ = ["ema_of", "update_ema"]


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
    average = AveragedModel(network, multi_avg_fn=_Move(decay), use_buffers=True)
    return average.requires_grad_(False)


def update_ema(average: AveragedModel, network: nn.Module) -> None:
    """Moves an average from `ema_of` towards the network's present weights."""
    average.update_parameters(network)


@dataclass(frozen=True)
class _Move:
    """What `AveragedModel` calls at an update; no closure, since those cannot be pickled."""

    decay: float

    def __call__(self, average: Any, present: Any, updates: Any) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(self.decay, (1 + n) / (10 + n)))(average, present, updates)
