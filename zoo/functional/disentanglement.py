r"""Does each dimension of a code follow one factor of variation? Five published answers.

They take codes z of shape (N, D) and the true factors v that were rendered, of shape (N, F),
or, where the protocol intervenes on a factor, one statistic per intervention. Every score is
in [0, 1], 1 for a code that is perfect in its sense; they reward different senses, and their
values are not comparable with each other. All arithmetic is in float64.

The protocols (sample sizes, bins, classifiers) are those of Locatello et al. 2019,
arXiv:1811.12359; where they depart from the paper that proposed the score, the function says
so. Sampling and encoding live in :mod:`zoo.metrics.disentanglement`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

__all__ = [
    "DCI",
    "beta_vae_score",
    "dci_scores",
    "discretise",
    "factor_vae_score",
    "factor_vae_votes",
    "mig_score",
    "mutual_information",
    "sap_score",
    "squared_correlations",
]


class DCI(NamedTuple):
    """What :func:`dci_scores` returns, float64 scalars in [0, 1]."""

    disentanglement: Tensor
    """1 if each dimension of the code matters to one factor only."""
    completeness: Tensor
    """1 if each factor is told by one dimension of the code only."""


def _check_pair(codes: Tensor, factors: Tensor) -> None:
    """Raise unless codes (N, D) and integer factors (N, F) belong together."""
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise ValueError(
            "codes and factors must be (N, D) and (N, F) with one N, got shapes "
            f"{tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    if codes.numel() == 0 or factors.numel() == 0:
        raise ValueError(
            f"codes and factors are empty: shapes {tuple(codes.shape)} and {tuple(factors.shape)}"
        )
    _check_factors("factors", factors)


def _check_factors(name: str, factors: Tensor) -> None:
    """Raise unless ``factors`` is a tensor of non-negative integers."""
    if factors.is_floating_point() or factors.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, got dtype {factors.dtype}")
    if int(factors.min()) < 0:
        raise ValueError(f"{name} must be non-negative, got a minimum of {int(factors.min())}")


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
    _check_factors(f"{name} factors", factors)


def _top_two_gap(scores: Tensor) -> Tensor:
    """Best minus second-best dimension for each factor: (D, F) to (F,)."""
    if scores.ndim != 2 or scores.shape[0] < 2 or scores.shape[1] < 1:
        raise ValueError(
            "a gap needs a score for each of at least 2 dimensions and 1 factor, "
            f"got shape {tuple(scores.shape)}"
        )
    best = scores.topk(2, dim=0).values
    return best[0] - best[1]


def _entropy(shares: Tensor) -> Tensor:
    """Entropy in nats over the last axis, with 0 log 0 = 0."""
    return -torch.special.xlogy(shares, shares).sum(-1)


def discretise(codes: Tensor, num_bins: int = 20) -> Tensor:
    """Cut every dimension into bins of equal width, from its least to its largest value.

    Args:
        codes: Codes, shape (N, D), finite.
        num_bins: Number of bins per dimension.

    Returns:
        Bin of every entry, shape (N, D), int64 in [0, num_bins). The largest value belongs to
        the last bin; a constant dimension is in one bin.

    Raises:
        ValueError: If a code is not finite, or ``num_bins`` is below 1.

    Example:
        >>> discretise(torch.tensor([[0.0], [0.4], [0.5], [1.0]]), num_bins=2).squeeze(1)
        tensor([0, 0, 1, 1])
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    if codes.ndim != 2 or codes.numel() == 0:
        raise ValueError(f"codes must have shape (N, D), got shape {tuple(codes.shape)}")
    codes = codes.double()
    if not torch.isfinite(codes).all():
        raise ValueError(
            f"codes must be finite, got {int((~torch.isfinite(codes)).sum())} "
            f"of {codes.numel()} values that are not"
        )
    low, high = codes.amin(0), codes.amax(0)
    steps = torch.arange(num_bins, dtype=codes.dtype, device=codes.device)
    edges = low[:, None] + ((high - low) / num_bins)[:, None] * steps  # left edges, (D, bins)
    bins = torch.searchsorted(edges, codes.T.contiguous(), right=True).T - 1
    return torch.where(high > low, bins, torch.zeros_like(bins)).clamp(min=0)


def mutual_information(codes: Tensor, factors: Tensor) -> Tensor:
    r"""Mutual information of every discrete code dimension with every factor.

    .. math:: I(z_j; v_k) = H(z_j) + H(v_k) - H(z_j, v_k)

    Plug-in estimate from counts: biased upwards by about (B - 1)(V - 1) / 2N nats.

    Args:
        codes: Discrete codes in [0, B), integers, shape (N, D).
        factors: Factors in [0, V), integers, shape (N, F).

    Returns:
        Mutual information in nats, shape (D, F), float64, at least 0.

    Raises:
        ValueError: If the lengths differ, or an entry is negative or no integer.

    Example:
        >>> v = torch.tensor([[0], [0], [1], [1]])
        >>> mutual_information(torch.cat([v, torch.tensor([[0], [1], [0], [1]])], dim=1), v)
        tensor([[0.6931],
                [0.0000]], dtype=torch.float64)
    """
    _check_pair(codes, factors)
    _check_factors("discrete codes", codes)
    num_bins, num_values = int(codes.max()) + 1, int(factors.max()) + 1
    shape = (codes.shape[1], factors.shape[1], num_bins, num_values)
    pair = torch.arange(shape[0] * shape[1], device=codes.device).view(shape[:2])
    cell = codes.long()[:, :, None] * num_values + factors.long()[:, None, :]  # (N, D, F)
    cell = cell + pair * num_bins * num_values
    joint = torch.bincount(cell.flatten(), minlength=shape[0] * shape[1] * num_bins * num_values)
    joint = joint.view(shape).double() / len(codes)
    information = _entropy(joint.sum(3)) + _entropy(joint.sum(2)) - _entropy(joint.flatten(2))
    return information.clamp(min=0)


def mig_score(codes: Tensor, factors: Tensor, num_bins: int = 20) -> Tensor:
    r"""Mutual information gap.

    .. math::
        \frac1F \sum_k \frac{1}{H(v_k)}
        \Bigl( I(z_{j_k}; v_k) - \max_{j \ne j_k} I(z_j; v_k) \Bigr),
        \quad j_k = \arg\max_j I(z_j; v_k)

    Args:
        codes: One code per example, by custom the posterior mean, shape (N, D), D at least 2.
        factors: Factors, integers, shape (N, F).
        num_bins: Bins per dimension of the code.

    Returns:
        The score in [0, 1], a float64 scalar.

    Raises:
        ValueError: If the lengths differ, D is below 2, or a factor is constant.

    Reference: Chen et al. 2018, arXiv:1802.04942, Section 4.   Deviations: that paper
    integrates over q(z|x); this is the binned protocol of arXiv:1811.12359, which sees one
    value per example and so ignores posterior noise. The two are not interchangeable.

    Example:
        >>> v = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        >>> mig_score(v.float(), v)
        tensor(1., dtype=torch.float64)
    """
    _check_pair(codes, factors)
    information = mutual_information(discretise(codes, num_bins), factors)
    entropy = mutual_information(factors, factors).diagonal()
    if (entropy <= 0).any():
        constant = [k for k, value in enumerate(entropy.tolist()) if value <= 0]
        raise ValueError(f"factors must vary, but columns {constant} are constant")
    return (_top_two_gap(information) / entropy).mean()


def squared_correlations(codes: Tensor, factors: Tensor) -> Tensor:
    r"""Share of each factor's variance that a line in one code dimension explains.

    .. math:: R^2_{jk} = \frac{\mathrm{cov}(z_j, v_k)^2}{\mathrm{var}(z_j)\,\mathrm{var}(v_k)}

    Args:
        codes: Codes, shape (N, D).
        factors: Factors on an ordered scale, integers, shape (N, F).

    Returns:
        The squared correlations, shape (D, F), float64 in [0, 1]; 0 for a constant dimension
        (variance below 1e-12).

    Raises:
        ValueError: If the lengths differ, or a factor is constant.

    Example:
        >>> v = torch.tensor([[0], [1], [2]])
        >>> squared_correlations(1 - 2.0 * v, v)
        tensor([[1.]], dtype=torch.float64)
    """
    _check_pair(codes, factors)
    z, v = codes.double(), factors.double()
    z, v = z - z.mean(0), v - v.mean(0)
    z_variance, v_variance = z.square().mean(0), v.square().mean(0)
    if (v_variance == 0).any():
        constant = [k for k, value in enumerate(v_variance.tolist()) if value == 0]
        raise ValueError(f"factors must vary, but columns {constant} are constant")
    covariance = z.T @ v / len(z)
    squared = covariance.square() / (z_variance[:, None].clamp(min=1e-12) * v_variance)
    return torch.where(z_variance[:, None] > 1e-12, squared, torch.zeros_like(squared)).clamp(max=1)


def sap_score(scores: Tensor) -> Tensor:
    r"""Separated attribute predictability: how far the best dimension leads the second best.

    .. math:: \frac1F \sum_k \bigl( S_{(1)k} - S_{(2)k} \bigr)

    Args:
        scores: How well dimension j alone predicts factor k, shape (D, F), D at least 2:
            :func:`squared_correlations` for ordered factors, test accuracies of a linear
            classifier for categories. (With the latter even a perfect score stays below 1, as
            the second best dimension is right by chance.)

    Returns:
        The score in [0, 1], a float64 scalar.

    Raises:
        ValueError: If there are fewer than two dimensions.

    Reference: Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848, Section 3.
    Deviations: none.

    Example:
        >>> sap_score(torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.25, 0.0]]))
        tensor(0.6250, dtype=torch.float64)
    """
    return _top_two_gap(scores.double()).mean()


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
    classes = torch.arange(votes.shape[1], device=votes.device).expand_as(votes)
    lowest = classes.masked_fill(votes < votes.amax(1, keepdim=True), votes.shape[1]).amin(1)
    guess = lowest[factor_vae_votes(eval_variances, global_variances, min_std)]
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


def dci_scores(importance: Tensor) -> DCI:
    r"""Disentanglement and completeness, from how much each dimension helps predict each factor.

    .. math::
        \mathcal D = \sum_j \rho_j \Bigl(1 - H_F\bigl(R_{j\cdot} / \textstyle\sum_k R_{jk}\bigr)
        \Bigr), \quad
        \mathcal C = \sum_k \sigma_k \Bigl(1 - H_D\bigl(R_{\cdot k} / \textstyle\sum_j R_{jk}
        \bigr)\Bigr)

    Here :math:`H_F` is the entropy to base F, and :math:`\rho_j` and :math:`\sigma_k` are the
    shares of row j and column k in the sum of R. A dimension that helps nobody weighs nothing.

    Args:
        importance: Importance R of dimension j for factor k, shape (D, F), both at least 2,
            non-negative.

    Returns:
        Disentanglement and completeness; both 0 if all importances are.

    Raises:
        ValueError: If there are fewer than two dimensions or factors, or an entry is negative.

    Reference: Eastwood & Williams 2018, "A framework for the quantitative evaluation of
    disentangled representations", ICLR, Section 2; weighted by importance in both directions,
    as in arXiv:1811.12359. (The importances of trees sum to 1 for every factor, which makes
    the weights of :math:`\mathcal C` equal.)

    Example:
        >>> disentanglement, completeness = dci_scores(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        >>> disentanglement.item(), completeness.item()
        (1.0, 0.0)
    """
    if importance.ndim != 2 or min(importance.shape) < 2:
        raise ValueError(
            "importance must be (D, F) with at least 2 dimensions and 2 factors, "
            f"got shape {tuple(importance.shape)}"
        )
    importance = importance.double()
    if not (torch.isfinite(importance).all() and (importance >= 0).all()):
        raise ValueError(
            "importance must be finite and non-negative, got values from "
            f"{importance.min().item():g} to {importance.max().item():g}"
        )

    def concentration(rows: Tensor) -> Tensor:
        total = rows.sum(1, keepdim=True)
        shares = rows / torch.where(total > 0, total, torch.ones_like(total))
        base = torch.tensor(rows.shape[1], dtype=rows.dtype, device=rows.device)
        weight = (total / total.sum().clamp(min=torch.finfo(rows.dtype).tiny)).squeeze(1)
        return (weight * (1 - _entropy(shares) / base.log())).sum().clamp(0, 1)

    return DCI(concentration(importance), concentration(importance.T))
