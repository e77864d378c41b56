"""Laws of a flow's latents: a log-density and a way to draw, fixed or learnt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.functional.density import plateau_log_prob, standard_normal_log_prob
from zoo.functional.draws import normal, uniform
from zoo.nets.conditioners import ConvConditioner

__all__ = ["MixtureLaw", "NormalBase"]

TAILS = (-5.0, 3.0)  # range of a plateau's log tail: sharper edges would only make loud gradients


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
        return normal(n, self.size, generator=generator)


class MixtureLaw(nn.Module):
    r"""The law of a map given what is coarser: at each place a mixture of plateaus.

    .. math:: p(z \mid c) = \prod_j p(z_j \mid c, z_{<j}), \qquad p(z_j \mid \cdot) =
              \sum_k \frac{w_k}{h_k}\, \mathrm{Plateau}\Big(\frac{z_j - m_k}{h_k}; \tau_k\Big)

    Channel j sees the channels before it; weights, means, half-widths and tails come from one
    network per channel. A narrow plateau is what a dequantised pixel of a certain level looks
    like, one with long tails what it may be instead.

    Args:
        channels: Channels of z.
        context: Channels of c, 0 if there is nothing coarser.
        height: Height of both maps.
        columns: Width of both maps.
        width: Channels inside the networks.
        blocks: Their residual blocks.
        components: Plateaus k of each number.
    """

    def __init__(
        self, channels: int, context: int, height: int, columns: int, width: int, blocks: int,
        components: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shape, self.components = (channels, height, columns), components
        self.networks = nn.ModuleList(
            ConvConditioner(max(1, context + j), 4 * components, width, blocks, height, columns)
            for j in range(channels)
        )
        start = torch.zeros(channels, 4, components)  # weight, mean, log half-width, log tail
        start[:, 1] = torch.linspace(-2, 2, components)
        start[:, 2:] = -1
        self.start = nn.Parameter(start)

    def _numbers(self, j: int, seen: Tensor) -> tuple[Tensor, ...]:
        """Returns log weights, means, log half-widths and log tails, each (B, k, H, W)."""
        seen = seen if seen.shape[1] else seen.new_zeros(len(seen), 1, *self.shape[1:])
        raw = self.networks[j](seen).to(seen.dtype).unflatten(1, (4, self.components))
        numbers = raw + self.start[j, :, :, None, None].to(raw.dtype)
        weight, mean, log_width, log_tail = numbers.unbind(dim=1)
        return weight.log_softmax(dim=1), mean, log_width, log_tail.clamp(*TAILS)

    def log_prob(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Computes the log-density of maps.

        Args:
            z: Shape (B, channels, H, W).
            context: Shape (B, context, H, W), or None.

        Returns:
            Nats per example, shape (B,).
        """
        total = z.new_zeros(len(z))
        for j in range(self.shape[0]):
            seen = z[:, :j] if context is None else torch.cat([context, z[:, :j]], dim=1)
            weight, mean, log_width, log_tail = self._numbers(j, seen)
            u = (z[:, j, None] - mean) * (-log_width).exp()
            each = weight - log_width + plateau_log_prob(u, log_tail)
            total = total + each.logsumexp(dim=1).flatten(1).sum(dim=1)
        return total

    def draw(
        self, n: int, context: Tensor | None, generator: torch.Generator | None, temperature: float
    ) -> Tensor:
        """Draws maps, each number times the temperature before the next channel sees it.

        Returns:
            Shape (n, channels, H, W).
        """
        z = self.start.new_zeros(n, 0, *self.shape[1:])
        for j in range(self.shape[0]):
            weight, *rest = self._numbers(j, z if context is None else torch.cat([context, z], 1))
            # Drawn on the CPU, so that a seed means the same maps on every device.
            kind, u, v = uniform(3, n, 1, *self.shape[1:], generator=generator).to(z)
            chosen = (weight.exp().cumsum(dim=1) < kind).sum(dim=1, keepdim=True)
            chosen = chosen.clamp(max=self.components - 1)
            mean, log_width, log_tail = (numbers.gather(1, chosen) for numbers in rest)
            drawn = mean + log_width.exp() * (2 * u - 1 + log_tail.exp() * v.logit(eps=1e-7))
            z = torch.cat([z, temperature * drawn], dim=1)
        return z
