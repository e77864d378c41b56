"""What laws of binary images that fix one pixel after the other answer alike: NADE and MADE."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.contract.answering import answers, generator_for, own_format
from zoo.contract.model import Model
from zoo.functional.draws import uniform

__all__ = ["OrderedBits"]


class OrderedBits(Model):
    """A law of binary images that fixes one pixel after the other, in one order or several.

    A model has `complete` and `_log_prob`, and sets `ensemble_size`, the number of its orders. The
    moving average of its ``network`` answers.
    """

    prefers_bf16 = True
    measure = "counting"
    levels = 2  # of grey that the law knows
    not_published = ("network.",)

    ensemble_size: int

    @answers
    def log_prob(self, x: Tensor) -> Tensor:
        """Computes log p of images (B, C, H, W), rounded to 0 or 1, in raster order.

        Nats per image, shape (B,); counting measure on {0, 1}.
        """
        return self._log_prob(x, 0)

    @answers
    def ensemble_log_prob(self, x: Tensor) -> Tensor:
        r"""Computes the log-probability under the average over all orders that were trained.

        .. math:: \log \frac1K \sum_k p_k(x)

        in the units of `log_prob`.
        """
        each = torch.stack([self._log_prob(x, k) for k in range(self.ensemble_size)])
        return each.logsumexp(dim=0) - math.log(self.ensemble_size)

    @answers
    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images of 0 and 1, shape (n, C, H, W), the same for the same seed."""
        x = own_format(self).new_zeros(n, *self.spec.shape)
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
        given, known = x.flatten(1).round(), ~mask.expand_as(x).flatten(1)
        return given, known, uniform(*given.shape, generator=generator_for(seed)).to(given)
