"""Laws of a flow's latents: a log-density and a way to draw, with or without numbers to learn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.functional.density import plateau_log_prob, standard_normal_log_prob

__all__ = ["NormalBase", "PlateauBase"]


class NormalBase(nn.Module):
    """The standard normal law.

    Args:
        size: Numbers per example.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns nats per example, shape (B,), of z of shape (B, size)."""
        return standard_normal_log_prob(z)

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Returns draws, shape (n, size), on the CPU."""
        return torch.randn(n, self.size, generator=generator)


class PlateauBase(nn.Module):
    r"""Each latent is flat on [-1, 1], or broad; how often, and how broad, is learnt for each.

    .. math:: p(z_i) = w_i\, \mathrm{Plateau}(z_i; \tau_i)
              + (1 - w_i)\, \mathrm{Logistic}(z_i; m_i, s_i)

    The plateau is what a dequantised pixel of a certain level looks like, the logistic what the
    same pixel may be instead. Affine couplings cannot make either out of a normal law.

    Args:
        size: Numbers per example.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.weight_logit = nn.Parameter(torch.zeros(size))
        self.log_tail = nn.Parameter(torch.full((size,), -1.5))
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(size))

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns nats per example, shape (B,), of z of shape (B, size)."""
        flat = F.logsigmoid(self.weight_logit) + plateau_log_prob(z, self.log_tail)
        e = (z - self.mean) * (-self.log_scale).exp()
        broad = F.logsigmoid(-self.weight_logit) - self.log_scale - F.softplus(e) - F.softplus(-e)
        return torch.logaddexp(flat, broad).sum(dim=1)

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Returns draws, shape (n, size), on the CPU."""
        kind, u, v = torch.rand(3, n, self.size, generator=generator)
        logistic = v.logit(eps=1e-7)
        with torch.no_grad():
            weight, tail = self.weight_logit.sigmoid().cpu(), self.log_tail.exp().cpu()
            broad = self.mean.cpu() + self.log_scale.exp().cpu() * logistic
            return torch.where(kind < weight, 2 * u - 1 + tail * logistic, broad)
