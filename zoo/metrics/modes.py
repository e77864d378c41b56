"""Mode statistics of a sampler, accumulated over batches and processes.

Shells around :mod:`zoo.functional.modes`: they hold counts per mode, which are summed over
processes, and leave all of the arithmetic to the pure functions.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.functional.modes import (
    Moments,
    class_balance,
    mode_kl,
    mode_moments,
    mode_spread,
)

__all__ = ["ClassModes", "ModeCoverage"]


def _report(metric: Metric, **scores: Tensor) -> dict[str, Tensor]:
    """Scores as scalars of the default type, on the metric's device."""
    dtype = torch.get_default_dtype()
    return {name: score.to(dtype).to(metric.device) for name, score in scores.items()}


class ModeCoverage(Metric):
    """Modes captured, share of high-quality samples, and their spread, of a Gaussian mixture.

    Args:
        centres: Centres of the modes, shape (K, D).
        sigma: Standard deviation of every mode along each axis.
        within: Radius that still counts as high quality, in standard deviations.

    Reference: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761; Lin et al. 2018 (PacGAN),
    arXiv:1712.04086. The number captured grows with the number of samples: state it.

    Example:
        >>> metric = ModeCoverage(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), sigma=0.05)
        >>> metric.update(torch.tensor([[0.0, 0.1], [0.0, 0.0], [1.0, 0.0], [0.1, 0.1]]))
        >>> metric.compute()
        {'modes': tensor(1.), 'high_quality': tensor(0.7500), 'spread': tensor(1.1850)}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    centres: Tensor
    counts: Tensor
    offsets: Tensor
    squares: Tensor
    total: Tensor

    def __init__(self, centres: Tensor, sigma: float, within: float = 3.0) -> None:
        super().__init__()
        if centres.ndim != 2 or centres.numel() == 0:
            raise ValueError(f"centres must have shape (K, D), got shape {tuple(centres.shape)}")
        if not (sigma > 0 and within > 0):
            raise ValueError(f"sigma and within must be positive, got {sigma} and {within}")
        self.sigma, self.within = sigma, within
        self.register_buffer("centres", centres.detach().clone(), persistent=False)
        empty = torch.zeros(len(centres), dtype=torch.int64)
        self.add_state("counts", default=empty, dist_reduce_fx="sum")
        self.add_state("offsets", default=torch.zeros(centres.shape).double(), dist_reduce_fx="sum")
        self.add_state("squares", default=torch.zeros(len(centres)).double(), dist_reduce_fx="sum")
        self.add_state("total", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, samples: Tensor) -> None:
        """Add a batch of samples, shape (B, D), in the units of the centres."""
        found = mode_moments(samples, self.centres, self.sigma, self.within)
        self.counts += found.counts
        self.offsets += found.offsets
        self.squares += found.squares
        self.total += len(samples)

    def compute(self) -> dict[str, Tensor]:
        """The scores ``modes``, in [0, K], ``high_quality``, in [0, 1], and ``spread``.

        The last is 1 for perfect samples, and NaN where no mode has two samples.
        """
        if self.total == 0:
            raise ValueError("no samples yet (0): call update(samples) before compute()")
        counts, total = self.counts.cpu(), self.total.cpu()
        spread = torch.tensor(torch.nan)
        if (counts > 1).any():
            moments = Moments(counts, self.offsets.cpu(), self.squares.cpu())
            spread = mode_spread(moments, self.within)
        quality = counts.sum().double() / total
        return _report(self, modes=(counts > 0).sum(), high_quality=quality, spread=spread)


class ClassModes(Metric):
    """Modes reached, and their balance, where a recognition network names a sample's mode.

    For stacked MNIST the mode of an image is 100 r + 10 g + b, for the digits that a classifier
    reads in its three channels.

    Args:
        num_modes: Number of modes K.
        reference: Counts or shares of the modes in the data, shape (K,); uniform if not given.

    Reference: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761; Lin et al. 2018 (PacGAN),
    arXiv:1712.04086: 26 000 samples, K = 1000.

    Example:
        >>> metric = ClassModes(num_modes=4)
        >>> metric.update(torch.tensor([0, 0, 1, 1]))
        >>> {name: round(score.item(), 4) for name, score in metric.compute().items()}
        {'modes': 2.0, 'kl_nats': 0.6931, 'worst_factor': inf, 'total_variation': 0.5}
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    reference: Tensor
    counts: Tensor

    def __init__(self, num_modes: int, reference: Tensor | None = None) -> None:
        super().__init__()
        if num_modes < 1:
            raise ValueError(f"num_modes must be at least 1, got {num_modes}")
        law = torch.ones(num_modes) if reference is None else reference.detach().clone()
        if law.shape != (num_modes,):
            raise ValueError(
                f"reference must have a share for each of {num_modes} modes, "
                f"got shape {tuple(law.shape)}"
            )
        self.num_modes = num_modes
        self.register_buffer("reference", law, persistent=False)
        empty = torch.zeros(num_modes, dtype=torch.int64)
        self.add_state("counts", default=empty, dist_reduce_fx="sum")

    def update(self, modes: Tensor) -> None:
        """Add a batch of modes, integers in [0, K), shape (B,)."""
        if modes.ndim != 1 or len(modes) == 0 or modes.is_floating_point():
            raise ValueError(
                f"modes must be integers of shape (B,), got {modes.dtype} of {tuple(modes.shape)}"
            )
        low, high = int(modes.min()), int(modes.max())
        if low < 0 or high >= self.num_modes:
            raise ValueError(
                f"modes must lie in [0, {self.num_modes - 1}], got values from {low} to {high}"
            )
        self.counts += torch.bincount(modes.long(), minlength=self.num_modes)

    def compute(self) -> dict[str, Tensor]:
        """The scores ``modes``, ``kl_nats``, ``worst_factor`` and ``total_variation``."""
        counts, reference = self.counts.cpu(), self.reference.cpu()
        if not counts.any():
            raise ValueError("no samples yet (0): call update(modes) before compute()")
        balance = class_balance(counts, reference)
        return _report(
            self,
            modes=(counts > 0).sum(),
            kl_nats=mode_kl(counts, reference),
            worst_factor=balance.worst,
            total_variation=balance.total_variation,
        )
