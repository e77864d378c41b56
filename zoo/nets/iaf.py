r"""Inverse autoregressive flow: turns simple posterior samples into samples of a richer law.

.. math:: z_t = \sigma_t \odot z_{t-1} + (1 - \sigma_t) \odot m_t, \quad
          [m_t, s_t] = \mathrm{MADE}_t(z_{t-1}, h), \quad \sigma_t = \mathrm{sigmoid}(s_t)

.. math:: \log q(z_T \mid x) = \log q(z_0 \mid x) - \sum_t \sum_i \log \sigma_{t,i}

The Jacobian of each step is triangular because output i sees inputs before i only. Samples and
their density cost one pass each; the density of other points would need the inverse.

Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling 2016, arXiv:1606.04934.
Deviations: none; orders alternate, as the paper does.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nets.masked import MaskedMLP

__all__ = ["InverseAutoregressiveFlow"]

OPEN = 1.5  # added to s, so that a step begins near the identity, as the paper advises


class InverseAutoregressiveFlow(nn.Module):
    """A chain of inverse autoregressive steps.

    Args:
        features: Length of z.
        hidden: Units of the two hidden layers of each step's network.
        context: Length of h, what the encoder tells every step.
        steps: Number T of steps; odd ones see z in reversed order.

    Shape: (B, features) and (B, context) -> (B, features) and (B,).
    """

    def __init__(self, features: int, hidden: int, context: int, steps: int) -> None:
        super().__init__()
        forth = torch.arange(features)
        self.steps = nn.ModuleList(
            MaskedMLP(
                features, (hidden, hidden), 2, context,
                order=forth.flip(0) if step % 2 else forth, activation=nn.ELU,
            )
            for step in range(steps)
        )  # fmt: skip
        for step in self.steps:  # small m and s at first, or long chains begin far from q(z_0)
            last = cast(nn.Linear, cast(MaskedMLP, step).layers[-1])
            with torch.no_grad():
                last.weight.mul_(0.1)

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Moves samples.

        Args:
            z: Samples of q(z_0 | x).
            context: What the encoder says about x.

        Returns:
            Samples z_T, and log |det dz_T/dz_0| in nats, to be subtracted from log q(z_0 | x).
        """
        log_det = z.new_zeros(len(z))
        for step in self.steps:
            m, s = step(z, context).to(z.dtype).unbind(dim=-1)
            s = s + OPEN
            z = s.sigmoid() * z + (-s).sigmoid() * m
            log_det = log_det + F.logsigmoid(s).sum(dim=1)
        return z, log_det
