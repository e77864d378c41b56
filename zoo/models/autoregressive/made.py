r"""MADE: a multilayer perceptron whose outputs are the conditionals of all pixels in one pass.

.. math:: \log p(x) = \sum_d \log p(x_d \mid x_{<d}), \quad p(x_d = 1 \mid x_{<d}) = \sigma(f_d(x))

Masks on the weights see to it that f_d depends on the pixels before d only. Without a hidden
layer, f is linear and MADE is the fully visible sigmoid belief network.

Trained with several masks, each with an order of the pixels of its own, one network answers for
all of them, and their average is a better model than each:
`log_prob` is the likelihood in the first order, `ensemble_log_prob` that of the average.

Reference: Germain, Gregor, Murray, Larochelle 2015, arXiv:1502.03509, Sections 3 and 4; the belief
network: Neal 1992, and Frey 1998.

Deviations:
- Hidden units' degrees are spread evenly, not drawn, where there is one mask only.
- Adam with a rate that falls to zero and a moving average of the weights, in the place of Adagrad
  and early stopping.
- Sampling computes every hidden unit once instead of all of them for every pixel.

Beyond the paper, off by default; the recipe made_plus_mnist turns it on:
- `augment` also trains on images moved by a few pixels, and tells the network how far they were
  moved (Jun et al. 2020, Distribution Augmentation for Generative Modeling, ICML); it answers for
  images that were not moved. Nothing but the training images is used.
- `dropout`, `input_dropout` and `weight_decay`, against overfitting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.answering import alone, answers, generator_for, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments
from zoo.functional.augmentation import shift_code, shifted
from zoo.functional.draws import permutation
from zoo.functional.likelihood import bernoulli_log_prob
from zoo.models.autoregressive.base import OrderedBits
from zoo.models.registry import MODELS
from zoo.nets.masked import MaskedMLP
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import follow_cosine
from zoo.optim.steps import adamw, record

__all__ = ["MADE"]

WARM = 0.02  # share of the training in which the rate rises


@MODELS.register
class MADE(OrderedBits):
    """MADE for binary images; grey pixels are rounded to 0 or 1.

    Args:
        spec: Shape of the images.
        hidden: Units of each hidden layer (8000, 8000 for the paper's best); none at all is the
            fully visible sigmoid belief network.
        masks: Number of masks, each with its own order, taken in turn in training (32 in the
            paper). The first one keeps the pixels in raster order.
        direct: Whether inputs reach outputs directly, too.
        dropout: Share of the hidden units that is dropped in training.
        input_dropout: Share of the inputs that is hidden from the network in training.
        augment: Largest number of pixels by which images are moved in training, 0 for none.
        lr: Highest rate of AdamW; it falls to zero as a cosine.
        weight_decay: Decay of AdamW.
        ema_decay: Decay of the weights' moving average, which answers all questions.

    Raises:
        UserError: on values that make no sense.
    """

    summary = "an autoencoder with masks, so that each pixel depends on those before it alone."

    def __init__(
        self,
        spec: ImageSpec,
        hidden: tuple[int, ...] = (500,),
        masks: int = 1,
        direct: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        augment: int = 0,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            hidden=(hidden, "[1, inf)"),
            masks=(masks, "[1, inf)"),
            dropout=(dropout, "[0, 1)"),
            input_dropout=(input_dropout, "[0, 1)"),
            augment=(augment, f"[0, {min(spec.height, spec.width)})"),
            lr=(lr, "[0, inf)"),
            weight_decay=(weight_decay, "[0, inf)"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.ensemble_size, self.augment = spec, masks, augment
        self.input_dropout, self.lr, self.weight_decay = input_dropout, lr, weight_decay
        context = 2 * (2 * augment + 1) if augment else 0
        self.network = MaskedMLP(spec.size, hidden, context=context, direct=direct, dropout=dropout)
        self.average = ema_of(self.network, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def complete(self, x: Tensor, mask: Tensor, *, seed: int | None = None) -> Tensor:
        """Draws pixels of images (B, C, H, W) where a mask is True, each given those before it.

        Known pixels further down do not help, so what is drawn above them may not fit to them.
        """
        given, known, u = self._asked(x, mask, seed)

        def draw(d: int, logits: Tensor) -> Tensor:
            drawn = (u[:, d] < logits[:, 0].sigmoid()).to(u.dtype)
            return torch.where(known[:, d], given[:, d], drawn)

        with self._lent(0) as network:
            return network.unroll(draw, len(x), shift_code(given, self.augment)).view_as(x)

    # ---------------------------------------------------------------- the likelihood

    def _log_prob(self, x: Tensor, k: int) -> Tensor:
        with self._lent(k) as network:

            def part(x: Tensor) -> Tensor:
                logits = network(x, shift_code(x, self.augment))[..., 0]
                return bernoulli_log_prob(x, logits).sum(dim=1)

            return in_chunks(part, x.flatten(1).round())

    @contextmanager
    def _lent(self, k: int) -> Iterator[MaskedMLP]:
        """Lends the average with the k-th mask, to one answer at a time where there are several."""
        with alone(self) if self.ensemble_size > 1 else nullcontext():
            yield self._in_order(self.average.module, k)

    def _in_order(self, network: Any, k: int) -> MaskedMLP:
        """Gives a network the k-th mask; where there is one only, it has it."""
        if self.ensemble_size > 1:
            generator = generator_for(k)
            order = permutation(self.spec.size, generator=generator)
            network.set_order(order if k else order.sort().values, generator)
        return network

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the negative log-likelihood in nats under the mask whose turn it is."""
        follow_cosine(self, self.lr, WARM)
        update_ema(self.average, self.network)
        network = self._in_order(self.network, self.global_step % self.ensemble_size)
        x, by = shifted(batch.image.round(), self.augment)
        context, x = shift_code(x, self.augment, by), x.flatten(1)
        logits = network(F.dropout(x, self.input_dropout), context)[..., 0]
        loss = -bernoulli_log_prob(x, logits.to(x.dtype)).sum(1).mean()
        record(self, {"nll_nats": loss})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        return adamw(self.network, self.lr, self.weight_decay)
