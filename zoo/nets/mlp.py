"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

__all__ = ["MLP", "init_he"]

BIAS = 0.5  # biases are spread up to here, so that units bend at different places from the start


class MLP(nn.Module):
    """A multilayer perceptron.

    Args:
        inputs: Numbers per example; inputs of more dimensions are flattened first.
        hidden: Units of each hidden layer; none at all gives a linear map.
        outputs: Length of the result, or its shape.
        activation: Makes the nonlinearity after each hidden layer.
        norm: Whether to normalise by batch statistics before each nonlinearity (in generators
            only: an example's answer then depends on its neighbours).

    Shape: (B, ...) with ``inputs`` numbers per example -> (B, *outputs).
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int | tuple[int, ...],
        activation: Callable[[], nn.Module] = nn.Tanh,
        norm: bool = False,
    ) -> None:
        super().__init__()
        shape = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise([inputs, *hidden]):
            layers.append(nn.Linear(before, after, bias=not norm))
            layers += [nn.BatchNorm1d(after), activation()] if norm else [activation()]
        size = 1
        for side in shape:
            size *= side
        layers.append(nn.Linear(hidden[-1] if hidden else inputs, size))
        layers += [nn.Unflatten(1, shape)] if len(shape) > 1 else []
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a batch, example by example."""
        return self.layers(x)


def init_he(*networks: nn.Module) -> None:
    """Draws the weights of linear layers so that signals keep their size through rectifiers.

    Weights come from N(0, 2 / inputs) (He et al. 2015, arXiv:1502.01852), biases from the uniform
    law on [-1/2, 1/2]. For a few inputs, such as points of the plane, torch's own initialisation
    gives functions that are nearly linear.
    """
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.uniform_(module.bias, -BIAS, BIAS)
