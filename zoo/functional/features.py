r"""Distances between two sets of features, and the score of a set of class probabilities.

The features come from any network; nothing here looks at an image. Rows are samples: every set
has shape (N, D) and the sums over samples run in float64. Scores that need nearest neighbours
live in `zoo.functional.neighbours`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "InceptionStyle",
    "Kernel",
    "Moments",
    "frechet_distance",
    "gaussian_moments",
    "inception_style_score",
    "kernel_distance",
    "kernel_distance_full",
    "merge_moments",
    "moments",
]

_CHUNK = 1 << 23  # numbers cast to float64 at a time: 64 MiB
_SUBSET_TILE = 250  # small, so that skipping half of a symmetric kernel saves work
_FULL_TILE = 1024


class Moments(NamedTuple):
    """Sufficient statistics of a Gaussian, in float64; they merge without loss.

    Attributes:
        count: Number of samples, shape ().
        mean: Mean of the samples, shape (D,).
        scatter: Sum of outer products of the centred samples, shape (D, D).
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (divisor count - 1), shape (D, D); nan below two samples."""
        return self.scatter / (self.count - 1)


class Kernel(NamedTuple):
    """Kernel distance over random subsets.

    Attributes:
        mean: Mean over subsets of the unbiased squared discrepancy; may be slightly negative.
        standard_error: Sample standard deviation over subsets divided by the root of their number:
            the error that choosing subsets makes, blind to the finite sets themselves.
    """

    mean: Tensor
    standard_error: Tensor


class InceptionStyle(NamedTuple):
    """Score of class probabilities over splits.

    Attributes:
        mean: Mean of the splits' scores, in [1, classes].
        standard_deviation: Population standard deviation over splits (divisor: the number of
            splits), as customarily printed after the ±; it is not a standard error.
    """

    mean: Tensor
    standard_deviation: Tensor


def moments(features: Tensor) -> Moments:
    """Gathers count, mean and scatter of one set of features.

    Centred before they are squared, so a mean far from zero costs no digits.

    Args:
        features: Features, shape (N, D), N ≥ 1, any floating dtype.

    Returns:
        The statistics in float64.

    Raises:
        ValueError: if `features` is not a non-empty matrix (message quotes the shape).

    Example:
        >>> moments(torch.tensor([[0.0, 1.0], [2.0, 1.0]])).scatter
        tensor([[2., 0.],
                [0., 0.]], dtype=torch.float64)
    """
    _check_matrix(features=features)
    total = None
    for chunk in features.split(max(1, _CHUNK // features.shape[1])):
        centred = chunk.to(torch.float64, copy=True)
        mean = centred.mean(0)
        scatter = _gram(centred.sub_(mean))
        part = Moments(mean.new_tensor(len(chunk)), mean, scatter)
        total = part if total is None else merge_moments(total, part)
    assert total is not None
    return total


def merge_moments(first: Moments, second: Moments) -> Moments:
    r"""Merges the statistics of two disjoint sets into those of their union.

    .. math:: S = S_1 + S_2 + \frac{n_1 n_2}{n_1 + n_2} (m_2 - m_1)(m_2 - m_1)^\top

    Args:
        first: Statistics of one set; a count of zero is allowed.
        second: Statistics of the other.

    Returns:
        Statistics of the union.

    Reference: Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.

    Example:
        >>> x = torch.arange(6.0).reshape(3, 2)
        >>> merge_moments(moments(x[:1]), moments(x[1:])).mean
        tensor([2., 3.], dtype=torch.float64)
    """
    count = first.count + second.count
    share = second.count / count.clamp_min(1)
    shift = second.mean - first.mean
    scatter = first.scatter + second.scatter
    scatter.addr_(shift * (first.count * share), shift)
    return Moments(count, first.mean + share * shift, scatter)


def gaussian_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Fits a Gaussian: mean and unbiased covariance.

    Args:
        features: Features, shape (N, D), N ≥ 2.

    Returns:
        Mean (D,) and covariance (D, D), float64.

    Raises:
        ValueError: if there are fewer than two samples (message quotes the shape).

    Example:
        >>> gaussian_moments(torch.tensor([[0.0], [2.0]]))
        (tensor([1.], dtype=torch.float64), tensor([[2.]], dtype=torch.float64))
    """
    _check_matrix(features=features)
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, got {tuple(features.shape)}")
    statistics = moments(features)
    return statistics.mean, statistics.covariance


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> Tensor:
    r"""Measures the squared Fréchet (2-Wasserstein) distance between two Gaussians.

    .. math:: |m_1 - m_2|^2 + \mathrm{tr}(C_1 + C_2) - 2\,\mathrm{tr}(C_1 C_2)^{1/2}

    With :math:`C_1 = A A^\top`, the product :math:`C_1 C_2` has the eigenvalues of the symmetric
    :math:`A^\top C_2 A` and zeros, which stay real and non-negative for singular covariances.

    Args:
        mean_1: First mean, shape (D,).
        cov_1: First covariance, shape (D, D), symmetric, positive semi-definite.
        mean_2: Second mean, shape (D,).
        cov_2: Second covariance, shape (D, D).

    Returns:
        The distance, shape (), float64, never negative. A zero eigenvalue of the product is known
        to about the root of the machine precision, so the absolute error is of the order of
        1e-8 D times the largest variance.

    Raises:
        ValueError: if the shapes do not belong together or a value is not finite.

    Reference: Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X; as a score of images
        Heusel et al. 2017, arXiv:1706.08500.   Deviations: none.

    Example:
        >>> zero, one = torch.zeros(2), torch.eye(2)
        >>> round(frechet_distance(zero, one, zero + 3, 4 * one).item(), 6)
        20.0
    """
    parts = [part.to(torch.float64) for part in (mean_1, cov_1, mean_2, cov_2)]
    width = len(mean_1) if mean_1.ndim == 1 else 0
    if [part.shape for part in parts] != [(width,), (width, width)] * 2:
        raise ValueError(f"means (D,) and covariances (D, D), got {[(*p.shape,) for p in parts]}")
    if not all(part.isfinite().all() for part in parts):
        raise ValueError("means and covariances must be finite; a covariance needs 2 samples")
    mean_1, cov_1, mean_2, cov_2 = parts
    root = _root(cov_1)
    product = root.T @ cov_2 @ root
    eigenvalues = torch.linalg.eigvalsh((product + product.T) / 2)
    overlap = eigenvalues.clamp_min(0).sqrt().sum()
    distance = (mean_1 - mean_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * overlap
    return distance.clamp_min(0)


def kernel_distance(
    x: Tensor,
    y: Tensor,
    *,
    generator: torch.Generator | None,
    subsets: int = 100,
    subset_size: int = 1000,
) -> Kernel:
    r"""Measures the kernel distance (KID), averaged over random subsets of both sets.

    .. math:: k(a, b) = (a^\top b / D + 1)^3

    A subset holds distinct samples; different subsets may overlap.

    Args:
        x: Features, shape (N, D).
        y: Features, shape (M, D).
        generator: Source of the subsets, on the CPU; None draws from the global one.
        subsets: Number of subsets, at least 2.
        subset_size: Samples in a subset, between 2 and the smaller of N and M.

    Returns:
        Mean and its standard error over subsets, float64.

    Raises:
        ValueError: if the widths differ, a set is smaller than a subset, or a number is too small.

    Reference: Bińkowski et al. 2018, arXiv:1801.01401, Sec. 4.   Deviations: none.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 200, 8, generator=draw)
        >>> score = kernel_distance(x, y + 1, generator=draw, subsets=9, subset_size=50)
        >>> bool(score.mean > 5 * score.standard_error)
        True
    """
    _check_pair(x, y)
    if subsets < 2 or not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            f"needs subsets ≥ 2 and 2 ≤ subset_size ≤ samples, got subsets={subsets}, "
            f"subset_size={subset_size}, {len(x)} and {len(y)} samples"
        )
    x, y = _kernel_dtype(x), _kernel_dtype(y)
    scores = []
    for _ in range(subsets):
        pick_x = torch.randperm(len(x), generator=generator)[:subset_size].to(x.device)
        pick_y = torch.randperm(len(y), generator=generator)[:subset_size].to(y.device)
        scores.append(_unbiased_mmd(x[pick_x], y[pick_y], _SUBSET_TILE))
    values = torch.stack(scores)
    return Kernel(values.mean(), values.std() / subsets**0.5)


def kernel_distance_full(x: Tensor, y: Tensor) -> Tensor:
    """Measures the kernel distance from every pair of samples: no subsets, no chance.

    Args:
        x: Features, shape (N, D), N ≥ 2.
        y: Features, shape (M, D), M ≥ 2.

    Returns:
        Unbiased squared discrepancy, shape (), float64; may be slightly negative.

    Raises:
        ValueError: if the widths differ or a set has fewer than two samples.

    Reference: Gretton et al. 2012, Lemma 6; kernel of arXiv:1801.01401.   Deviations: none.

    Example:
        >>> kernel_distance_full(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
        tensor(9.5000, dtype=torch.float64)
    """
    _check_pair(x, y)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"needs 2 samples in each set, got {len(x)} and {len(y)}")
    return _unbiased_mmd(_kernel_dtype(x), _kernel_dtype(y), _FULL_TILE)


def inception_style_score(
    probabilities: Tensor, splits: int = 10, *, generator: torch.Generator | None = None
) -> InceptionStyle:
    r"""Scores how sure each prediction and how even all of them are, per split.

    .. math:: \exp\, \frac{1}{n} \sum_i \mathrm{KL}\big(p(y | x_i) \,\|\, p(y)\big),
        \qquad p(y) = \frac{1}{n} \sum_i p(y | x_i)

    Args:
        probabilities: Class probabilities (not logits), shape (N, K), rows summing to one.
        splits: Number of consecutive, nearly equal parts that are scored apart, 1 ≤ splits ≤ N.
        generator: If given, the rows are shuffled first, as they must be where their order means
            something (sorted by class, say); None keeps the order.

    Returns:
        Mean and population standard deviation over splits, float64.

    Raises:
        ValueError: if a row is no distribution, or there are fewer rows than splits.

    Reference: Salimans et al. 2016, arXiv:1606.03498, Sec. 4.   Deviations: any classifier.

    Example:
        >>> inception_style_score(torch.eye(4), splits=1).mean
        tensor(4., dtype=torch.float64)
    """
    _check_matrix(probabilities=probabilities)
    rows = probabilities.to(torch.float64)
    count = len(rows)
    if not 1 <= splits <= count:
        raise ValueError(f"needs 1 ≤ splits ≤ rows, got splits={splits}, rows={count}")
    excess = (rows.sum(1) - 1).abs().amax()
    if not (rows.amin() >= 0 and excess < 1e-2):  # nan fails both; half precision passes
        raise ValueError(
            "rows must be probabilities, not logits: "
            f"smallest entry {rows.amin():.4g}, sums off one by up to {excess:.4g}"
        )
    if generator is not None:
        rows = rows[torch.randperm(count, generator=generator).to(rows.device)]
    scores = []
    for split in range(splits):
        part = rows[split * count // splits : (split + 1) * count // splits]
        marginal = part.mean(0)
        divergence = torch.xlogy(part, part) - torch.xlogy(part, marginal)  # 0 log 0 is 0
        scores.append(divergence.sum(1).mean().exp())
    values = torch.stack(scores)
    return InceptionStyle(values.mean(), values.std(correction=0))


def _gram(x: Tensor) -> Tensor:
    """Symmetric product x^T x of float64 rows (N, D), from the blocks of its lower triangle."""
    width = x.shape[1]
    step = 24 * max(1, width // 192)  # vector kernels take 24 columns at a time
    product = x.new_zeros(width, width)
    for low in range(0, width, step):
        high = low + step
        product[low:high, :high] = x[:, low:high].T @ x[:, :high]
    return product.tril() + product.tril(-1).T


def _root(covariance: Tensor) -> Tensor:
    """A factor A (D, R) with A A^T = covariance, R < D where it is visibly singular."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    rounding = values.amax().clamp_min(0) * len(values) * torch.finfo(values.dtype).eps
    kept = values > rounding
    return vectors[:, kept] * values[kept].sqrt()


def _kernel_dtype(features: Tensor) -> Tensor:
    """Float32 where its products are full float32, else float64: TF32 or bfloat16 would show."""
    exact = (
        features.device.type == "cpu"
        and features.dtype != torch.float64
        and torch.get_float32_matmul_precision() == "highest"
        and not torch.is_autocast_enabled("cpu")
    )
    return features.to(torch.float32 if exact else torch.float64)


def _unbiased_mmd(x: Tensor, y: Tensor, tile: int) -> Tensor:
    """Unbiased squared maximum mean discrepancy of two sets, shape ()."""
    n, m = len(x), len(y)
    cross = x.new_zeros((), dtype=torch.float64)
    for a in x.split(tile):
        for b in y.split(_FULL_TILE):
            cross += _kernel(a, b).sum(1).sum(dtype=torch.float64)
    within_x, within_y = _off_diagonal_sum(x, tile), _off_diagonal_sum(y, tile)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * cross / (n * m)


def _off_diagonal_sum(x: Tensor, tile: int) -> Tensor:
    """Sum of the kernel over ordered pairs of different rows, shape (); each tile once."""
    total = x.new_zeros((), dtype=torch.float64)
    for start in range(0, len(x), tile):
        strip = x[start : start + tile]
        own = _kernel(strip, strip).fill_diagonal_(0)
        total += own.sum(1).sum(dtype=torch.float64)
        for left in range(start + tile, len(x), _FULL_TILE):
            other = x[left : left + _FULL_TILE]
            total += 2 * _kernel(strip, other).sum(1).sum(dtype=torch.float64)
    return total


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Cubic kernel of every row of `a` with every row of `b`, shape (len(a), len(b))."""
    if a.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        # The same product; measured up to twice as fast as @ on processors MKL does not favour.
        inner = torch.nn.functional.linear(a.to_mkldnn(), b).to_dense()
    else:
        inner = a @ b.T
    return inner.div_(a.shape[1]).add_(1).pow_(3)


def _check_matrix(**sets: Tensor) -> None:
    for name, features in sets.items():
        if features.ndim != 2 or features.numel() == 0 or not features.is_floating_point():
            shape = tuple(features.shape)
            raise ValueError(f"{name} must be floats (N, D), not empty, got {shape}")


def _check_pair(x: Tensor, y: Tensor) -> None:
    _check_matrix(x=x, y=y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"widths differ: {x.shape[1]} and {y.shape[1]}")
    for name, features in (("x", x), ("y", y)):
        if not features.isfinite().all():
            bad = int((~features.isfinite()).any(1).sum())
            raise ValueError(f"{name} has {bad} rows with non-finite values of {len(features)}")
