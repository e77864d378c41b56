"""How models answer outside training: in evaluation mode, from a seed, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from zoo.core.arguments import SEEDS
from zoo.core.errors import check_interval

__all__ = ["answering", "generator_for", "in_chunks"]

CHUNK = 500  # images that pass a network at once; more is no faster on a CPU


@contextmanager
def answering(*networks: nn.Module) -> Iterator[None]:
    """Puts networks in evaluation mode without gradients, and back as they were.

    Every answer of a model comes from evaluation mode, so batch normalisation uses its running
    statistics and an answer for one image does not depend on its neighbours.
    """
    modes = [(m, m.training) for network in networks for m in network.modules()]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def generator_for(seed: int | None) -> torch.Generator | None:
    """Returns a CPU generator for a seed; None stands for the global stream.

    Latents are drawn on the CPU and then moved, so that a seed means the same on every device.

    Raises:
        UserError: if the seed is negative or has more than 63 bits.
    """
    if seed is not None:
        check_interval("seed", seed, SEEDS)
    return None if seed is None else torch.Generator().manual_seed(seed)


def in_chunks(network: Callable[[Tensor], Tensor], x: Tensor, size: int = CHUNK) -> Tensor:
    """Applies a network to at most ``size`` rows at a time and joins the answers.

    Example:
        >>> in_chunks(lambda x: 2 * x, torch.arange(3.0), size=2)
        tensor([0., 2., 4.])
    """
    if len(x) <= size:
        return network(x)
    return torch.cat([network(part) for part in x.split(size)])
