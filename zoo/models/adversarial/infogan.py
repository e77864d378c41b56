r"""InfoGAN: a GAN whose generator must keep a part of its latent code readable from the image.

.. math:: \min_{G,Q} \max_D\; E_x[\log D(x)] + E_{z,c}[\log(1 - D(G(z,c)))] - \lambda L_I(G,Q)

.. math:: L_I(G, Q) = E_{c,z}[\log Q(c \mid G(z, c))] + H(c) \;\le\; I(c; G(z, c))

z is incompressible noise; c holds one categorical code and some continuous ones. Q shares all
layers of D but the last, so it costs nearly nothing, and it applies to real images as well:
`classify` reads the categorical code of an image without having seen a label.

Reference: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel 2016, arXiv:1606.03657; where the
paper leaves a choice, the authors' code, github.com/openai/InfoGAN: D and Q make one step on
their losses' sum, which trains the layers that they share, then G makes one on its own sum.

Deviations:
- The generator minimises -log D(G) (Goodfellow's non-saturating loss), as the authors' code does.
- G's step uses the latents of D's step, not new ones, and z is normal, not uniform.
- Leaner networks than the paper's 1024-unit layers, so that weights stay small.

Beyond the paper, off by default and in the last part of this file, which makes it long; the recipes
infogan_plus_* turn it on:
- D and Q look at images through random small affine maps, the same law for real and generated
  ones (`jitter`). A code that must survive them cannot hide in a digit's position or slant.
- Q trains its own layers only, on features that D learns for its own sake (`own_layers`). Else G
  and Q may agree early on a code that has little to do with the classes of the data.
- D and Q have `dropout`; it makes the code follow the classes sooner.
- The information's weight starts near zero and grows geometrically (`anneal_from`: deterministic
  annealing). At full weight the codes settle at once on a split of the images that training can
  hardly leave again, such as two codes for one digit and one for two.
- Q knows the codes' prior: its average over real images is drawn to the uniform law that the
  codes are drawn from (`prior_weight`). Else a code can stay nearly unused on real images.
- Once the information has its full weight, Q also learns from real images: where it is sure of
  the code of an image, it is to give the same code to a randomly moved copy (`agreement_weight`;
  Sohn et al. 2020, arXiv:2001.07685).
- The running statistics of D's and Q's batch normalisation come from real images alone, as they
  are (`real_statistics`): that is what `classify` and `encode` are asked about.
- Rates fall to zero over the last part of the training (`decay`).
- `sample` uses an exponential moving average of the generator (`ema_decay`).
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.answering import answering, answers, generator_for, in_chunks
from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.adversarial import (
    categorical_information,
    discriminator_loss,
    gaussian_information,
    generator_loss,
)
from zoo.functional.augmentation import random_affine
from zoo.functional.draws import integers, normal, uniform
from zoo.functional.paths import arc, line, other_classes
from zoo.models.registry import MODELS
from zoo.nets.conv import ConvDecoder, ConvEncoder, init_dcgan
from zoo.nets.norm import fixed_statistics, measuring_statistics
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import fade, progress
from zoo.optim.steps import adam, frozen, minimise, record

__all__ = ["InfoGAN"]

MEASURE_EVERY = 10  # batches between measurements of the running statistics
ANNEALED = 0.6  # share of the training after which the information has its full weight
SURE = 0.9  # probability from which Q believes its own answer


@MODELS.register
class InfoGAN(Model):
    """InfoGAN for images of any size of the zoo.

    Args:
        spec: Shape of the images.
        noise_dim: Length of the noise z, standard normal (62 in the paper's MNIST model).
        categories: Values K of the categorical code, uniform.
        continuous: Number M of continuous codes, uniform on [-1, 1].
        width: Channels of the finest feature map.
        features: Units of the layer shared by D and Q (1024 in the paper).
        hidden: Units of the generator's fully connected layer (1024 in the paper).
        categorical_weight: Weight lambda of the categorical code's information.
        continuous_weight: Weight lambda of the continuous codes' information (1 in the authors'
            code for MNIST; the paper calls a smaller one usual).
        lr_discriminator: Adam's rate for D and Q.
        lr_generator: Adam's rate for G.
        betas: Adam's decay rates.
        own_layers: Beyond the paper, as all that follow: whether Q's loss trains Q's own layers
            only, not those that it shares with D.
        anneal_from: Share of `categorical_weight` at the start; it grows geometrically to 1 over
            the first 60 % of the training. 1 for none.
        prior_weight: Weight of the pull of Q's average over real images to the codes' prior.
        agreement_weight: Weight of Q's agreement with its own sure answers on real images, from the
            time on when the information has its full weight.
        jitter: Standard deviation of the affine maps' entries, 0 for none.
        dropout: Share of D's and Q's coarsest feature map that is dropped in training.
        real_statistics: Whether the running statistics of D and Q come from real images alone.
        decay: Share of the training, at its end, over which the rates fall to zero.
        ema_decay: Decay of the generator's moving average, 0 for the generator as it is.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a GAN with codes that stay readable in its images: which class, which slant."

    prefers_bf16 = True
    not_published = ("generator.",)

    def __init__(
        self,
        spec: ImageSpec,
        noise_dim: int = 62,
        categories: int = 10,
        continuous: int = 2,
        width: int = 32,
        features: int = 256,
        hidden: int = 512,
        categorical_weight: float = 1.0,
        continuous_weight: float = 1.0,
        lr_discriminator: float = 2e-4,
        lr_generator: float = 1e-3,
        betas: tuple[float, float] = (0.5, 0.999),
        # beyond the paper
        own_layers: bool = False,
        anneal_from: float = 1.0,
        prior_weight: float = 0.0,
        agreement_weight: float = 0.0,
        jitter: float = 0.0,
        dropout: float = 0.0,
        real_statistics: bool = False,
        decay: float = 0.0,
        ema_decay: float = 0.0,
    ) -> None:
        super().__init__()
        check_arguments(
            noise_dim=(noise_dim, "[0, inf)"),
            categories=(categories, "[2, inf)"),
            continuous=(continuous, "[0, inf)"),
            width=(width, "[1, inf)"),
            features=(features, "[1, inf)"),
            hidden=(hidden, "[0, inf)"),
            categorical_weight=(categorical_weight, "[0, inf)"),
            continuous_weight=(continuous_weight, "[0, inf)"),
            prior_weight=(prior_weight, "[0, inf)"),
            agreement_weight=(agreement_weight, "[0, inf)"),
            anneal_from=(anneal_from, "(0, 1]"),
            dropout=(dropout, "[0, 1)"),
            jitter=(jitter, "[0, inf)"),
            lr_discriminator=(lr_discriminator, "[0, inf)"),
            lr_generator=(lr_generator, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            decay=(decay, "[0, 1]"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        self.save_hyperparameters(ignore=["spec"])
        self.automatic_optimization = False
        self.spec = spec
        self.noise_dim, self.num_codes, self.continuous = noise_dim, categories, continuous
        self.categorical_weight, self.continuous_weight = categorical_weight, continuous_weight
        self.lr_discriminator, self.lr_generator, self.betas = lr_discriminator, lr_generator, betas

        self.code_size = noise_dim + categories + continuous
        self.generator = ConvDecoder(self.code_size, *spec.shape, base=width, hidden=hidden)
        self.trunk = ConvEncoder(*spec.shape, base=width, features=features, dropout=dropout)
        self.discriminator_head = nn.Linear(features, 1)
        self.code_head = nn.Sequential(
            nn.Linear(features, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.LeakyReLU(0.1),
            nn.Linear(128, categories + continuous),
        )
        init_dcgan(self.generator, self.trunk, self.discriminator_head, self.code_head)
        self.generator_ema = ema_of(self.generator, ema_decay)

        self.own_layers, self.anneal_from = own_layers, anneal_from
        self.prior_weight, self.agreement_weight = prior_weight, agreement_weight
        self.jitter, self.real_statistics, self.decay = jitter, real_statistics, decay
        self.code_share: Tensor  # running average of Q(c | x) over real images
        self.register_buffer("code_share", torch.full((categories,), 1 / categories))

    # ---------------------------------------------------------------- what a user calls

    @answers
    def sample(self, n: int, *, seed: int | None = None, label: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        All have the value ``label`` of the categorical code, or values drawn uniformly. They are
        numbered as training found them, not as digits.
        """
        if label is not None and not 0 <= label < self.num_codes:
            raise UserError(f"--label must lie in 0..{self.num_codes - 1}, got {label}.")
        z, c, u = self._latents(n, seed)
        return self.decode(self._join(z, c if label is None else torch.full_like(c, label), u))

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents to images.

        Args:
            z: Noise, one-hot categorical code and continuous codes, shape
                (B, noise_dim + categories + continuous).

        Returns:
            Images in [0, 1], shape (B, C, H, W).
        """
        return in_chunks(lambda part: self.generator_ema(part).sigmoid(), z)

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Infers the posterior Q(c | x) of the codes.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).

        Returns:
            Probabilities of the categorical code, then means of the continuous codes, shape
            (B, categories + continuous).
        """
        logits, mean = self._split(in_chunks(lambda part: self.code_head(self.trunk(part)), x))
        return torch.cat([logits.softmax(dim=1), mean], dim=1)

    @answers
    def classify(self, x: Tensor) -> Tensor:
        """Infers the categorical code of images in [0, 1], shape (B, C, H, W).

        Returns:
            Codes in [0, num_codes), shape (B,), int64, numbered as training found them.
        """
        return self.encode(x)[:, : self.num_codes].argmax(dim=1)

    def codes(self) -> tuple[str, ...]:
        """Names the codes that `traverse` can vary."""
        return ("category", *(f"continuous{i + 1}" for i in range(self.continuous)))

    @answers
    def traverse(self, code: str, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Varies one code, with all else fixed along a row.

        Args:
            code: One of `codes()`. Continuous codes run from -2 to 2, twice their training range,
                as in the paper's Figure 2; the category runs through its values, one a step, and
                ``steps`` is ignored.
            rows: Number of rows, each with its own noise; rows of a continuous code also cycle
                through the categories.
            steps: Number of images along a row.
            seed: Decides the noise.

        Returns:
            Images in [0, 1], shape (rows, steps, C, H, W).

        Raises:
            UserError: if there is no such code, or rows or steps are not positive.
        """
        check_choice("code", code, self.codes())
        steps = self.num_codes if code == "category" else steps
        z, c, u = (part.repeat_interleave(steps, dim=0) for part in self._latents(rows, seed))
        if code == "category":
            c = torch.arange(steps, device=c.device).repeat(rows)
            u = torch.zeros_like(u)
        else:
            index = self.codes().index(code) - 1
            each = torch.arange(rows, device=c.device) % self.num_codes
            c = each.repeat_interleave(steps)
            u = torch.zeros_like(u)
            path = torch.linspace(-2, 2, steps, dtype=u.dtype, device=u.device)
            u[:, index] = path.repeat(rows)
        return self.decode(self._join(z, c, u)).unflatten(0, (rows, steps))

    def values_of(self, code: str, steps: int) -> list[float]:
        """Lists the values that a code has along a traversal."""
        if code == "category":
            return [float(value) for value in range(self.num_codes)]
        return [round(value, 2) for value in torch.linspace(-2, 2, steps).tolist()]

    @answers
    def interpolate(
        self,
        a: Tensor | None = None,
        b: Tensor | None = None,
        *,
        rows: int = 8,
        steps: int = 10,
        seed: int = 0,
    ) -> Tensor:
        """Walks from one sample to another of another category.

        The noise walks on the arc between its ends, which keeps its length typical; the
        codes walk straight, that of the category between corners of its simplex.

        Between images of one's own, a and b in [0, 1] of shape (rows, C, H, W), all that Q infers
        of them walks straight; their noise nobody knows, so a row has one of its own, and its ends
        have the codes of a and b, not their looks.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        if a is not None and b is not None:
            codes = line(self.encode(a), self.encode(b), steps)
            noise = self._latents(len(a), seed)[0].to(codes)[:, None].expand(-1, steps, -1)
            walk = torch.cat([noise, codes], dim=2)
            return self.decode(walk.flatten(0, 1)).unflatten(0, (len(a), steps))
        z, c, u = self._latents(2 * rows, seed)
        z = arc(z[:rows], z[rows:], steps).flatten(0, 1)
        u = line(u[:rows], u[rows:], steps).flatten(0, 1)
        ends = c[:rows], other_classes(c[:rows], c[rows:], self.num_codes)
        start, end = (F.one_hot(one, self.num_codes).to(z.dtype) for one in ends)
        c = line(start, end, steps).flatten(0, 1)
        return self.decode(torch.cat([z, c, u], dim=1)).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- the two players

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Makes one step of D and Q, then one of G, each on its loss less lambda L_I."""
        if self.goes_beyond:
            return self._step_beyond(batch, batch_idx)
        optimizer_d, optimizer_g = self.optimizers()  # type: ignore[misc]
        x = batch.image
        fake, c, u = self._generate_like(x)

        terms = self.discriminator_terms(x, fake.detach(), c, u)
        record(self, {"discriminator_loss": terms["discriminator_loss"]})
        loss = terms["discriminator_loss"] - self._weighted_information(terms)
        minimise(self, optimizer_d, loss, counted=False)

        with frozen(self.trunk, self.discriminator_head, self.code_head):
            terms = self.generator_terms(fake, c, u)
            record(self, terms)
            loss = terms["generator_loss"] - self._weighted_information(terms)
            minimise(self, optimizer_g, loss)
        update_ema(self.generator_ema, self.generator)

    def discriminator_terms(
        self, x: Tensor, fake: Tensor, c: Tensor, u: Tensor
    ) -> dict[str, Tensor]:
        """Computes the losses of D and Q for real images x and detached generated images."""
        real, generated = self.trunk(x), self.trunk(fake)
        loss = discriminator_loss(
            self.discriminator_head(real).to(x.dtype),
            self.discriminator_head(generated).to(x.dtype),
        )
        return {"discriminator_loss": loss, **self._information(generated, c, u)}

    def generator_terms(self, fake: Tensor, c: Tensor, u: Tensor) -> dict[str, Tensor]:
        """Computes the losses of G for its images and the codes that made them."""
        features = self.trunk(fake)
        loss = generator_loss(self.discriminator_head(features).to(fake.dtype))
        return {"generator_loss": loss, **self._information(features, c, u)}

    def _information(self, features: Tensor, c: Tensor, u: Tensor) -> dict[str, Tensor]:
        logits, mean = self._split(self.code_head(features).to(u.dtype))
        terms = {"categorical_information_nats": categorical_information(logits, c)}
        if self.continuous:
            terms["continuous_information_nats"] = gaussian_information(mean, u)
        return terms

    def _weighted_information(self, terms: dict[str, Tensor], share: float = 1.0) -> Tensor:
        """Returns lambda L_I, a scalar; ``share`` scales the categorical code's weight."""
        information = share * self.categorical_weight * terms["categorical_information_nats"]
        if self.continuous:
            continuous = self.continuous_weight * terms["continuous_information_nats"]
            information = information + continuous
        return information

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Returns Adam for D and Q, and Adam for G."""
        judging = nn.ModuleList([self.trunk, self.discriminator_head, self.code_head])
        optimizer_d = adam(judging, self.lr_discriminator, self.betas)
        return optimizer_d, adam(self.generator, self.lr_generator, self.betas)

    # ---------------------------------------------------------------- latents

    def _latents(self, n: int, seed: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Draws noise (n, noise_dim), categories (n,) and continuous codes (n, continuous)."""
        generator = generator_for(seed)
        z = normal(n, self.noise_dim, generator=generator)
        c = integers(self.num_codes, n, generator=generator)
        u = uniform(n, self.continuous, generator=generator) * 2 - 1
        return z, c, u

    def _generate_like(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Generates as many images as x holds; returns them, their categories and codes."""
        z, c, u = self._latents(len(x), None)
        z, c, u = z.to(x), c.to(x.device), u.to(x)
        return self.generator(self._join(z, c, u)).to(x.dtype).sigmoid(), c, u

    def _join(self, z: Tensor, c: Tensor, u: Tensor) -> Tensor:
        return torch.cat([z, F.one_hot(c, self.num_codes).to(z.dtype), u], dim=1)

    def _split(self, q: Tensor) -> tuple[Tensor, Tensor]:
        return q[:, : self.num_codes], q[:, self.num_codes :]

    # ---------------------------------------------------------------- beyond the paper

    @property
    def goes_beyond(self) -> bool:
        """Whether an argument asks for more than the paper's step."""
        extra = self.prior_weight or self.agreement_weight or self.jitter or self.decay
        return bool(extra or self.own_layers or self.real_statistics or self.anneal_from < 1)

    def _step_beyond(self, batch: Batch, batch_idx: int) -> None:
        """Does what `training_step` does, with all that the arguments ask for besides."""
        optimizer_d, optimizer_g = self.optimizers()  # type: ignore[misc]
        done = progress(self)
        share = self.anneal_from ** max(0.0, 1 - done / ANNEALED)
        fade(optimizer_d, self.lr_discriminator, done, self.decay)
        fade(optimizer_g, self.lr_generator, done, self.decay)
        x, judges = batch.image, (self.trunk, self.discriminator_head, self.code_head)
        fake, c, u = self._generate_like(x)

        with fixed_statistics(*judges) if self.real_statistics else nullcontext():
            agree = self.agreement_weight > 0 and done >= ANNEALED
            terms = self.plus_discriminator_terms(x, fake.detach(), c, u, agree=agree)
            own = ("discriminator_loss", "code_prior_nats", "disagreement_nats")
            record(self, {name: terms[name] for name in own if name in terms})
            minimise(self, optimizer_d, self._discriminator_objective(terms), counted=False)

            with frozen(*judges):
                terms = self.generator_terms(random_affine(fake, self.jitter), c, u)
                record(self, terms)
                loss = terms["generator_loss"] - self._weighted_information(terms, share)
                minimise(self, optimizer_g, loss)
        update_ema(self.generator_ema, self.generator)
        if self.real_statistics and batch_idx % MEASURE_EVERY == 0:
            with measuring_statistics(*judges):
                self.code_head(self.trunk(x))

    def plus_discriminator_terms(
        self, x: Tensor, fake: Tensor, c: Tensor, u: Tensor, *, agree: bool = False
    ) -> dict[str, Tensor]:
        """Computes the losses of D and Q for real images x and detached generated images.

        With ``agree`` Q also learns its own sure answers on real images.
        """
        real = self.trunk(random_affine(x, self.jitter))
        generated = self.trunk(random_affine(fake, self.jitter))
        loss = discriminator_loss(
            self.discriminator_head(real).to(x.dtype),
            self.discriminator_head(generated).to(x.dtype),
        )
        seen = generated.detach() if self.own_layers else generated
        terms = {"discriminator_loss": loss, **self._information(seen, c, u)}
        if self.prior_weight or agree:
            logits, _ = self._split(self.code_head(real.detach()).to(x.dtype))
            if self.prior_weight:
                terms["code_prior_nats"] = self._prior(logits)
            if agree:
                terms["disagreement_nats"] = self._disagreement(x, logits)
        return terms

    def _discriminator_objective(self, terms: dict[str, Tensor]) -> Tensor:
        loss = terms["discriminator_loss"] - self._weighted_information(terms)
        for name, weight in (
            ("code_prior_nats", self.prior_weight),
            ("disagreement_nats", self.agreement_weight),
        ):
            if name in terms:
                loss = loss + weight * terms[name]
        return loss

    def _prior(self, logits: Tensor) -> Tensor:
        """Returns sum_c q(c) log(q(c) / p(c)), whose gradient sees the batch's part of q only.

        q is Q(c | x) averaged over the batch in the first place, and over many past batches in
        the logarithm: one batch alone is never balanced, and should not be made so.
        """
        share = logits.softmax(dim=1).mean(dim=0)
        self.code_share.lerp_(share.detach(), 0.01)
        return (share * (self.num_codes * self.code_share).log()).sum()

    def _disagreement(self, x: Tensor, logits: Tensor) -> Tensor:
        """Returns the cross entropy from Q's sure answers on x to its logits on moved copies."""
        with answering(self.trunk, self.code_head):
            q = in_chunks(lambda part: self.code_head(self.trunk(part)), x)
        probability, code = self._split(q)[0].softmax(dim=1).max(dim=1)
        return (F.cross_entropy(logits, code, reduction="none") * (probability > SURE)).mean()
