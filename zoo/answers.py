"""What a user calls, where families answer alike, so that their files hold what is their own.

`Features` is for classifiers, whose features the judge compares; `LatentUnits` for latents whose
prior is a normal law of independent units, VAE and beta-VAE; `OrderedBits` for laws of binary
images that fix one pixel after the other, NADE and MADE; `Flow` for invertible networks, NICE and
Real NVP. Training is the models' own, but for the moving average of a flow, and the optimiser and
schedule of a classifier.
"""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from zoo.data.spec import Batch, ImageSpec
from zoo.errors import UserError, check_counts, check_interval, did_you_mean
from zoo.functional.density import dequantise
from zoo.functional.paths import arc
from zoo.inference import answering, generator_for, in_chunks
from zoo.nets.conv import ConvEncoder
from zoo.training import adamw, follow_one_cycle, update_ema

__all__ = ["Features", "Flow", "LatentUnits", "OrderedBits"]


class Features(L.LightningModule):
    """An encoder of images and a linear head that reads it; what it learned, features keep.

    A model sets ``encoder``, ``head``, ``lr`` and ``weight_decay``, and has its `training_step`.
    """

    prefers_bf16 = True
    encoder: ConvEncoder
    head: nn.Linear
    lr: float
    weight_decay: float

    def features(self, x: Tensor) -> Tensor:
        """Maps images in [0, 1], shape (B, C, H, W), to features, shape (B, feature_width)."""
        with answering(self):
            return in_chunks(self.encoder, x.to(self.device))

    def probabilities(self, x: Tensor) -> Tensor:
        """Returns the softmax over the head's outputs, shape (B, outputs), of images in [0, 1]."""
        with answering(self):
            return self.head(self.features(x)).softmax(dim=1)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate rise for a tenth of the training, then fall to zero."""
        follow_one_cycle(self, self.lr, warm=0.1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        return adamw(self, self.lr, self.weight_decay)


class LatentUnits(L.LightningModule):
    """Latents with a normal prior of independent units; a user sees the mean of p(x | z).

    A model has `encode`, `codes` and a network ``decoder``, whose outputs `_mean` turns into
    images, and says in `reach` how far a traversal goes to both sides.
    """

    latent_dim: int
    decoder: nn.Module
    reach: float  # in standard deviations

    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        Each is the mean of p(x | z) for a z from the prior.
        """
        check_interval("n", n, "[0, inf)")
        return self.decode(self._prior(n, seed))

    def encode(self, x: Tensor) -> Tensor:
        """Infers latents, (B, latent_dim), of images in [0, 1], shape (B, C, H, W)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Maps latents, shape (B, latent_dim), to the means of their images, (B, C, H, W)."""
        with answering(self):
            return in_chunks(lambda part: self._mean(self.decoder(part)), z.to(self.device))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the means of p(x | z) at z = encode(x), for images in [0, 1], (B, C, H, W)."""
        return self.decode(self.encode(x))

    def codes(self) -> tuple[str, ...]:
        """Names the latent units that are worth a look, the best first."""
        raise NotImplementedError

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
        check_counts(rows=rows, steps=steps)
        unit = int(code[1:]) - 1
        mean, std = self._prior_moments()
        z = self._prior(rows, seed).repeat_interleave(steps, dim=0)
        path = torch.linspace(-self.reach, self.reach, steps, device=mean.device)
        z[:, unit] = (mean[unit] + std[unit] * path).repeat(rows)
        return self.decode(z).unflatten(0, (rows, steps))

    def _mean(self, logits: Tensor) -> Tensor:
        """Returns the means of p(x | z), for every likelihood a sigmoid."""
        return logits.sigmoid()

    def _prior(self, n: int, seed: int | None) -> Tensor:
        """Draws latents from the prior, shape (n, latent_dim)."""
        mean, std = self._prior_moments()
        noise = torch.randn(n, self.latent_dim, generator=generator_for(seed))
        return mean + std * noise.to(mean.device)

    def _prior_moments(self) -> tuple[Tensor, Tensor]:
        """Returns means and standard deviations of the prior's units, (latent_dim,) each."""
        mean = next(self.parameters()).new_zeros(self.latent_dim)
        return mean, torch.ones_like(mean)


class OrderedBits(L.LightningModule):
    """A law of binary images that fixes one pixel after the other, in one order or several.

    A model has `complete` and `_log_prob`, and sets `ensemble_size`, the number of its orders. The
    moving average of its ``network`` answers.
    """

    prefers_bf16 = True
    measure = "counting"
    levels = 2  # of grey that the law knows
    not_published = ("network.",)

    spec: ImageSpec
    ensemble_size: int

    def log_prob(self, x: Tensor) -> Tensor:
        """Computes log p of images (B, C, H, W), rounded to 0 or 1, in raster order.

        Nats per image, shape (B,); counting measure on {0, 1}.
        """
        return self._log_prob(x, 0)

    def ensemble_log_prob(self, x: Tensor) -> Tensor:
        r"""Computes the log-probability under the average over all orders that were trained.

        .. math:: \log \frac1K \sum_k p_k(x)

        in the units of `log_prob`.
        """
        each = torch.stack([self._log_prob(x, k) for k in range(self.ensemble_size)])
        return each.logsumexp(dim=0) - math.log(self.ensemble_size)

    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images of 0 and 1, shape (n, C, H, W), the same for the same seed."""
        check_interval("n", n, "[0, inf)")
        x = torch.zeros(n, *self.spec.shape)
        return self.complete(x, torch.ones_like(x, dtype=torch.bool), seed=seed)

    def complete(self, x: Tensor, mask: Tensor, *, seed: int | None = None) -> Tensor:
        """Draws pixels of images (B, C, H, W) where a mask is True, each given those before it.

        Known pixels further down do not help, so what is drawn above them may not fit to them.
        """
        raise NotImplementedError

    def _log_prob(self, x: Tensor, k: int) -> Tensor:
        """Computes log p of images in the k-th order, shape (B,)."""
        raise NotImplementedError

    def _asked(self, x: Tensor, mask: Tensor, seed: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the bits of images, which of them are known, and uniform draws, (B, D) each."""
        given = self._own(x.flatten(1).round())
        known = ~mask.expand_as(x).flatten(1).to(self.device)
        return given, known, torch.rand(given.shape, generator=generator_for(seed)).to(given)

    def _own(self, x: Tensor) -> Tensor:
        """Brings a tensor to the device and the number format of the weights."""
        return x.to(next(self.parameters()))


class Flow(L.LightningModule):
    """An invertible network and the law of its latents.

    A model has `encode`, `decode`, `_log_density` and `_latents`, and says in `averaged` what its
    network is called, whose moving average, called ``<averaged>_ema``, answers.
    """

    spec: ImageSpec
    averaged: str

    @property
    def _average(self) -> Any:
        return getattr(self, f"{self.averaged}_ema").module

    def log_prob(self, x: Tensor) -> Tensor:
        """Computes the exact log-density of images k / 255, (B, C, H, W), dequantised by new noise.

        Nats per example, shape (B,); Lebesgue measure on pixels in [0, 1], see `dequantise`. Points
        of the plane are taken as they are.
        """
        with answering(self):
            y = self._dequantised(x).to(self.device)
            return in_chunks(lambda part: self._log_density(self._average, part)[0], y)

    def encode(self, x: Tensor) -> Tensor:
        """Maps images (B, C, H, W), from the middles of grey levels, to latents (B, C H W)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Maps latents (B, C H W) to images (B, C, H, W), cut to [0, 1]; undoes `encode`."""
        raise NotImplementedError

    def reconstruct(self, x: Tensor) -> Tensor:
        """Passes images through their latents and back; nothing is lost but rounding."""
        return self.decode(self.encode(x))

    def sample(self, n: int, *, seed: int | None = None, temperature: float = 1.0) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        Latents are multiplied by the temperature: below 1 they are likelier, at 0 they are 0, the
        mode of a normal or logistic law.
        """
        check_interval("n", n, "[0, inf)")
        check_interval("--temperature", temperature, "[0, inf)")
        return self.decode(self._latents(n, seed, temperature))

    def interpolate(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Walks from one sample to another, on an arc that keeps the latents' variance.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        check_counts(rows=rows, steps=steps)
        z = self._latents(2 * rows, seed)
        walk = arc(z[:rows], z[rows:], steps)
        return self.decode(walk.flatten(0, 1)).unflatten(0, (rows, steps))

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Makes the step, then moves the average: before any checkpoint is written."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        update_ema(getattr(self, f"{self.averaged}_ema"), getattr(self, self.averaged))

    def _log_density(self, network: nn.Module, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log p(y) and the log-determinant of the flow, each of shape (B,)."""
        raise NotImplementedError

    def _latents(self, n: int, seed: int | None, temperature: float = 1.0) -> Tensor:
        """Draws latents, shape (n, C H W)."""
        raise NotImplementedError

    def _dequantised(self, x: Tensor) -> Tensor:
        # Drawn on the CPU, so that a seed means the same noise on every device.
        return x if self.spec.points else dequantise(x, torch.rand(x.shape).to(x))
