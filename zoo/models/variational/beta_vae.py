r"""Beta-VAE: a VAE that pays more for its code, so that each unit keeps to one thing.

.. math:: \min\; E_{q(z \mid x)}[-\log p(x \mid z)] + \beta\, KL(q(z \mid x) \| N(0, I))

With a capacity schedule, the rate is drawn to a number of nats that grows in training:

.. math:: \min\; E_{q(z \mid x)}[-\log p(x \mid z)] + \beta\, |KL(q(z \mid x) \| N(0, I)) - C|

References: Higgins et al. 2017, "beta-VAE: learning basic visual concepts with a constrained
variational framework", ICLR; capacity: Burgess et al. 2018, arXiv:1804.03599, Eq. 8, where beta is
called gamma.

Deviations:
- Leaner networks, without fully connected layers of their own (`conv`).
- Adam's rate falls along a cosine to zero.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from zoo.contract.answering import answers, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments, check_choice
from zoo.functional.bounds import importance_bound
from zoo.functional.divergence import standard_normal_kl
from zoo.functional.paths import line
from zoo.models.registry import MODELS
from zoo.models.variational.base import LatentUnits, Network, encoder_and_decoder
from zoo.optim.schedules import follow_cosine, progress
from zoo.optim.steps import adam, record

__all__ = ["BetaVAE"]

SHOWN = 10  # units that pictures show at most
SILENT = 0.05  # nats: a unit with a lower rate says nothing that could be seen


@MODELS.register
class BetaVAE(LatentUnits):
    """Beta-VAE for images of any size of the zoo.

    Args:
        spec: Shape of the images; their likelihood is Bernoulli, grey values being expected bits.
        latent_dim: Length of z (10 in the papers).
        beta: Weight of the rate, or with a capacity of the rate's distance from it.
        capacity: Nats that the rate is drawn to at the end of the schedule; None for no schedule.
        capacity_until: Share of the training in which the capacity rises from 0.
        network: ``mlp``: fully connected; ``conv``: strided convolutions.
        hidden: Units of the encoder's hidden layers, and in reverse of the decoder's (``mlp``).
        width: Channels of the finest feature map (``conv``).
        depth: Residual blocks at each size (``conv``).
        lr: Adam's rate at the start.
        betas: Adam's decay rates.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a VAE that pays more for its code, so that each number of it means one thing."
    expects_bits = True
    reach = 2.0

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 10,
        beta: float = 4.0,
        capacity: float | None = None,
        capacity_until: float = 0.5,
        network: Network = "conv",
        hidden: tuple[int, ...] = (200, 200),
        width: int = 16,
        depth: int = 0,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__()
        check_arguments(
            latent_dim=(latent_dim, "[1, inf)"),
            beta=(beta, "[0, inf)"),
            capacity=(capacity or 0.0, "[0, inf)"),
            capacity_until=(capacity_until, "(0, 1]"),
            hidden=(hidden, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[0, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
        )
        check_choice("--model.network", network, get_args(Network))
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.latent_dim, self.beta = spec, latent_dim, beta
        self.capacity, self.capacity_until = capacity, capacity_until
        if capacity is not None:
            self.over_batches = "the distance of the rate from its capacity"
        self.lr, self.betas = lr, betas
        self.prefers_bf16 = network == "conv"
        shape = latent_dim, 2 * latent_dim, hidden, "silu", width, depth
        self.encoder, self.decoder = encoder_and_decoder(spec, network, *shape)
        self.unit_rate: Tensor  # running average of each unit's rate in nats
        self.register_buffer("unit_rate", torch.zeros(latent_dim))

    # ---------------------------------------------------------------- what a user calls

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Infers the means of q(z | x), (B, latent_dim), for images in [0, 1], (B, C, H, W)."""
        return in_chunks(lambda part: self._read(part)[0], x)

    @answers
    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """Bounds log p(x) from below with importance samples; beta is no part of it.

        Args:
            x: Images in [0, 1], shape (B, C, H, W), binary for this to be a likelihood.
            samples: Number of samples; the bound rises with it, towards log p(x).

        Returns:
            Nats per example, shape (B,), counting measure on binary images.
        """
        mean, log_var = self._read(x)
        log_weights = []
        for _ in range(samples):
            noise = torch.randn_like(mean)
            z = mean + (log_var / 2).exp() * noise
            # log p(z) - log q(z | x); the constants of the two normal laws cancel.
            log_ratio = 0.5 * (noise.square() + log_var - z.square()).sum(dim=1)
            log_weights.append(log_ratio - self._distortion(x, z))
        return importance_bound(torch.stack(log_weights))

    def codes(self) -> tuple[str, ...]:
        """Names the latent units that are not silent, at most ten, the highest rate first."""
        order = self.unit_rate.argsort(descending=True, stable=True)[:SHOWN]
        heard = max(1, int((self.unit_rate > SILENT).sum()))
        return tuple(f"z{int(unit) + 1}" for unit in order[:heard])

    @answers
    def interpolate(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Walks straight from one sample to another.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        z = self._prior(2 * rows, seed)
        walk = line(z[:rows], z[rows:], steps)
        return self.decode(walk.flatten(0, 1)).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- learning

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and log variances of q(z | x), each of shape (B, latent_dim)."""
        mean, log_var = self.encoder(x).to(x.dtype).chunk(2, dim=1)
        return mean, log_var

    def _distortion(self, x: Tensor, z: Tensor) -> Tensor:
        """Computes -log p(x | z) in nats, shape (B,)."""
        return -self.log_likelihood(x, z)[0]

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the mean distortion and the mean rate of each unit, in nats.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).

        Returns:
            A scalar, and shape (latent_dim,).
        """
        mean, log_var = self._read(x)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        return self._distortion(x, z).mean(), standard_normal_kl(mean, log_var).mean(dim=0)

    def objective(self, distortion: Tensor, rate: Tensor, done: float) -> Tensor:
        """Weighs the terms.

        Args:
            distortion: Nats.
            rate: Nats, the sum over all units.
            done: Share of the training that has passed, in [0, 1].
        """
        if self.capacity is None:
            return distortion + self.beta * rate
        present = self.capacity * min(1.0, done / self.capacity_until)
        return distortion + self.beta * (rate - present).abs()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the weighted terms; logs them unweighted."""
        distortion, rates = self.terms(batch.image)
        rate = rates.sum()
        self.unit_rate.lerp_(rates.detach(), 0.01)
        terms = {"distortion_nats": distortion, "rate_nats": rate}
        record(self, {"nelbo_nats": distortion + rate, **terms})
        return self.objective(distortion, rate, progress(self))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate fall along a cosine to zero."""
        follow_cosine(self, self.lr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, self.betas)
