"""Points of the plane: mixtures whose modes are known, and a shape that no Gaussian fits.

A point is an image of one pixel with two channels, so that every tool of the zoo takes it. It is
kept as float32 and not as bytes, since a mode can be narrower than one grey level. A fixed affine
map, the same for both axes, brings the plane into [0, 1]^2; `plane` and `unit` go there and back.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.data.images import MemoryImages
from zoo.data.loader import mix_seed
from zoo.data.module import ImageData, Split
from zoo.data.registry import DATASETS

__all__ = ["GaussianGrid", "GaussianRing", "PlaneData", "TwoMoons"]

POINTS_SEED = 20171213  # decides for ever the points; arbitrary
COUNTS = {"train": 110_000, "test": 10_000}  # of the former, 10,000 validate
PARTS = {"train": 0, "test": 1}


class PlaneData(ImageData):
    """Points of the plane, drawn once and for all.

    A subclass says by `centre` and `half_width` which square of the plane becomes [0, 1]^2, and
    implements `draw`. A density in the plane's units is the one on [0, 1]^2 divided by
    ``(2 * half_width)**2``.

    Args:
        batch_size: Points per batch; several devices share it.
        val_size: Training points kept for validation.
        seed: Decides the order of training points; the points never depend on it.

    Raises:
        UserError: on values that make no sense.
    """

    kinds = ("points", "label")
    default_val_size: ClassVar[int | None] = 10_000
    needs: ClassVar[str] = "nothing: the zoo draws it"
    centre: ClassVar[tuple[float, float]] = (0.0, 0.0)
    half_width: ClassVar[float]

    def __init__(self, batch_size: int = 256, val_size: int | None = None, seed: int = 0) -> None:
        super().__init__(None, batch_size, val_size=val_size, seed=seed)

    def draw(self, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws points in the plane's units.

        Args:
            count: Number of points.
            random: Where all randomness comes from.

        Returns:
            Points, shape (N, 2), float64, and their modes, shape (N,).
        """
        raise NotImplementedError

    def read(self, part: Split) -> MemoryImages:
        """Returns one part; every call draws the same points."""
        # From NumPy, whose normal variates do not depend on the processor's vector units.
        random = np.random.default_rng(mix_seed(POINTS_SEED, PARTS[part]))
        points, modes = self.draw(COUNTS[part], random)
        return MemoryImages(
            self.unit(torch.from_numpy(points)), torch.from_numpy(np.asarray(modes)).long()
        )

    def plane(self, x: Tensor) -> Tensor:
        """Maps points in [0, 1]^2, shape (N, 2, 1, 1), to the plane's units, shape (N, 2)."""
        return (x.flatten(1) - 0.5) * (2 * self.half_width) + x.new_tensor(self.centre)

    def unit(self, points: Tensor) -> Tensor:
        """Maps points of the plane, shape (N, 2), to [0, 1]^2, shape (N, 2, 1, 1), float32."""
        inside = (points - points.new_tensor(self.centre)) / (2 * self.half_width) + 0.5
        return inside.clamp(0, 1).float()[:, :, None, None]


class _Gaussians(PlaneData):
    """Equally many points of every mode, on average; the modes are isotropic and equally wide."""

    centres: Tensor
    """Centres of the modes in the plane's units, shape (K, 2), float32."""
    sigma: ClassVar[float]

    def draw(self, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws modes, then a point of each."""
        modes = random.integers(len(self.centres), size=count)
        noise = random.standard_normal((count, 2))
        return self.centres.double().numpy()[modes] + self.sigma * noise, modes


@DATASETS.register
class GaussianGrid(_Gaussians):
    """25 Gaussians on a 5x5 grid, 2 apart, each with a standard deviation of .05.

    100,000 training points. Mode 5 i + j lies at (2 i - 4, 2 j - 4).

    Args:
        batch_size: Points per batch; several devices share it.
        val_size: Training points kept for validation.
        seed: Decides the order of training points; the points never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: the 2D-grid of Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, with the numbers
    of Lin et al. 2018 (PacGAN), arXiv:1712.04086.

    Example:
        >>> data = GaussianGrid()
        >>> data.centres[:2].tolist(), data.plane(torch.full((1, 2, 1, 1), 0.5)).tolist()
        ([[-4.0, -4.0], [-4.0, -2.0]], [[0.0, 0.0]])
    """

    native = ImageSpec(channels=2, height=1, width=1, classes=25)
    half_width: ClassVar[float] = 4.5  # ten standard deviations beyond the outermost centres
    sigma: ClassVar[float] = 0.05
    centres = torch.cartesian_prod(torch.arange(-4.0, 5, 2), torch.arange(-4.0, 5, 2))


@DATASETS.register
class GaussianRing(_Gaussians):
    """8 Gaussians on a circle of radius 1, each with a standard deviation of .01.

    100,000 training points. Mode k lies at the angle of 2 pi k / 8.

    Args:
        batch_size: Points per batch; several devices share it.
        val_size: Training points kept for validation.
        seed: Decides the order of training points; the points never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: the 2D-ring of Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, with the numbers
    of Lin et al. 2018 (PacGAN), arXiv:1712.04086.
    """

    native = ImageSpec(channels=2, height=1, width=1, classes=8)
    half_width: ClassVar[float] = 1.1
    sigma: ClassVar[float] = 0.01
    centres = torch.polar(torch.ones(8), torch.arange(8) * (math.pi / 4)).view(torch.float32)
    centres = centres.view(8, 2)


@DATASETS.register
class TwoMoons(PlaneData):
    """Two half circles of radius 1 that reach into one another, with Gaussian noise of .1.

    100,000 training points. The upper moon, around (0, 0), has the label 0; the lower one, around
    (1, .5), has the label 1.

    Args:
        batch_size: Points per batch; several devices share it.
        val_size: Training points kept for validation.
        seed: Decides the order of training points; the points never depend on it.

    Raises:
        UserError: on values that make no sense.

    Reference: the moons of scikit-learn (``make_moons``); no figure on them is standard.
    """

    native = ImageSpec(channels=2, height=1, width=1, classes=2)
    centre: ClassVar[tuple[float, float]] = (0.5, 0.25)
    half_width: ClassVar[float] = 2.2
    noise: ClassVar[float] = 0.1

    def draw(self, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws moons, then a point of each."""
        moons = random.integers(2, size=count)
        angle = random.uniform(0, np.pi, size=count)
        turn = 1 - 2 * moons  # the lower moon is the upper one turned about (.5, .25)
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) * turn[:, None]
        points = circle + moons[:, None] * np.array([1.0, 0.5])
        return points + self.noise * random.standard_normal((count, 2)), moons
