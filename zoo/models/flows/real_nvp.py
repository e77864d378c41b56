r"""Real NVP: invertible, with a scale and a shift that one half of an image gives to the other.

.. math:: \log p(x) = \log p_Z(f(x)) + \log\left|\det \frac{\partial f}{\partial x}\right|

.. math:: f:\quad y_a = x_a, \quad y_b = x_b \odot e^{s(x_a)} + t(x_a) \qquad
          (\text{affine coupling}), \qquad \log|\det| = \textstyle\sum s(x_a)

Halves are the colours of a checkerboard, then channels. After every stage half of the channels
goes to the latents and the other half on to a coarser scale.

Pixels are dequantised uniformly, scaled to [0, 1] and brought to the real line by
logit(alpha + (1 - 2 alpha) y); `log_prob` is the density of y, with all of these accounted for.

Reference: Dinh, Sohl-Dickstein, Bengio 2017, arXiv:1605.08803.

Deviations:
- Checkerboard couplings work on 2x2 squares as channels: the same partition at half the cost.
- Activation normalisation (arXiv:1807.03039) by default; ``norm: batch`` is the paper's.
- Latents are standardised one by one before a normal law; networks know the place in the image.
- Adam with a rate that rises for a moment and falls to zero; answers come from an exponential
  moving average of the weights. Leaner networks, without weight normalisation.

Beyond the paper, off by default; the recipe real_nvp_mnist turns it on:
- The law of the latents can be learnt (``prior: mixture``): what a stage puts aside follows
  mixtures of plateaus, given the map that goes on, as Glow has a normal law there
  (arXiv:1807.03039). A dequantised pixel of a certain level is uniform, one that may or may not be
  ink has two humps; affine couplings can make neither out of a normal law.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, generator_for, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.density import dequantise, from_logits, quantise, to_logits
from zoo.models.flows.base import Flow
from zoo.models.registry import MODELS
from zoo.nets.affine import ActNorm, BatchNorm
from zoo.nets.base import MixtureLaw, NormalBase
from zoo.nets.conditioners import ConvConditioner, MLPConditioner
from zoo.nets.coupling import Chain, Coupling, Layer
from zoo.nets.multiscale import Flatten, MultiScale, Regroup, Squeeze
from zoo.optim.ema import ema_of
from zoo.optim.schedules import follow_one_cycle
from zoo.optim.steps import adamw, record

__all__ = ["RealNVP"]

PRIORS = ("normal", "mixture")
COMPONENTS = 4  # of a mixture
NORMS = {"activation": ActNorm, "batch": BatchNorm}


@MODELS.register
class RealNVP(Flow):
    """Real NVP for images whose sides are even, and for points of the plane.

    Args:
        spec: Shape of the images.
        width: Channels of the couplings' networks at the finest scale, doubled at each coarser
            one; hidden units for points.
        blocks: Residual blocks of each network; hidden layers for points.
        couplings: Couplings of each of the two masks at each scale (3 in the paper).
        scales: Number of scales; each halves the image.
        alpha: Distance kept from 0 and 1 before the logit (0.05 in the paper).
        prior: Distribution of the latents: ``normal`` as in the paper; or ``mixture``, learnt.
        norm: Normalisation between couplings: ``activation``, or ``batch`` as in the paper.
        lr: Adam's highest rate.
        weight_decay: Decay of the networks' weights, as in AdamW.
        betas: Adam's decay rates.
        ema_decay: Decay of the weights' moving average.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "an invertible network with an exact density that stretches and shifts."
    measure = "lebesgue"
    not_published = ("density.",)
    averaged = "density"

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 32,
        blocks: int = 2,
        couplings: int = 3,
        scales: int = 2,
        alpha: float = 0.05,
        prior: Literal["normal", "mixture"] = "normal",
        norm: Literal["activation", "batch"] = "activation",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            width=(width, "[1, inf)"),
            blocks=(blocks, "[1, inf)"),
            couplings=(couplings, "[2, inf)"),  # with one, a half would never move
            scales=(scales, "[1, inf)"),
            alpha=(alpha, "(0, 0.5)"),
            lr=(lr, "(0, inf)"),
            weight_decay=(weight_decay, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        check_choice("--model.prior", prior, PRIORS)
        check_choice("--model.norm", norm, NORMS)
        if spec.points and prior == "mixture":
            raise UserError("--model.prior mixture is for images; points have a normal one.")
        if not spec.points and (spec.height % 2**scales or spec.width % 2**scales):
            raise UserError(
                f"image size {spec.height}x{spec.width} cannot be halved {scales} times; choose "
                "another with --data.resize or --data.pad, or lower --model.scales."
            )
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.alpha = spec, alpha
        self.prefers_bf16 = not spec.points  # small networks gain nothing by it
        self.lr, self.weight_decay, self.betas = lr, weight_decay, betas
        if spec.points:
            flow: Layer = _flat(spec, 2 * scales * couplings, width, blocks, norm)
        else:
            flow = _multi_scale(spec, width, blocks, couplings, scales, norm)
        self.density: nn.Module = (
            _Hierarchy(flow, width, blocks) if prior == "mixture" else _Density(flow, spec.size)  # type: ignore[arg-type]
        )
        self.density_ema = ema_of(self.density, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Maps images (B, C, H, W), from the middles of grey levels, to latents (B, C H W).

        Those of the finest scale come first.
        """
        y = x if self.spec.points else dequantise(x, 0.5)
        z = in_chunks(lambda part: self._average.latents(to_logits(part, self.alpha)[0])[0], y)
        if self.spec.points and bool(z.isnan().any()):
            raise UserError(
                f"encode expects points whose coordinates lie between {-self._edge:.3g} and "
                f"{1 + self._edge:.3g}: beyond, this model has no latents."
            )
        return z

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents (B, C H W) to images (B, C, H, W), cut to [0, 1]; undoes `encode`."""
        y = in_chunks(lambda part: from_logits(self._average.inverse(part), self.alpha), z)
        return y if self.spec.points else quantise(y)

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the mean negative log-density of a batch in nats."""
        log_prob, log_det = self._log_density(self.density, self._dequantised(batch.image))
        nll = -log_prob.mean()
        record(self, {"nll_nats": nll, "log_det_nats": log_det.mean()})
        return nll

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate rise for a fiftieth of the training, then fall to zero."""
        follow_one_cycle(self, self.lr, warm=0.02)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        return adamw(self.density, self.lr, self.weight_decay, self.betas)

    # ---------------------------------------------------------------- pixels and latents

    @property
    def _edge(self) -> float:
        """How far beyond [0, 1] there are logits."""
        return self.alpha / (1 - 2 * self.alpha)

    def _log_density(self, density: nn.Module, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log p(y) and the log-determinant of the flow, each of shape (B,)."""
        x, log_slope = to_logits(y, self.alpha)
        log_prob, log_det = density(x)
        # The flow's law has no mass where no logit is: points may lie there.
        return torch.where(log_slope.isnan(), -torch.inf, log_prob + log_slope), log_det

    def _latents(self, n: int, seed: int | None, temperature: float = 1.0) -> Tensor:
        return self._average.draw(n, generator_for(seed), temperature)


class _Density(nn.Module):
    """The flow, the standardisation of every latent, and their normal law.

    Shape: (B, C, H, W) -> log p and the log-determinant, each of shape (B,).
    """

    def __init__(self, flow: Layer, size: int) -> None:
        super().__init__()
        self.flow, self.standardise, self.base = flow, ActNorm(size), NormalBase(size)

    def latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.flow(x)
        z, last = self.standardise(z)
        return z, log_det + last

    def inverse(self, z: Tensor) -> Tensor:
        return self.flow.inverse(self.standardise.inverse(z))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.latents(x)
        return self.base.log_prob(z) + log_det, log_det

    def draw(self, n: int, generator: torch.Generator | None, temperature: float) -> Tensor:
        return temperature * self.base.draw(n, generator)


class _Hierarchy(nn.Module):
    """The flow, and for each stage the learnt law of what it puts aside, given what goes on.

    Shape: (B, C, H, W) -> log p and the log-determinant, each of shape (B,).
    """

    def __init__(self, flow: MultiScale, width: int, blocks: int) -> None:
        super().__init__()
        self.flow = flow
        *halves, last = flow.part_shapes
        self.laws = nn.ModuleList(
            MixtureLaw(channels, context, height, columns, width, blocks, COMPONENTS)
            for (channels, height, columns), context in [*((h, h[0]) for h in halves), (last, 0)]
        )

    def latents(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow(x)

    def inverse(self, z: Tensor) -> Tensor:
        return self.flow.inverse(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts, onward, log_det = self.flow.split(x)
        each = [law.log_prob(*pair) for law, *pair in zip(self.laws, parts, onward, strict=True)]  # type: ignore[operator]
        return torch.stack(each).sum(dim=0) + log_det, log_det

    def draw(self, n: int, generator: torch.Generator | None, temperature: float) -> Tensor:
        drawn: dict[int, Tensor] = {}

        def part(i: int, onward: Tensor | None) -> Tensor:
            drawn[i] = self.laws[i].draw(n, onward, generator, temperature)  # type: ignore[operator]
            return drawn[i]

        self.flow.join(part)
        return torch.cat([drawn[i].flatten(1) for i in range(len(self.laws))], dim=1)


def _flat(spec: ImageSpec, count: int, hidden: int, layers: int, norm: str) -> Layer:
    """Couplings of vectors, for points of the plane."""
    network = partial(MLPConditioner, hidden=hidden, layers=layers)
    steps: list[Layer] = [Flatten(spec.shape)]
    for i in range(count):
        steps += [Coupling(spec.size, network, second=i % 2 == 0), NORMS[norm](spec.size)]
    return Chain(steps)


def _multi_scale(
    spec: ImageSpec, width: int, blocks: int, couplings: int, scales: int, norm: str
) -> MultiScale:
    """Stages of squeezing, checkerboard couplings and channel couplings."""
    channels, height, columns = spec.shape
    stages, shapes = [], []
    for scale in range(scales):
        channels, height, columns = 4 * channels, height // 2, columns // 2
        network = partial(
            ConvConditioner, width=width * 2**scale, blocks=blocks, height=height, columns=columns
        )
        steps: list[Layer] = [Squeeze(), NORMS[norm](channels)]
        for i in range(2 * couplings):
            steps += [Regroup()] if i == couplings else []
            steps += [Coupling(channels, network, second=i % 2 == 0), NORMS[norm](channels)]
        stages.append(Chain(steps))
        shapes.append((channels, height, columns))
        channels //= 2
    return MultiScale(stages, shapes)
