"""What models with independent latent units share: VAE, the beta-VAE family, autoencoder."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.answering import answers, between, generator_for, in_chunks, own_format
from zoo.contract.model import Model
from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, did_you_mean
from zoo.functional.bounds import importance_bound
from zoo.functional.divergence import log_ratio_to_standard_normal, standard_normal_kl
from zoo.functional.draws import normal
from zoo.functional.likelihood import (
    bernoulli_log_prob,
    gaussian_log_prob,
    logistic_bin_log_prob,
)
from zoo.functional.paths import arc, great_circle, line
from zoo.nets.mlp import MLP
from zoo.nets.residual import ResidualDecoder, ResidualEncoder

__all__ = [
    "MEASURE_EVERY",
    "Activation",
    "FeatureLoss",
    "LatentUnits",
    "Likelihood",
    "Network",
    "RatedUnits",
    "encoder_and_decoder",
]

Activation = Literal["tanh", "relu", "silu"]
Likelihood = Literal["bernoulli", "gaussian", "logistic"]
Network = Literal["mlp", "conv"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
MEASURE_EVERY = 10  # batches between measurements of the codes' moments
SHOWN = 10  # units that pictures show, those that images move most
SILENT = 0.05  # nats: a unit with a lower rate says nothing that could be seen


def encoder_and_decoder(
    spec: ImageSpec,
    network: Network,
    latent_dim: int,
    said: int,
    hidden: tuple[int, ...],
    activation: Activation,
    width: int,
    depth: int,
) -> tuple[nn.Module, nn.Module]:
    """Returns an encoder that says so many numbers of an image, and a decoder of latents."""
    if network == "mlp":
        nonlinearity = ACTIVATIONS[activation]
        encoder = MLP(spec.size, hidden, said, nonlinearity)
        return encoder, MLP(latent_dim, hidden[::-1], spec.shape, nonlinearity)
    encoder = ResidualEncoder(*spec.shape, width, said, depth)
    return encoder, ResidualDecoder(latent_dim, *spec.shape, width, depth)


class LatentUnits(Model):
    """Latents with a normal prior of independent units; a user sees the mean of p(x | z).

    A model has `encode` and a network ``decoder``, whose outputs `_mean` turns into images, and
    says in `reach` how far a traversal goes to both sides. It has `codes`, too, or follows the
    moments of its codes.
    """

    latent_dim: int
    decoder: nn.Module
    reach: float  # in standard deviations
    likelihood: Likelihood = "bernoulli"  # p(x | z) of the pixels
    log_scale: nn.Parameter  # of its deviation, but for bits, shape (C, 1, 1)
    code_mean: Tensor  # running moments of encode(x) over training images, (latent_dim,) each
    code_var: Tensor

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
        """Names the latent units that images move most, at most ten, the liveliest first."""
        liveliest = self.code_var.argsort(descending=True, stable=True)[:SHOWN]
        return tuple(f"z{int(unit) + 1}" for unit in liveliest)

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

    def values_of(self, code: str, steps: int) -> list[float]:
        """Lists the values that a unit has along a traversal, in standard deviations."""
        return [round(v, 2) for v in torch.linspace(-self.reach, self.reach, steps).tolist()]

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
        """Walks from one sample to another on an arc, which keeps the length of z typical.

        Between images of one's own, a and b in [0, 1] of shape (rows, C, H, W), the walk turns at a
        steady angle from the code of one to that of the other.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        if a is not None and b is not None:
            return between(self, a, b, great_circle, steps)
        mean, std = self._prior_moments()
        a, b = ((self._prior(2 * rows, seed) - mean) / std).split(rows)
        walk = mean + std * arc(a, b, steps)
        return self.decode(walk.flatten(0, 1)).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- the pixels' law

    def log_likelihood(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log p(x | z) of images (B, C, H, W) for latents (..., B, latent).

        Returns:
            Nats, shape (..., B), and the decoder's logits, shape (..., B, C, H, W).
        """
        flat = z.flatten(0, -2)
        logits = self.decoder(flat).to(z.dtype).unflatten(0, z.shape[:-1])
        if self.likelihood == "bernoulli":
            values = bernoulli_log_prob(x, logits)
        elif self.likelihood == "gaussian":
            values = gaussian_log_prob(x, self._mean(logits), self.log_scale)
        else:
            values = logistic_bin_log_prob(x, self._mean(logits), self.log_scale)
        return values.flatten(-3).sum(dim=-1), logits

    def _mean(self, logits: Tensor) -> Tensor:
        """Returns the means of p(x | z), for every likelihood a sigmoid."""
        return logits.sigmoid()

    # ---------------------------------------------------------------- latents

    def follow_codes(self) -> None:
        """Makes room for the moments of the codes."""
        self.register_buffer("code_mean", torch.zeros(self.latent_dim))
        self.register_buffer("code_var", torch.ones(self.latent_dim))

    @torch.no_grad()
    def note_codes(self, codes: Tensor) -> None:
        """Follows the moments of codes, (B, latent), over the last hundred measurements or so."""
        self.code_mean.lerp_(codes.mean(dim=0), 0.01)
        self.code_var.lerp_((codes - self.code_mean).square().mean(dim=0), 0.01)

    def _prior(self, n: int, seed: int | None) -> Tensor:
        """Draws latents from the prior, shape (n, latent_dim)."""
        mean, std = self._prior_moments()
        return mean + std * normal(n, self.latent_dim, generator=generator_for(seed)).to(mean)

    def _prior_moments(self) -> tuple[Tensor, Tensor]:
        """Returns means and standard deviations of the prior's units, (latent_dim,) each."""
        mean = own_format(self).new_zeros(self.latent_dim)
        return mean, torch.ones_like(mean)


class RatedUnits(LatentUnits):
    """Latents whose q(z | x) is a normal law of independent units, each known by its rate.

    The beta-VAE and its kin, which differ in what they pay for the rate. A model has a network
    ``encoder`` that says means and log variances, and calls `follow_rates` and `note_rates`.
    """

    expects_bits = True
    reach = 2.0
    encoder: nn.Module
    unit_rate: Tensor  # running average of each unit's rate in nats, (latent_dim,)

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Infers the means of q(z | x), (B, latent_dim), for images in [0, 1], (B, C, H, W)."""
        return in_chunks(lambda part: self._read(part)[0], x)

    @answers
    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """Bounds log p(x) from below with importance samples; what training weighs is not a part.

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
            log_ratio = log_ratio_to_standard_normal(z, noise, log_var)
            log_weights.append(-log_ratio - self._distortion(x, z))
        return importance_bound(torch.stack(log_weights))

    def codes(self) -> tuple[str, ...]:
        """Names the latent units that are not silent, at most ten, the highest rate first."""
        order = self.unit_rate.argsort(descending=True, stable=True)[:SHOWN]
        heard = max(1, int((self.unit_rate > SILENT).sum()))
        return tuple(f"z{int(unit) + 1}" for unit in order[:heard])

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
        """Walks straight from one sample to another, or from images a of one's own to images b.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        if a is not None and b is not None:
            return between(self, a, b, line, steps)
        z = self._prior(2 * rows, seed)
        walk = line(z[:rows], z[rows:], steps)
        return self.decode(walk.flatten(0, 1)).unflatten(0, (rows, steps))

    def follow_rates(self) -> None:
        """Makes room for the rates of the units."""
        self.register_buffer("unit_rate", torch.zeros(self.latent_dim))

    @torch.no_grad()
    def note_rates(self, rates: Tensor) -> None:
        """Follows the units' rates, (latent_dim,), over the last hundred batches or so."""
        self.unit_rate.lerp_(rates, 0.01)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and log variances of q(z | x), each of shape (B, latent_dim)."""
        mean, log_var = self.encoder(x).to(x.dtype).chunk(2, dim=1)
        return mean, log_var

    def _distortion(self, x: Tensor, z: Tensor) -> Tensor:
        """Computes -log p(x | z) in nats, shape (B,)."""
        return -self.log_likelihood(x, z)[0]

    def _terms(self, x: Tensor, z: Tensor, mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean distortion, (), and each unit's mean rate, (latent_dim,), in nats."""
        return self._distortion(x, z).mean(), standard_normal_kl(mean, log_var).mean(dim=0)


class FeatureLoss:
    r"""How far two images lie apart for a classifier: the distance of its feature maps.

    .. math:: \sum_l \tfrac12 \mathrm{mean}\,(\phi_l(x) - \phi_l(\bar x))^2

    The classifier is borrowed: this is not a module, so its weights are none of the model's.

    Args:
        name: The classifier's name on the shelf, or None for no loss.
        spec: Shape of the images.

    Reference: Hou, Shen, Sun, Qiu 2017, arXiv:1610.00291.
    """

    def __init__(self, name: str | None, spec: ImageSpec) -> None:
        self.name, self.spec = name, spec
        self.network: Any = None

    def take(self, network: Any) -> None:
        """Borrows the classifier.

        Raises:
            UserError: if it was made for images of another shape, or has no feature maps.
        """
        if not hasattr(network, "feature_maps"):
            raise UserError(f"{self.name} has no feature maps; try features_mnist.")
        if network.spec.shape != self.spec.shape:
            raise UserError(
                f"{self.name} sees images of shape {network.spec.shape}, the data are "
                f"of shape {self.spec.shape}: choose another --model.feature_network."
            )
        self.network = network.requires_grad_(False).eval()

    def __call__(self, x: Tensor, mean: Tensor) -> Tensor:
        """Computes the distance of images (B, C, H, W) from others; gradients reach the others.

        Raises:
            UserError: if no classifier was brought.
        """
        if self.network is None:
            raise UserError(
                f"--model.feature_network {self.name} was not brought: call "
                f"model.use_feature_network(zoo.load({self.name!r})) first."
            )
        self.network.to(x)
        with torch.no_grad():
            wanted = self.network.feature_maps(x)
        pairs = zip(self.network.feature_maps(mean), wanted, strict=True)
        each = (0.5 * F.mse_loss(a.to(x.dtype), b.to(x.dtype)) for a, b in pairs)
        return sum(each, x.new_zeros(()))
