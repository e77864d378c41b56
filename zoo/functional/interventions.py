"""Which factor was held fixed? Disentanglement scores from interventions on one factor at a time.

Codes z of shape (N, D) enter as one statistic per intervention. Scores are in [0, 1], 1 for a code
that tells every factor. All arithmetic is in float64.

The protocols (sample sizes, classifiers) are those of Locatello et al. 2019, arXiv:1811.12359;
where they depart from the paper that proposed the score, the function says so. Sampling and
encoding live in :mod:`zoo.metrics.disentanglement`; scores that intervene on nothing in
:mod:`zoo.functional.disentanglement`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from zoo.functional.clustering import match_majority
from zoo.functional.disentanglement import check_factors

__all__ = ["beta_vae_score", "factor_vae_score", "factor_vae_votes"]


def _check_votes(name: str, statistics: Tensor, factors: Tensor) -> None:
    """Raise unless ``statistics`` (V, D) has one factor index (V,) in every row."""
    if statistics.ndim != 2 or factors.shape != statistics.shape[:1] or len(factors) == 0:
        raise ValueError(
            f"{name} votes must be statistics (V, D) and factors (V,) with one V > 0, "
            f"got shapes {tuple(statistics.shape)} and {tuple(factors.shape)}"
        )
    if not torch.isfinite(statistics).all():
        raise ValueError(
            f"{name} votes must be finite, got {statistics.isfinite().logical_not().sum()} "
            f"of {statistics.numel()} values that are not"
        )
    check_factors(f"{name} factors", factors)


def _active(global_variances: Tensor, min_std: float) -> Tensor:
    """Which dimensions of (D,) have not collapsed to a point."""
    if not torch.isfinite(global_variances).all():
        raise ValueError(f"global_variances must be finite, got {global_variances.tolist()}")
    return (global_variances >= min_std**2) & (global_variances > 0)


def factor_vae_votes(variances: Tensor, global_variances: Tensor, min_std: float = 0.05) -> Tensor:
    r"""Name the dimension that moves least while one factor is held fixed.

    .. math:: d = \arg\min_j \frac{\mathrm{var}(z_j \mid v_k\ \text{fixed})}{\mathrm{var}(z_j)}

    Args:
        variances: Variance of the codes within each group, shape (V, D).
        global_variances: Variance over the data, shape (D,).
        min_std: Dimensions with a smaller global standard deviation are inactive: they have
            collapsed to the prior and may not be named.

    Returns:
        The dimension named in each vote, shape (V,), int64.

    Raises:
        ValueError: If the dimensions disagree, or none is active.

    Example:
        >>> factor_vae_votes(torch.tensor([[0.1, 0.9], [2.0, 0.9]]), torch.tensor([2.0, 1.0]))
        tensor([0, 1])
    """
    if variances.ndim != 2 or global_variances.shape != variances.shape[1:]:
        raise ValueError(
            "variances and global_variances must be (V, D) and (D,), got shapes "
            f"{tuple(variances.shape)} and {tuple(global_variances.shape)}"
        )
    active = _active(global_variances, min_std)
    if not active.any():
        raise ValueError(
            f"no dimension is active: the largest standard deviation is "
            f"{global_variances.max().sqrt().item():g}, below {min_std:g}"
        )
    scale = torch.where(active, global_variances.double(), 1.0)
    return (variances.double() / scale).masked_fill(~active, torch.inf).argmin(1)


def factor_vae_score(
    train_variances: Tensor,
    train_factors: Tensor,
    eval_variances: Tensor,
    eval_factors: Tensor,
    global_variances: Tensor,
    min_std: float = 0.05,
) -> Tensor:
    """Accuracy of guessing the fixed factor from the dimension that moved least.

    The guess is the majority vote: the factor for which that dimension was named most often in
    the training votes (ties, and dimensions never named, go to the lowest factor).

    Args:
        train_variances: Variance of the codes within each training group, shape (V, D).
        train_factors: Index of the factor held fixed in each, integers, shape (V,).
        eval_variances: Variances of the groups to be guessed, shape (W, D).
        eval_factors: Their factors, shape (W,).
        global_variances: Variance of the codes over the data, shape (D,).
        min_std: Dimensions with a smaller global standard deviation are left out.

    Returns:
        The accuracy on the evaluation votes in [0, 1], a float64 scalar; 0 if no dimension is
        active, as there is nothing to guess from. Guessing blindly gives 1 / F.

    Raises:
        ValueError: If the shapes disagree.

    Reference: Kim & Mnih 2018, arXiv:1802.05983, Section 4.   Deviations: scored on votes of
    their own, and dimensions left out by ``min_std``, as in arXiv:1811.12359.

    Example:
        >>> variances, factors = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0])
        >>> factor_vae_score(variances, factors, variances, factors, torch.ones(2))
        tensor(1., dtype=torch.float64)
    """
    _check_votes("training", train_variances, train_factors)
    _check_votes("evaluation", eval_variances, eval_factors)
    if not _active(global_variances, min_std).any():
        return torch.zeros((), dtype=torch.float64, device=eval_variances.device)
    named = factor_vae_votes(train_variances, global_variances, min_std)
    shape = (len(global_variances), int(train_factors.max()) + 1)
    cells = named * shape[1] + train_factors.long()
    votes = torch.bincount(cells, minlength=shape[0] * shape[1]).view(shape)
    told = match_majority(votes).clamp(min=0)
    guess = told[factor_vae_votes(eval_variances, global_variances, min_std)]
    return (guess == eval_factors).double().mean()


def _softmax_regression(inputs: Tensor, labels: Tensor, l2: float) -> Tensor:
    """Fit a linear classifier by Newton's method: (V, D), (V,) to weights (C, D + 1).

    Minimises the summed cross-entropy plus l2 / 2 times the squared weights, the intercept (in
    the last column) left free: strictly convex up to a common shift of the intercepts.
    """
    x = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
    target = one_hot(labels).to(x)
    classes, width = target.shape[1], x.shape[1]
    penalty = torch.full((classes, width), l2, dtype=x.dtype, device=x.device)
    penalty[:, -1] = 0
    # The shift of all intercepts changes nothing; curvature along it makes the solve regular.
    shift = torch.zeros(classes, width, dtype=x.dtype, device=x.device)
    shift[:, -1] = 1
    regular = penalty.flatten().diag() + shift.flatten().outer(shift.flatten())
    outer = x[:, :, None] * x[:, None, :]

    def objective(weights: Tensor) -> Tensor:
        log_p = (x @ weights.T).log_softmax(1)
        return (penalty * weights.square()).sum() / 2 - (target * log_p).sum()

    weights = torch.zeros_like(penalty)
    for _ in range(100):
        p = (x @ weights.T).softmax(1)
        gradient = (p - target).T @ x + penalty * weights
        curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        hessian = torch.einsum("nab,nij->aibj", curvature, outer).reshape(regular.shape) + regular
        step = torch.linalg.solve(hessian, gradient.flatten()).view_as(weights)
        decrease, size = (gradient * step).sum(), 1.0
        if decrease <= 1e-12 * len(x):
            break
        while objective(weights - size * step) > objective(weights) - 1e-4 * size * decrease:
            size /= 2
            if size < 1e-8:  # rounding has the last word
                return weights
        weights = weights - size * step
    return weights


def beta_vae_score(
    train_differences: Tensor,
    train_factors: Tensor,
    eval_differences: Tensor,
    eval_factors: Tensor,
    l2: float = 1.0,
) -> Tensor:
    r"""Accuracy of a linear classifier that guesses which factor a set of pairs shares.

    Each vote averages, over L pairs of images that agree in factor k and are otherwise
    independent, the absolute difference of their codes:

    .. math:: \bar z = \frac1L \sum_{l=1}^L |z^{(l)}_1 - z^{(l)}_2|

    Args:
        train_differences: One mean absolute difference per training vote, shape (V, D).
        train_factors: Index of the shared factor, integers, shape (V,).
        eval_differences: The votes to be guessed, shape (W, D).
        eval_factors: Their factors, shape (W,).
        l2: Weight decay of the classifier. The score is *not* invariant to the scale of the
            code for positive values.

    Returns:
        The accuracy on the evaluation votes in [0, 1], a float64 scalar. Guessing blindly
        gives 1 / F.

    Raises:
        ValueError: If the shapes disagree.

    Reference: Higgins et al. 2017, "beta-VAE: Learning basic visual concepts with a constrained
    variational framework", ICLR, Section 3.   Deviations: the classifier is an l2-regularised
    logistic regression solved to its optimum, as in arXiv:1811.12359, rather than trained by
    stochastic gradients.

    Example:
        >>> differences, factors = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0])
        >>> beta_vae_score(differences, factors, differences, factors)
        tensor(1., dtype=torch.float64)
    """
    _check_votes("training", train_differences, train_factors)
    _check_votes("evaluation", eval_differences, eval_factors)
    if train_differences.shape[1] != eval_differences.shape[1]:
        raise ValueError(
            "training and evaluation votes must have one D, got "
            f"{train_differences.shape[1]} and {eval_differences.shape[1]}"
        )
    if l2 <= 0:
        raise ValueError(f"l2 must be positive, got {l2}")
    present, labels = train_factors.unique(return_inverse=True)
    weights = _softmax_regression(train_differences.double(), labels, l2)
    logits = eval_differences.double() @ weights[:, :-1].T + weights[:, -1]
    return (present[logits.argmax(1)] == eval_factors).double().mean()
