r"""Generative stochastic network: the transition of a Markov chain is learnt, and the chain draws.

An image is corrupted and a network learns what it was. Corrupting and redrawing in turn,

.. math:: \tilde x_t \sim C(\tilde x \mid x_t), \quad h_{t+1} = f(h_t, \tilde x_t, \epsilon_t),
          \quad x_{t+1} \sim P(x \mid h_{t+1})

is a chain whose stationary law is that of the data if P is what the data say. Several steps are
walked in training (walkback), and the cross-entropy of the image at every one of them is summed, so
that the chain is brought back from where it strays.

Hidden layers are drawn from their neighbours, odd ones first; weights upward and downward are the
same. With one layer this is the denoising autoencoder with walkback; with one step besides, the
plain one. There is no likelihood; samples are states of the chain after it has burnt in.

References: Bengio, Thibodeau-Laufer, Alain, Yosinski 2014, arXiv:1306.1091; walkback: Bengio, Yao,
Alain, Vincent 2013, arXiv:1305.6663. From memory and from notes on the authors' own code.

Deviations:
- Adam with a rate that falls along a cosine, in the place of gradient descent with momentum.
- Each sample has a chain of its own, which starts from noise; the papers' samples follow each other
  on one chain.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.answering import CHUNK, answers, generator_for, in_chunks, own_format
from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import check_arguments
from zoo.functional.boltzmann import bits
from zoo.functional.corruption import salt_and_pepper
from zoo.functional.draws import normal, uniform
from zoo.models.registry import MODELS
from zoo.optim.schedules import follow_cosine
from zoo.optim.steps import adam, record

__all__ = ["GSN"]


@MODELS.register
class GSN(Model):
    """Generative stochastic network for images in [0, 1], taken for expected bits.

    Args:
        spec: Shape of the images.
        hidden: Units of each hidden layer (1500, 1500 in the paper).
        walkback: Steps of the chain in training; 1 for none beyond the first.
        corruption: Share of the pixels that salt and pepper replace.
        noise: Deviation of the noise before and after the nonlinearity of hidden layers above the
            first.
        lr: Adam's rate at the start.
        burn_in: Steps of a chain before its state is a sample.

    Raises:
        UserError: on values that make no sense.
    """

    summary = "learns to undo noise, and draws by a chain of noise and cleaning in turn."
    needs_float32 = True  # a chain that rounds otherwise goes elsewhere

    def __init__(
        self,
        spec: ImageSpec,
        hidden: tuple[int, ...] = (1500, 1500),
        walkback: int = 4,
        corruption: float = 0.4,
        noise: float = 2.0,
        lr: float = 1e-3,
        burn_in: int = 20,
    ) -> None:
        super().__init__()
        check_arguments(
            hidden=(hidden, "[1, inf)"),
            walkback=(walkback, "[1, inf)"),
            corruption=(corruption, "[0, 1]"),
            noise=(noise, "[0, inf)"),
            lr=(lr, "[0, inf)"),
            burn_in=(burn_in, "[1, inf)"),
        )
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.walkback, self.corruption = spec, walkback, corruption
        self.noise, self.lr, self.burn_in = noise, lr, burn_in
        sizes = (spec.size, *(hidden or (spec.size,)))
        self.weights = nn.ParameterList(
            (2 * torch.rand(below, above) - 1) * math.sqrt(6 / (below + above))
            for below, above in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(size) for size in sizes)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), each by a chain of its own.

        Each is the mean of P(x | h) at the end of the chain.
        """
        generator, parts = generator_for(seed), []
        for begin in range(0, max(n, 1), CHUNK):
            x, hidden = self._noise(min(CHUNK, n - begin), generator)
            for _ in range(self.burn_in):
                logits, x, hidden = self._step(x, hidden, generator)
            parts.append(logits.sigmoid())
        return torch.cat(parts).view(-1, *self.spec.shape)

    @answers
    def chain(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Follows chains, each from noise and after its burning in, one image for every step.

        Returns:
            Means of P(x | h), shape (rows, steps, C, H, W).
        """
        generator, states = generator_for(seed), []
        x, hidden = self._noise(rows, generator)
        for step in range(self.burn_in + steps - 1):
            logits, x, hidden = self._step(x, hidden, generator)
            if step + 1 >= self.burn_in:
                states.append(logits.sigmoid())
        return torch.stack(states, dim=1).unflatten(2, self.spec.shape)

    @answers
    def reconstruct(self, x: Tensor) -> Tensor:
        """Passes images (B, C, H, W) through all layers and back, without any noise."""

        def part(v: Tensor) -> Tensor:
            hidden = self._still(v)
            for _ in self.weights:  # until all layers have heard of the image
                logits, hidden = self._update(v, hidden, None, noisy=False)
            return logits.sigmoid()

        return in_chunks(part, x.flatten(1)).view_as(x)

    @answers
    def complete(self, x: Tensor, mask: Tensor, *, seed: int | None = None) -> Tensor:
        """Draws pixels of images (B, C, H, W) where a mask is True; known ones are put back."""
        given, generator = x.flatten(1), generator_for(seed)
        unknown = mask.expand_as(x).flatten(1)
        v = torch.where(unknown, self._noise(len(x), generator)[0], given)
        hidden, mean = self._still(v), v
        for _ in range(self.burn_in):
            logits, v, hidden = self._step(v, hidden, generator)
            v, mean = torch.where(unknown, v, given), logits.sigmoid()
        return torch.where(unknown, mean, given).view_as(x)

    # ---------------------------------------------------------------- the chain

    def _noise(self, n: int, generator: torch.Generator | None) -> tuple[Tensor, list[Tensor]]:
        """Returns states that know nothing: visible bits, (n, D), and hidden layers at rest."""
        u = uniform(n, self.spec.size, generator=generator).to(own_format(self))
        return u.round(), self._still(u)

    def _still(self, v: Tensor) -> list[Tensor]:
        return [v.new_zeros(len(v), len(bias)) for bias in self.biases[1:]]

    def _step(
        self, x: Tensor, hidden: list[Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Corrupts visible units and redraws all layers; the state is what was redrawn."""
        corrupted = salt_and_pepper(x, self.corruption, generator)
        logits, hidden = self._update(corrupted, hidden, generator)
        return logits, bits(logits.detach(), generator), hidden

    def _update(
        self, v: Tensor, hidden: list[Tensor], generator: torch.Generator | None, noisy: bool = True
    ) -> tuple[Tensor, list[Tensor]]:
        """Redraws odd layers, then even ones; returns the visible layer's log-odds and the rest."""
        layers = [v, *hidden]
        odd_first = [*range(1, len(layers), 2), *range(2, len(layers), 2)]
        for i in odd_first:
            heard = self.biases[i] + layers[i - 1] @ self.weights[i - 1]
            if i + 1 < len(layers):
                heard = heard + layers[i + 1] @ self.weights[i].t()
            loud = noisy and i > 1 and self.noise > 0
            before, after = (
                self.noise * normal(*heard.shape, generator=generator).to(heard) if loud else 0.0
                for _ in range(2)
            )
            layers[i] = torch.tanh(heard + before) + after
        return self.biases[0] + layers[1] @ self.weights[0].t(), layers[1:]

    # ---------------------------------------------------------------- learning

    def terms(self, x: Tensor) -> list[Tensor]:
        """Computes the cross-entropy of images (B, C, H, W) at every step of a walk from them.

        Returns:
            Nats per image, a mean for each step.
        """
        target = x.flatten(1)
        v, hidden, found = target, self._still(target), []
        for _ in range(self.walkback):
            logits, v, hidden = self._step(v, hidden, None)
            each = F.binary_cross_entropy_with_logits(logits.to(x.dtype), target, reduction="none")
            found.append(each.sum(dim=1).mean())
        return found

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the sum of the cross-entropies; logs the first step's and the last one's."""
        follow_cosine(self, self.lr)
        terms = self.terms(batch.image)
        record(self, {"first_step_nats": terms[0], "last_step_nats": terms[-1]})
        return torch.stack(terms).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, (0.9, 0.999))
