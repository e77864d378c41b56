r"""Restricted Boltzmann machine: visible and hidden units that pull at each other in pairs.

.. math:: p(v, h) = \frac1Z e^{b \cdot v + c \cdot h + v^\top W h}, \quad
          \log p(v) = -F(v) - \log Z, \quad
          F(v) = -b \cdot v - \sum_j \log\big(1 + e^{c_j + (v^\top W)_j}\big)

Given one layer, the units of the other are independent, so a chain draws them in turn. Learning
lowers the free energy F of data and raises that of the model's own draws, in closed form:

.. math:: -\frac{\partial \log p}{\partial \theta} =
          E_\mathrm{data}\Big[\frac{\partial F}{\partial \theta}\Big]
          - E_\mathrm{model}\Big[\frac{\partial F}{\partial \theta}\Big]

Draws of the model are the states of chains that go on from step to step (persistent contrastive
divergence), or k steps away from the data (contrastive divergence, CD-k). The difference of both
free energies, which is logged, is no likelihood and may well be negative.

log Z is estimated by annealed importance sampling: `settle` keeps it with its error, so that
`log_prob` of a published model is a subtraction; see `zoo.functional.annealing`.

References: Smolensky 1986; Hinton 2002 (CD-k); Tieleman 2008, Training restricted Boltzmann
machines using approximations to the likelihood gradient (persistent chains); Salakhutdinov & Murray
2008, On the quantitative analysis of deep belief networks (annealing); normal visible units:
Hinton & Salakhutdinov 2006; first biases: Hinton 2010, A practical guide to training restricted
Boltzmann machines. All of it was written from memory.

Deviations:
- Momentum, and a moving average of the weights, which answers all questions: the weights themselves
  jump with the noise of the chains.
- Samples start at high temperature, which is lowered step by step, and not from a random state.

Beyond the papers, off by default; the recipe rbm_mnist turns it on:
- `centred` follows the gradient of the same machine written with centred units (Melchior, Fischer,
  Wiskott 2016, arXiv:1311.1354): another path, with much less noise, to the same optimum.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import SGD

from zoo.contract.answering import CHUNK, alone, answers, between, generator_for, in_chunks
from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.annealing import annealed, constant, ladder
from zoo.functional.boltzmann import (
    Machine,
    Offsets,
    annealing_step,
    bits,
    draw_hidden,
    draw_visible,
    free_energy,
    gradient,
    hidden_logits,
    log_base_constant,
    start_of_base,
    visible_mean,
)
from zoo.functional.density import dequantise
from zoo.functional.draws import uniform
from zoo.functional.paths import line
from zoo.models.registry import MODELS
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import fade, progress
from zoo.optim.steps import record

__all__ = ["RBM"]

MEASURE_EVERY = 10  # batches between measurements of the hidden units' mean
RARE = 1e-3  # least share of images in which a pixel of the base is on, or off
CHAINS = 100  # that estimate log Z
ASKED, SETTLED = 1000, 10_000  # temperatures: where nobody has settled it, and to be published
ANNEALING_SEED = 0


class _Weights(nn.Module):
    """W, b and c of a machine."""

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.w = nn.Parameter(nn.init.normal_(torch.empty(visible, hidden), std=0.01))
        self.b = nn.Parameter(torch.zeros(visible))
        self.c = nn.Parameter(torch.zeros(hidden))


@MODELS.register
class RBM(Model):
    """Restricted Boltzmann machine with binary hidden units.

    Args:
        spec: Shape of the images.
        hidden: Number of hidden units.
        visible: ``binary``: pixels are bits, and training refuses others; ``gaussian``: pixels are
            real, each with a normal law given the hidden units.
        sigma: Deviation of that law, for ``gaussian``.
        persistent: Whether the model's chains go on from step to step; else they start at the data.
        chains: Number of chains, if they are persistent.
        steps: Steps k of a chain for each step of learning.
        centred: Whether to follow the centred gradient.
        lr: Rate at the start; it falls to zero along a line.
        momentum: Of the steps.
        weight_decay: Share of the weights W that a step at rate 1 takes away.
        ema_decay: Decay of the weights' moving average, which answers all questions.
        warming: Steps of a sample's chain at temperatures that fall to 1.
        burn_in: Further steps at temperature 1, before it is a sample.

    Raises:
        UserError: on values that make no sense.
    """

    summary = "two layers of units that pull at each other; it draws by letting them settle."
    needs_bits = True
    needs_float32 = True  # energies of hundreds of nats, of which differences count
    measure = "counting"
    levels = 2
    not_published = ("network.", "particles", "hidden_mean", "seen")

    pixel_mean: Tensor  # over training images, (V,)
    hidden_mean: Tensor  # running, of the hidden units on data, (H,)
    particles: Tensor  # states of the persistent chains, (chains, V)
    seen: Tensor  # batches, ()
    log_z: Tensor  # nats, ()
    log_z_error: Tensor  # its standard error, ()
    log_z_temperatures: Tensor  # of the walk that found it, (); 0: nobody has looked for it

    def __init__(
        self,
        spec: ImageSpec,
        hidden: int = 500,
        visible: Literal["binary", "gaussian"] = "binary",
        sigma: float = 0.2,
        persistent: bool = True,
        chains: int = 100,
        steps: int = 1,
        centred: bool = False,
        lr: float = 0.05,
        momentum: float = 0.5,
        weight_decay: float = 0.0,
        ema_decay: float = 0.999,
        warming: int = 50,
        burn_in: int = 50,
    ) -> None:
        super().__init__()
        check_arguments(
            hidden=(hidden, "[1, inf)"),
            sigma=(sigma, "(0, inf)"),
            chains=(chains, "[1, inf)"),
            steps=(steps, "[1, inf)"),
            lr=(lr, "[0, inf)"),
            momentum=(momentum, "[0, 1)"),
            weight_decay=(weight_decay, "[0, inf)"),
            ema_decay=(ema_decay, "[0, 1)"),
            warming=(warming, "[1, inf)"),
            burn_in=(burn_in, "[0, inf)"),
        )
        check_choice("--model.visible", visible, ("binary", "gaussian"))
        self.save_hyperparameters(ignore=["spec"])
        self.automatic_optimization = False
        self.spec, self.latent_dim = spec, hidden
        self.binary = visible == "binary"
        if not self.binary:
            self.needs_bits, self.measure, self.levels = False, "lebesgue", 256
        self.sigma = None if self.binary else sigma
        self.persistent, self.steps, self.centred = persistent, steps, centred
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.warming, self.burn_in = warming, burn_in
        self.network = _Weights(spec.size, hidden)
        self.average = ema_of(self.network, ema_decay)
        self.register_buffer("pixel_mean", torch.full((spec.size,), 0.5))
        self.register_buffer("hidden_mean", torch.full((hidden,), 0.5))
        self.register_buffer("particles", torch.zeros(chains if persistent else 0, spec.size))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("log_z", torch.zeros((), dtype=torch.float64))
        self.register_buffer("log_z_error", torch.zeros((), dtype=torch.float64))
        self.register_buffer("log_z_temperatures", torch.zeros((), dtype=torch.int64))

    # ---------------------------------------------------------------- what a user calls

    @answers
    def log_unnormalised(self, x: Tensor) -> Tensor:
        """Computes -F of images (B, C, H, W), which is log p but for log Z; nats, shape (B,).

        Binary machines round them to 0 or 1; for normal units, grey levels are dequantised.
        """
        machine = self._machine(self.average.module)
        return in_chunks(lambda v: -free_energy(machine, v), self._units(x))

    @answers
    def log_prob(self, x: Tensor) -> Tensor:
        """Computes log p of images (B, C, H, W) with an estimate of log Z; nats, shape (B,).

        Counting measure on {0, 1}, to which they are rounded; of normal units, a density of pixels
        in [0, 1]. The estimate, its standard error and its number of temperatures are ``log_z``,
        ``log_z_error`` and ``log_z_temperatures``; what is not settled yet is settled first.
        """
        with alone(self):
            if not int(self.log_z_temperatures):
                self.settle(ASKED)
        return self.log_unnormalised(x).double() - self.log_z

    @answers
    def anneal(
        self, *, chains: int = CHAINS, temperatures: int = ASKED, seed: int = 0,
        reverse: bool = False,
    ) -> Tensor:  # fmt: skip
        """Estimates log Z by a chain each, between independent units and the machine.

        Args:
            chains: Number of chains.
            temperatures: Laws between both.
            seed: Decides all.
            reverse: Whether chains lead from samples of the machine to the independent units; the
                mean of exp(-result) then estimates 1 / Z.

        Returns:
            Logs of estimates of Z, shape (chains,); the mean of their exponentials is unbiased.
        """
        machine, base = self._machine(self.average.module), self._base()
        betas, known = ladder(temperatures), log_base_constant(machine, base)
        step = annealing_step(machine, base)
        if reverse:
            back = annealed(self._draw, step, betas[::-1], chains, seed=seed, at_once=CHUNK)
            return known - back
        first = lambda n, generator: start_of_base(machine, base, n, generator)  # noqa: E731
        return known + annealed(first, step, betas, chains, seed=seed, at_once=CHUNK)

    def settle(self, temperatures: int = SETTLED) -> None:
        """Estimates log Z and keeps it, with its error, among the weights.

        Args:
            temperatures: More make it better, and take longer.
        """
        found = constant(self.anneal(temperatures=temperatures, seed=ANNEALING_SEED).double())
        self.log_z.copy_(found.log_z)
        self.log_z_error.copy_(found.standard_error)
        self.log_z_temperatures.fill_(temperatures)

    @answers
    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images, shape (n, C, H, W), each by a chain of its own; of bits, 0 and 1.

        A chain starts hot, is cooled down and burns in; the last state is the sample. Of normal
        units, it is their mean, cut to [0, 1].
        """
        generator = generator_for(seed)
        parts = [
            self._draw(min(CHUNK, n - begin), generator) for begin in range(0, max(n, 1), CHUNK)
        ]
        return self._image(torch.cat(parts))

    @answers
    def complete(self, x: Tensor, mask: Tensor, *, seed: int | None = None) -> Tensor:
        """Draws pixels of images (B, C, H, W) where a mask is True, given all the others.

        By the chains of `sample` in which known pixels are put back after every step.
        """
        given = x.flatten(1).round() if self.binary else x.flatten(1)
        known, generator = ~mask.expand_as(x).flatten(1), generator_for(seed)
        return self._image(self._cooled(given, known, generator))

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Computes the probabilities of hidden units, (B, hidden), for images (B, C, H, W)."""
        machine = self._machine(self.average.module)
        given = x.flatten(1).round() if self.binary else x.flatten(1)
        return in_chunks(lambda v: hidden_logits(machine, v).sigmoid(), given)

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Computes the means of the images, (B, C, H, W), of hidden units (B, hidden)."""
        machine = self._machine(self.average.module)
        return self._image(in_chunks(lambda h: visible_mean(machine, h), z))

    @answers
    def reconstruct(self, x: Tensor) -> Tensor:
        """Passes images (B, C, H, W) to the hidden units' probabilities and back, to means."""
        return self.decode(self.encode(x))

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
        """Walks straight from the hidden units of one sample to those of another.

        Between images of one's own, a and b in [0, 1] of shape (rows, C, H, W), from theirs. Means
        of images, shape (rows, steps, C, H, W).
        """
        if a is None or b is None:
            a, b = self.sample(2 * rows, seed=seed).split(rows)
        return between(self, a, b, line, steps)

    # ---------------------------------------------------------------- chains

    def _draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Draws visible units of the machine, (n, V)."""
        machine = self._machine(self.average.module)
        start = machine.c.new_zeros(n, len(machine.b))
        return self._cooled(start, None, generator)

    def _cooled(
        self, given: Tensor, known: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """Runs chains from high temperature to 1, and burns them in.

        Args:
            given: Visible units (n, V), for those that are known.
            known: Which ones keep the value that they were given, (n, V); None for none.
            generator: Draws.
        """
        machine, base = self._machine(self.average.module), self._base()
        betas = [*ladder(self.warming)[1:], *[1.0] * self.burn_in]

        def kept(v: Tensor) -> Tensor:
            return v if known is None else torch.where(known, given, v)

        v = kept(start_of_base(machine, base, len(given), generator))
        for beta in betas:
            h = bits(beta * hidden_logits(machine, v), generator)
            v = kept(draw_visible(machine, h, generator, beta, base))
        return v if self.binary else kept(visible_mean(machine, draw_hidden(machine, v, generator)))

    # ---------------------------------------------------------------- the machine

    def _machine(self, weights: nn.Module) -> Machine:
        net = cast(_Weights, weights)
        return Machine(net.w.detach(), net.b.detach(), net.c.detach(), self.sigma)

    def _base(self) -> Tensor:
        """Returns the biases of independent units that are on as often as the data's, (V,)."""
        mean = self.pixel_mean.clamp(RARE, 1 - RARE) if self.binary else self.pixel_mean
        return mean.logit() if self.binary else mean

    def _units(self, x: Tensor) -> Tensor:
        """Returns the visible units that images stand for, (B, V)."""
        if self.binary:
            return x.flatten(1).round()
        return dequantise(x, uniform(*x.shape, generator=None).to(x)).flatten(1)

    def _image(self, v: Tensor) -> Tensor:
        return v.clamp(0, 1).view(-1, *self.spec.shape)

    # ---------------------------------------------------------------- learning

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Descends the gradient of -log p, whose second half the chains estimate.

        Raises:
            UserError: if pixels of a binary machine are not bits.
        """
        x = batch.image
        if self.binary and not bool(((x == 0) | (x == 1)).all()):
            raise UserError(
                "RBM with binary visible units learns from bits, got pixels between 0 and 1: "
                "choose --data.binarize static or dynamic, or --model.visible gaussian."
            )
        data = self._units(x)
        if not int(self.seen):
            self._begin(data)
        machine = self._machine(self.network)
        model = self.particles if self.persistent else data
        for _ in range(self.steps):
            model = draw_visible(machine, draw_hidden(machine, model, None), None)
        if self.persistent:
            self.particles.copy_(model)
        offsets = Offsets(self.pixel_mean, self.hidden_mean) if self.centred else None
        slopes = gradient(machine, data, model, offsets)
        self._note(machine, data, model, slopes)
        self._descend(slopes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns gradient descent with momentum; biases do not decay."""
        net = self.network
        groups = [
            {"params": [net.w], "weight_decay": self.weight_decay},
            {"params": [net.b, net.c]},
        ]
        return SGD(groups, lr=self.lr, momentum=self.momentum)

    def _begin(self, data: Tensor) -> None:
        """Sets visible biases, and chains, to what independent units would make of a batch."""
        mean = self.trainer.strategy.reduce(data.mean(dim=0), reduce_op="mean")
        self.pixel_mean.copy_(mean)
        with torch.no_grad():
            self.network.b.copy_(self._base())
        machine = self._machine(self.network)
        self.particles.copy_(start_of_base(machine, machine.b, len(self.particles), None))

    def _note(
        self, machine: Machine, data: Tensor, model: Tensor, slopes: tuple[Tensor, ...]
    ) -> None:
        """Logs, and follows the means of both layers."""
        terms = {"pixel_gap": slopes[1].abs().mean()}
        if (self.trainer.fit_loop.total_batch_idx + 1) % max(
            1, self.trainer.log_every_n_steps
        ) == 0:
            gap = free_energy(machine, data).mean() - free_energy(machine, model).mean()
            terms["free_energy_gap_nats"] = gap
        record(self, terms)
        self.seen += 1
        self.pixel_mean.lerp_(data.mean(dim=0), 1 / float(self.seen))
        if self.centred and int(self.seen) % MEASURE_EVERY == 1:
            now = hidden_logits(machine, data).sigmoid().mean(dim=0)
            self.hidden_mean.lerp_(now, 0.01 * MEASURE_EVERY)
        self.log_z_temperatures.zero_()  # it was that of other weights

    def _descend(self, slopes: tuple[Tensor, ...]) -> None:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        fade(optimizer, self.lr, progress(self), 1.0)
        for weight, slope in zip(self.network.parameters(), slopes, strict=True):
            weight.grad = self.trainer.strategy.reduce(slope, reduce_op="mean")
        optimizer.step()
        update_ema(self.average, self.network)
