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

from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments, check_choice
from zoo.models.registry import MODELS
from zoo.models.variational.base import Network, RatedUnits, encoder_and_decoder
from zoo.optim.schedules import follow_cosine, progress
from zoo.optim.steps import adam, record

__all__ = ["BetaVAE"]


@MODELS.register
class BetaVAE(RatedUnits):
    """Beta-VAE for images of any size of the zoo.

    Args:
        spec: Shape of the images; their likelihood is Bernoulli, grey values being expected bits.
        latent_dim: Length of z (10 in the papers).
        beta: Weight of the rate, or with a capacity of the rate's distance from it.
        capacity: Nats that the rate is drawn to at the end of the schedule; None for no schedule.
        capacity_until: Share of the training in which the capacity rises from 0.
        distortion_weight: Weight of the distortion (1 in the papers). beta is told for images of a
            size: half the side has a quarter of the pixels, for which 4 makes up.
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

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 10,
        beta: float = 4.0,
        capacity: float | None = None,
        capacity_until: float = 0.5,
        distortion_weight: float = 1.0,
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
            distortion_weight=(distortion_weight, "(0, inf)"),
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
        self.distortion_weight = distortion_weight
        if capacity is not None:
            self.over_batches = "the distance of the rate from its capacity"
        self.lr, self.betas = lr, betas
        self.prefers_bf16 = network == "conv"
        shape = latent_dim, 2 * latent_dim, hidden, "silu", width, depth
        self.encoder, self.decoder = encoder_and_decoder(spec, network, *shape)
        self.follow_rates()

    # ---------------------------------------------------------------- learning

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the mean distortion and the mean rate of each unit, in nats.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).

        Returns:
            A scalar, and shape (latent_dim,).
        """
        mean, log_var = self._read(x)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        return self._terms(x, z, mean, log_var)

    def objective(self, distortion: Tensor, rate: Tensor, done: float) -> Tensor:
        """Weighs the terms.

        Args:
            distortion: Nats.
            rate: Nats, the sum over all units.
            done: Share of the training that has passed, in [0, 1].
        """
        weighed = self.distortion_weight * distortion
        if self.capacity is None:
            return weighed + self.beta * rate
        present = self.capacity * min(1.0, done / self.capacity_until)
        return weighed + self.beta * (rate - present).abs()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the weighted terms; logs them unweighted."""
        distortion, rates = self.terms(batch.image)
        rate = rates.sum()
        self.note_rates(rates)
        terms = {"distortion_nats": distortion, "rate_nats": rate}
        record(self, {"nelbo_nats": distortion + rate, **terms})
        return self.objective(distortion, rate, progress(self))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate fall along a cosine to zero."""
        follow_cosine(self, self.lr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, self.betas)
