"""What invertible networks answer alike, and how their moving average follows."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo.contract.answering import answers, between, in_chunks
from zoo.contract.model import Model
from zoo.functional.density import dequantise
from zoo.functional.draws import uniform
from zoo.functional.paths import arc, great_circle
from zoo.optim.ema import update_ema

__all__ = ["Flow"]


class Flow(Model):
    """An invertible network and the law of its latents.

    A model has `encode`, `decode`, `_log_density` and `_latents`, and says in `averaged` what its
    network is called, whose moving average, called ``<averaged>_ema``, answers.
    """

    needs_float32 = True  # inverses and sums of log-determinants lose too much below
    needs = (("image", "points"),)
    averaged: str

    @property
    def code_size(self) -> int:
        """Length of a latent vector: that of an image."""
        return self.spec.size

    @property
    def _average(self) -> Any:
        return getattr(self, f"{self.averaged}_ema").module

    @answers
    def log_prob(self, x: Tensor) -> Tensor:
        """Computes the exact log-density of images k / 255, (B, C, H, W), dequantised by new noise.

        Nats per example, shape (B,); Lebesgue measure on pixels in [0, 1], see `dequantise`. Points
        of the plane are taken as they are.
        """
        y = self._dequantised(x)
        return in_chunks(lambda part: self._log_density(self._average, part)[0], y)

    def encode(self, x: Tensor) -> Tensor:
        """Maps images (B, C, H, W), from the middles of grey levels, to latents (B, C H W)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Maps latents (B, C H W) to images (B, C, H, W), cut to [0, 1]; undoes `encode`."""
        raise NotImplementedError

    @answers
    def reconstruct(self, x: Tensor) -> Tensor:
        """Passes images through their latents and back; nothing is lost but rounding."""
        return self.decode(self.encode(x))

    @answers
    def sample(self, n: int, *, seed: int | None = None, temperature: float = 1.0) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        Latents are multiplied by the temperature: below 1 they are likelier, at 0 they are 0, the
        mode of a normal or logistic law.
        """
        return self.decode(self._latents(n, seed, temperature))

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
        """Walks from one sample to another, on an arc that keeps the latents' variance.

        Between images of one's own, a and b in [0, 1] of shape (rows, C, H, W), the walk turns at a
        steady angle from the latents of one to those of the other.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        if a is not None and b is not None:
            return between(self, a, b, great_circle, steps)
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
        return x if self.spec.points else dequantise(x, uniform(*x.shape, generator=None).to(x))
