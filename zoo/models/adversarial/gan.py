r"""GAN: a generator and a discriminator play for the law of the data.

.. math:: \min_G \max_D\; E_x[\log D(x)] + E_z[\log(1 - D(G(z)))]

At the best D this is 2 JSD(data, model) - log 4. By default G maximises E_z[log D(G(z))] instead,
whose gradient does not fade where D wins.

Reference: Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville, Bengio 2014,
arXiv:1406.2661. Networks and rates for images: Radford, Metz, Chintala 2016 (DCGAN),
arXiv:1511.06434. Classes as a condition: Mirza & Osindero 2014, arXiv:1411.1784, given to D by
projection: Miyato & Koyama 2018, arXiv:1802.05637. Packing: Lin, Khetan, Fanti, Oh 2018 (PacGAN),
arXiv:1712.04086: D judges several images at once, all real or all generated, and so sees where
the generated ones are too much alike.

Deviations:
- G's step uses the images of D's step, not new ones, as is usual.
- The discriminator for images ends in a fully connected layer.
- Packs are cut from the batch, so that m of them need m times the batch: PacGAN's batches are
  counted in packs.
- For points, D starts with He's weights (He et al. 2015, arXiv:1502.01852), those of packs larger
  by the root of m, so that each point is seen as sharply as a lone one.
- Rates fall to zero over the last part of the training, where `decay` says so.
- `sample` uses an exponential moving average of the generator.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.answering import answers, generator_for, in_chunks
from zoo.contract.model import Model
from zoo.contract.priors import PRIORS, walk
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.adversarial import discriminator_loss, generator_loss, packed
from zoo.functional.draws import integers
from zoo.functional.paths import line, other_classes
from zoo.functional.ranges import centred, to_unit
from zoo.models.registry import MODELS
from zoo.nets.conv import ConvDecoder, ConvEncoder, init_dcgan
from zoo.nets.mlp import MLP, init_he
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import fade, progress
from zoo.optim.steps import adam, frozen, minimise, record

__all__ = ["GAN"]

LOSSES = ("non-saturating", "minimax")


@MODELS.register
class GAN(Model):
    """A GAN for points of the plane, with fully connected networks, or for images.

    Args:
        spec: Shape of the images.
        latent_dim: Length of the latent vector z (100 in DCGAN).
        prior: Distribution of z, a name in `zoo.contract.priors.PRIORS`.
        width: Channels of the finest feature map of images; units of each layer for points.
        depth: Hidden layers of the networks for points; for images their size decides.
        loss: What G minimises: ``non-saturating`` or ``minimax``.
        conditional: Whether the classes of the data are given to both networks.
        packing: Number of images that D judges together, 1 for none.
        dropout: Share of D's coarsest feature map that is dropped in training; images only.
        lr_discriminator: Adam's rate for D (2e-4 in DCGAN).
        lr_generator: Adam's rate for G (2e-4 in DCGAN).
        betas: Adam's decay rates.
        decay: Share of the training, at its end, over which the rates fall to zero.
        ema_decay: Decay of the generator's moving average.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a generator learns to draw what a discriminator cannot tell from the data."
    needs = (("image", "points"),)
    not_published = ("generator.", "discriminator.", "head.", "projection.")

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 100,
        prior: str = "normal",
        width: int = 64,
        depth: int = 3,
        loss: Literal["non-saturating", "minimax"] = "non-saturating",
        conditional: bool = False,
        packing: int = 1,
        dropout: float = 0.0,
        lr_discriminator: float = 2e-4,
        lr_generator: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        decay: float = 0.0,
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            latent_dim=(latent_dim, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[1, inf)"),
            packing=(packing, "[1, inf)"),
            dropout=(dropout, "[0, 1)"),
            lr_discriminator=(lr_discriminator, "[0, inf)"),
            lr_generator=(lr_generator, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            decay=(decay, "[0, 1]"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        check_choice("--model.loss", loss, LOSSES)
        if conditional and spec.classes < 2:
            raise UserError(
                "--model.conditional needs a data set with at least two classes: sort images of "
                "your own into a folder for each class, or add --model.conditional false."
            )
        self.law = PRIORS[prior]
        self.save_hyperparameters(ignore=["spec"])
        self.automatic_optimization = False
        self.spec, self.latent_dim, self.prior = spec, latent_dim, prior
        self.loss, self.packing = loss, packing
        if packing > 1:
            self.over_batches = f"packs of {packing} images"
        self.num_labels = spec.classes if conditional else 0
        if conditional:
            self.needs = (*type(self).needs, ("label",))
        self.code_size = latent_dim + self.num_labels
        self.lr_discriminator, self.lr_generator = lr_discriminator, lr_generator
        self.betas, self.decay = betas, decay
        self.prefers_bf16 = not spec.points and prior != "cauchy"  # whose largest draws are huge

        inputs, (channels, height, side) = self.code_size, spec.shape
        if spec.points:
            features, hidden = width, [width] * depth
            self.generator = MLP(inputs, hidden, spec.shape, nn.ReLU, norm=True)
            judge = MLP(packing * spec.size, hidden[1:], width, nn.ReLU)
            self.discriminator = nn.Sequential(judge, nn.ReLU())
        else:
            features = 4 * width
            self.generator = ConvDecoder(inputs, *spec.shape, base=width)
            self.discriminator = ConvEncoder(
                packing * channels, height, side, base=width, features=features, dropout=dropout
            )
        self.head = nn.Linear(features, 1)
        self.projection: nn.Module = nn.Identity()
        if conditional:
            self.projection = nn.Linear(packing * self.num_labels, features, bias=False)
        if spec.points:
            init_he(self.discriminator)
            first = next(self.discriminator.parameters()).data
            first *= packing**0.5  # D is to see each point of a pack as sharply as a lone one
        else:
            init_dcgan(self.generator, self.discriminator, self.head)
        self.generator_ema = ema_of(self.generator, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def sample(self, n: int, *, seed: int | None = None, label: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        All are of class ``label``, or of classes drawn uniformly, if the model was trained with
        classes.
        """
        if label is not None and not self.num_labels:
            raise UserError("this GAN was trained without classes: it takes no --label.")
        if label is not None and not 0 <= label < self.num_labels:
            raise UserError(f"--label must lie in 0..{self.num_labels - 1}, got {label}.")
        z, y = self._latents(n, seed)
        return self.decode(self._join(z, y if label is None else torch.full_like(y, label)))

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents to images.

        Args:
            z: Latent vectors, followed by the class one-hot if the model was trained with
                classes, shape (B, latent_dim [+ classes]).

        Returns:
            Images in [0, 1], shape (B, C, H, W).
        """
        draw = in_chunks(self.generator_ema, z)
        return to_unit(draw, points=self.spec.points).clamp(0, 1)

    @answers
    def interpolate(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Walks as `zoo.contract.priors.walk` does, from one sample to another.

        If the model was trained with classes, the ends are of different ones, and the class walks
        straight. Images in [0, 1], shape (rows, steps, C, H, W).
        """
        z, y = self._latents(2 * rows, seed)
        z = walk(self.law, z[:rows], z[rows:], steps).flatten(0, 1)
        if self.num_labels:
            ends = y[:rows], other_classes(y[:rows], y[rows:], self.num_labels)
            start, end = (F.one_hot(one, self.num_labels).to(z.dtype) for one in ends)
            y = line(start, end, steps).flatten(0, 1)
            z = torch.cat([z, y], dim=1)
        return self.decode(z).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- the two players

    def logits(self, x: Tensor, y: Tensor) -> Tensor:
        """Computes D's logits of packs of images.

        Args:
            x: Images in [0, 1], shape (B, C, H, W), B a multiple of `packing`.
            y: Their classes, shape (B,); without effect unless the model is conditional.

        Returns:
            Logits, shape (B / packing,), in the number format of x.
        """
        features = self.discriminator(packed(centred(x, points=self.spec.points), self.packing))
        logits = self.head(features)[:, 0].to(x.dtype)
        if self.num_labels:
            labels = F.one_hot(y, self.num_labels).to(features.dtype)
            given = self.projection(labels.view(len(features), -1))
            logits = logits + (given * features).sum(dim=1).to(x.dtype)
        return logits

    def discriminator_terms(self, x: Tensor, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Computes D's loss on real images x and detached generated images, both of classes y."""
        loss = discriminator_loss(self.logits(x, y), self.logits(fake, y))
        return {"discriminator_loss": loss}

    def generator_terms(self, fake: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Computes G's loss on its images of classes y."""
        return {"generator_loss": generator_loss(self.logits(fake, y), self.loss)}

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Updates D on real and generated images, then G and its average."""
        optimizer_d, optimizer_g = self.optimizers()  # type: ignore[misc]
        fade(optimizer_d, self.lr_discriminator, progress(self), self.decay)
        fade(optimizer_g, self.lr_generator, progress(self), self.decay)
        whole = len(batch.image) // self.packing * self.packing  # the last pack must be full
        if not whole:
            raise UserError(
                f"--model.packing {self.packing} is more than the {len(batch.image)} images of a "
                "batch: lower it, or raise --data.batch_size if there are more images."
            )
        x, y = batch.image[:whole], batch.label[:whole]
        z, _ = self._latents(whole, None)
        raw = self.generator(self._join(z.to(x), y))
        fake = to_unit(raw, points=self.spec.points)

        terms = self.discriminator_terms(x, fake.detach(), y)
        record(self, terms)
        minimise(self, optimizer_d, terms["discriminator_loss"], counted=False)

        with frozen(self.discriminator, self.head, self.projection):
            terms = self.generator_terms(fake, y)
            record(self, terms)
            minimise(self, optimizer_g, terms["generator_loss"])
        update_ema(self.generator_ema, self.generator)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Returns Adam for D, and Adam for G."""
        judging = nn.ModuleList([self.discriminator, self.head, self.projection])
        optimizer_d = adam(judging, self.lr_discriminator, self.betas)
        return optimizer_d, adam(self.generator, self.lr_generator, self.betas)

    # ---------------------------------------------------------------- latents

    def _latents(self, n: int, seed: int | None) -> tuple[Tensor, Tensor]:
        """Draws latent vectors (n, latent_dim) and classes (n,), all 0 without a condition."""
        generator = generator_for(seed)
        z = self.law.sample(n, self.latent_dim, generator)
        return z, integers(max(1, self.num_labels), n, generator=generator)

    def _join(self, z: Tensor, y: Tensor) -> Tensor:
        return torch.cat([z, F.one_hot(y, self.num_labels)], dim=1) if self.num_labels else z
