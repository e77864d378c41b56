r"""PixelCNN and gated PixelCNN: each pixel's law is computed from the pixels above and to the left.

.. math:: \log p(x) = \sum_i \log p(x_i \mid x_{<i}), \quad
          \text{gated layers: } y = \tanh(W_f * x + V_f^T l) \odot \sigma(W_g * x + V_g^T l)

with masked convolutions, so that one pass gives the laws of all pixels. The gated network has a
vertical and a horizontal stack, together without a blind spot, and may know the class l of an
image; the likelihood of an image without its class is then the average over all classes.

A pixel's law is Bernoulli, one of free probabilities for each grey level, or a mixture of
discretised logistic laws (PixelCNN++), in which the colours of a pixel depend on one another by
the law and not by the network.

Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759 (PixelCNN); van den Oord,
Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu 2016, arXiv:1606.05328 (gated); Salimans,
Karpathy, Chen, Kingma 2017, arXiv:1701.05517 (the mixture).

Deviations:
- Residual connections in both stacks, and biases for every place of the image.
- No down- and upsampling and no shortcuts between distant layers as in PixelCNN++.
- Adam with a rate that falls to zero, and a moving average of the weights (as PixelCNN++).
- Sampling keeps what it has computed: for each pixel, each layer is evaluated at that pixel only.

Beyond the papers, off by default; the recipe pixelcnn_plus_mnist turns it on:
- `dilations` spread the windows of the gated network, so that few layers see far.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.answering import answers, generator_for, in_chunks, own_format
from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.autoregressive import (
    categorical_log_prob,
    draw_categorical,
    draw_logistic_mixture,
    logistic_mixture_log_prob,
    to_levels,
)
from zoo.functional.draws import integers, uniform
from zoo.functional.likelihood import bernoulli_log_prob
from zoo.models.registry import MODELS
from zoo.nets.pixelcnn import GatedPixelNet, PixelNet
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import follow_cosine
from zoo.optim.steps import record

__all__ = ["PixelCNN"]

WARM = 0.02  # share of the training in which the rate rises
CHUNK = 64  # images that pass the network at once: feature maps are as large as the images

Outputs = Literal["bernoulli", "categorical", "logistics"]


@MODELS.register
class PixelCNN(Model):
    """PixelCNN, plain or gated, for images of any size.

    Args:
        spec: Shape of the images.
        gated: Whether to use the gated network.
        outputs: A pixel's distribution: ``bernoulli`` for black and white (grey is rounded),
            ``categorical`` or ``logistics`` for grey levels.
        levels: Grey levels that are told apart, for the last two.
        mixtures: Components of ``logistics``.
        width: Feature maps; a multiple of the image's channels, of twice as many without gates.
        layers: Residual blocks or gated layers.
        hidden: Feature maps of the layer before the last; a multiple of the channels.
        dilations: Distances of neighbours in the windows of successive gated layers, repeated.
        conditional: Whether the network knows the class of an image.
        dropout: Share of features that is dropped in training, in each layer.
        lr: Highest rate of Adam; it falls to zero as a cosine.
        ema_decay: Decay of the weights' moving average, which answers all questions.

    Raises:
        UserError: on values that make no sense, or classes where the data have none.
    """

    summary = "draws an image pixel by pixel, each given those above and to the left."

    prefers_bf16 = True
    measure = "counting"
    not_published = ("network.",)

    def __init__(
        self,
        spec: ImageSpec,
        gated: bool = True,
        outputs: Outputs = "logistics",
        levels: int = 256,
        mixtures: int = 5,
        width: int = 24,
        layers: int = 3,
        hidden: int = 48,
        dilations: tuple[int, ...] = (1,),
        conditional: bool = False,
        dropout: float = 0.0,
        lr: float = 2e-3,
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            levels=(levels, "[2, 256]"),
            mixtures=(mixtures, "[1, inf)"),
            width=(width, "[1, inf)"),
            layers=(layers, "[1, inf)"),
            hidden=(hidden, "[1, inf)"),
            dilations=(dilations, "[1, inf)"),
            dropout=(dropout, "[0, 1)"),
            lr=(lr, "[0, inf)"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        if not dilations:
            raise UserError("--model.dilations needs at least one distance.")
        check_choice("--model.outputs", outputs, get_args(Outputs))
        if conditional and spec.classes < 2:
            raise UserError(
                "--model.conditional needs a data set with labels of several classes: sort images "
                "of your own into a folder for each class, or add --model.conditional false."
            )
        channels = spec.channels
        colours = 1 if outputs == "logistics" else channels
        if width % (colours * (1 if gated else 2)) or hidden % colours:
            raise UserError(
                f"--model.width and hidden must be multiples of the {colours} colours, width of "
                "twice as many without gates; images of your own can be read with "
                "--data.channels grey."
            )
        self.save_hyperparameters(ignore=["spec"])
        if conditional:
            self.needs = (*type(self).needs, ("label",))
        self.spec, self.outputs, self.lr = spec, outputs, lr
        self.levels = 2 if outputs == "bernoulli" else levels
        self.colours, self.classes = colours, spec.classes if conditional else 0
        self.parameters_of_a_pixel = {
            "bernoulli": channels,
            "categorical": channels * levels,
            "logistics": mixtures * (1 + 2 * channels + channels * (channels - 1) // 2),
        }[outputs]
        shape = channels, (spec.height, spec.width), self.parameters_of_a_pixel
        sizes = width, layers, hidden, self.classes, colours, dropout
        self.network = (
            GatedPixelNet(*shape, *sizes, tuple(dilations)) if gated else PixelNet(*shape, *sizes)
        )
        if outputs == "logistics":
            self._spread_components(mixtures)
        self.average = ema_of(self.network, ema_decay)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def log_prob(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        r"""Computes the log-probability of images.

        Args:
            x: Images in [0, 1], rounded to the nearest of the levels, shape (B, C, H, W).
            label: Classes of the images, shape (B,), where the model knows classes; None for the
                average over all of them, log (1/K) sum_k p(x | k).

        Returns:
            Nats per image, shape (B,); counting measure on the levels of all pixels and colours.

        Raises:
            UserError: if there are labels that the model does not know.
        """
        if label is not None:
            return self._given(x, self._code(label))
        if not self.classes:
            return self._given(x, None)
        return self._each_class(x).logsumexp(dim=1) - math.log(self.classes)

    @answers
    def sample(self, n: int, *, seed: int | None = None, label: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        All are of class ``label``, or of classes drawn uniformly, where the model knows classes.
        """
        x = own_format(self).new_zeros(n, *self.spec.shape)
        return self.complete(x, torch.ones_like(x, dtype=torch.bool), seed=seed, label=label)

    @answers
    def complete(
        self, x: Tensor, mask: Tensor, *, seed: int | None = None, label: int | None = None
    ) -> Tensor:
        """Draws pixels of images (B, C, H, W) where a mask is True, each given those before it.

        Known pixels further down do not help, so what is drawn above them may not fit to them.
        Images are of class ``label``, or of classes drawn uniformly, where the model knows classes.
        """
        generator = generator_for(seed)
        classes = integers(max(1, self.classes), len(x), generator=generator)
        classes = classes if label is None else torch.full_like(classes, label)
        code = self._code(classes) if self.classes or label is not None else None
        height, width, each = *x.shape[2:], self._uniforms()
        u = uniform(height, width, len(x), each, generator=generator).to(x)
        known, given = ~mask.expand_as(x), self._rounded(x)
        image = torch.zeros_like(given)
        walk = self.average.module.walk(len(x), code)  # type: ignore[operator]
        for i in range(height):
            walk.start_row(i)
            for j in range(width):
                fixed = (known[:, :, i, j], given[:, :, i, j])
                image[:, :, i, j] = self._draw(walk, i, j, u[i, j], *fixed)
                walk.put(i, j, 2 * image[:, :, i, j] - 1)
        return image

    # ---------------------------------------------------------------- the pixels' law

    def _terms(self, x: Tensor, params: Tensor) -> Tensor:
        """Returns log p of rounded images, shape (B,), from parameters (B, parameters, H, W)."""
        if self.outputs == "bernoulli":
            return bernoulli_log_prob(x, params).flatten(1).sum(dim=1)
        if self.outputs == "categorical":
            logits = params.unflatten(1, (x.shape[1], self.levels)).movedim(2, -1)
            return categorical_log_prob(to_levels(x, self.levels), logits).flatten(1).sum(dim=1)
        pixels, params = x.movedim(1, -1), params.movedim(1, -1)
        return logistic_mixture_log_prob(pixels, params, self.levels).flatten(1).sum(dim=1)

    def _draw(self, walk: Any, i: int, j: int, u: Tensor, known: Tensor, given: Tensor) -> Tensor:
        """Draws one pixel, shape (B, C); colour by colour where the network knows of them."""
        x = torch.zeros_like(given)
        if self.outputs == "logistics":
            params = walk.pixel(i, j, x)
            return draw_logistic_mixture(params, u, self.levels, torch.where(known, given, -1))
        for c in range(self.colours):
            params = walk.pixel(i, j, 2 * x - 1).unflatten(1, (self.colours, -1))[:, c]
            if self.outputs == "bernoulli":
                value = (u[:, c] < params[:, 0].sigmoid()).to(x.dtype)
            else:
                value = draw_categorical(params, u[:, c]).to(x.dtype) / (self.levels - 1)
            x[:, c] = torch.where(known[:, c], given[:, c], value)
        return x

    def _uniforms(self) -> int:
        """Counts the uniform numbers that a pixel's draw takes."""
        return self.spec.channels + (self.outputs == "logistics")

    def _spread_components(self, mixtures: int) -> None:
        """Starts with components of moderate width, at means all over [0, 1]."""
        channels = self.spec.channels
        start = torch.zeros(self.parameters_of_a_pixel // mixtures, mixtures)
        start[1 : 1 + channels] = (torch.arange(mixtures) + 0.5) / mixtures
        start[1 + channels : 1 + 2 * channels] = -2.0
        with torch.no_grad():
            self.network.head.place.add_(start.flatten()[:, None, None])

    def _rounded(self, x: Tensor) -> Tensor:
        return to_levels(x, self.levels).to(x.dtype) / (self.levels - 1)

    # ---------------------------------------------------------------- the likelihood

    def _given(self, x: Tensor, code: Tensor | None) -> Tensor:
        x = self._rounded(x)
        rows = torch.arange(len(x), device=x.device)

        def part(rows: Tensor) -> Tensor:
            label = None if code is None else code[rows]
            return self._terms(x[rows], self.average(2 * x[rows] - 1, label))

        return in_chunks(part, rows, CHUNK)

    def _each_class(self, x: Tensor) -> Tensor:
        """Returns log p(x | k) for every class k, shape (B, K)."""
        labels = torch.arange(self.classes, device=x.device)[:, None].expand(-1, len(x))
        return torch.stack([self._given(x, self._code(label)) for label in labels], dim=1)

    def _code(self, label: Tensor) -> Tensor:
        if not self.classes:
            raise UserError("this model knows no classes: leave the label out.")
        if len(label) and not 0 <= int(label.min()) <= int(label.max()) < self.classes:
            raise UserError(f"labels must lie in 0..{self.classes - 1}.")
        return F.one_hot(label.to(self.device), self.classes).to(own_format(self))

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the negative log-likelihood in nats, of images given their classes if known."""
        follow_cosine(self, self.lr, WARM)
        update_ema(self.average, self.network)
        x = self._rounded(batch.image)
        label = F.one_hot(batch.label, self.classes).to(x) if self.classes else None
        loss = -self._terms(x, self.network(2 * x - 1, label).to(x.dtype)).mean()
        record(self, {"nll_nats": loss})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return torch.optim.Adam(self.network.parameters(), self.lr, fused=True)
