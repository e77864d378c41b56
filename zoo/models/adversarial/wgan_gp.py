r"""WGAN-GP: a critic of slope 1 measures how far the model is from the data.

.. math:: L = E_z[f(G(z))] - E_x[f(x)]
    + \lambda\, E_{\hat x}\big[(\lVert \nabla_{\hat x} f(\hat x) \rVert_2 - 1)^2\big], \quad
    \hat x = \epsilon x + (1 - \epsilon) G(z),\; \epsilon \sim U[0, 1]

The critic f minimises L, and then -L without its penalty is nearly the Wasserstein distance. The
generator minimises -E_z[f(G(z))].

Reference: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017, arXiv:1704.00028.

Deviations:
- `sample` uses an exponential moving average of the generator.
- The rates may fall over any last part of the training (`decay`); in the paper they fall over all
  of it on CIFAR-10, and stay otherwise.
- Networks of any width; the one for grey images is a DCGAN with a fully connected layer.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, generator_for, in_chunks, own_format
from zoo.contract.model import Model
from zoo.contract.priors import PRIORS, walk
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments, check_choice
from zoo.functional.adversarial import gradient_penalty, wasserstein_estimate
from zoo.functional.ranges import centred, to_unit
from zoo.models.registry import MODELS
from zoo.nets.conv import ConvDecoder, ConvEncoder
from zoo.nets.mlp import MLP, init_he
from zoo.nets.resnet import ResNetCritic, ResNetGenerator
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import fade, progress
from zoo.optim.steps import adam, frozen, minimise, record

__all__ = ["WGANGP"]

NETWORKS = ("auto", "mlp", "conv", "resnet")


@MODELS.register
class WGANGP(Model):
    """A WGAN with gradient penalty for points of the plane or for images.

    Every batch makes one step of the critic; every ``n_critic``-th batch also makes one of the
    generator. ``trainer.global_step`` and ``max_steps`` therefore count steps of the critic.

    Args:
        spec: Shape of the images.
        latent_dim: Length of the latent vector z (128 in the paper).
        prior: Distribution of z, a name in `zoo.contract.priors.PRIORS`.
        network: ``mlp``, ``conv`` or ``resnet``; ``auto`` takes the first for points of the
            plane, the second for grey images, the third for others.
        width: Units of an MLP's layers (512 in the paper), or channels: of the finest feature map
            of ``conv``, of all of ``resnet`` (128 in the paper).
        depth: Hidden layers of an MLP (3 in the paper).
        n_critic: Critic steps for each step of the generator (5 in the paper).
        gp_weight: Weight lambda of the penalty (10 in the paper; .1 in its code for toys).
        lr: Adam's rate (1e-4 in the paper, 2e-4 on CIFAR-10).
        betas: Adam's decay rates ((0, .9) in the paper).
        decay: Share of the training, at its end, over which the rates fall to zero.
        ema_decay: Decay of the generator's moving average.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a GAN whose critic measures how far its images are from the data."
    needs = (("image", "points"),)
    not_published = ("generator.", "critic.")

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 128,
        prior: str = "normal",
        network: Literal["auto", "mlp", "conv", "resnet"] = "auto",
        width: int = 64,
        depth: int = 3,
        n_critic: int = 5,
        gp_weight: float = 10.0,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.0, 0.9),
        decay: float = 0.0,
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            latent_dim=(latent_dim, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[1, inf)"),
            n_critic=(n_critic, "[1, inf)"),
            gp_weight=(gp_weight, "[0, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            decay=(decay, "[0, 1]"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        check_choice("--model.network", network, NETWORKS)
        self.law = PRIORS[prior]
        self.save_hyperparameters(ignore=["spec"])
        self.automatic_optimization = False
        self.spec, self.latent_dim, self.n_critic, self.gp_weight = (
            spec, latent_dim, n_critic, gp_weight,
        )  # fmt: skip
        self.prior, self.lr, self.betas, self.decay = prior, lr, betas, decay
        if network == "auto":
            network = "mlp" if spec.points else "conv" if spec.channels == 1 else "resnet"
        self.prefers_bf16 = network != "mlp" and prior != "cauchy"  # its largest draws are huge
        # No batch normalisation in the critic: the penalty is about each example by itself.
        if network == "mlp":
            hidden = [width] * depth
            self.generator: nn.Module = MLP(latent_dim, hidden, spec.shape, nn.ReLU)
            features = nn.Sequential(MLP(spec.size, hidden[1:], width, nn.ReLU), nn.ReLU())
        elif network == "conv":
            self.generator = ConvDecoder(latent_dim, *spec.shape, base=width)
            features = ConvEncoder(*spec.shape, base=width, features=4 * width, norm=False)
        else:
            self.generator = ResNetGenerator(latent_dim, *spec.shape, base=width)
            features = ResNetCritic(*spec.shape, base=width)
        # No bias: the loss is the same for a critic with a constant added.
        wide = 4 * width if network == "conv" else width
        self.critic = nn.Sequential(features, nn.Linear(wide, 1, bias=False))
        if network == "mlp":
            init_he(self.generator, self.critic)
        self.generator_ema = ema_of(self.generator, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed."""
        return self.decode(self._latents(n, seed))

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latent vectors, shape (B, latent_dim), to images in [0, 1], shape (B, C, H, W)."""
        raw = in_chunks(self.generator_ema, z)
        return to_unit(raw, points=self.spec.points).clamp(0, 1)

    @answers
    def interpolate(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Walks as `zoo.contract.priors.walk` does, from one sample to another.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        z = self._latents(2 * rows, seed)
        z = walk(self.law, z[:rows], z[rows:], steps)
        return self.decode(z.flatten(0, 1)).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- the two players

    def scores(self, x: Tensor) -> Tensor:
        """Computes the critic's scores f(x) of images in [0, 1], shape (B,)."""
        return self.critic(centred(x, points=self.spec.points))[:, 0].to(x.dtype)

    def critic_terms(self, x: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Computes the estimate of the distance and the penalty for images x and generated ones.

        Slopes are taken with respect to what the critic sees: pixels in [-1, 1], as in the paper.
        """
        estimate = wasserstein_estimate(*self.scores(torch.cat([x, fake])).split(len(x)))
        points = self.spec.points
        mix = torch.rand(len(x), dtype=x.dtype, device=x.device)
        with torch.autocast(x.device.type, enabled=False):  # slopes of bfloat16 are too coarse
            penalty = gradient_penalty(
                self.critic, centred(x, points=points), centred(fake, points=points), mix
            )
        return {"wasserstein_estimate": estimate, "gradient_penalty": penalty}

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Computes -E[f(G(z))] on generated images."""
        return -self.scores(fake).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Updates the critic, and after every n_critic-th of its steps the generator."""
        optimizer_c, optimizer_g = self.optimizers()  # type: ignore[misc]
        for optimizer in (optimizer_c, optimizer_g):
            fade(optimizer, self.lr, progress(self), self.decay)
        x = batch.image
        with torch.no_grad():
            fake = self._images(len(x))
        terms = self.critic_terms(x, fake)
        record(self, terms)
        loss = -terms["wasserstein_estimate"] + self.gp_weight * terms["gradient_penalty"]
        minimise(self, optimizer_c, loss)

        # Counted over epochs, so that an epoch may end between two steps of the generator.
        if (self.trainer.fit_loop.total_batch_idx + 1) % self.n_critic == 0:
            with frozen(self.critic):
                loss = self.generator_loss(self._images(len(x)))
                record(self, {"generator_loss": loss})
                minimise(self, optimizer_g, loss, counted=False)
            update_ema(self.generator_ema, self.generator)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Returns Adam for the critic, and Adam for the generator."""
        return tuple(adam(net, self.lr, self.betas) for net in (self.critic, self.generator))

    def _images(self, n: int) -> Tensor:
        """Generates n images in [0, 1] from new latents, with gradients."""
        z = self._latents(n, None).to(own_format(self))
        return to_unit(self.generator(z), points=self.spec.points)

    def _latents(self, n: int, seed: int | None) -> Tensor:
        return self.law.sample(n, self.latent_dim, generator_for(seed))
