r"""FactorVAE: a VAE whose units a discriminator cannot tell from independent ones.

.. math:: \min\; E_{q(z \mid x)}[-\log p(x \mid z)] + KL(q(z \mid x) \| N(0, I))
          + \gamma\, KL\Big(q(z) \,\Big\|\, \prod_d q(z_d)\Big)

The last term, the total correlation of the codes of all images, is read off a discriminator that
learns beside the VAE to tell codes from codes with permuted units:

.. math:: TC(z) \approx E_{q(z)}\Big[\log\frac{D(z)}{1 - D(z)}\Big], \qquad
          \max_D\; \tfrac12 \big(E_{q(z)}[\log D(z)] + E_{\bar q(z)}[\log(1 - D(z))]\big)

Reference: Kim & Mnih 2018, arXiv:1802.05983, Eq. 2 and 3, Algorithm 2; networks: Appendix A.

Deviations:
- Leaner networks of the VAE, without fully connected layers of their own (`conv`).
- Adam's rate of the VAE falls along a cosine to zero.
- The two batches of Algorithm 2 are the halves of one: images that the VAE learns from, and
  others, whose codes are permuted.
"""

from __future__ import annotations

from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn

from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.adversarial import discriminator_loss
from zoo.functional.total_correlation import density_ratio_tc, permute_units
from zoo.models.registry import MODELS
from zoo.models.variational.base import Network, RatedUnits, encoder_and_decoder
from zoo.nets.mlp import MLP
from zoo.optim.schedules import follow_cosine, risen
from zoo.optim.steps import adam, frozen, minimise, record

__all__ = ["FactorVAE"]

SLOPE = 0.2  # of the discriminator's units below zero
LEAST = 4  # images of a batch: two codes at least are to be permuted


@MODELS.register
class FactorVAE(RatedUnits):
    """FactorVAE for images of any size of the zoo.

    Args:
        spec: Shape of the images; their likelihood is Bernoulli, grey values being expected bits.
        latent_dim: Length of z (10 in the paper).
        gamma: Weight of the total correlation (35 for the paper's figure on dSprites).
        distortion_weight: Weight of the distortion (1 in the paper). The other weights are told for
            images of a size: half the side has a quarter of the pixels, for which 4 makes up.
        weight_rises: Beyond the paper: share of the training in which that weight rises from 1, so
            that units are told apart before there are many of them.
        network: ``mlp``: fully connected; ``conv``: strided convolutions.
        hidden: Units of the encoder's hidden layers, and in reverse of the decoder's (``mlp``).
        width: Channels of the finest feature map (``conv``).
        depth: Residual blocks at each size (``conv``).
        discriminator: Units of the discriminator's hidden layers (six of 1000 in the paper).
        lr: Adam's rate for the VAE at the start.
        betas: Adam's decay rates for the VAE.
        lr_discriminator: Adam's rate for the discriminator.
        betas_discriminator: Adam's decay rates for the discriminator.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a VAE whose units a discriminator must not tell from independent ones."
    over_batches = "the permuted codes"
    not_published = ("discriminator.",)

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 10,
        gamma: float = 35.0,
        distortion_weight: float = 1.0,
        weight_rises: float = 0.0,
        network: Network = "conv",
        hidden: tuple[int, ...] = (200, 200),
        width: int = 16,
        depth: int = 0,
        discriminator: tuple[int, ...] = (1000, 1000, 1000, 1000, 1000, 1000),
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        lr_discriminator: float = 1e-4,
        betas_discriminator: tuple[float, float] = (0.5, 0.9),
    ) -> None:
        super().__init__()
        check_arguments(
            latent_dim=(latent_dim, "[1, inf)"),
            gamma=(gamma, "[0, inf)"),
            distortion_weight=(distortion_weight, "(0, inf)"),
            weight_rises=(weight_rises, "[0, 1]"),
            hidden=(hidden, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[0, inf)"),
            discriminator=(discriminator, "[1, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            lr_discriminator=(lr_discriminator, "[0, inf)"),
            betas_discriminator=(betas_discriminator, "[0, 1)"),
        )
        check_choice("--model.network", network, get_args(Network))
        self.save_hyperparameters(ignore=["spec"])
        self.automatic_optimization = False
        self.spec, self.latent_dim, self.gamma = spec, latent_dim, gamma
        self.lr, self.betas = lr, betas
        self.lr_discriminator, self.betas_discriminator = lr_discriminator, betas_discriminator
        self.distortion_weight, self.weight_rises = distortion_weight, weight_rises
        self.prefers_bf16 = network == "conv"
        shape = latent_dim, 2 * latent_dim, hidden, "silu", width, depth
        self.encoder, self.decoder = encoder_and_decoder(spec, network, *shape)
        self.discriminator = MLP(latent_dim, discriminator, 1, partial(nn.LeakyReLU, SLOPE))
        self.follow_rates()

    # ---------------------------------------------------------------- the two players

    def terms(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Computes what the VAE minimises.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).

        Returns:
            Distortion, rate and total correlation in nats by name, the rate of each unit, shape
            (latent_dim,), and codes drawn from q(z | x), (B, latent_dim).
        """
        z, mean, log_var = self._draw(x)
        distortion, rates = self._terms(x, z, mean, log_var)
        dependence = density_ratio_tc(self._logits(z))
        names = ("distortion_nats", "rate_nats", "total_correlation_nats")
        nats = (distortion, rates.sum(), dependence)
        found: dict[str, Tensor] = dict(zip(names, nats, strict=True))
        return found, rates, z

    def objective(self, terms: dict[str, Tensor], risen: float = 1.0) -> Tensor:
        """Weighs the terms; `risen` is how far the distortion's weight is."""
        dependence = self.gamma * terms["total_correlation_nats"]
        weighed = (1 + risen * (self.distortion_weight - 1)) * terms["distortion_nats"]
        return weighed + terms["rate_nats"] + dependence

    def discriminator_terms(self, z: Tensor, permuted: Tensor) -> dict[str, Tensor]:
        """Computes D's loss on codes and on codes with permuted units, both (B, latent_dim)."""
        loss = discriminator_loss(self._logits(z), self._logits(permuted)) / 2
        return {"discriminator_loss": loss}

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Updates the VAE on one half of the batch, then D with codes of both halves."""
        if len(batch.image) < LEAST:
            raise UserError(
                f"FactorVAE permutes the codes of half a batch, which has {len(batch.image)} "
                f"images: raise --data.batch_size to {LEAST} or more."
            )
        optimizer, optimizer_d = self.optimizers()  # type: ignore[misc]
        x, others = batch.image.tensor_split(2)

        with frozen(self.discriminator):
            terms, rates, z = self.terms(x)
            self.note_rates(rates)
            nelbo = terms["distortion_nats"] + terms["rate_nats"]
            record(self, {"nelbo_nats": nelbo, **terms})
            loss = self.objective(terms, risen(self, self.weight_rises))
            minimise(self, optimizer, loss)

        with torch.no_grad():
            permuted = permute_units(self._draw(others)[0])
        terms = self.discriminator_terms(z.detach(), permuted)
        record(self, terms)
        minimise(self, optimizer_d, terms["discriminator_loss"], counted=False)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the VAE's rate fall along a cosine to zero."""
        follow_cosine(self, self.lr)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Returns Adam for the VAE, and Adam for D."""
        vae = nn.ModuleList([self.encoder, self.decoder])
        judge = adam(self.discriminator, self.lr_discriminator, self.betas_discriminator)
        return adam(vae, self.lr, self.betas), judge

    def _draw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws codes from q(z | x); returns them, the means and the log variances."""
        mean, log_var = self._read(x)
        return mean + (log_var / 2).exp() * torch.randn_like(mean), mean, log_var

    def _logits(self, z: Tensor) -> Tensor:
        """Returns D's logits of codes (B, latent_dim) being no permuted ones, shape (B,)."""
        return self.discriminator(z)[:, 0].to(z.dtype)
