r"""Invertible layers of flows: what a layer is, chains of them, and affine couplings.

Every layer has two methods, and nothing else is asked of it:

- ``forward_and_log_det(x)`` gives y and log|det dy/dx| per example, shape (B,), in nats;
- ``inverse(y)`` gives x back exactly, up to rounding.

Layers work on vectors (B, C) and on feature maps (B, C, H, W); couplings split the channels. The
networks inside may compute in bfloat16 under autocast, but what they return is brought to the
precision of x first, so sums of log-determinants keep it. `zoo.nets.affine` has layers that scale
each channel by itself, `zoo.nets.multiscale` those that move pixels between places and channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Chain", "Coupling", "Layer", "along"]


class Layer(nn.Module):
    """What every layer promises."""

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y and log|det dy/dx|, shape (B,)."""
        raise NotImplementedError

    def inverse(self, y: Tensor) -> Tensor:
        """Returns the x that `forward_and_log_det` maps to y."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same as `forward_and_log_det`, so that averages and wrappers may call it."""
        return self.forward_and_log_det(x)


class Chain(Layer):
    """Layers one after another; log-determinants add up.

    Args:
        layers: From data to latent.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Passes the layers from first to last."""
        total = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        """Passes the layers from last to first."""
        for layer in reversed(self.layers):
            y = layer.inverse(y)  # type: ignore[operator]
        return y


class Coupling(Layer):
    r"""Moves one half of the channels by what the other half says.

    .. math:: y_a = x_a, \qquad y_b = x_b \odot e^{s(x_a)} + t(x_a), \qquad
              \log|\det| = \sum s(x_a)

    with s = gain * tanh(raw), one learnt gain per channel; an additive coupling has s = 0.

    Args:
        channels: Channels of x.
        conditioner: Makes the network for a number of inputs and of outputs.
        second: Whether the second half is moved; else the first is.
        affine: Whether there is a scale s.

    Reference: Dinh et al. 2014, arXiv:1410.8516, Section 3.2; Dinh et al. 2017,
    arXiv:1605.08803. Deviations: none.
    """

    def __init__(
        self,
        channels: int,
        conditioner: Callable[[int, int], nn.Module],
        second: bool = True,
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.sizes = (channels - channels // 2, channels // 2)
        self.second = second
        kept, moved = self.sizes if second else self.sizes[::-1]
        self.network = conditioner(kept, 2 * moved if affine else moved)
        self.gain = nn.Parameter(torch.full((moved,), 2.0)) if affine else None

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, last = x.split(self.sizes, dim=1)
        return (first, last) if self.second else (last, first)

    def _join(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([kept, moved] if self.second else [moved, kept], dim=1)

    def _terms(self, kept: Tensor) -> tuple[Tensor | None, Tensor]:
        """Returns log-scale and shift, in the precision of x."""
        out = self.network(kept).to(kept.dtype)
        if self.gain is None:
            return None, out
        raw, shift = out.chunk(2, dim=1)
        return along(self.gain, raw) * raw.tanh(), shift

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y and the sum of the log-scales."""
        kept, moved = self._split(x)
        log_scale, shift = self._terms(kept)
        if log_scale is None:
            return self._join(kept, moved + shift), x.new_zeros(len(x))
        moved = torch.addcmul(shift, moved, log_scale.exp())
        return self._join(kept, moved), log_scale.flatten(1).sum(dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """Undoes the move: the half that says how is still there."""
        kept, moved = self._split(y)
        log_scale, shift = self._terms(kept)
        moved = moved - shift
        return self._join(kept, moved if log_scale is None else moved * (-log_scale).exp())


def along(value: Tensor, x: Tensor) -> Tensor:
    """Shapes one number per channel so that it broadcasts along x, in the precision of x."""
    return value.to(x.dtype).view(-1, *[1] * (x.dim() - 2))
