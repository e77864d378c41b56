"""How well a score ranks one set of things above another."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["auroc"]


def auroc(high: Tensor, low: Tensor) -> Tensor:
    r"""Computes the area under the ROC curve.

    .. math:: \Pr[H > L] + \tfrac12 \Pr[H = L]

    the share of pairs that the score ranks rightly: 1 for all, 1/2 for a score that knows nothing,
    less for one that knows and says the opposite.

    Args:
        high: Scores of those that ought to be ranked high, shape (N,).
        low: Scores of those that ought to be ranked low, shape (M,).

    Returns:
        A scalar in [0, 1], float64; NaN where a set is empty.

    Reference: Hanley & McNeil 1982, Radiology 143. Deviations: none.

    Example:
        >>> auroc(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
        tensor(0.7500, dtype=torch.float64)
    """
    ranked = low.sort().values.contiguous()
    below = torch.searchsorted(ranked, high.contiguous())
    not_above = torch.searchsorted(ranked, high.contiguous(), right=True)
    return (below + not_above).double().mean() / (2 * len(low) or float("nan"))
