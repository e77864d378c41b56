"""Layers of flows that scale and shift every channel by itself: learnt, or as in the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zoo.nets.coupling import Layer, along

__all__ = ["ActNorm", "BatchNorm", "Scaling"]


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
        return x * along(self.log_scale.exp(), x), log_det.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Divides."""
        return y * along((-self.log_scale).exp(), y)


class ActNorm(Layer):
    r"""Shifts and scales every channel; its first batch in training comes out standardised.

    .. math:: y = \frac{x - m}{d}\, e^{s} + b

    Mean m and deviation d are those of the first batch and stay (d is 1 where it holds one value
    of each channel); s and b are learnt from 0. That
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
            if len(x) * _places(x) > 1:  # one value shows no deviation: 1 remains
                self.log_std.copy_(0.5 * (variance + 1e-6).log())
            self.measured.fill_(1)
        self._known = True

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns y and the sum of the log-slopes."""
        if self.training:
            self._measure(x)
        log_slope = self.log_scale - self.log_std
        slope = log_slope.exp()
        y = torch.addcmul(along(self.bias - self.mean * slope, x), x, along(slope, x))
        return y, (log_slope.sum() * _places(x)).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undoes it."""
        slope = (self.log_std - self.log_scale).exp()
        return (y - along(self.bias, y)) * along(slope, y) + along(self.mean, y)


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

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 3.7. Deviations: the
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
        y = (x - along(mean, x)) * along(slope, x)
        return y, (slope.log().sum() * _places(x)).expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undoes it with the running moments."""
        deviation = (self.running_var + self.eps).sqrt()
        return y * along(deviation, y) + along(self.running_mean, y)


def _places(x: Tensor) -> int:
    """Counts the places of a map; a vector has one."""
    return math.prod(x.shape[2:])


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and variance (of the batch, not its estimate) of every channel."""
    dims = [0, *range(2, x.dim())]
    variance, mean = torch.var_mean(x, dim=dims, correction=0)
    return mean, variance
