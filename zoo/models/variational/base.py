"""What models with a normal prior of independent latent units answer alike: VAE and beta-VAE."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, generator_for, in_chunks, own_format
from zoo.contract.model import Model
from zoo.core.errors import UserError, did_you_mean
from zoo.functional.draws import normal

__all__ = ["LatentUnits"]


class LatentUnits(Model):
    """Latents with a normal prior of independent units; a user sees the mean of p(x | z).

    A model has `encode`, `codes` and a network ``decoder``, whose outputs `_mean` turns into
    images, and says in `reach` how far a traversal goes to both sides.
    """

    latent_dim: int
    decoder: nn.Module
    reach: float  # in standard deviations

    @answers
    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        Each is the mean of p(x | z) for a z from the prior.
        """
        return self.decode(self._prior(n, seed))

    def encode(self, x: Tensor) -> Tensor:
        """Infers latents, (B, latent_dim), of images in [0, 1], shape (B, C, H, W)."""
        raise NotImplementedError

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents, shape (B, latent_dim), to the means of their images, (B, C, H, W)."""
        return in_chunks(lambda part: self._mean(self.decoder(part)), z)

    @answers
    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the means of p(x | z) at z = encode(x), for images in [0, 1], (B, C, H, W)."""
        return self.decode(self.encode(x))

    def codes(self) -> tuple[str, ...]:
        """Names the latent units that are worth a look, the best first."""
        raise NotImplementedError

    @answers
    def traverse(self, code: str, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Varies one latent unit by `reach` standard deviations to both sides of its mean.

        Args:
            code: A unit by name, ``z1`` to ``z<latent_dim>``; `codes` names the best.
            rows: Number of rows, each with its own z from the prior, all else fixed along it.
            steps: Number of images along a row.
            seed: Decides the rows.

        Returns:
            Images in [0, 1], shape (rows, steps, C, H, W).

        Raises:
            UserError: if there is no such unit, or rows or steps are not positive.
        """
        if code not in {f"z{unit + 1}" for unit in range(self.latent_dim)}:
            raise UserError(f"unknown code {code!r}. {did_you_mean(code, self.codes())}")
        unit = int(code[1:]) - 1
        mean, std = self._prior_moments()
        z = self._prior(rows, seed).repeat_interleave(steps, dim=0)
        path = torch.linspace(-self.reach, self.reach, steps, dtype=z.dtype, device=z.device)
        z[:, unit] = (mean[unit] + std[unit] * path).repeat(rows)
        return self.decode(z).unflatten(0, (rows, steps))

    def _mean(self, logits: Tensor) -> Tensor:
        """Returns the means of p(x | z), for every likelihood a sigmoid."""
        return logits.sigmoid()

    def _prior(self, n: int, seed: int | None) -> Tensor:
        """Draws latents from the prior, shape (n, latent_dim)."""
        mean, std = self._prior_moments()
        return mean + std * normal(n, self.latent_dim, generator=generator_for(seed)).to(mean)

    def _prior_moments(self) -> tuple[Tensor, Tensor]:
        """Returns means and standard deviations of the prior's units, (latent_dim,) each."""
        mean = own_format(self).new_zeros(self.latent_dim)
        return mean, torch.ones_like(mean)
