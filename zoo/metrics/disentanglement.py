"""Disentanglement of an encoder, on data whose factors of variation are known.

The functions draw factors with an explicit generator, render and encode them, and leave the
arithmetic to :mod:`zoo.functional.disentanglement`. Defaults are the protocol of Locatello et
al. 2019, arXiv:1811.12359: 10 000 examples or votes to fit, 5000 to score, 64 images a vote.
Factors with a single value are rendered but not scored.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import LinearSVC
from torch import Generator, Tensor

from zoo.functional.disentanglement import (
    dci_scores,
    mig_score,
    sap_score,
    squared_correlations,
)
from zoo.functional.interventions import beta_vae_score, factor_vae_score

__all__ = [
    "FactorData",
    "beta_vae",
    "dci",
    "factor_vae",
    "mig",
    "sample_codes",
    "sap",
]

Encode = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] to codes (B, D), by custom posterior means."""


class FactorData(Protocol):
    """Data that can be rendered from its factors of variation."""

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each of the F factors."""
        ...

    def render(self, factors: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of the factors (B, F), int64."""
        ...


def _varying(data: FactorData) -> list[int]:
    """Indices of the factors that have more than one value."""
    varying = [k for k, size in enumerate(data.factor_sizes) if size > 1]
    if not varying:
        raise ValueError(f"no factor varies: factor_sizes is {tuple(data.factor_sizes)}")
    return varying


def _draw(data: FactorData, num: int, generator: Generator) -> Tensor:
    """Factors (num, F), each uniform on its values and independent of the others."""
    if num < 1:
        raise ValueError(f"the number of examples must be at least 1, got {num}")
    device = generator.device
    columns = [
        torch.randint(size, (num,), generator=generator, device=device)
        for size in data.factor_sizes
    ]
    return torch.stack(columns, dim=1).cpu()


@torch.no_grad()
def _encode(encode: Encode, data: FactorData, factors: Tensor, batch_size: int) -> Tensor:
    """Codes (N, D) of rendered factors (N, F), in float64 on the CPU."""
    codes = []
    for batch in factors.split(batch_size):
        code = encode(data.render(batch))
        if code.ndim != 2 or len(code) != len(batch):
            raise ValueError(
                f"encode must return codes of shape ({len(batch)}, D), "
                f"got shape {tuple(code.shape)}"
            )
        codes.append(code.cpu().double())
    joined = torch.cat(codes)
    if lost := int((~joined.isfinite()).any(dim=1).sum()):  # trees take them for missing values
        raise ValueError(f"codes must be finite, but {lost} of {len(joined)} are not")
    return joined


def _choose(data: FactorData, votes: int, generator: Generator) -> Tensor:
    """One factor per vote, (votes,), as its position among the factors that vary."""
    num = len(_varying(data))
    return torch.randint(num, (votes,), generator=generator, device=generator.device).cpu()


def _mask(data: FactorData, chosen: Tensor) -> Tensor:
    """Where the chosen factor of each vote stands among all factors, (votes, 1, F)."""
    position = torch.tensor(_varying(data))[chosen]
    return (torch.arange(len(data.factor_sizes)) == position[:, None])[:, None]


def sample_codes(
    encode: Encode, data: FactorData, generator: Generator, num: int, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """Draw examples, and encode them.

    Args:
        encode: Images (B, C, H, W) in [0, 1] to codes (B, D).
        data: Renders images from factors.
        generator: Source of all randomness.
        num: Number N of examples.
        batch_size: Images encoded at a time.

    Returns:
        Codes (N, D), float64, and the factors that vary (N, F'), int64, both on the CPU.

    Raises:
        ValueError: If no factor varies, or ``encode`` returns a wrong shape.
    """
    varying = _varying(data)
    factors = _draw(data, num, generator)
    return _encode(encode, data, factors, batch_size), factors[:, varying]


def mig(
    encode: Encode,
    data: FactorData,
    generator: Generator,
    *,
    num_samples: int = 10_000,
    num_bins: int = 20,
    batch_size: int = 256,
) -> float:
    """Mutual information gap, binned; see :func:`zoo.functional.disentanglement.mig_score`.

    Args:
        encode: Images (B, C, H, W) in [0, 1] to codes (B, D).
        data: Renders images from factors.
        generator: Source of all randomness.
        num_samples: Number of examples.
        num_bins: Bins per dimension of the code.
        batch_size: Images encoded at a time.

    Returns:
        The score in [0, 1].
    """
    codes, factors = sample_codes(encode, data, generator, num_samples, batch_size)
    return mig_score(codes, factors, num_bins).item()


def factor_vae(
    encode: Encode,
    data: FactorData,
    generator: Generator,
    *,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    group_size: int = 64,
    num_variance: int = 10_000,
    min_std: float = 0.05,
    batch_size: int = 256,
) -> float:
    """FactorVAE score; see :func:`zoo.functional.interventions.factor_vae_score`.

    Args:
        encode: Images (B, C, H, W) in [0, 1] to codes (B, D).
        data: Renders images from factors.
        generator: Source of all randomness.
        num_train: Votes that train the majority vote.
        num_eval: Votes that are scored.
        group_size: Images per vote.
        num_variance: Examples for the variance over the data.
        min_std: Dimensions with a smaller standard deviation are left out.
        batch_size: Images encoded at a time.

    Returns:
        The accuracy in [0, 1].
    """
    if min(group_size, num_variance) < 2:
        raise ValueError(
            "group_size and num_variance must be at least 2 for a variance, "
            f"got {group_size} and {num_variance}"
        )
    everywhere, _ = sample_codes(encode, data, generator, num_variance, batch_size)

    def votes(num: int) -> tuple[Tensor, Tensor]:
        chosen = _choose(data, num, generator)
        groups = _draw(data, num * group_size, generator).view(num, group_size, -1)
        groups = torch.where(_mask(data, chosen), groups[:, :1], groups)
        codes = _encode(encode, data, groups.flatten(0, 1), batch_size)
        return codes.view(num, group_size, -1).var(1), chosen

    variances, fixed = votes(num_train)
    return factor_vae_score(
        variances, fixed, *votes(num_eval), global_variances=everywhere.var(0), min_std=min_std
    ).item()


def beta_vae(
    encode: Encode,
    data: FactorData,
    generator: Generator,
    *,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    group_size: int = 64,
    batch_size: int = 256,
) -> float:
    """Beta-VAE score; see :func:`zoo.functional.interventions.beta_vae_score`.

    Args:
        encode: Images (B, C, H, W) in [0, 1] to codes (B, D).
        data: Renders images from factors.
        generator: Source of all randomness.
        num_train: Votes that train the classifier.
        num_eval: Votes that are scored.
        group_size: Pairs of images per vote. The factor has a common value within a pair, and
            independent values from pair to pair.
        batch_size: Images encoded at a time.

    Returns:
        The accuracy in [0, 1].
    """
    if group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")

    def votes(num: int) -> tuple[Tensor, Tensor]:
        # The factors of a vote's 2L images; the second half copies one factor from the first.
        chosen = _choose(data, num, generator)
        first, second = _draw(data, 2 * num * group_size, generator).view(2, num, group_size, -1)
        second = torch.where(_mask(data, chosen), first, second)
        codes = [_encode(encode, data, half.flatten(0, 1), batch_size) for half in (first, second)]
        return (codes[0] - codes[1]).abs().view(num, group_size, -1).mean(1), chosen

    differences, shared = votes(num_train)
    return beta_vae_score(differences, shared, *votes(num_eval)).item()


def dci(
    encode: Encode,
    data: FactorData,
    generator: Generator,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    trees: Literal["boosted", "forest"] = "boosted",
    batch_size: int = 256,
) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, with scikit-learn's trees.

    See :func:`zoo.functional.disentanglement.dci_scores`, which also takes importances from
    elsewhere.

    Args:
        encode: Images (B, C, H, W) in [0, 1] to codes (B, D).
        data: Renders images from factors, of which at least two vary.
        generator: Source of all randomness.
        num_train: Examples that train one classifier per factor.
        num_test: Examples that score them.
        trees: ``"boosted"`` for gradient boosted trees, as in arXiv:1811.12359: its cost
            grows with the number of values of a factor, to many minutes for tens of them.
            ``"forest"`` for a random forest, as in the paper: seconds. Scores differ.
        batch_size: Images encoded at a time.

    Returns:
        ``disentanglement``, ``completeness`` and ``informativeness`` (the mean test accuracy),
        all in [0, 1].
    """
    if trees not in ("boosted", "forest"):
        raise ValueError(f"trees must be 'boosted' or 'forest', got {trees!r}")
    codes, factors = sample_codes(encode, data, generator, num_train, batch_size)
    test_codes, test_factors = sample_codes(encode, data, generator, num_test, batch_size)
    importance, accuracy = [], []
    for train, test in zip(factors.T.numpy(), test_factors.T.numpy(), strict=True):
        device = generator.device
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=device))
        if trees == "boosted":
            model = GradientBoostingClassifier(random_state=seed)
        else:
            # Every split may choose among all dimensions: from a random few, as is the default,
            # it must often take an irrelevant one, and a perfect code scores about .75.
            model = RandomForestClassifier(
                max_features=None,  # pyright: ignore[reportArgumentType]
                random_state=seed,
            )
        model.fit(codes.numpy(), train)
        importance.append(torch.from_numpy(model.feature_importances_))
        accuracy.append(float(model.score(test_codes.numpy(), test)))
    scores = dci_scores(torch.stack(importance, dim=1))
    return {
        "disentanglement": scores.disentanglement.item(),
        "completeness": scores.completeness.item(),
        "informativeness": sum(accuracy) / len(accuracy),
    }


def sap(
    encode: Encode,
    data: FactorData,
    generator: Generator,
    *,
    num_train: int = 10_000,
    num_test: int = 5_000,
    ordered: bool = False,
    batch_size: int = 256,
) -> float:
    """Separated attribute predictability; see :func:`zoo.functional.disentanglement.sap_score`.

    Args:
        encode: Images (B, C, H, W) in [0, 1] to codes (B, D).
        data: Renders images from factors.
        generator: Source of all randomness.
        num_train: Examples that train one classifier per dimension and factor.
        num_test: Examples that score them; not used if ``ordered``.
        ordered: If true, score by squared correlation, for factors on an ordered scale. If
            false, as in arXiv:1811.12359, by the test accuracy of a linear support vector
            machine (C = .01, balanced classes).
        batch_size: Images encoded at a time.

    Returns:
        The score in [0, 1].
    """
    codes, factors = sample_codes(encode, data, generator, num_train, batch_size)
    if ordered:
        return sap_score(squared_correlations(codes, factors)).item()
    test_codes, test_factors = sample_codes(encode, data, generator, num_test, batch_size)
    scores = torch.zeros(codes.shape[1], factors.shape[1], dtype=torch.float64)
    for j, k in torch.cartesian_prod(*map(torch.arange, scores.shape)).tolist():
        model = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        model.fit(codes[:, j : j + 1].numpy(), factors[:, k].numpy())
        scores[j, k] = model.score(test_codes[:, j : j + 1].numpy(), test_factors[:, k].numpy())
    return sap_score(scores).item()
