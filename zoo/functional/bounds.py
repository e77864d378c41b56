"""Lower bounds of log p(x) from importance weights."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["importance_bound"]


def importance_bound(log_weights: Tensor, dim: int = 0) -> Tensor:
    r"""Averages importance weights in the log domain.

    .. math:: L_k = \log \frac1k \sum_{i=1}^k w_i, \quad
              w_i = \frac{p(x, z_i)}{q(z_i \mid x)}, \quad z_i \sim q(z \mid x)

    In expectation L_1 is the ELBO, L_k grows with k, and no L_k exceeds log p(x).

    Args:
        log_weights: log w_i in nats.
        dim: Dimension of the k samples.

    Returns:
        Nats, the shape without ``dim``.

    Reference: Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519, Eq. 8. Deviations: none.

    Example:
        >>> import torch
        >>> importance_bound(torch.tensor([1.0, 3.0]).log())
        tensor(0.6931)
    """
    return log_weights.logsumexp(dim) - math.log(log_weights.shape[dim])
