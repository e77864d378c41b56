r"""Autoencoder: an image passes through a short code and back; the plain limit of a VAE.

.. math:: \min\; E_x[-\log p(x \mid z = f(x))]

There is no noise and no rate, so no bound on the likelihood either. The codes have no law of their
own: samples are drawn from a normal law fitted to them, unit by unit.

References: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks";
the limit is that of Kingma & Welling 2014, arXiv:1312.6114. Feature loss: Hou et al. 2017,
arXiv:1610.00291.

Deviations:
- One training of the whole network, without layers trained before; Adam's rate falls along a
  cosine to zero.
- Drawing samples is our addition.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments, check_choice
from zoo.models.registry import MODELS
from zoo.models.variational.base import (
    MEASURE_EVERY,
    Activation,
    FeatureLoss,
    LatentUnits,
    Likelihood,
    Network,
    encoder_and_decoder,
)
from zoo.optim.schedules import follow_cosine
from zoo.optim.steps import adam, record

__all__ = ["Autoencoder"]


@MODELS.register
class Autoencoder(LatentUnits):
    """Autoencoder for images of any size of the zoo.

    Args:
        spec: Shape of the images.
        latent_dim: Length of the code z.
        network: ``mlp``: fully connected; ``conv``: residual convolutions.
        hidden: Units of the encoder's hidden layers, and in reverse of the decoder's (``mlp``).
        activation: Nonlinearity of ``mlp``.
        width: Channels of the finest feature map (``conv``).
        depth: Residual blocks at each size (``conv``).
        likelihood: Distribution of the pixels: ``bernoulli``, ``gaussian`` or ``logistic``, as in
            the VAE.
        feature_network: Classifier of the shelf whose feature maps reconstructions should share,
            such as ``features_mnist``.
        feature_weight: Weight of the distance between feature maps, added to the distortion.
        lr: Adam's rate at the start.
        betas: Adam's decay rates.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "squeezes an image through a short code and restores it."
    needs = (("image", "points"),)
    reach = 3.0

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 50,
        network: Network = "mlp",
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "tanh",
        width: int = 32,
        depth: int = 1,
        likelihood: Likelihood = "bernoulli",
        feature_network: str | None = None,
        feature_weight: float = 1.0,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__()
        check_arguments(
            latent_dim=(latent_dim, "[1, inf)"),
            hidden=(hidden, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[0, inf)"),
            feature_weight=(feature_weight, "[0, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
        )
        check_choice("--model.network", network, get_args(Network))
        check_choice("--model.activation", activation, get_args(Activation))
        check_choice("--model.likelihood", likelihood, get_args(Likelihood))
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.latent_dim, self.likelihood = spec, latent_dim, likelihood
        self.feature_network, self.feature_weight = feature_network, feature_weight
        self.lr, self.betas = lr, betas
        self.prefers_bf16 = network == "conv"
        shape = latent_dim, latent_dim, hidden, activation, width, depth
        self.encoder, self.decoder = encoder_and_decoder(spec, network, *shape)
        if likelihood != "bernoulli":
            self.log_scale = nn.Parameter(torch.full((spec.channels, 1, 1), -2.0))
        self.follow_codes()
        self.feature_loss = FeatureLoss(feature_network, spec)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Maps images in [0, 1], shape (B, C, H, W), to codes, shape (B, latent_dim)."""
        return in_chunks(self._read, x)

    # ---------------------------------------------------------------- learning

    def _read(self, x: Tensor) -> Tensor:
        return self.encoder(x).to(x.dtype)  # autocast may have halved it

    def terms(self, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Computes the distortion of images (B, C, H, W) with codes (B, latent_dim).

        Returns:
            Its mean over the batch in nats; with a feature network, ``feature_distance`` besides.
        """
        log_likelihood, logits = self.log_likelihood(x, z)
        terms = {"distortion_nats": -log_likelihood.mean()}
        if self.feature_network is not None:
            terms["feature_distance"] = self.feature_loss(x, self._mean(logits))
        return terms

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the distortion, and the weighted distance of features; logs both unweighted."""
        z = self._read(batch.image)
        if batch_idx % MEASURE_EVERY == 0:
            self.note_codes(z)
        terms = self.terms(batch.image, z)
        record(self, terms)
        return terms["distortion_nats"] + self.feature_weight * terms.get("feature_distance", 0.0)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate fall along a cosine to zero."""
        follow_cosine(self, self.lr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, self.betas)

    def use_feature_network(self, network: Any) -> None:
        """Takes the classifier that `feature_network` names; the engine brings it."""
        self.feature_loss.take(network)

    def _prior_moments(self) -> tuple[Tensor, Tensor]:
        """Returns means and standard deviations of the codes, unit by unit."""
        return self.code_mean, self.code_var.sqrt()
