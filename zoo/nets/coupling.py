r"""Invertible layers of flows: couplings, normalisation, squeezing, and many scales.

Every layer has two methods, and nothing else is asked of it:

- ``forward_and_log_det(x)`` gives y and log|det dy/dx| per example, shape (B,), in nats;
- ``inverse(y)`` gives x back exactly, up to rounding.

Layers work on vectors (B, C) and on feature maps (B, C, H, W); couplings split the channels. The
networks inside may compute in bfloat16 under autocast, but what they return is brought to the
precision of x first, so sums of log-determinants keep it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = [
    "ActNorm",
    "BatchNorm",
    "Chain",
    "Coupling",
    "Flatten",
    "Layer",
    "MultiScale",
    "Regroup",
    "Scaling",
    "Squeeze",
]


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
    arXiv:1605.08803, Eq. 7 and 8. Deviations: none.
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
        return _along(self.gain, raw) * raw.tanh(), shift

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


class Scaling(Layer):
    r"""Multiplies every channel by its own positive number.

    .. math:: y_i = e^{s_i} x_i, \qquad \log|\det| = \sum_i s_i

    Args:
        channels: Channels of x.

    Reference: Dinh et al. 2014, arXiv:1410.8516, Section 3.3. Deviations: none.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the product and the sum of the logarithms, once for every place of a map."""
        log_det = self.log_scale.sum() * _places(x)
        return x * _along(self.log_scale.exp(), x), log_det.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Divides."""
        return y * _along((-self.log_scale).exp(), y)


class ActNorm(Layer):
    r"""Shifts and scales every channel; its first batch in training comes out standardised.

    .. math:: y = \frac{x - m}{d}\, e^{s} + b

    Mean m and deviation d are those of the first batch and stay; s and b are learnt from 0. That
    m and d are buffers keeps several processes equal, each of which has another first batch.

    Args:
        channels: Channels of x.

    Reference: Kingma & Dhariwal 2018, arXiv:1807.03039, Section 3.1. Deviations: the first
    batch's statistics are kept apart from what is learnt.
    """

    measured: Tensor
    mean: Tensor
    log_std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("log_std", torch.zeros(channels))
        self.register_buffer("measured", torch.zeros(()))
        self._known = False  # spares a look at the buffer in every batch

    def _measure(self, x: Tensor) -> None:
        if not self._known and not bool(self.measured):
            mean, variance = _moments(x.detach())
            self.mean.copy_(mean)
            self.log_std.copy_(0.5 * (variance + 1e-6).log())
            self.measured.fill_(1)
        self._known = True

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y and the sum of the log-slopes."""
        if self.training:
            self._measure(x)
        log_slope = self.log_scale - self.log_std
        slope = log_slope.exp()
        y = torch.addcmul(_along(self.bias - self.mean * slope, x), x, _along(slope, x))
        return y, (log_slope.sum() * _places(x)).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undoes it."""
        slope = (self.log_std - self.log_scale).exp()
        return (y - _along(self.bias, y)) * _along(slope, y) + _along(self.mean, y)


class BatchNorm(Layer):
    r"""Standardises every channel: by the batch's moments in training, by their average after.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
              \log|\det| = -\tfrac12 \sum \log(\sigma^2 + \epsilon)

    In training, examples of a batch depend on one another, so the log-determinant is that of each
    example with the batch's moments held fixed, as in the paper; exact densities come from
    evaluation mode. `inverse` always uses the averages.

    Args:
        channels: Channels of x.
        momentum: Share of the newest batch in the running moments.

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 3.7 and Appendix E. Deviations: the
    batch's own moments normalise in training; the paper mixes them with the running ones.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.05) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, 1e-5
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the standardised x and the sum of the log-slopes."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = _moments(x)
            self.running_mean.lerp_(mean.detach().to(self.running_mean), self.momentum)
            self.running_var.lerp_(variance.detach().to(self.running_var), self.momentum)
        slope = (variance + self.eps).rsqrt()
        y = (x - _along(mean, x)) * _along(slope, x)
        return y, (slope.log().sum() * _places(x)).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undoes it with the running moments."""
        deviation = (self.running_var + self.eps).sqrt()
        return y * _along(deviation, y) + _along(self.running_mean, y)


class Flatten(Layer):
    """Writes an image as a vector.

    Args:
        shape: Shape (C, H, W) of an image.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moves numbers only: the log-determinant is 0."""
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Makes it an image again."""
        return y.unflatten(1, self.shape)


class Squeeze(Layer):
    """Turns every 2x2 square of a map into four channels, the checkerboard's colours apart.

    The first half of the new channels holds the squares' main diagonals and the second half the
    other two corners: a coupling of the two halves is one with a checkerboard mask.

    Shape: (B, C, H, W) -> (B, 4 C, H / 2, W / 2), H and W even.

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 3.4 and 3.6. Deviations: squeezing comes
    before the checkerboard couplings, whose networks then see half the resolution and no zeros in
    the places of the other colour.
    """

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moves numbers only: the log-determinant is 0."""
        top, bottom = x[:, :, 0::2], x[:, :, 1::2]
        corners = (top[..., 0::2], bottom[..., 1::2], top[..., 1::2], bottom[..., 0::2])
        return torch.cat(corners, dim=1), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Moves them back."""
        upper_left, lower_right, upper_right, lower_left = y.chunk(4, dim=1)
        top = torch.stack([upper_left, upper_right], dim=-1).flatten(-2)
        bottom = torch.stack([lower_left, lower_right], dim=-1).flatten(-2)
        return torch.stack([top, bottom], dim=-2).flatten(-3, -2)


class Regroup(Layer):
    """Exchanges the middle two quarters of the channels, so that halves pair up anew.

    After `Squeeze` a coupling of the two halves then is one of upper with lower rows of the
    squares: the channel-wise mask.
    """

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moves numbers only: the log-determinant is 0."""
        return self.inverse(x), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Does the same: the exchange undoes itself."""
        first, second, third, fourth = y.chunk(4, dim=1)
        return torch.cat([first, third, second, fourth], dim=1)


class MultiScale(Layer):
    """Stages one after another; after each but the last, half of the channels is done.

    Args:
        stages: From fine to coarse.
        shapes: Shape (C, H, W) of what each stage puts out.

    Shape: (B, C, H, W) -> (B, C H W), what was done first comes first.

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 3.6, Eq. 14 to 16. Deviations: none.
    """

    def __init__(self, stages: Sequence[Layer], shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        halves = [(channels // 2, *sides) for channels, *sides in shapes[:-1]]
        self.part_shapes = [*halves, tuple(shapes[-1])]

    def split(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """Passes the stages and takes each one's half.

        Returns:
            What is done after each stage, maps from fine to coarse; beside each the map that went
            on to the next stage, None after the last; and the log-determinant, shape (B,).
        """
        total, parts, onward = x.new_zeros(len(x)), [], []
        for stage in self.stages[:-1]:
            x, log_det = stage(x)
            total = total + log_det
            x, part = x.chunk(2, dim=1)
            parts.append(part)
            onward.append(x)
        x, log_det = self.stages[-1](x)
        return [*parts, x], [*onward, None], total + log_det

    def join(self, part: Callable[[int, Tensor | None], Tensor]) -> Tensor:
        """Undoes `split`, from coarse to fine.

        Args:
            part: Gives what was done after a stage, by the stage's number and the map that had
                gone on to the next one.
        """
        last = len(self.stages) - 1
        x = self.stages[last].inverse(part(last, None))  # type: ignore[operator]
        for i in reversed(range(last)):
            x = self.stages[i].inverse(torch.cat([x, part(i, x)], dim=1))  # type: ignore[operator]
        return x

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the latent vector and the stages' log-determinants together."""
        parts, _, log_det = self.split(x)
        return torch.cat([part.flatten(1) for part in parts], dim=1), log_det

    def inverse(self, y: Tensor) -> Tensor:
        """Puts the parts together again."""
        parts = y.split([math.prod(shape) for shape in self.part_shapes], dim=1)
        return self.join(lambda i, _: parts[i].unflatten(1, self.part_shapes[i]))


# ---------------------------------------------------------------- shapes


def _along(value: Tensor, x: Tensor) -> Tensor:
    """Shapes one number per channel so that it broadcasts along x, in the precision of x."""
    return value.to(x.dtype).view(-1, *[1] * (x.dim() - 2))


def _places(x: Tensor) -> int:
    """Counts the places of a map; a vector has one."""
    return math.prod(x.shape[2:])


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and variance (of the batch, not its estimate) of every channel."""
    dims = [0, *range(2, x.dim())]
    variance, mean = torch.var_mean(x, dim=dims, correction=0)
    return mean, variance
