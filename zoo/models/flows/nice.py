r"""NICE: an invertible network that preserves volume, and a scale for every dimension.

.. math:: \log p(x) = \sum_{i=1}^D \left[ \log p_H(h_i) + s_i \right], \qquad
          h = e^{s} \odot f_K(\dots f_1(x))

.. math:: f:\quad y_a = x_a, \quad y_b = x_b + m(x_a) \qquad (\text{additive coupling})

p_H is the logistic or the normal law. A coupling's Jacobian is triangular with ones on its
diagonal, so its determinant is 1, and it is undone by subtracting m(x_a), however complicated m.

Pixels are dequantised uniformly and scaled to [0, 1]; `log_prob` is the density of those.

Reference: Dinh, Krueger, Bengio 2014, arXiv:1410.8516.

Deviations:
- Narrower networks than the paper's five layers of 1000 units, so that weights stay small.
- Adam with a rate that rises for a moment and falls to zero along a cosine, instead of a constant
  one; the scales s learn ten times as fast, because they have far to go.
- All answers come from an exponential moving average of the weights.

Beyond the paper, off by default; the recipe nice_plus_mnist turns it on:
- `weight_decay` (AdamW) and `augment`, which moves training images by a few pixels, against
  overfitting.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from zoo.contract.answering import answers, generator_for, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.augmentation import moved
from zoo.functional.density import (
    dequantise,
    quantise,
    standard_logistic_log_prob,
    standard_normal_log_prob,
)
from zoo.functional.draws import normal, uniform
from zoo.models.flows.base import Flow
from zoo.models.registry import MODELS
from zoo.nets.affine import Scaling
from zoo.nets.conditioners import MLPConditioner
from zoo.nets.coupling import Chain, Coupling, Layer
from zoo.optim.ema import ema_of
from zoo.optim.schedules import follow_one_cycle
from zoo.optim.steps import record

__all__ = ["NICE"]

PRIORS = {"logistic": standard_logistic_log_prob, "normal": standard_normal_log_prob}


@MODELS.register
class NICE(Flow):
    """NICE for images of any size, as vectors of pixels, and for points of the plane.

    Args:
        spec: Shape of the images.
        hidden: Units of each hidden layer (1000 in the paper's MNIST model).
        layers: Hidden layers of each coupling's network (5 in the paper).
        couplings: Number of couplings; they move even and odd pixels in turn (4 in the paper).
        prior: Distribution of the latents, ``logistic`` (the paper's for MNIST) or ``normal``.
        lr: Adam's highest rate (1e-3 in the paper).
        weight_decay: Decay of the networks' weights, as in AdamW (none in the paper).
        betas: Adam's decay rates.
        ema_decay: Decay of the weights' moving average.
        augment: Largest number of pixels by which images are moved in training, 0 for none.

    Raises:
        UserError: on values that make no sense.
    """

    summary = "an invertible network with an exact density that keeps volume."
    measure = "lebesgue"
    not_published = ("flow.",)
    averaged = "flow"

    def __init__(
        self,
        spec: ImageSpec,
        hidden: int = 512,
        layers: int = 3,
        couplings: int = 4,
        prior: Literal["logistic", "normal"] = "logistic",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        ema_decay: float = 0.999,
        augment: int = 0,
    ) -> None:
        super().__init__()
        check_arguments(
            hidden=(hidden, "[1, inf)"),
            layers=(layers, "[1, inf)"),
            couplings=(couplings, "[2, inf)"),  # with one, half of the pixels would never move
            lr=(lr, "(0, inf)"),
            weight_decay=(weight_decay, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            ema_decay=(ema_decay, "[0, 1)"),
            augment=(augment, f"[0, {min(spec.height, spec.width)})"),
        )
        check_choice("--model.prior", prior, PRIORS)
        if spec.size < 2:
            raise UserError("NICE needs images of at least two numbers: one half moves the other.")
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.prior = spec, prior
        self.prefers_bf16 = not spec.points  # small networks gain nothing by it
        self.lr, self.weight_decay, self.betas = lr, weight_decay, betas
        self.augment = augment
        network = partial(MLPConditioner, hidden=hidden, layers=layers)
        moves: list[Layer] = [
            Coupling(spec.size, network, second=i % 2 == 0, affine=False) for i in range(couplings)
        ]
        self.flow = Chain([*moves, Scaling(spec.size)])
        self.flow_ema = ema_of(self.flow, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Maps images (B, C, H, W) to latents h (B, C H W), from the middles of grey levels."""
        y = x if self.spec.points else dequantise(x, 0.5)
        y = self._vector(y)
        return in_chunks(lambda part: self._average.forward_and_log_det(part)[0], y)

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents (B, C H W) to images (B, C, H, W), cut to [0, 1]; undoes `encode`."""
        y = self._image(in_chunks(self._average.inverse, z))
        return y.clamp(0, 1) if self.spec.points else quantise(y)

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the mean negative log-density of a batch in nats."""
        x = batch.image
        if self.augment:
            by = torch.randint(-self.augment, self.augment + 1, (len(x), 2)).to(x.device)
            x = moved(x, by)
        log_prob, log_det = self._log_density(self.flow, self._dequantised(x))
        nll = -log_prob.mean()
        record(self, {"nll_nats": nll, "log_det_nats": log_det.mean()})
        return nll

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rates rise for a fiftieth of the training, then fall to zero."""
        follow_one_cycle(self, self.lr, 10 * self.lr, warm=0.02)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        scales = [self.flow.layers[-1].log_scale]
        weights = [p for p in self.flow.parameters() if p is not scales[0]]
        groups = [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": scales, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, self.lr, self.betas, fused=True)

    # ---------------------------------------------------------------- pixels and latents

    def _log_density(self, flow: Chain, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log p(y) and the log-determinant of the flow, each of shape (B,)."""
        z, log_det = flow(self._vector(y))
        return PRIORS[self.prior](z) + log_det, log_det

    def _vector(self, y: Tensor) -> Tensor:
        """Puts the even pixels first, so that couplings find them in one half."""
        y = y.flatten(1)
        return torch.cat([y[:, 0::2], y[:, 1::2]], dim=1)

    def _image(self, v: Tensor) -> Tensor:
        y = torch.empty_like(v)
        half = v.shape[1] - v.shape[1] // 2
        y[:, 0::2], y[:, 1::2] = v[:, :half], v[:, half:]
        return y.unflatten(1, self.spec.shape)

    def _latents(self, n: int, seed: int | None, temperature: float = 1.0) -> Tensor:
        generator = generator_for(seed)
        if self.prior == "normal":
            return temperature * normal(n, self.spec.size, generator=generator)
        return temperature * uniform(n, self.spec.size, generator=generator).logit(eps=1e-7)
