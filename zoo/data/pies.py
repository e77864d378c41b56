"""Pies on white: a disc in sectors, whose size, place, number of colours and red share are known.

A kind of pie is named by five digits, as in the public code: colours (1 to 4), size, row, column
and share of red. A size b is a radius of .35 + b / 20, a place c is (c - 5) / 20 from the centre,
both in half-widths of the picture, and a share e is e / 10.
"""

from __future__ import annotations

import math
import re
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_choice
from zoo.core.text import quoted
from zoo.data.designed import (
    DesignedData,
    Drawn,
    Side,
    check_values,
    of_side,
    pick_combinations,
)
from zoo.data.module import Binarize, Split
from zoo.data.registry import DATASETS

__all__ = ["FEATURES", "Pie", "draw_pies", "pie_bands", "universe_of_pies"]

FEATURES = ("colours", "size", "row", "column", "red")
DIGITS = range(1, 10)
ODD = (1, 3, 5, 7, 9)
COLOURS, STEPS = 4, 1000  # most colours of a pie; steps of its angle
SWAPS, SHORTEST = 3, 10  # exchanges of equal pieces between the halves of a pie, and their least
DRAWN_ANEW = (1, 2, 3, 4)  # the places of those digits that may be 0


def universe_of_pies() -> Tensor:
    """Returns the 2,025 combinations of the public code, shape (2025, 5).

    Four colours; sizes and shares of red in 1, 3, 5, 7, 9; rows and columns from 1 to 9.
    """
    values = [[COLOURS], ODD, DIGITS, DIGITS, ODD]
    return torch.cartesian_prod(*(torch.tensor(list(some)) for some in values))


def pie_bands(colours: np.ndarray, red: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Says which colour each of a thousand angles has.

    Red comes first, the other colours share the rest at random; then three pieces of the first half
    change places with pieces, as long, of the second half.

    Args:
        colours: Number of colours, 1 to 4; with 1 there is only red, shape (N,).
        red: Share of red in [0, 1], shape (N,).
        random: Where all randomness comes from.

    Returns:
        Colours from 0 (red) to 3, shape (N, 1000), int64.
    """
    n = len(colours)
    shares = random.uniform(0.01, 1, (n, COLOURS - 1))
    shares[np.arange(1, COLOURS) >= colours[:, None]] = 0
    total = shares.sum(axis=1)
    red = np.where(total > 0, red, 1.0)
    shares *= ((1 - red) / np.where(total > 0, total, 1))[:, None]
    ends = np.rint(STEPS * np.cumsum(np.column_stack([red, shares]), axis=1))
    at = np.arange(STEPS)
    bands = (at[None, :, None] >= ends[:, None, :-1]).sum(axis=2)
    bands = np.minimum(bands, colours[:, None] - 1)
    half = STEPS // 2
    for _ in range(SWAPS):
        length = random.integers(SHORTEST, half, n)
        first = (random.random(n) * (half - length + 1)).astype(np.int64)
        second = half + (random.random(n) * (half - length + 1)).astype(np.int64)
        in_first = (at >= first[:, None]) & (at < (first + length)[:, None])
        in_second = (at >= second[:, None]) & (at < (second + length)[:, None])
        step = (second - first)[:, None]
        source = at + np.where(in_first, step, 0) - np.where(in_second, step, 0)
        bands = np.take_along_axis(bands, source, axis=1)
    return bands


def draw_pies(radius: Tensor, row: Tensor, column: Tensor, bands: Tensor, paint: Tensor,
              side: int) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Draws pies with hard edges.

    Args:
        radius: In half-widths of the picture, shape (N,).
        row: Of the centre, from the picture's, in half-widths, positive below, shape (N,).
        column: The same to the right, shape (N,).
        bands: Colour of each angle, counted from the direction of falling rows, shape (N, T).
        paint: Colours in [0, 1], shape (N, K, 3).
        side: Height and width of the images.

    Returns:
        Images, shape (N, 3, side, side), float32; and which colour each pixel has, -1 outside of
        the pie, shape (N, side, side), int64.
    """
    # The centre of a picture of 64 pixels is pixel 32, as in the public code; at other sizes the
    # same place of the picture.
    at = ((torch.arange(side, dtype=torch.float64) + 0.5) * (64 / side) - 0.5 - 32) / 32
    down = (at - row[:, None])[:, :, None]
    across = (at - column[:, None])[:, None, :]
    inside = down.square() + across.square() < radius[:, None, None].square()
    turn = (torch.atan2(across, down) / (2 * math.pi) + 0.5) * bands.shape[1]
    step = turn.long().clamp(0, bands.shape[1] - 1)
    colour = bands.gather(1, step.flatten(1)).view_as(step)
    pixels = paint.float().gather(1, colour.flatten(1)[:, :, None].expand(-1, -1, 3))
    pixels = pixels.view(*step.shape, 3).masked_fill(~inside[..., None], 1.0)
    return pixels.permute(0, 3, 1, 2), colour.masked_fill(~inside, -1)


def _configurations(words: tuple[str, ...]) -> Tensor:
    """Reads configurations of five digits, shape (N, 5)."""
    for word in words:
        if not re.fullmatch("[1-4][0-9]{4}", str(word)):
            raise UserError(
                f"--data.configurations has {quoted(word)}, which is not five digits: colours "
                "(1 to 4), then size, row, column and share of red (1 to 9, or 0 for any)."
            )
    if len(set(words)) < len(words):
        raise UserError("--data.configurations names one of them twice.")
    return torch.tensor([[int(digit) for digit in str(word)] for word in words])


@DATASETS.register
class Pie(DesignedData):
    """Discs in sectors on white, measured by size, place, colours and share of red.

    Which pies there are is said either by configurations of five digits, which take turns, 0 being
    any digit from 1 to 9 anew for each image; or by a number of random combinations out of 2,025,
    of which each image shows one. The attributes are the five digits.

    Args:
        configurations: Such as ``["45551", "45555"]``: two shares of red.
            With one colour all is red, whatever the fifth digit says.
        combinations: Number of combinations, 0 for all 2,025; not with configurations.
        feature: Feature of the combinations that takes the given values in turn: ``size``,
            ``row``, ``column`` or ``red``; empty for none.
        feature_values: Its values, 1 to 9.
        images: Training images; validation and test have an eighth of it each.
        side: Height and width, 32 or 64 pixels.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all.
        design_seed: Decides the images, and which combinations they show.
        seed: Decides the order of training images; the images never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: Zhao et al. 2018, Bias and Generalization in Deep Generative Models, as in its public
    code. Deviations: lengths of the exchanged pieces are drawn evenly from 10 to 499 steps, which
    the text that we read leaves open.

    Example:
        >>> data = Pie(configurations=("45551", "45555"), images=64)
        >>> data.images("train").notes.attributes[:2].tolist()
        [[4, 5, 5, 5, 1], [4, 5, 5, 5, 5]]
    """

    native = ImageSpec(
        3, 64, 64, attributes=(("colours", 5), *((name, 10) for name in FEATURES[1:]))
    )
    stream: ClassVar[int] = 20181205
    reader: ClassVar[str] = "pies"

    def __init__(
        self,
        configurations: tuple[str, ...] = (),
        combinations: int = 0,
        feature: Literal["", "size", "row", "column", "red"] = "",
        feature_values: tuple[int, ...] = (),
        images: int = 16_384,
        side: Side = 64,
        batch_size: int = 100,
        binarize: Binarize = "none",
        val_size: int | None = None,
        design_seed: int = 0,
        seed: int = 0,
    ) -> None:
        check_choice("--data.feature", feature, ("", *FEATURES[1:]))
        if configurations and (combinations or feature or feature_values):
            raise UserError(
                "--data.configurations says which pies there are: leave out --data.combinations, "
                "--data.feature and --data.feature_values."
            )
        if bool(feature) != bool(feature_values):
            raise UserError("--data.feature and --data.feature_values belong together.")
        self.native = of_side(self.native, side)
        super().__init__(images, batch_size, binarize, val_size, design_seed, seed)
        self.turns = _configurations(configurations) if configurations else None
        if self.turns is None:
            self.combinations = _chosen(combinations, feature, feature_values, design_seed)
        else:
            self.combinations = _expanded(self.turns)

    def draw(self, part: Split, places: np.ndarray, random: np.random.Generator) -> Drawn:
        """Draws pies of the configurations in turn, or of random combinations."""
        n = len(places)
        if self.turns is None:
            kinds = self.combinations.numpy()[random.integers(len(self.combinations), size=n)]
        else:
            kinds = self.turns.numpy()[places % len(self.turns)]
            anew = random.integers(1, 10, (n, len(FEATURES)))
            kinds = np.where(kinds == 0, anew, kinds)
        colours, size, row, column, red = kinds.T
        bands = pie_bands(colours, red / 10, random)
        paint = random.uniform(0, 0.9, (n, COLOURS, 3))
        paint[:, :, 0] = 0
        paint[:, 0] = 0
        paint[:, 0, 0] = random.uniform(0.8, 0.9, n)
        features = {
            "radius": torch.from_numpy(0.35 + size / 20),
            "row": torch.from_numpy((row - 5) / 20),
            "column": torch.from_numpy((column - 5) / 20),
        }
        pixels, colour = draw_pies(
            features["radius"],
            features["row"],
            features["column"],
            torch.from_numpy(bands),
            torch.from_numpy(paint),
            self.spec.height,
        )
        area = (colour >= 0).flatten(1).sum(dim=1)
        features["red"] = (colour == 0).flatten(1).sum(dim=1) / area  # as rendered
        return Drawn(pixels, torch.from_numpy(kinds), features)


def _chosen(count: int, feature: str, values: tuple[int, ...], seed: int) -> Tensor:
    """Draws combinations, shape (N, 5); one feature of them may take given values in turn."""
    universe = universe_of_pies()
    if not feature:
        return pick_combinations(universe, count, seed)
    taken = torch.tensor(check_values("--data.feature_values", values, 1, 9))
    place = FEATURES.index(feature)
    universe[:, place] = 0  # so that two combinations never differ in this feature alone
    chosen = pick_combinations(universe.unique(dim=0), count, seed)
    chosen[:, place] = taken[torch.arange(len(chosen)) % len(taken)]
    return chosen


def _expanded(turns: Tensor) -> Tensor:
    """Returns all combinations that configurations allow, shape (N, 5)."""
    rows = [
        torch.cartesian_prod(*(torch.arange(1, 10) if d == 0 else torch.tensor([d]) for d in row))
        for row in turns.tolist()
    ]
    return torch.cat(rows).unique(dim=0)
