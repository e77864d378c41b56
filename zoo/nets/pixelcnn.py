"""The networks of PixelCNN and gated PixelCNN, on whole images and, from memory, pixel by pixel.

Each network maps an image to parameters of every pixel's law, which depend on the pixels before it
only. `walk` starts a way through an image that computes what the next pixel needs and nothing
else.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from zoo.nets.causal import CausalConv2d, Memory

__all__ = ["GatedPixelNet", "PixelNet", "Walk"]

FIRST = 3  # reach of the first layer to all sides: 7x7 windows, as in both papers


class Walk:
    """A way through images, pixel by pixel in order; what was computed is kept.

    Args:
        batch: Number of images.
        height: Rows of the image.
        width: Columns of the image.
    """

    def __init__(self, batch: int, height: int, width: int) -> None:
        self.shape = (batch, height, width)

    def remember(self, conv: nn.Module) -> Memory:
        """Returns an empty memory for a causal convolution."""
        return Memory(cast(CausalConv2d, conv), *self.shape)

    def start_row(self, i: int) -> None:
        """Prepares for a row; all rows above are known."""

    def pixel(self, i: int, j: int, x: Tensor) -> Tensor:
        """Returns parameters of a pixel's law.

        Args:
            i: Row.
            j: Column.
            x: What is known of the pixel so far, shape (B, C): colours that its network lets
                count must be right, others may be anything.

        Returns:
            Shape (B, parameters).
        """
        raise NotImplementedError

    def put(self, i: int, j: int, x: Tensor) -> None:
        """Notes a pixel that is now known, shape (B, C)."""
        raise NotImplementedError


def _at(conv: nn.Module, x: Tensor) -> Tensor:
    """Applies a causal convolution with a 1x1 window to features of shape (..., inputs)."""
    conv = cast(CausalConv2d, conv)
    return nn.functional.linear(x, conv.masked_weight()[:, :, 0, 0], conv.bias)


def _placed(x: Tensor, place: Tensor) -> Tensor:
    """Adds a bias for every place, in the number format of x."""
    return x + place.to(x.dtype)


class _Head(nn.Module):
    """Two 1x1 convolutions at the end, and a bias for every place."""

    def __init__(
        self, width: int, hidden: int, outputs: int, size: tuple[int, int], colours: int
    ) -> None:
        super().__init__()
        self.hidden = CausalConv2d(width, hidden, colours=colours)
        self.last = CausalConv2d(hidden, outputs, colours=colours)
        self.place = nn.Parameter(torch.zeros(outputs, *size))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x.relu()).relu()) + self.place

    def pixel(self, x: Tensor, i: int, j: int) -> Tensor:
        return _at(self.last, _at(self.hidden, x.relu()).relu()) + self.place[:, i, j]


# ---------------------------------------------------------------- PixelCNN


class _Block(nn.Module):
    """A residual block: 1x1 to half the channels, a window of 3x3, 1x1 back."""

    def __init__(self, width: int, classes: int, colours: int, dropout: float) -> None:
        super().__init__()
        half = width // 2
        self.narrow = CausalConv2d(width, half, colours=colours)
        self.window = CausalConv2d(half, half, 1, 1, 1, "B", colours)
        self.widen = CausalConv2d(half, width, colours=colours)
        self.label = nn.Linear(classes, half, bias=False) if classes else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        h = self.window(self.narrow(x.relu()).relu())
        if self.label is not None:
            h = h + self.label(label)[:, :, None, None]
        return x + self.widen(self.dropout(h.relu()))


class PixelNet(nn.Module):
    """PixelCNN's network: a masked 7x7 convolution, residual blocks, two 1x1 convolutions.

    Args:
        channels: Channels C of the image.
        size: Height and width of the image.
        outputs: Parameters of a pixel's law; in equal blocks for each of the colours.
        width: Feature maps, a multiple of twice the colours.
        layers: Residual blocks.
        hidden: Feature maps between the last two convolutions.
        classes: Number of labels that the laws may depend on, 0 for none.
        colours: C where a colour's law is to depend on the colours before it, else 1: no colour
            of a pixel counts for its own law.
        dropout: Share of a block's features that is dropped in training.

    Shape: (B, C, H, W) and one-hot labels (B, classes) -> (B, outputs, H, W).

    Reference: van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759.
    Deviation: the last layers and the first have a bias for every place of the image.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        outputs: int,
        width: int,
        layers: int,
        hidden: int,
        classes: int = 0,
        colours: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.first = CausalConv2d(channels, width, FIRST, FIRST, FIRST, "A", colours)
        self.place = nn.Parameter(torch.zeros(width, *size))
        self.blocks = nn.ModuleList(_Block(width, classes, colours, dropout) for _ in range(layers))
        self.head = _Head(width, hidden, outputs, size, colours)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Returns parameters of all pixels' laws, shape (B, outputs, H, W)."""
        h = _placed(self.first(x), self.place)
        for block in self.blocks:
            h = block(h, label)
        return self.head(h)

    def walk(self, batch: int, label: Tensor | None = None) -> Walk:
        """Starts a way through images; weights must not change meanwhile."""
        return _PixelWalk(self, batch, label)


class _PixelWalk(Walk):
    def __init__(self, net: PixelNet, batch: int, label: Tensor | None) -> None:
        super().__init__(batch, *net.place.shape[1:])
        self.net = net
        self.first = self.remember(net.first)
        blocks = cast("list[_Block]", list(net.blocks))
        self.blocks = [(block, self.remember(block.window)) for block in blocks]
        self.labels = [None if b.label is None else b.label(label) for b in blocks]

    def pixel(self, i: int, j: int, x: Tensor) -> Tensor:
        self.first.put(i, j, x)
        h = self.first.pixel(i, j) + self.net.place[:, i, j]
        for (block, memory), label in zip(self.blocks, self.labels, strict=True):
            memory.put(i, j, _at(block.narrow, h.relu()).relu())
            inner = memory.pixel(i, j)
            inner = inner if label is None else inner + label
            h = h + _at(block.widen, inner.relu())
        return self.net.head.pixel(h, i, j)

    def put(self, i: int, j: int, x: Tensor) -> None:
        self.pixel(i, j, x)


# ---------------------------------------------------------------- gated PixelCNN


def _gate(x: Tensor, dim: int) -> Tensor:
    """Returns tanh(a) sigmoid(b) of the two halves of the channels."""
    a, b = x.chunk(2, dim=dim)
    if x.dim() == 4 and dim == 1:  # sigmoid is eight times faster on numbers that lie together
        b = b.contiguous(memory_format=torch.channels_last)
    return a.tanh() * b.sigmoid()


class _Gated(nn.Module):
    """A layer of both stacks; the vertical one lives a row above, see `GatedPixelNet`."""

    def __init__(
        self, width: int, classes: int, colours: int, dropout: float, dilation: int
    ) -> None:
        super().__init__()
        self.vertical = CausalConv2d(width, 2 * width, 1, 1, 1, "rows", dilation=dilation)
        self.across = CausalConv2d(2 * width, 2 * width, kind="rows")
        self.horizontal = CausalConv2d(
            width, 2 * width, 0, 1, colours=colours, copies=2, dilation=dilation
        )
        self.out = CausalConv2d(width, width, colours=colours)
        self.label = nn.Linear(classes, 4 * width, bias=False) if classes else None
        self.dropout = nn.Dropout(dropout)

    def offsets(self, label: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Returns what a label adds to the vertical and the horizontal gates, (B, 2 width)."""
        if self.label is None:
            return None
        vertical, horizontal = self.label(label).chunk(2, dim=1)
        return vertical, horizontal

    def forward(self, v: Tensor, h: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
        up = self.vertical(v)
        along = self.horizontal(h) + self.across(up)
        offsets = self.offsets(label)
        if offsets is not None:
            up = up + offsets[0][:, :, None, None]
            along = along + offsets[1][:, :, None, None]
        return v + _gate(up, 1), h + self.out(self.dropout(_gate(along, 1)))


class GatedPixelNet(nn.Module):
    """Gated PixelCNN's network: a vertical and a horizontal stack, without a blind spot.

    The vertical stack sees the rows above, in all their width: its input is the image moved down
    by a row, so that its windows may reach into the present row. The horizontal stack sees the
    pixels to the left, and the vertical stack.

    Args:
        channels: Channels C of the image.
        size: Height and width of the image.
        outputs: Parameters of a pixel's law; in equal blocks for each of the colours.
        width: Feature maps of each stack, a multiple of the colours.
        layers: Gated layers after the first.
        hidden: Feature maps between the last two convolutions.
        classes: Number of labels that the laws may depend on, 0 for none.
        colours: C where a colour's law is to depend on the colours before it, else 1.
        dropout: Share of the horizontal gates that is dropped in training.
        dilations: Distances of neighbours in the windows of successive layers, repeated.

    Shape: (B, C, H, W) and one-hot labels (B, classes) -> (B, outputs, H, W).

    Reference: van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu 2016,
    arXiv:1606.05328. Deviations: residuals in the vertical stack, too;
    dilated windows; the first and the last layers have a bias for every place of the image.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        outputs: int,
        width: int,
        layers: int,
        hidden: int,
        classes: int = 0,
        colours: int = 1,
        dropout: float = 0.0,
        dilations: tuple[int, ...] = (1,),
    ) -> None:
        super().__init__()
        self.above = CausalConv2d(channels, width, FIRST - 1, FIRST, FIRST, "rows")
        self.beside = CausalConv2d(channels, width, 0, FIRST, 0, "A", colours)
        self.place = nn.Parameter(torch.zeros(2, width, *size))
        self.layers = nn.ModuleList(
            _Gated(width, classes, colours, dropout, dilations[i % len(dilations)])
            for i in range(layers)
        )
        self.head = _Head(width, hidden, outputs, size, colours)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Returns parameters of all pixels' laws, shape (B, outputs, H, W)."""
        down = nn.functional.pad(x, (0, 0, 1, 0))[:, :, :-1]
        v = _placed(self.above(down), self.place[0])
        h = _placed(self.beside(x), self.place[1])
        for layer in self.layers:
            v, h = layer(v, h, label)
        return self.head(h)

    def walk(self, batch: int, label: Tensor | None = None) -> Walk:
        """Starts a way through images; weights must not change meanwhile."""
        return _GatedWalk(self, batch, label)


class _GatedWalk(Walk):
    def __init__(self, net: GatedPixelNet, batch: int, label: Tensor | None) -> None:
        super().__init__(batch, *net.place.shape[2:])
        self.net = net
        self.layers = cast("list[_Gated]", list(net.layers))
        self.above, self.beside = self.remember(net.above), self.remember(net.beside)
        self.vertical = [self.remember(layer.vertical) for layer in self.layers]
        self.horizontal = [self.remember(layer.horizontal) for layer in self.layers]
        self.offsets = [layer.offsets(label) for layer in self.layers]
        self.from_above: list[Tensor] = []  # what the vertical stack tells each layer, (B, W, 2F)

    def start_row(self, i: int) -> None:
        """Computes a row of the vertical stack, which depends on no pixel of the row itself."""
        v = self.above.row(i) + self.net.place[0, :, i].T
        self.from_above = []
        for layer, memory, offsets in zip(self.layers, self.vertical, self.offsets, strict=True):
            memory.put_row(i, v)
            up = memory.row(i)
            across = _at(layer.across, up)
            if offsets is not None:
                up, across = up + offsets[0][:, None], across + offsets[1][:, None]
            self.from_above.append(across)
            v = v + _gate(up, 2)

    def pixel(self, i: int, j: int, x: Tensor) -> Tensor:
        return self.net.head.pixel(self._features(i, j, x), i, j)

    def _features(self, i: int, j: int, x: Tensor) -> Tensor:
        self.beside.put(i, j, x)
        h = self.beside.pixel(i, j) + self.net.place[1, :, i, j]
        for layer, memory, across in zip(
            self.layers, self.horizontal, self.from_above, strict=True
        ):
            memory.put(i, j, h)
            h = h + _at(layer.out, _gate(memory.pixel(i, j) + across[:, j], 1))
        return h

    def put(self, i: int, j: int, x: Tensor) -> None:
        self._features(i, j, x)
        if i + 1 < self.shape[1]:
            self.above.put(i + 1, j, x)
