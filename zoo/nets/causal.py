"""Convolutions that see only pixels before the present one, on whole images and pixel by pixel.

Pixels are ordered row by row, each row from left to right, and the colours of a pixel one after
the other. Channels of a feature map are shared out among the colours in blocks: those of the
first colour come first.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CausalConv2d", "Memory", "colours_of"]

Kind = Literal["A", "B", "rows"]


def colours_of(channels: int, colours: int, copies: int = 1) -> Tensor:
    """Says which colour each channel of a feature map belongs to.

    Args:
        channels: Number of channels.
        colours: Number of colours that are told apart.
        copies: Number of equal parts that the channels consist of, such as 2 before a gate.

    Returns:
        Colours, shape (channels,), int64.

    Example:
        >>> colours_of(6, 3), colours_of(8, 2, copies=2)
        (tensor([0, 0, 1, 1, 2, 2]), tensor([0, 0, 1, 1, 0, 0, 1, 1]))
    """
    each = channels // copies
    return (torch.arange(each) * colours // each).repeat(copies)


class CausalConv2d(nn.Conv2d):
    """A convolution with a window above and to the left of the present pixel.

    The window has rows -above..0 and columns -left..right around the present pixel. Of the present
    row it sees, as `kind` says,

    - ``A``: pixels to the left, and of the present pixel the colours before a feature's own;
    - ``B``: pixels to the left, and of the present pixel those colours and its own;
    - ``rows``: all of the window: for a stack whose input was moved down by a row.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        above: Rows above the present one.
        left: Columns to the left.
        right: Columns to the right; they count in rows above, and under ``rows``.
        kind: What it sees of the present row.
        colours: Number of colours that are told apart; with 1, ``A`` sees nothing of the pixel.
        copies: Equal parts of the output channels, 2 before a gate.
        dilation: Distance of neighbours in the window.
        bias: Whether to add a bias.

    Shape: (B, inputs, H, W) -> (B, outputs, H, W).

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759, Section 3.4.
    """

    mask: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        above: int = 0,
        left: int = 0,
        right: int = 0,
        kind: Kind = "B",
        colours: int = 1,
        copies: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            inputs, outputs, (above + 1, left + 1 + right), dilation=dilation, bias=bias
        )
        mask = torch.ones_like(self.weight)
        if kind != "rows":
            of_output = colours_of(outputs, colours, copies)[:, None]
            of_input = colours_of(inputs, colours)
            sees = of_output > of_input if kind == "A" else of_output >= of_input
            mask[:, :, -1, left] = sees.to(mask.dtype)
            mask[:, :, -1, left + 1 :] = 0
        self.whole = mask.is_meta or bool((mask == 1).all())
        self.register_buffer("mask", mask, persistent=False)
        #: Zeros around the image: left, right, top, bottom.
        self.edges = (left * dilation, right * dilation, above * dilation, 0)

    def masked_weight(self) -> Tensor:
        """Returns the weights that exist; zeros elsewhere."""
        return self.weight if self.whole else self.weight * self.mask

    def forward(self, input: Tensor) -> Tensor:
        """Applies the window to all pixels."""
        if any(self.edges):
            input = F.pad(input, self.edges)
        return F.conv2d(input, self.masked_weight(), self.bias, dilation=self.dilation)


class Memory:
    """What a causal convolution has seen of an image so far, for its answer at one pixel or row.

    Args:
        conv: The convolution; its weights must not change meanwhile.
        batch: Number of images.
        height: Rows of the image.
        width: Columns of the image.
    """

    def __init__(self, conv: CausalConv2d, batch: int, height: int, width: int) -> None:
        left, right, top, _ = conv.edges
        weight = conv.masked_weight()
        self.conv, self.left, self.top, self.width = conv, left, top, width
        self.seen = weight.new_zeros(
            batch, top + height, left + width + right, conv.in_channels
        )  # channels last, so that a window's pixels lie together
        self.weight = weight.permute(2, 3, 1, 0).reshape(-1, conv.out_channels)
        self.step = conv.dilation[0]
        self.columns = conv.kernel_size[1]

    def put(self, i: int, j: int, value: Tensor) -> None:
        """Notes the input at one pixel, shape (B, inputs)."""
        self.seen[:, self.top + i, self.left + j] = value

    def put_row(self, i: int, value: Tensor) -> None:
        """Notes the input of one row, shape (B, W, inputs)."""
        self.seen[:, self.top + i, self.left : self.left + self.width] = value

    def pixel(self, i: int, j: int) -> Tensor:
        """Returns the output at one pixel, shape (B, outputs)."""
        reach = j + (self.columns - 1) * self.step + 1
        window = self.seen[:, i : self.top + i + 1 : self.step, j : reach : self.step]
        out = window.flatten(1) @ self.weight
        return out if self.conv.bias is None else out + self.conv.bias

    def row(self, i: int) -> Tensor:
        """Returns the output of one row, shape (B, W, outputs)."""
        rows = self.seen[:, i : self.top + i + 1 : self.step]
        windows = rows.unfold(2, (self.columns - 1) * self.step + 1, 1)[..., :: self.step]
        windows = windows.permute(0, 2, 1, 4, 3)  # (B, W, rows, columns, inputs)
        out = windows.flatten(2) @ self.weight
        return out if self.conv.bias is None else out + self.conv.bias
