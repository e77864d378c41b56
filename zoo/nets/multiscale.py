"""Layers of flows that move pixels between places and channels, and flows of many scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zoo.nets.coupling import Layer

__all__ = ["Flatten", "MultiScale", "Regroup", "Squeeze"]


class Flatten(Layer):
    """Writes an image as a vector.

    Args:
        shape: Shape (C, H, W) of an image.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moves numbers only: the log-determinant is 0."""
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Makes it an image again."""
        return y.unflatten(1, self.shape)


class Squeeze(Layer):
    """Turns every 2x2 square of a map into four channels, the checkerboard's colours apart.

    The first half of the new channels holds the squares' main diagonals and the second half the
    other two corners: a coupling of the two halves is one with a checkerboard mask.

    Shape: (B, C, H, W) -> (B, 4 C, H / 2, W / 2), H and W even.

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 3.4 and 3.6. Deviations: squeezing comes
    before the checkerboard couplings, whose networks then see half the resolution and no zeros in
    the places of the other colour.
    """

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moves numbers only: the log-determinant is 0."""
        top, bottom = x[:, :, 0::2], x[:, :, 1::2]
        corners = (top[..., 0::2], bottom[..., 1::2], top[..., 1::2], bottom[..., 0::2])
        return torch.cat(corners, dim=1), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Moves them back."""
        upper_left, lower_right, upper_right, lower_left = y.chunk(4, dim=1)
        top = torch.stack([upper_left, upper_right], dim=-1).flatten(-2)
        bottom = torch.stack([lower_left, lower_right], dim=-1).flatten(-2)
        return torch.stack([top, bottom], dim=-2).flatten(-3, -2)


class Regroup(Layer):
    """Exchanges the middle two quarters of the channels, so that halves pair up anew.

    After `Squeeze` a coupling of the two halves then is one of upper with lower rows of the
    squares: the channel-wise mask.
    """

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moves numbers only: the log-determinant is 0."""
        return self.inverse(x), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Does the same: the exchange undoes itself."""
        first, second, third, fourth = y.chunk(4, dim=1)
        return torch.cat([first, third, second, fourth], dim=1)


class MultiScale(Layer):
    """Stages one after another; after each but the last, half of the channels is done.

    Args:
        stages: From fine to coarse.
        shapes: Shape (C, H, W) of what each stage puts out.

    Shape: (B, C, H, W) -> (B, C H W), what was done first comes first.

    Reference: Dinh et al. 2017, arXiv:1605.08803, Section 3.6. Deviations: none.
    """

    def __init__(self, stages: Sequence[Layer], shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        halves = [(channels // 2, *sides) for channels, *sides in shapes[:-1]]
        self.part_shapes = [*halves, tuple(shapes[-1])]

    def split(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
        """Passes the stages and takes each one's half.

        Returns:
            What is done after each stage, maps from fine to coarse; beside each the map that went
            on to the next stage, None after the last; and the log-determinant, shape (B,).
        """
        total, parts, onward = x.new_zeros(len(x)), [], []
        for stage in self.stages[:-1]:
            x, log_det = stage(x)
            total = total + log_det
            x, part = x.chunk(2, dim=1)
            parts.append(part)
            onward.append(x)
        x, log_det = self.stages[-1](x)
        return [*parts, x], [*onward, None], total + log_det

    def join(self, part: Callable[[int, Tensor | None], Tensor]) -> Tensor:
        """Undoes `split`, from coarse to fine.

        Args:
            part: Gives what was done after a stage, by the stage's number and the map that had
                gone on to the next one.
        """
        last = len(self.stages) - 1
        x = self.stages[last].inverse(part(last, None))  # type: ignore[operator]
        for i in reversed(range(last)):
            x = self.stages[i].inverse(torch.cat([x, part(i, x)], dim=1))  # type: ignore[operator]
        return x

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the latent vector and the stages' log-determinants together."""
        parts, _, log_det = self.split(x)
        return torch.cat([part.flatten(1) for part in parts], dim=1), log_det

    def inverse(self, y: Tensor) -> Tensor:
        """Puts the parts together again."""
        parts = y.split([math.prod(shape) for shape in self.part_shapes], dim=1)
        return self.join(lambda i, _: parts[i].unflatten(1, self.part_shapes[i]))
