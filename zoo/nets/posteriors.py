"""Laws q(z | x) of latents: what an encoder says of an image, and how z is drawn from it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from zoo.functional.divergence import log_ratio_to_standard_normal, standard_normal_kl
from zoo.nets.iaf import InverseAutoregressiveFlow

__all__ = ["Code", "FlowPosterior", "NormalPosterior"]


class Code(NamedTuple):
    """What the encoder says about images.

    Args:
        mean: Means of q(z_0 | x), shape (B, latent).
        log_var: Its log variances.
        context: What the flow of the posterior gets to know, shape (B, context); empty without.
    """

    mean: Tensor
    log_var: Tensor
    context: Tensor


class NormalPosterior:
    r"""Independent normal units.

    .. math:: z = \mu(x) + \sigma(x) \odot \epsilon, \quad \epsilon \sim N(0, I)

    Args:
        latent_dim: Length of z.
    """

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = latent_dim

    def read(self, said: Tensor) -> Code:
        """Splits what the encoder says, shape (B, 2 latent + context)."""
        return Code(*said.tensor_split([self.latent_dim, 2 * self.latent_dim], dim=1))

    def centre(self, code: Code) -> Tensor:
        """Returns the z that stands for an image, shape (B, latent)."""
        return code.mean

    def draw(self, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z by noise (k, B, latent) of the standard normal law.

        Returns:
            Latents, shape (k, B, latent), and log q(z | x) - log p(z) in nats, shape (k, B).
        """
        z = code.mean + (code.log_var / 2).exp() * noise
        return z, log_ratio_to_standard_normal(z, noise, code.log_var)

    def draw_with_rate(self, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws one z for each image by noise (1, B, latent).

        Returns:
            Latents, shape (1, B, latent), and KL(q(z | x) || p(z)) in nats, shape (B,).
        """
        z = code.mean + (code.log_var / 2).exp() * noise
        return z, standard_normal_kl(code.mean, code.log_var).sum(dim=1)


class FlowPosterior(NormalPosterior):
    """Normal units whose draws an inverse autoregressive flow moves.

    Args:
        latent_dim: Length of z.
        flow: The flow.

    Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling 2016, arXiv:1606.04934.
    """

    def __init__(self, latent_dim: int, flow: InverseAutoregressiveFlow) -> None:
        super().__init__(latent_dim)
        self.flow = flow

    def centre(self, code: Code) -> Tensor:
        """Returns where the flow moves the mean of q(z_0 | x) to, shape (B, latent)."""
        return self.flow(code.mean, code.context)[0]

    def draw(self, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z_0 and moves it; see `NormalPosterior.draw`."""
        start = code.mean + (code.log_var / 2).exp() * noise
        context = code.context.expand(len(noise), -1, -1).flatten(0, 1)
        moved, log_det = (
            part.unflatten(0, noise.shape[:2]) for part in self.flow(start.flatten(0, 1), context)
        )
        return moved, log_ratio_to_standard_normal(moved, noise, code.log_var, log_det)

    def draw_with_rate(self, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws one z for each image; the rate is its estimate by that z."""
        z, log_ratio = self.draw(code, noise)
        return z, log_ratio[0]
