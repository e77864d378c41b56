"""Metrics over features: update with what any network made of images, never with images.

Each metric holds two sets, real and generated, and calls `zoo.functional` to compare them. The
image metrics of torchmetrics take features too, through an identity network, but theirs draw
subsets and shuffles from the global generator, do not shift or check what they sum, and there is
none for neighbours; hence these four.

`forward` would score one batch of one set alone, which has no meaning: call `update`, then
`compute`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from zoo.functional.features import InceptionStyle, Kernel, inception_style_score, kernel_distance
from zoo.functional.frechet import Moments, frechet_distance, merge_moments, moments
from zoo.functional.neighbours import NeighbourScores as Scores
from zoo.functional.neighbours import neighbour_scores

__all__ = ["FrechetDistance", "InceptionStyleScore", "KernelDistance", "NeighbourScores"]


class FrechetDistance(Metric):
    """Fréchet distance between Gaussians fitted to real and generated features.

    Two small states hold count, mean and centred scatter in float64; batches and processes merge
    as exactly as one pass over all features, however far the mean is from zero. The distance to
    the same features under torchmetrics' `FrechetInceptionDistance` differs by rounding only.

    Args:
        width: Width D of the features.
        **kwargs: Options of `torchmetrics.Metric`.

    Returns:
        From `compute`: the distance, shape (), float64.

    Raises:
        ValueError: if features have another shape or are not finite; on `compute` if a set has
            fewer than two samples. Fewer than D + 1 give a singular covariance, which is allowed.

    Example:
        >>> metric = FrechetDistance(width=1)
        >>> metric.update(torch.tensor([[0.0], [2.0]]), real=True)
        >>> metric.update(torch.tensor([[3.0], [5.0]]), real=False)
        >>> metric.compute()
        tensor(9., dtype=torch.float64)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    real_moments: Tensor
    fake_moments: Tensor

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.width = width
        for name in ("real_moments", "fake_moments"):
            self.add_state(name, _packed_nothing(width), dist_reduce_fx=_merge_packed)

    def update(self, features: Tensor, real: bool) -> None:
        """Adds a batch of features (N, D) to the real or the generated set."""
        _check_features(features, self.width)
        name = "real_moments" if real else "fake_moments"
        batch = _pack(moments(features.detach()))
        setattr(self, name, _merge_packed(torch.stack([getattr(self, name), batch])))

    def compute(self) -> Tensor:
        """Fréchet distance of everything seen so far."""
        real, fake = _unpack(self.real_moments), _unpack(self.fake_moments)
        _check_counts(int(real.count), int(fake.count), 2, "a covariance")
        return frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)


class _TwoSets(Metric):
    """Keeps the features of both sets; a process adds its own, `compute` sees all of them."""

    is_differentiable = False
    full_state_update = False

    real_features: list[Tensor]
    fake_features: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("real_features", [], dist_reduce_fx="cat")
        self.add_state("fake_features", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Adds a batch of features (N, D) to the real or the generated set."""
        seen = (*self.real_features, *self.fake_features)
        _check_features(features, seen[0].shape[1] if seen else None)
        (self.real_features if real else self.fake_features).append(features.detach())

    def _sets(self, needed: int, purpose: str) -> tuple[Tensor, Tensor]:
        """All features of both sets, once there are `needed` of each."""
        states = self.real_features, self.fake_features
        counts = [sum(map(len, s)) if isinstance(s, list) else len(s) for s in states]
        _check_counts(counts[0], counts[1], needed, purpose)
        real, fake = (dim_zero_cat(state) for state in states)
        return real, fake


class KernelDistance(_TwoSets):
    """Kernel distance (KID) between real and generated features, over seeded subsets.

    Args:
        subsets: Number of random subsets.
        subset_size: Samples in each.
        seed: Seed of the subsets; the same features in the same order repeat the same score.
        **kwargs: Options of `torchmetrics.Metric`.

    Returns:
        From `compute`: mean and standard error over subsets, see `functional.features.Kernel`.

    Raises:
        ValueError: if features are no finite matrix or change their width; on `compute` if a set
            is smaller than a subset.

    Example:
        >>> metric = KernelDistance(subsets=3, subset_size=10)
        >>> metric.update(torch.eye(20), real=True)
        >>> metric.update(torch.eye(20) + 1, real=False)
        >>> bool(metric.compute().mean > 1)
        True
    """

    higher_is_better = False

    def __init__(
        self, subsets: int = 100, subset_size: int = 1000, *, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if subsets < 2 or subset_size < 2:
            raise ValueError(f"needs at least 2 subsets of 2, got {subsets} of {subset_size}")
        self.subsets = subsets
        self.subset_size = subset_size
        self.seed = seed

    def compute(self) -> Kernel:
        """Kernel distance of everything seen so far."""
        real, fake = self._sets(self.subset_size, f"subset_size={self.subset_size}")
        return kernel_distance(
            real,
            fake,
            generator=torch.Generator().manual_seed(self.seed),
            subsets=self.subsets,
            subset_size=self.subset_size,
        )


class NeighbourScores(_TwoSets):
    """Improved precision and recall, density and coverage, from one pass over the distances.

    The work grows with the square of the samples, so a cap may be set: a process stops keeping
    features at the cap, and of what all processes kept an evenly spaced choice is scored.

    Args:
        manifold_k: Neighbours that span the balls of precision and recall.
        density_k: Neighbours that span the balls of density and coverage.
        max_samples: Cap on each set, or None for all. Scores depend on the number of samples.
        **kwargs: Options of `torchmetrics.Metric`.

    Returns:
        From `compute`: the four scores, see `functional.neighbours.neighbour_scores`.

    Raises:
        ValueError: if features are no finite matrix or change their width; on `compute` if a set
            has not one sample more than neighbours.

    Example:
        >>> metric = NeighbourScores(manifold_k=1, density_k=1)
        >>> metric.update(torch.arange(8.0)[:, None], real=True)
        >>> metric.update(torch.arange(4.0)[:, None], real=False)
        >>> metric.compute().recall
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def __init__(
        self,
        manifold_k: int = 3,
        density_k: int = 5,
        *,
        max_samples: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        k = max(manifold_k, density_k)
        if min(manifold_k, density_k) < 1:
            raise ValueError(f"neighbours must be at least 1, got {manifold_k} and {density_k}")
        if max_samples is not None and max_samples <= k:
            raise ValueError(f"max_samples={max_samples} cannot hold {k} neighbours and a sample")
        self.manifold_k = manifold_k
        self.density_k = density_k
        self.max_samples = max_samples

    def update(self, features: Tensor, real: bool) -> None:
        """Adds a batch of features (N, D) to the real or the generated set, up to the cap."""
        super().update(features, real)
        kept = self.real_features if real else self.fake_features
        if self.max_samples is not None:
            room = self.max_samples - sum(map(len, kept[:-1]))
            kept[-1] = kept[-1][: max(room, 0)].clone()  # a view would keep the whole batch

    def compute(self) -> Scores:
        """The four scores of everything kept so far."""
        k = max(self.manifold_k, self.density_k)
        real, fake = (self._capped(s) for s in self._sets(k + 1, f"{k} neighbours"))
        return neighbour_scores(real, fake, manifold_k=self.manifold_k, density_k=self.density_k)

    def _capped(self, features: Tensor) -> Tensor:
        cap, count = self.max_samples, len(features)
        if cap is None or count <= cap:
            return features
        return features[torch.arange(cap, device=features.device) * count // cap]


class InceptionStyleScore(Metric):
    """Score of class probabilities of generated images: sure each, even together.

    Args:
        splits: Number of parts scored apart.
        seed: Seed of the shuffle before splitting, without which samples that arrive sorted by
            class would put one class in each split.
        **kwargs: Options of `torchmetrics.Metric`.

    Returns:
        From `compute`: mean and population standard deviation over splits, see
        `functional.features.InceptionStyle`.

    Raises:
        ValueError: if probabilities are no finite matrix or change their width; on `compute` if a
            row is no distribution (logits, say) or there are fewer rows than splits.

    Example:
        >>> metric = InceptionStyleScore(splits=1)
        >>> metric.update(torch.eye(4))
        >>> metric.compute().mean
        tensor(4., dtype=torch.float64)
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    probabilities: list[Tensor]

    def __init__(self, splits: int = 10, *, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if splits < 1:
            raise ValueError(f"splits must be at least 1, got {splits}")
        self.splits = splits
        self.seed = seed
        self.add_state("probabilities", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor) -> None:
        """Adds class probabilities (N, K) of generated images."""
        seen = self.probabilities
        _check_features(probabilities, seen[0].shape[1] if seen else None)
        seen.append(probabilities.detach())

    def compute(self) -> InceptionStyle:
        """Score of everything seen so far."""
        rows = dim_zero_cat(self.probabilities) if len(self.probabilities) else torch.empty(0, 1)
        if len(rows) < self.splits:
            raise ValueError(f"{self.splits} splits need as many rows, got {len(rows)}")
        shuffle = torch.Generator().manual_seed(self.seed)
        return inception_style_score(rows, self.splits, generator=shuffle)


def _packed_nothing(width: int) -> Tensor:
    return torch.zeros(width + 2, width, dtype=torch.float64)


def _pack(statistics: Moments) -> Tensor:
    """One tensor (D + 2, D), scatter over mean over count, because a state merges by itself."""
    rows = statistics.mean, statistics.count.expand_as(statistics.mean)
    return torch.cat([statistics.scatter, torch.stack(rows)])


def _unpack(packed: Tensor) -> Moments:
    return Moments(packed[-1, 0], packed[-2], packed[:-2])


def _merge_packed(stacked: Tensor) -> Tensor:
    """Merges packed statistics (R, D + 2, D) of R processes, or of R parts of the data."""
    total = _unpack(stacked[0])
    for part in stacked[1:]:
        total = merge_moments(total, _unpack(part))
    return _pack(total)


def _check_features(features: Tensor, width: int | None) -> None:
    expected = "D" if width is None else str(width)
    if features.ndim != 2 or (width is not None and features.shape[1] != width):
        raise ValueError(f"expected features (N, {expected}), got {tuple(features.shape)}")
    if features.numel() == 0 or not features.is_floating_point():
        raise ValueError(
            f"features must be floats and not empty, got {features.dtype} {tuple(features.shape)}"
        )
    finite = features.isfinite()
    if not finite.all():
        bad = int((~finite).any(1).sum())
        raise ValueError(f"features have {bad} rows with non-finite values of {len(features)}")


def _check_counts(real: int, fake: int, needed: int, purpose: str) -> None:
    if min(real, fake) < needed:
        raise ValueError(
            f"{purpose} needs {needed} samples in each set, got {real} real and {fake} generated"
        )
