"""Which images the running statistics of batch normalisation are taken from.

In training, batch normalisation uses the batch's own statistics, and averages them for later use.
A discriminator sees real and generated images in turn, augmented, with dropout: the average then
describes a mixture that it never meets in use. These contexts take the average from chosen passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["fixed_statistics", "measuring_statistics"]


def _norms(networks: tuple[nn.Module, ...]) -> list[_BatchNorm]:
    return [m for network in networks for m in network.modules() if isinstance(m, _BatchNorm)]


@contextmanager
def fixed_statistics(*networks: nn.Module) -> Iterator[None]:
    """Leaves running statistics as they are; outputs in training mode stay the same."""
    norms = _norms(networks)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def measuring_statistics(*networks: nn.Module) -> Iterator[None]:
    """Takes running statistics from the passes inside, without dropout and without gradients."""
    modules = [m for network in networks for m in network.modules()]
    modes = [module.training for module in modules]
    for module in modules:
        module.training = isinstance(module, _BatchNorm)
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
