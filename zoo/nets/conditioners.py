"""Networks that say what a coupling does; they start at 0, so couplings start as identities."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["ConvConditioner", "MLPConditioner"]


class MLPConditioner(nn.Module):
    """A fully connected network that starts at 0, so that its coupling starts as the identity.

    Args:
        inputs: Numbers in.
        outputs: Numbers out.
        hidden: Units of each hidden layer.
        layers: Hidden layers.

    Shape: (B, inputs) -> (B, outputs).
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [inputs, *[hidden] * layers]
        inner: list[nn.Module] = []
        for a, b in pairwise(sizes):
            inner += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*inner, _zero(nn.Linear(hidden, outputs)))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the network's numbers, shape (B, outputs)."""
        return self.layers(x)


class ConvConditioner(nn.Module):
    """A residual network that starts at 0 and knows where in the image it is.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels inside.
        blocks: Residual blocks, each a 3x3 and a 1x1 convolution.
        height: Height of the map.
        columns: Width of the map.

    Shape: (B, inputs, height, columns) -> (B, outputs, height, columns).

    Reference: the residual networks of Dinh et al. 2017, arXiv:1605.08803, Section 4.1.
    Deviations: a learnt bias for every place, since digits and faces are centred; neither weight
    nor batch normalisation inside.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int, blocks: int, height: int, columns: int
    ) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(width, height, columns))
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
            )
            for _ in range(blocks)
        )
        self.last = nn.Sequential(nn.ReLU(), _zero(nn.Conv2d(width, outputs, 3, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the network's maps, shape (B, outputs, height, columns)."""
        h = self.first(x)
        h = h + self.place.to(h.dtype)
        for block in self.blocks:
            h = h + block(h)
        # In full precision: a shift rounded to bfloat16 is off by a good part of a grey level.
        with torch.autocast(h.device.type, enabled=False):
            return self.last(h.to(self.place.dtype))


def _zero(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
