r"""Beta-TCVAE: of a VAE's rate, only the dependence of the units on one another costs more.

.. math:: \min\; E_{q(z \mid x)}[-\log p(x \mid z)] + I_q(z; n)
          + \beta\, KL\Big(q(z) \,\Big\|\, \prod_d q(z_d)\Big) + \sum_d KL(q(z_d) \| p(z_d))

The last three are the index-code mutual information, the total correlation and the unit-wise
divergence; they add up to the rate, so with beta = 1 this is a VAE. q(z), the mean of q(z | x) over
all training images, is estimated from the batch. Where the beta-VAE pays more for all that a code
tells of an image, this pays more for units that depend on one another only.

Reference: Chen, Li, Grosse, Duvenaud 2018, arXiv:1802.04942, Eq. 4 with alpha = gamma = 1, and
Appendix C.

Deviations:
- Leaner networks, without fully connected layers of their own (`conv`).
- Adam's rate falls along a cosine to zero.
"""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor

from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.total_correlation import (
    ESTIMATORS,
    Decomposition,
    Estimator,
    batch_log_weights,
    decompose,
)
from zoo.models.registry import MODELS
from zoo.models.variational.base import Network, RatedUnits, encoder_and_decoder
from zoo.optim.schedules import follow_cosine, risen
from zoo.optim.steps import adam, record

__all__ = ["BetaTCVAE"]


@MODELS.register
class BetaTCVAE(RatedUnits):
    """Beta-TCVAE for images of any size of the zoo.

    Args:
        spec: Shape of the images; their likelihood is Bernoulli, grey values being expected bits.
        latent_dim: Length of z (10 in the paper).
        beta: Weight of the total correlation (6 in the paper on dSprites).
        estimator: How a batch estimates q(z), see `zoo.functional.total_correlation`.
        examples: Number of training images, for that estimate; None counts those of an epoch.
        distortion_weight: Weight of the distortion (1 in the paper). The other weights are told for
            images of a size: half the side has a quarter of the pixels, for which 4 makes up.
        weight_rises: Beyond the paper: share of the training in which that weight rises from 1, so
            that units are told apart before there are many of them.
        network: ``mlp``: fully connected; ``conv``: strided convolutions.
        hidden: Units of the encoder's hidden layers, and in reverse of the decoder's (``mlp``).
        width: Channels of the finest feature map (``conv``).
        depth: Residual blocks at each size (``conv``).
        lr: Adam's rate at the start.
        betas: Adam's decay rates.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a VAE that pays more for units that depend on one another, as batches show it."
    over_batches = "the total correlation"

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 10,
        beta: float = 6.0,
        estimator: Estimator = "weighted",
        examples: int | None = None,
        distortion_weight: float = 1.0,
        weight_rises: float = 0.0,
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
            examples=(1 if examples is None else examples, "[1, inf)"),
            distortion_weight=(distortion_weight, "(0, inf)"),
            weight_rises=(weight_rises, "[0, 1]"),
            hidden=(hidden, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[0, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
        )
        check_choice("--model.estimator", estimator, ESTIMATORS)
        check_choice("--model.network", network, get_args(Network))
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.latent_dim, self.beta = spec, latent_dim, beta
        self.estimator: Estimator = estimator
        self.examples, self.lr, self.betas = examples, lr, betas
        self.distortion_weight, self.weight_rises = distortion_weight, weight_rises
        self.prefers_bf16 = network == "conv"
        shape = latent_dim, 2 * latent_dim, hidden, "silu", width, depth
        self.encoder, self.decoder = encoder_and_decoder(spec, network, *shape)
        self.follow_rates()

    # ---------------------------------------------------------------- learning

    def terms(self, x: Tensor, examples: int) -> tuple[Tensor, Decomposition, Tensor]:
        """Computes the mean distortion, the parts of the rate, and the rate of each unit.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).
            examples: Number of training images.

        Returns:
            Nats: a scalar, three scalars, and shape (latent_dim,).
        """
        mean, log_var = self._read(x)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        distortion, rates = self._terms(x, z, mean, log_var)
        log_weights = batch_log_weights(len(x), max(examples, len(x)), self.estimator)
        return distortion, decompose(z, mean, log_var, log_weights.to(z.device)), rates

    def objective(self, distortion: Tensor, parts: Decomposition, risen: float = 1.0) -> Tensor:
        """Weighs the terms, all of them in nats; `risen` is how far the distortion's weight is."""
        dependence = self.beta * parts.total_correlation
        weighed = (1 + risen * (self.distortion_weight - 1)) * distortion
        return weighed + parts.index_code + dependence + parts.unit_wise

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the weighted terms; logs them unweighted."""
        x = batch.image
        if len(x) < 2:
            raise UserError(
                "BetaTCVAE compares the codes of a batch, which has one image: raise "
                "--data.batch_size to 2 or more."
            )
        distortion, parts, rates = self.terms(x, self._examples(len(x)))
        self.note_rates(rates)
        terms = {"distortion_nats": distortion, "rate_nats": rates.sum()}
        terms |= {f"{name}_nats": part for name, part in parts._asdict().items()}
        record(self, {"nelbo_nats": distortion + rates.sum(), **terms})
        return self.objective(distortion, parts, risen(self, self.weight_rises))

    def _examples(self, batch: int) -> int:
        """Returns the number of training images: as told, else that of an epoch's batches."""
        if self.examples is not None:
            return self.examples
        batches = self.trainer.num_training_batches
        return batch * self.trainer.world_size * (1 if math.isinf(batches) else int(batches))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate fall along a cosine to zero."""
        follow_cosine(self, self.lr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, self.betas)
