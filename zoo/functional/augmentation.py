"""Differentiable changes of images that both players of a game may look through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.functional.draws import normal

__all__ = ["moved", "random_affine", "shift_code", "shifted"]


def random_affine(x: Tensor, std: float, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Warps each image by its own random affine map near the identity; differentiable in x.

    .. math:: x'(p) = x(A p + b), \quad A = I + \epsilon_A,\; b = \epsilon_b,\;
        \epsilon \sim N(0, \mathrm{std}^2)

    with p in coordinates from -1 to 1, so b = 1 shifts by half an image. Pixels from outside are
    0 (black).

    Args:
        x: Images, shape (B, C, H, W).
        std: Standard deviation of the six numbers of each map; 0 returns x itself.
        generator: Source of randomness; None is the global stream.

    Returns:
        Warped images, shape (B, C, H, W).

    Reference: the law is the project's own; that augmentations of D's inputs must be
    differentiable and applied to real and generated images alike is Zhao et al. 2020,
    arXiv:2006.10738.

    Example:
        >>> x = torch.rand(2, 1, 8, 8)
        >>> random_affine(x, 0.0) is x
        True
    """
    if std == 0:
        return x
    noise = normal(len(x), 2, 3, generator=generator).to(x)
    maps = torch.eye(2, 3, dtype=x.dtype, device=x.device) + std * noise
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def moved(x: Tensor, by: Tensor) -> Tensor:
    """Moves each image by whole pixels; what enters from outside is 0.

    Args:
        x: Images, shape (B, C, H, W).
        by: Pixels down and to the right, shape (B, 2), int64; at most the image's size.

    Returns:
        Images of the shape of x.

    Example:
        >>> moved(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[1, 0]]))
        tensor([[[[0., 0.],
                  [1., 2.]]]])
    """
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device) - by[:, :1]  # (B, H)
    columns = torch.arange(width, device=x.device) - by[:, 1:]  # (B, W)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    source = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    source = source.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, source).view_as(x) * inside[:, None]


def shifted(x: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
    """Moves the second half of a batch by whole pixels, drawn uniformly; the first half stays.

    Args:
        x: Images, shape (B, C, H, W).
        most: Largest move along each axis; 0 returns x itself.

    Returns:
        Images of the shape of x, and by how much each was moved, shape (B, 2); None if `most` is 0.
    """
    if most == 0:
        return x, None
    by = torch.randint(-most, most + 1, (len(x), 2), device=x.device)
    by[: len(x) // 2] = 0
    return moved(x, by), by


def shift_code(x: Tensor, most: int, by: Tensor | None = None) -> Tensor | None:
    """Tells a model by how much its images were moved, so that it need not wonder.

    Args:
        x: Images, any shape (B, ...); decide device and number format.
        most: Largest move along each axis.
        by: Pixels down and to the right, shape (B, 2); None if the images stay where they are.

    Returns:
        One-hot rows and columns, shape (B, 2 (2 most + 1)); None if `most` is 0.

    Example:
        >>> shift_code(torch.zeros(1, 4), 1)
        tensor([[0., 1., 0., 0., 1., 0.]])
    """
    if most == 0:
        return None
    by = torch.zeros(len(x), 2, dtype=torch.int64, device=x.device) if by is None else by
    return F.one_hot(by + most, 2 * most + 1).flatten(1).to(x)
