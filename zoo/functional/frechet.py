"""The Frechet distance of two sets of features, by moments that merge without loss.

Rows are samples: every set has shape (N, D), and the sums over samples run in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.functional.checks import check_matrix

__all__ = ["Moments", "frechet_distance", "gaussian_moments", "merge_moments", "moments"]

_CHUNK = 1 << 23  # numbers cast to float64 at a time: 64 MiB


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
    check_matrix(features=features)
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
    check_matrix(features=features)
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
