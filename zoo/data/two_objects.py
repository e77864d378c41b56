"""Two shaded solids beside each other: shapes and colours whose combinations may be held out.

After the CLEVR-like scenes of the paper, rendered by the zoo instead of Blender: a camera far away
looks down on a floor, one lamp shines from the left and the front, and every solid has a soft
shadow. Rays are marched along the solids' signed distances, only where a solid can be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_choice
from zoo.core.text import quoted
from zoo.data.designed import (
    DesignedData,
    Drawn,
    Side,
    of_side,
    pick_combinations,
)
from zoo.data.module import Binarize, Split
from zoo.data.registry import DATASETS

__all__ = ["COLOURS", "SHAPES", "TwoObjects", "draw_scenes"]

SHAPES = ("sphere", "cylinder", "cone", "torus")
COLOURS = {
    "red": (0.72, 0.12, 0.12),
    "green": (0.15, 0.55, 0.18),
    "blue": (0.15, 0.28, 0.75),
    "brown": (0.46, 0.30, 0.16),
}
NAMES = ("left colour", "left shape", "right colour", "right shape")
FLOOR, LAMP = 0.62, (-0.5, 0.75, 0.55)  # grey of the floor; direction to the lamp: x, up, front
ELEVATION = math.radians(32)  # of the camera over the floor
SCALE = 0.30  # radius of a solid, in widths of the picture over its half
STEPS, NEAR = 24, 2e-3  # of a marched ray, and when it has arrived
REACH = 1.45  # radii from a solid's middle beyond which nothing of it is seen


def _sphere(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return (x.square() + y.square() + z.square()).sqrt() - 1


def _cylinder(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    side, cap = (x.square() + z.square()).sqrt() - 0.85, y.abs() - 0.85
    outside = (side.clamp(min=0).square() + cap.clamp(min=0).square()).sqrt()
    return outside + torch.maximum(side, cap).clamp(max=0)


def _cone(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Foot of radius 1 at y = -1, tip at y = 1; the distance is a bound, which marching needs."""
    side = (2 * (x.square() + z.square()).sqrt() + y - 1) / math.sqrt(5)
    return torch.maximum(side, -1 - y)


def _torus(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Lies on the floor: a tube of radius .32 around a circle of radius .72 at y = -.68."""
    ring = (x.square() + z.square()).sqrt() - 0.72
    return (ring.square() + (y + 0.68).square()).sqrt() - 0.32


SOLIDS: tuple[Callable[[Tensor, Tensor, Tensor], Tensor], ...] = (
    _sphere, _cylinder, _cone, _torus,
)  # fmt: skip


def _solid(shape: int, x: Tensor, y: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Marches rays towards a solid of radius 1 that stands on the floor y = -1.

    Args:
        shape: Which, in the order of `SHAPES`.
        x: Place of each ray across the view, shape (N, P).
        y: Place of each ray up the view, shape (N, P).
        light: Direction to the lamp, shape (3,).

    Returns:
        Whether the solid is hit, and how brightly it is lit, in [0, 1.3], both (N, P).
    """
    distance = SOLIDS[shape]
    sin, cos = math.sin(ELEVATION), math.cos(ELEVATION)
    # The ray starts in front of the solid and goes along (0, -sin, -cos): down and away.
    px, py, pz = x, y * cos + 2 * sin, -y * sin + 2 * cos
    travelled = torch.zeros_like(x)
    for _ in range(STEPS):
        travelled = travelled + distance(px, py - sin * travelled, pz - cos * travelled)
        travelled = travelled.clamp(max=5.0)
    at = (px, py - sin * travelled, pz - cos * travelled)
    hit = distance(*at) < 10 * NEAR
    slopes = []
    for axis in range(3):
        ahead, behind = list(at), list(at)
        ahead[axis], behind[axis] = at[axis] + NEAR, at[axis] - NEAR
        slopes.append(distance(*ahead) - distance(*behind))
    normal = torch.stack(slopes)
    normal = normal / normal.square().sum(dim=0).sqrt().clamp(min=1e-6)
    facing = (normal * light[:, None, None]).sum(dim=0).clamp(min=0)
    half = light + torch.tensor([0.0, sin, cos])
    gloss = (normal * (half / half.norm())[:, None, None]).sum(dim=0).clamp(min=0) ** 24
    return hit, 0.35 + 0.65 * facing + 0.3 * gloss


def draw_scenes(kinds: Tensor, random: np.random.Generator, side: int) -> Tensor:
    """Draws scenes of two solids; places, sizes, shades and the lamp vary a little.

    Args:
        kinds: Colour and shape of the left solid, then of the right one, shape (N, 4).
        random: Where all randomness comes from.
        side: Height and width; four rays make a pixel.

    Returns:
        Images in [0, 1], shape (N, 3, side, side), float32.
    """
    n, fine = len(kinds), 2 * side
    jitter = torch.from_numpy(random.uniform(-1, 1, (n, 2, 6))).float()
    grey = FLOOR + 0.04 * torch.from_numpy(random.uniform(-1, 1, (n, 1, 1, 1))).float()
    at = ((torch.arange(fine) + 0.5) / fine * 2 - 1).float()  # in half-widths of the picture
    image = grey * (0.92 + 0.08 * at[None, None, :, None]).expand(n, 3, fine, fine)
    image = image.contiguous()
    light = torch.tensor(LAMP)
    light = light / light.norm()
    palette = torch.tensor(list(COLOURS.values()))
    size = SCALE * (1 + 0.06 * jitter[..., 0]) * 1.15
    across = torch.tensor([-0.47, 0.47]) + 0.06 * jitter[..., 1]
    up = -0.05 + 0.10 * jitter[..., 2]
    window = math.ceil(REACH * SCALE * 1.25 * fine / 2)
    steps = torch.arange(-window, window)
    for place in (0, 1):  # all shadows lie under all solids
        _shade(image, at, across[:, place], up[:, place], size[:, place])
    for place in (0, 1):
        colour, shape = kinds[:, 2 * place], kinds[:, 2 * place + 1]
        paint = palette[colour] * (1 + 0.08 * jitter[:, place, 3:6])
        for kind in range(len(SHAPES)):
            rows = (shape == kind).nonzero().flatten()
            if len(rows) == 0:
                continue
            first = torch.stack([-up[rows, place], across[rows, place]], dim=1)
            first = ((first + 1) / 2 * fine).round().long()
            row = (first[:, :1] + steps).clamp(0, fine - 1)
            column = (first[:, 1:] + steps).clamp(0, fine - 1)
            scale = size[rows, place, None]
            y = (-at[row] - up[rows, place, None]) / scale
            x = (at[column] - across[rows, place, None]) / scale
            grid = (len(rows), len(steps), len(steps))
            hit, lit = _solid(
                kind,
                x[:, None, :].expand(grid).flatten(1),
                y[:, :, None].expand(grid).flatten(1),
                light,
            )
            shown = (paint[rows, :, None] * lit[:, None]).clamp(0, 1).unflatten(2, grid[1:])
            index = (rows[:, None, None], row[:, :, None], column[:, None, :])
            old = image.permute(0, 2, 3, 1)[index]
            new = torch.where(hit.view(grid)[..., None], shown.permute(0, 2, 3, 1), old)
            image.permute(0, 2, 3, 1)[index] = new
    return F.avg_pool2d(image, 2)


def _shade(image: Tensor, at: Tensor, across: Tensor, up: Tensor, size: Tensor) -> None:
    """Darkens the floor to the right of and behind a solid, softly."""
    foot = up - size * math.cos(ELEVATION) * 0.8
    x = (at[None, None, :] - (across + 0.35 * size)[:, None, None]) / size[:, None, None]
    y = (-at[None, :, None] - foot[:, None, None]) / (size[:, None, None] * 0.55)
    depth = 0.45 * (1.25 - (x.square() + y.square()).sqrt()).clamp(0, 1)
    image *= 1 - depth[:, None]


def _universe(colours: Sequence[str], shapes: Sequence[str]) -> Tensor:
    some = [torch.tensor([list(COLOURS).index(c) for c in colours])]
    some.append(torch.tensor([SHAPES.index(s) for s in shapes]))
    return torch.cartesian_prod(*some, *some)


def _some(option: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in names:
        check_choice(option, name, known)
    if not names or len(set(names)) < len(names):
        raise UserError(f"{option} must name at least one of {', '.join(known)}, none twice.")
    return [name for name in known if name in names]


def _without(universe: Tensor, pair: Sequence[str], only: Sequence[str]) -> Tensor:
    """Takes a pair of colours, or of shapes, away, except where it comes with listed others."""
    if len(pair) != 2:
        raise UserError("--data.restricted must be two colours or two shapes, left and right.")
    by_colour = all(name in COLOURS for name in pair)
    mine, others = (list(COLOURS), SHAPES) if by_colour else (SHAPES, list(COLOURS))
    for name in pair:
        check_choice("--data.restricted", name, mine)
    at, rest = ((0, 2), (1, 3)) if by_colour else ((1, 3), (0, 2))
    hit = torch.ones(len(universe), dtype=torch.bool)
    for place, name in zip(at, pair, strict=True):
        hit &= universe[:, place] == list(mine).index(name)
    kept = torch.zeros_like(hit)
    for word in only:
        two = str(word).split("-")
        if len(two) != 2 or not all(name in others for name in two):
            raise UserError(
                f"--data.only_with has {quoted(word)}: write two of {', '.join(others)} with a "
                "dash between them, left and right."
            )
        left, right = (list(others).index(name) for name in two)
        kept |= hit & (universe[:, rest[0]] == left) & (universe[:, rest[1]] == right)
    if not hit.any():
        raise UserError("--data.restricted names what no scene shows: see colours and shapes.")
    return universe[~hit | kept]


@DATASETS.register
class TwoObjects(DesignedData):
    """Two shaded solids side by side: colours and shapes, left and right, rendered by the zoo.

    The attributes are colour and shape of the left solid, then of the right one.

    Args:
        colours: Those that occur, of red, green, blue and brown.
        shapes: Those that occur, of sphere, cylinder, cone and torus.
        restricted: Two colours or two shapes, left and right, that are shown together only with
            those in ``only_with``; empty for no restriction.
        only_with: Pairs of shapes, or of colours, such as ``["cone-cone"]``, with which the
            restricted pair is shown.
        combinations: Number of random combinations of what is left, 0 for all.
        images: Training images; validation and test have an eighth of it each.
        side: Height and width, 32 or 64 pixels.
        batch_size: See `ImageData`, like the arguments that follow.
        binarize: ``none``, ``dynamic`` or ``static``.
        val_size: Validation images to use; default all.
        design_seed: Decides the combinations and the images.
        seed: Decides the order of training images; the images never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: Zhao et al. 2018, Bias and Generalization in Deep Generative Models: the protocol of
    colours and shapes with exceptions. Deviations: a renderer of the zoo's own instead of Blender.

    Example:
        >>> data = TwoObjects(colours=("red", "blue"), shapes=("cone", "torus"),
        ...                   restricted=("red", "blue"), only_with=("cone-cone",), images=10)
        >>> len(data.combinations)
        13
    """

    native = ImageSpec(
        3, 64, 64, attributes=tuple((name, 4) for name in NAMES)
    )  # as many colours as shapes
    stream: ClassVar[int] = 20181208
    reader: ClassVar[str] = "objects"

    def __init__(
        self,
        colours: tuple[str, ...] = ("red", "green", "blue", "brown"),
        shapes: tuple[str, ...] = SHAPES,
        restricted: tuple[str, ...] = (),
        only_with: tuple[str, ...] = (),
        combinations: int = 0,
        images: int = 16_384,
        side: Side = 64,
        batch_size: int = 64,
        binarize: Binarize = "none",
        val_size: int | None = None,
        design_seed: int = 0,
        seed: int = 0,
    ) -> None:
        universe = _universe(
            _some("--data.colours", colours, tuple(COLOURS)), _some("--data.shapes", shapes, SHAPES)
        )
        if only_with and not restricted:
            raise UserError("--data.only_with says something only beside --data.restricted.")
        if restricted:
            universe = _without(universe, restricted, only_with)
        self.native = of_side(self.native, side)
        super().__init__(images, batch_size, binarize, val_size, design_seed, seed)
        self.combinations = pick_combinations(universe, combinations, design_seed)

    def draw(self, part: Split, places: np.ndarray, random: np.random.Generator) -> Drawn:
        """Draws a combination for each image, and renders it."""
        chosen = random.integers(len(self.combinations), size=len(places))
        kinds = self.combinations[torch.from_numpy(chosen)]
        pieces = [draw_scenes(few, random, self.spec.height) for few in kinds.split(128)]
        return Drawn(torch.cat(pieces), kinds, {"kind": kinds})
