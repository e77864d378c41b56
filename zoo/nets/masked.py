r"""Fully connected networks whose outputs see only the inputs before them in an order.

Every input has a degree, its position in the order, and every hidden unit one, too; a connection
exists where degrees allow it,

.. math:: M^{hidden}_{kd} = 1[m(k) \ge m(d)], \quad M^{out}_{dk} = 1[m(d) > m(k)]

so that output d depends on inputs with degrees below m(d) only.

Reference: Germain, Gregor, Murray, Larochelle 2015, arXiv:1502.03509, Eqs. 12 and 13.
Deviation: degrees count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import UserError

__all__ = ["MaskedLinear", "MaskedMLP", "hidden_degrees"]


class MaskedLinear(nn.Linear):
    """A linear layer of which some weights do not exist.

    Args:
        mask: 1 where a weight exists, 0 elsewhere, shape (outputs, inputs). It is not a part of the
            state: whoever builds the layer can build the mask again.
        bias: Whether to add a bias.

    Shape: (..., inputs) -> (..., outputs).
    """

    mask: Tensor

    def __init__(self, mask: Tensor, bias: bool = True) -> None:
        super().__init__(mask.shape[1], mask.shape[0], bias)
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def set_mask(self, mask: Tensor) -> None:
        """Puts another mask, of the same shape, in the place of the present one."""
        self.mask.copy_(mask)

    def forward(self, input: Tensor) -> Tensor:
        """Applies the weights that exist."""
        return F.linear(input, self.weight * self.mask, self.bias)


def hidden_degrees(
    units: int, features: int, least: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Gives hidden units their degrees.

    Args:
        units: Number of hidden units.
        features: Number D of inputs; degrees lie in [0, D - 2], because a unit that sees all
            inputs is of use to none.
        least: Least degree; units below the least degree of the layer before would see nothing.
        generator: Draws degrees uniformly; None spreads them evenly, in rising order.

    Returns:
        Degrees, shape (units,), int64.

    Example:
        >>> hidden_degrees(6, 4)
        tensor([0, 0, 1, 1, 2, 2])
    """
    span = max(1, features - 1 - least)
    if generator is None:
        return least + torch.arange(units) * span // units
    return least + torch.randint(span, (units,), generator=generator)


class MaskedMLP(nn.Module):
    """A multilayer perceptron that is autoregressive in its inputs (MADE's network).

    Args:
        features: Number D of inputs.
        hidden: Units of each hidden layer; none at all gives a linear autoregression.
        outputs: Numbers for each input, such as a logit, or a mean and a log scale.
        context: Length of a vector that every output may see, 0 for none.
        order: Position of each input in the order, a permutation of 0..D-1, shape (D,); None for
            the order in which they come.
        direct: Whether to add connections from inputs to outputs, masked, too.
        dropout: Share of each hidden layer that is dropped in training.
        activation: Makes the nonlinearity.

    Shape: (B, D) and (B, context) -> (B, D, outputs).

    Raises:
        UserError: if the order is not a permutation.
    """

    def __init__(
        self,
        features: int,
        hidden: Sequence[int],
        outputs: int = 1,
        context: int = 0,
        order: Tensor | None = None,
        direct: bool = False,
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.features, self.outputs, self.direct_too = features, outputs, direct or not hidden
        sizes = [features, *hidden, features * outputs]
        masks = [torch.ones(b, a) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(MaskedLinear(mask) for mask in (masks if hidden else []))
        if self.direct_too:
            self.direct = MaskedLinear(torch.ones(sizes[-1], features), bias=not hidden)
        self.activation, self.dropout = activation(), nn.Dropout(dropout)
        # Context enters every layer; the first output has nothing else to depend on.
        wide = sizes[1:] if context else []
        self.context = nn.ModuleList(nn.Linear(context, size, bias=False) for size in wide)
        self.set_order(torch.arange(features) if order is None else order)

    def set_order(self, order: Tensor, generator: torch.Generator | None = None) -> None:
        """Changes which outputs see which inputs; the weights stay.

        Args:
            order: Position of each input in the order, shape (D,).
            generator: Draws the hidden units' degrees; None spreads them evenly.

        Raises:
            UserError: if the order is not a permutation of 0..D-1.
        """
        if order.is_meta:  # shapes only, so that there is nothing to be masked
            return
        if not torch.equal(order.cpu().sort().values, torch.arange(self.features)):
            raise UserError(f"an order of {self.features} inputs must be a permutation of them.")
        below = order.cpu()
        self.degrees = [below]  # of the inputs, then of each hidden layer
        above = below.repeat_interleave(self.outputs)
        if self.direct_too:
            self.direct.set_mask(above[:, None] > below)
        layers = cast(list[MaskedLinear], list(self.layers))
        for layer in layers[:-1]:
            least = int(below.min())
            degrees = hidden_degrees(layer.out_features, self.features, least, generator)
            layer.set_mask(degrees[:, None] >= below)
            self.degrees.append(degrees)
            below = degrees
        for layer in layers[-1:]:
            layer.set_mask(above[:, None] > below)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Returns the outputs of each input, shape (B, D, outputs)."""
        h = x
        for i, layer in enumerate(self.layers):
            h = layer(h)
            if context is not None:
                h = h + self.context[i](context)
            if i + 1 < len(self.layers):
                h = self.dropout(self.activation(h))
        if self.direct_too:
            straight = self.direct(x)
            if not self.layers and context is not None:
                straight = straight + self.context[0](context)
            h = h + straight if self.layers else straight
        return h.unflatten(1, (self.features, self.outputs))

    @torch.no_grad()
    def unroll(
        self, draw: Callable[[int, Tensor], Tensor], batch: int, context: Tensor | None = None
    ) -> Tensor:
        """Finds the inputs one after the other, each from the outputs that the others give it.

        A hidden unit is computed once, as soon as the inputs that it sees are known, so all steps
        together cost as much as one call of `forward`. Dropout is left out.

        Args:
            draw: Gets the number i of an input and its outputs, shape (B, outputs), and returns
                the input, shape (B,).
            batch: Number B of rows.
            context: Shape (B, context).

        Returns:
            Inputs, shape (B, D), in their own order.
        """
        layers = cast(list[MaskedLinear], list(self.layers))
        weights = [layer.weight * layer.mask for layer in layers]
        shifts = [layer.bias.expand(batch, -1) for layer in layers]
        if context is not None:
            shifts = [s + c(context) for s, c in zip(shifts, self.context, strict=False)]
        first = weights[0] if weights else self.direct.weight
        known = [first.new_zeros(batch, len(degrees)) for degrees in self.degrees]
        straight, offset = self._straight(batch, context)
        ready = [_by_degree(degrees, self.features) for degrees in self.degrees]
        for step in range(self.features):
            i = int(ready[0][step])
            rows = slice(i * self.outputs, (i + 1) * self.outputs)
            out = offset[:, rows]
            if straight is not None:
                out = out + known[0] @ straight[rows].T
            if layers:
                out = out + shifts[-1][:, rows] + known[-1] @ weights[-1][rows].T
            known[0][:, i] = draw(i, out)
            for level, units in enumerate(part[step] for part in ready[1:]):
                if len(units):
                    h = known[level] @ weights[level][units].T + shifts[level][:, units]
                    known[level + 1][:, units] = self.activation(h)
        return known[0]

    def _straight(self, batch: int, context: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Returns the weights from inputs to outputs, None without, and what comes on top."""
        parameter = next(self.parameters())
        offset = parameter.new_zeros(batch, self.features * self.outputs)
        if not self.direct_too:
            return None, offset
        if self.direct.bias is not None:
            offset = offset + self.direct.bias
        if not self.layers and context is not None:
            offset = offset + self.context[0](context)
        return self.direct.weight * self.direct.mask, offset


def _by_degree(degrees: Tensor, features: int) -> list[Tensor]:
    """Lists the units of each degree 0..features - 1."""
    counts = torch.bincount(degrees, minlength=features).tolist()
    return list(degrees.argsort(stable=True).split(counts))
