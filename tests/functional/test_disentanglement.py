"""Disentanglement scores: independent NumPy versions, scikit-learn, and codes of known worth."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score

from zoo.functional import interventions
from zoo.functional.disentanglement import (
    dci_scores,
    discretise,
    live_units,
    mig_score,
    mutual_information,
    sap_score,
    squared_correlations,
)
from zoo.functional.interventions import beta_vae_score, factor_vae_score, factor_vae_votes

FACTORS = torch.cartesian_prod(torch.arange(8), torch.arange(6), torch.arange(10)).repeat(5, 1)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def codes_like(name):
    """Codes (2400, 4) of the 3 factors: perfect, rotated, noise or twice the same."""
    v = FACTORS.double()
    v = (v - v.mean(0)) / v.std(0)
    if name == "perfect":
        return torch.cat([-v, noise(len(v), 1)], dim=1)
    if name == "rotated":
        rotation = torch.linalg.qr(torch.ones(3, 3) - 2.5 * torch.eye(3)).Q.double()
        return torch.cat([v @ rotation, noise(len(v), 1)], dim=1)
    if name == "twice":
        return torch.cat([v, v], dim=1)
    return noise(len(v), 4)


def numpy_mig(codes, factors, bins):
    """MIG from its definition, one histogram2d per pair."""
    gaps = []
    for v in factors.T:
        values = len(np.unique(v))
        p = np.unique(v, return_counts=True)[1] / len(v)
        information = []
        for z in codes.T:
            span = [(z.min(), z.max()), (v.min(), v.max())]
            joint = np.histogram2d(z, v, bins=(bins, values), range=span)[0] / len(v)
            outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
            mask = joint > 0
            information.append((joint[mask] * np.log(joint[mask] / outer[mask])).sum())
        low, high = sorted(information)[-2:]
        gaps.append((high - low) / -(p * np.log(p)).sum())
    return np.mean(gaps)


def numpy_sap(codes, factors):
    """SAP of correlations, from numpy.corrcoef."""
    num = codes.shape[1]
    squared = np.corrcoef(codes.T, factors.T)[:num, num:] ** 2
    squared.sort(axis=0)
    return (squared[-1] - squared[-2]).mean()


@pytest.mark.parametrize("bins", [1, 7, 20])
def test_bins_are_numpys(bins):
    """Catches quantile bins, a last bin of its own for the maximum, and shared edges."""
    codes = noise(500, 3) * torch.tensor([1.0, 30.0, 0.01])
    expected = [
        np.digitize(z, np.histogram(z, bins)[1][:-1]) - 1 for z in codes.T.contiguous().numpy()
    ]
    found = discretise(codes, bins)
    assert found.T.tolist() == np.stack(expected).tolist()
    assert int(found.max()) == bins - 1


def test_a_value_on_an_edge_opens_the_next_bin():
    """Catches bins closed on the right; codes are on edges when they are factors."""
    codes = torch.arange(21.0)[:, None]
    expected = np.digitize(codes[:, 0], np.histogram(codes[:, 0], 20)[1][:-1]) - 1
    assert discretise(codes, 20)[:, 0].tolist() == expected.tolist() == [*range(20), 19]


def test_a_constant_dimension_is_one_bin():
    """Catches a division by the zero width."""
    assert discretise(torch.full((9, 1), 0.3), 20).unique().numel() == 1


def test_mutual_information_is_scikit_learns():
    """Catches bits, a transposed result, and pairs mixed up in the joint histogram."""
    codes = discretise(codes_like("rotated"), 9)
    found = mutual_information(codes, FACTORS)
    assert found.shape == (4, 3)
    for j in range(4):
        for k in range(3):
            expected = mutual_info_score(FACTORS[:, k], codes[:, j])
            assert found[j, k].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["perfect", "rotated", "noise", "twice"])
@pytest.mark.parametrize("bins", [5, 20])
def test_mig_is_numpys(name, bins):
    """Catches normalising by H(z) or by log V, and a gap not between the top two."""
    codes = codes_like(name)
    expected = numpy_mig(codes.numpy(), FACTORS.numpy(), bins)
    assert mig_score(codes, FACTORS, bins).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["perfect", "rotated", "noise", "twice"])
def test_sap_is_numpys(name):
    """Catches plain correlations, and a mean over dimensions instead of factors."""
    codes = codes_like(name)
    expected = numpy_sap(codes.numpy(), FACTORS.numpy())
    assert sap_score(squared_correlations(codes, FACTORS)).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "score",
    [
        lambda codes: mig_score(codes, FACTORS).item(),
        lambda codes: sap_score(squared_correlations(codes, FACTORS)).item(),
    ],
)
def test_codes_of_known_worth(score):
    """Catches a gap to anything but the second best: saying all twice must score 0."""
    assert score(codes_like("perfect")) == pytest.approx(1, abs=0.02)
    assert score(codes_like("twice")) == pytest.approx(0, abs=1e-12)
    assert abs(score(codes_like("noise"))) < 0.02
    assert score(codes_like("rotated")) < 0.35
    shuffled = codes_like("perfect")[:, [2, 3, 0, 1]] * torch.tensor([3.0, 1.0, -0.1, 8.0])
    assert score(shuffled) == pytest.approx(score(codes_like("perfect")), abs=2e-3)


def test_dead_dimensions_explain_nothing():
    """Catches 0 / 0 in the correlation of a collapsed dimension."""
    codes = torch.cat([codes_like("perfect")[:, :3], torch.full((len(FACTORS), 1), 0.1)], dim=1)
    scores = squared_correlations(codes, FACTORS)
    assert scores[3].tolist() == [0, 0, 0]
    assert scores[:3].diagonal().tolist() == pytest.approx([1, 1, 1])


def test_votes_are_normalised_and_skip_collapsed_dimensions():
    """Catches raw variances (names 1), and a dead dimension that always wins (names 2)."""
    local = torch.tensor([[1.0, 0.5, 1e-9], [3.0, 0.1, 1e-9]])
    scale = torch.tensor([4.0, 0.6, 1e-6])
    assert factor_vae_votes(local, scale).tolist() == [0, 1]
    assert factor_vae_votes(local, scale, min_std=0.0).tolist() == [2, 2]


def votes(named, width=3):
    """Variances that name the given dimensions."""
    return 1 - 0.9 * torch.nn.functional.one_hot(torch.tensor(named), width).double()


def test_factor_vae_score_by_hand():
    """Majority: dimension 0 -> 1, 1 -> 0 (a tie), 2 -> 0 (never named); right: 3 of 5.

    Catches a guess retrained on the evaluation votes (4 of 5), ties to the last factor, and
    a matching in which dimensions may not share a factor.
    """
    train, train_factors = votes([0, 0, 0, 1, 1]), torch.tensor([1, 1, 2, 0, 2])
    test, test_factors = votes([0, 0, 1, 1, 2]), torch.tensor([1, 2, 0, 1, 0])
    score = factor_vae_score(train, train_factors, test, test_factors, torch.ones(3))
    assert score.item() == pytest.approx(0.6)


def test_factor_vae_score_lets_dimensions_share_a_factor():
    train, factors = votes([0, 1, 2]), torch.tensor([0, 0, 1])
    assert factor_vae_score(train, factors, train, factors, torch.ones(3)).item() == 1


def test_factor_vae_score_of_a_collapsed_code_is_zero():
    """Catches an arg min over no dimension, for any type, and for thresholds of 0."""
    for min_std in (0.0, 0.05):
        train, factors, dead = votes([0, 1]).float(), torch.tensor([0, 1]), torch.zeros(3)
        assert factor_vae_score(train, factors, train, factors, dead, min_std).item() == 0
        with pytest.raises(ValueError, match="largest standard deviation is 0"):
            factor_vae_votes(train, dead, min_std)


def differences(num, seed):
    """Noisy mean differences (num, 4): the shared factor's dimension is smaller."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randint(3, (num,), generator=generator)
    small = torch.nn.functional.one_hot(factors, 4).double()
    return 2 - 0.8 * small + 0.5 * noise(num, 4, seed=seed + 1), factors


@pytest.mark.parametrize("l2", [0.1, 1.0, 100.0])
def test_linear_classifier_is_scikit_learns(l2):
    """Catches a decayed intercept, l2 for 1 / (2 C), and a mean for a sum of losses."""
    inputs, labels = differences(400, seed=0)
    model = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000).fit(inputs, labels)
    weights = interventions._softmax_regression(inputs, labels, l2)
    np.testing.assert_allclose(weights[:, :-1], model.coef_, atol=1e-5)
    shift = weights[:, -1] - weights[:, -1].mean()
    np.testing.assert_allclose(shift, model.intercept_ - model.intercept_.mean(), atol=1e-4)


OUTLIERS = [[488.0, 256.0], [17.0, 1.0], [92.0, 1765.0], [405.0, 78.0], [21.0, 2288.0]]


@pytest.mark.parametrize(
    ("inputs", "labels", "l2"),
    [
        (100 * torch.eye(3).repeat(30, 1).double() + noise(90, 3), [0, 1, 2] * 30, 1e-4),
        (torch.tensor(OUTLIERS, dtype=torch.float64), [0, 1, 2, 1, 0], 0.25),
    ],
)
def test_linear_classifier_reaches_the_optimum(inputs, labels, l2):
    """Catches Newton steps that are never shortened: on the outliers they end in NaN."""
    labels = torch.tensor(labels)
    weights = interventions._softmax_regression(inputs, labels, l2).requires_grad_()
    log_p = (inputs @ weights[:, :-1].T + weights[:, -1]).log_softmax(1)
    loss = l2 / 2 * weights[:, :-1].square().sum() - log_p.gather(1, labels[:, None]).sum()
    assert torch.autograd.grad(loss, weights)[0].abs().max() < 1e-5


def test_beta_vae_score_counts_what_scikit_learn_counts():
    """Catches training and evaluation votes swapped, and labels renumbered."""
    (train, factors), (test, test_factors) = differences(300, seed=0), differences(500, seed=9)
    renamed = torch.tensor([4, 0, 2])
    model = LogisticRegression(tol=1e-10, max_iter=10_000).fit(train, factors)
    expected = model.score(test, test_factors)
    assert 0.6 < expected < 0.95
    score = beta_vae_score(train, renamed[factors], test, renamed[test_factors])
    assert score.item() == pytest.approx(expected, abs=1e-12)


def test_beta_vae_score_of_noise_is_chance():
    """1 / 3 within 4 s.e."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(3, (4000,), generator=generator)
    inputs = noise(4000, 4).abs()
    score = beta_vae_score(inputs[:2000], factors[:2000], inputs[2000:], factors[2000:])
    assert score.item() == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 2000))


def test_dci_closed_forms():
    """Catches rows and columns swapped, natural logarithms, and unweighted means."""
    permutation = torch.eye(3)[[2, 0, 1]]
    assert [score.item() for score in dci_scores(permutation)] == pytest.approx([1, 1])
    assert [score.item() for score in dci_scores(torch.ones(4, 3))] == pytest.approx([0, 0])
    twice = torch.cat([permutation, permutation])  # two dimensions a factor: log 2 of log 6
    disentangled, complete = dci_scores(twice)
    assert disentangled.item() == pytest.approx(1)
    assert complete.item() == pytest.approx(1 - math.log(2) / math.log(6))
    # A useless dimension changes neither weights nor D; C sees one more place to look.
    disentangled, complete = dci_scores(torch.cat([permutation, torch.zeros(1, 3)]))
    assert (disentangled.item(), complete.item()) == pytest.approx((1, 1))
    assert [score.item() for score in dci_scores(torch.zeros(3, 3))] == [0, 0]


def test_dci_is_scipys():
    importance = noise(5, 3).square()
    rows, columns = importance.sum(1), importance.sum(0)
    disentangled = 1 - entropy(importance.T.numpy(), base=3)
    complete = 1 - entropy(importance.numpy(), base=5)
    found = dci_scores(importance)
    assert found.disentanglement.item() == pytest.approx(
        float((disentangled * (rows / rows.sum()).numpy()).sum())
    )
    assert found.completeness.item() == pytest.approx(
        float((complete * (columns / columns.sum()).numpy()).sum())
    )


V = torch.tensor([[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mig_score(torch.zeros(3, 2), V), r"\(3, 2\) and \(2, 2\)"),
        (lambda: mig_score(torch.zeros(0, 2), V[:0]), "empty"),
        (lambda: mig_score(torch.zeros(2, 2), V.float()), "float32"),
        (lambda: mig_score(torch.zeros(2, 2), -V), "minimum of -1"),
        (lambda: mig_score(torch.zeros(2, 2), torch.tensor([[3, 0], [3, 1]])), r"columns \[0\]"),
        (lambda: mig_score(torch.zeros(2, 1), V), r"2 dimensions .* got shape \(1, 2\)"),
        (lambda: mig_score(torch.tensor([[0, math.nan], [1, 1]]), V), "1 of 4 values"),
        (lambda: discretise(torch.zeros(2, 2), 0), "at least 1, got 0"),
        (lambda: mutual_information(torch.zeros(2, 2), V), "discrete codes must be integers"),
        (lambda: squared_correlations(torch.zeros(2, 2), V * 0), r"columns \[0, 1\]"),
        (lambda: sap_score(torch.zeros(1, 2)), r"\(1, 2\)"),
        (lambda: factor_vae_votes(torch.zeros(4, 2), torch.ones(3)), r"\(4, 2\) and \(3,\)"),
        (lambda: factor_vae_votes(torch.zeros(1, 1), torch.tensor([math.nan])), "nan"),
        (
            lambda: factor_vae_score(votes([0]), V[0], votes([0]), V[0, :1], torch.ones(3)),
            r"training votes .* \(1, 3\) and \(2,\)",
        ),
        (
            lambda: beta_vae_score(votes([0]), V[0, :1], votes([0], 2), V[0, :1]),
            "one D, got 3 and 2",
        ),
        (
            lambda: beta_vae_score(votes([0]), V[0, :1], votes([0])[:0], V[0, :0]),
            r"evaluation votes .* \(0, 3\)",
        ),
        (lambda: beta_vae_score(votes([0]), V[0, :1], votes([0]), V[0, :1], 0.0), "got 0.0"),
        (lambda: beta_vae_score(votes([0]) / 0, V[0, :1], votes([0]), V[0, :1]), "3 of 3"),
        (lambda: dci_scores(torch.ones(3, 1)), r"\(3, 1\)"),
        (lambda: dci_scores(torch.tensor([[1.0, -0.5], [0, 1]])), "from -0.5 to 1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_live_units_exceed_a_variance_and_no_deviation():
    """Variances .04, .0121, .0081 and 0; as deviations all but the last would exceed .01."""
    spread = torch.tensor([0.2, 0.11, 0.09, 0.0], dtype=torch.float64)
    codes = 5 + torch.tensor([-1.0, 1.0] * 500, dtype=torch.float64)[:, None] * spread
    assert live_units(codes).item() == 2 and live_units(codes, 0.03).item() == 1
    with pytest.raises(ValueError, match="at least 2"):
        live_units(codes[:1])
