"""Protocols on a toy renderer: what is held fixed, what is scored, and codes of known worth."""

import pytest
import torch

from zoo.metrics.disentanglement import (
    beta_vae,
    dci,
    factor_vae,
    mig,
    sample_codes,
    sap,
)


class Pixels:
    """Images whose F pixels are the factors, scaled to [0, 1]; the third never varies."""

    factor_sizes = (5, 4, 1, 8)

    def __init__(self):
        self.seen = []

    def render(self, factors):
        assert factors.dtype == torch.int64
        self.seen.append(factors)
        return (factors / torch.tensor(self.factor_sizes))[:, None, None, :]


def perfect(images):
    return 4 * images.flatten(1)[:, [3, 0, 1]]


def rotated(images):
    matrix = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
    return perfect(images) @ (matrix / matrix.norm(dim=1, keepdim=True)).T


def unrelated(images):
    """Random codes, one for each of the 160 different images."""
    table = torch.randn(160, 3, generator=seeded(123))
    place = images.flatten(1) * torch.tensor([5, 5 * 4, 0, 20 * 8])
    return table[place.sum(1).round().long()]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


SMALL = {
    mig: {"num_samples": 4000},
    factor_vae: {"num_train": 200, "num_eval": 200, "num_variance": 500, "group_size": 16},
    beta_vae: {"num_train": 300, "num_eval": 200, "group_size": 16},
    dci: {"num_train": 500, "num_test": 300, "trees": "forest"},
    sap: {"num_train": 3000, "ordered": True},
}


@pytest.mark.parametrize(
    ("score", "floor"), [(mig, 0.99), (factor_vae, 1.0), (beta_vae, 0.99), (sap, 0.99)]
)
def test_a_perfect_code_scores_one(score, floor):
    """Catches the constant factor among those scored, and factors misaligned with codes."""
    assert score(perfect, Pixels(), seeded(), **SMALL[score]) >= floor


@pytest.mark.parametrize(("score", "ceiling"), [(mig, 0.5), (factor_vae, 0.9), (sap, 0.5)])
def test_a_rotated_code_scores_less(score, ceiling):
    """Catches scores of information rather than of its separation."""
    assert score(rotated, Pixels(), seeded(), **SMALL[score]) < ceiling


@pytest.mark.parametrize(
    ("score", "ceiling"), [(mig, 0.05), (factor_vae, 0.6), (beta_vae, 0.6), (sap, 0.05)]
)
def test_an_unrelated_code_scores_near_chance(score, ceiling):
    assert score(unrelated, Pixels(), seeded(), **SMALL[score]) < ceiling


@pytest.mark.parametrize("score", SMALL)
def test_the_generator_is_the_only_randomness(score):
    """Catches the global generator, an unseeded classifier, and a seed that is not read."""
    seen = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(seen))
        data = Pixels()
        seen.append((score(rotated, data, seeded(seed), **SMALL[score]), torch.cat(data.seen)))
    assert seen[0][0] == seen[1][0] and torch.equal(seen[0][1], seen[1][1])
    assert not torch.equal(seen[0][1], seen[2][1])


@pytest.mark.parametrize("score", [mig, factor_vae, beta_vae])
def test_the_batch_size_changes_nothing(score):
    """Catches groups that are cut by the batches of the encoder."""
    scores = {score(rotated, Pixels(), seeded(), **SMALL[score], batch_size=n) for n in (7, 999)}
    assert len(scores) == 1


def test_factor_vae_groups_hold_one_factor_fixed():
    """Catches a factor that is fixed to one value for all groups, or only in pairs."""
    data = Pixels()
    factor_vae(perfect, data, seeded(), **SMALL[factor_vae], batch_size=500)
    groups = torch.cat(data.seen)[500:].view(400, 16, 4)
    fixed = (groups == groups[:, :1]).all(1)[:, [0, 1, 3]]
    assert (fixed.sum(1) == 1).float().mean() > 0.99
    assert fixed.any(0).all()
    held = groups[:, 0, 0][fixed[:, 0]]
    assert held.unique().tolist() == [0, 1, 2, 3, 4]


def test_factor_vae_is_blind_to_the_scale_of_a_dimension():
    """Catches variances that are not divided by those over the data: the smallest would win."""

    def leaking(images):
        code = perfect(images)
        return code + 0.3 * code.roll(1, dims=1)

    def rescaled(images):
        return leaking(images) * torch.tensor([16.0, 1.0, 0.25])

    scores = [factor_vae(e, Pixels(), seeded(), **SMALL[factor_vae]) for e in (leaking, rescaled)]
    assert scores[0] == scores[1] > 0.99


def test_beta_vae_pairs_share_one_factor_and_votes_do_not():
    """Catches a factor held fixed over a whole vote (FactorVAE's groups), not pair by pair."""
    data = Pixels()
    beta_vae(perfect, data, seeded(), **SMALL[beta_vae], batch_size=300 * 16)
    first, second = (half.view(300, 16, 4)[..., [0, 1, 3]] for half in data.seen[:2])
    shared = (first == second).all(1)
    assert (shared.sum(1) == 1).float().mean() > 0.99
    assert shared.any(0).all()
    values = first[:, :, 0][shared[:, 0]]
    assert ((values != values[:, :1]).any(1)).all()


@pytest.mark.parametrize("trees", ["boosted", "forest"])
def test_dci_of_perfect_and_rotated_codes(trees):
    """Catches error for informativeness, and forests that split on a random few (.75)."""
    size = {"num_train": 800, "num_test": 200, "trees": trees}
    good = dci(perfect, Pixels(), seeded(), **size)
    assert good["informativeness"] > 0.99
    assert min(good["disentanglement"], good["completeness"]) > 0.9
    if trees == "forest":
        bad = dci(rotated, Pixels(), seeded(), **size)
        assert max(bad["disentanglement"], bad["completeness"]) < 0.5
        assert bad["informativeness"] > 0.5


def test_dci_separates_its_two_scores():
    """All factors in one dimension: complete, but not disentangled. Catches D and C swapped."""

    def entangled(images):
        return torch.cat([unrelated(images)[:, :1], torch.zeros(len(images), 1)], dim=1)

    scores = dci(entangled, Pixels(), seeded(), num_train=1000, num_test=300, trees="forest")
    assert scores["completeness"] == pytest.approx(1)
    assert scores["disentanglement"] == pytest.approx(0)
    assert scores["informativeness"] > 0.95


def test_sap_of_categories_stays_below_one():
    """A perfect code leads by at most 1 - 1/V: catches accuracies measured against themselves."""
    score = sap(perfect, Pixels(), seeded(), num_train=1000, num_test=500)
    assert 0.15 < score < 0.85
    assert abs(sap(unrelated, Pixels(), seeded(), num_train=1000, num_test=500)) < 0.06


def test_sample_codes_covers_all_values_and_drops_constants():
    """Catches values drawn from [0, size - 1) and the constant factor left in."""
    codes, factors = sample_codes(perfect, Pixels(), seeded(), 300, batch_size=64)
    assert (codes.shape, factors.shape) == ((300, 3), (300, 3))
    assert [column.unique().tolist() for column in factors.T] == [
        list(range(size)) for size in (5, 4, 8)
    ]
    torch.testing.assert_close(codes[:, 1], factors[:, 0].double() / 5 * 4, atol=1e-6, rtol=0)


class Still(Pixels):
    factor_sizes = (1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mig(perfect, Still(), seeded()), r"factor_sizes is \(1, 1\)"),
        (lambda: mig(perfect, Pixels(), seeded(), num_samples=0), "at least 1, got 0"),
        (lambda: mig(lambda x: x, Pixels(), seeded()), r"shape \(256, D\), got shape \(256, 1, 1"),
        (lambda: factor_vae(perfect, Pixels(), seeded(), group_size=1), "got 1 and 10000"),
        (lambda: beta_vae(perfect, Pixels(), seeded(), group_size=0), "at least 1, got 0"),
        (lambda: dci(perfect, Pixels(), seeded(), trees="oak"), "got 'oak'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
