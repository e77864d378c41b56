r"""NADE: every pixel's law is a small neural network of the pixels before it, all sharing weights.

.. math:: \log p(x) = \sum_d \log p(x_d \mid x_{<d}), \quad
          p(x_d = 1 \mid x_{<d}) = \sigma(b_d + V_d \cdot h_d), \quad
          h_d = \phi\Big(c + \sum_{j<d} x_j W_j\Big)

The argument of h_{d+1} is that of h_d plus one term, so a likelihood or a sample costs O(D H).

Trained in several orders of the pixels in turn, one network answers for all of them, and their
average is a better model than each: `log_prob` is the likelihood in raster order,
`ensemble_log_prob` that of the average.

Reference: Larochelle & Murray 2011, The Neural Autoregressive Distribution Estimator (AISTATS);
several orders: Uria, Murray, Larochelle 2014, arXiv:1310.1757; all of it: Uria, Cote, Gregor,
Murray, Larochelle 2016, arXiv:1605.02226.

Deviations:
- Adam with a rate that falls to zero and a moving average of the weights, in the place of
  stochastic gradient descent and early stopping.
- Several orders are a fixed list, each trained by the whole likelihood; Uria et al. draw orders
  anew and train one pixel's conditional at a time.

Beyond the paper, off by default; the recipe nade_plus_mnist turns it on:
- `augment` also trains on images moved by a few pixels, and tells the network how far they were
  moved (Jun et al. 2020, Distribution Augmentation for Generative Modeling, ICML); it answers for
  images that were not moved. Nothing but the training images is used.
- `weight_decay`, against overfitting.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, generator_for, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments, check_choice
from zoo.functional.augmentation import shift_code, shifted
from zoo.functional.autoregressive import nade_logits
from zoo.functional.draws import permutation
from zoo.functional.likelihood import bernoulli_log_prob
from zoo.models.autoregressive.base import OrderedBits
from zoo.models.registry import MODELS
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import follow_cosine
from zoo.optim.steps import adamw, record

__all__ = ["NADE"]

WARM = 0.02  # share of the training in which the rate rises


class _Weights(nn.Module):
    """NADE's weights: W, V, b, c, and offsets of b and c that a context decides."""

    def __init__(self, pixels: int, hidden: int, context: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(pixels, hidden) / math.sqrt(pixels))
        self.v = nn.Parameter(torch.randn(pixels, hidden) / math.sqrt(hidden))
        self.b = nn.Parameter(torch.zeros(pixels))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.context = nn.Linear(context, pixels + hidden, bias=False) if context else None

    def offsets(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns b, shape (D,) or (B, D), and c, shape (H,) or (B, H)."""
        if self.context is None:
            return self.b, self.c
        b, c = self.context(context).split([len(self.b), len(self.c)], dim=1)
        return self.b + b, self.c + c

    def forward(
        self, x: Tensor, order: Tensor | None, context: Tensor | None, activation: str
    ) -> Tensor:
        """Returns log-odds of pixels, shape (B, D), both in raster order."""
        b, c = self.offsets(context)
        if order is None:
            return nade_logits(x, self.w, self.v, b, c, activation)
        logits = nade_logits(
            x[:, order], self.w[order], self.v[order], b[..., order], c, activation
        )
        return logits[:, order.argsort()]


@MODELS.register
class NADE(OrderedBits):
    """NADE for binary images; grey pixels are rounded to 0 or 1.

    Args:
        spec: Shape of the images.
        hidden: Hidden units H of every pixel's network (500 in the paper).
        activation: ``sigmoid`` (the paper) or ``relu``.
        orders: Number of orders of the pixels, taken in turn in training. The first one is raster
            order, the others are drawn from fixed seeds.
        augment: Largest number of pixels by which images are moved in training, 0 for none.
        lr: Highest rate of AdamW; it falls to zero as a cosine.
        weight_decay: Decay of AdamW.
        ema_decay: Decay of the weights' moving average, which answers all questions.

    Raises:
        UserError: on values that make no sense.
    """

    summary = "draws one pixel after the other, each by a small network of those before it."

    def __init__(
        self,
        spec: ImageSpec,
        hidden: int = 500,
        activation: Literal["sigmoid", "relu"] = "sigmoid",
        orders: int = 1,
        augment: int = 0,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            hidden=(hidden, "[1, inf)"),
            orders=(orders, "[1, inf)"),
            augment=(augment, f"[0, {min(spec.height, spec.width)})"),
            lr=(lr, "[0, inf)"),
            weight_decay=(weight_decay, "[0, inf)"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        check_choice("--model.activation", activation, ("sigmoid", "relu"))
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.ensemble_size, self.augment = spec, orders, augment
        self.activation = activation
        self.lr, self.weight_decay = lr, weight_decay
        self.network = _Weights(spec.size, hidden, 2 * (2 * augment + 1) if augment else 0)
        self.average = ema_of(self.network, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def complete(self, x: Tensor, mask: Tensor, *, seed: int | None = None) -> Tensor:
        """Draws pixels of images (B, C, H, W) where a mask is True, each given those before it.

        Known pixels further down do not help, so what is drawn above them may not fit to them.
        """
        given, known, u = self._asked(x, mask, seed)
        net = cast(_Weights, self.average.module)
        b, c = net.offsets(shift_code(given, self.augment))
        b, inner = b.expand_as(given), c.expand(len(x), -1)
        pixels = []
        for d in range(given.shape[1]):
            h = inner.sigmoid() if self.activation == "sigmoid" else inner.relu()
            drawn = (u[:, d] < (h @ net.v[d] + b[:, d]).sigmoid()).to(u.dtype)
            pixels.append(torch.where(known[:, d], given[:, d], drawn))
            inner = inner + pixels[-1][:, None] * net.w[d]
        return torch.stack(pixels, dim=1).view(x.shape)

    # ---------------------------------------------------------------- the likelihood

    def _log_prob(self, x: Tensor, k: int) -> Tensor:
        order = self._order(k)

        def part(x: Tensor) -> Tensor:
            logits = self.average(x, order, shift_code(x, self.augment), self.activation)
            return bernoulli_log_prob(x, logits).sum(dim=1)

        return in_chunks(part, x.flatten(1).round())

    def _order(self, k: int) -> Tensor | None:
        """Returns the pixels in the k-th order, shape (D,); None for raster order."""
        if k == 0:
            return None
        order = permutation(self.spec.size, generator=generator_for(k))
        return order.to(self.device)

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the negative log-likelihood in nats in the order whose turn it is."""
        follow_cosine(self, self.lr, WARM)
        update_ema(self.average, self.network)
        x, by = shifted(batch.image.round(), self.augment)
        context, x = shift_code(x, self.augment, by), x.flatten(1)
        order = self._order(self.global_step % self.ensemble_size)
        logits = self.network(x, order, context, self.activation).to(x.dtype)
        loss = -bernoulli_log_prob(x, logits).sum(dim=1).mean()
        record(self, {"nll_nats": loss})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        return adamw(self.network, self.lr, self.weight_decay)
