"""Shells over features: merging, agreement with torchmetrics on an identity network, refusals."""

import math

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from zoo.functional.features import inception_style_score, kernel_distance
from zoo.functional.neighbours import neighbour_scores
from zoo.metrics.features import (
    FrechetDistance,
    InceptionStyleScore,
    KernelDistance,
    NeighbourScores,
)

WIDTH = 6


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


REAL, FAKE = normal(90, WIDTH), 1.2 * normal(70, WIDTH, seed=1) + 0.1

TWO_SETS = {
    "frechet": lambda: FrechetDistance(WIDTH),
    "kernel": lambda: KernelDistance(subsets=5, subset_size=30),
    "neighbours": lambda: NeighbourScores(),
}


def feed(metric, real=REAL, fake=FAKE, batch=16):
    for features, is_real in ((real, True), (fake, False)):
        for part in features.split(batch):
            metric.update(part, real=is_real)
    return metric


def values(result):
    return torch.stack(list(result)) if isinstance(result, tuple) else result


class Features(nn.Module):
    """The network that torchmetrics insists on."""

    num_features = WIDTH

    def forward(self, features):
        return features


@pytest.mark.parametrize("name", TWO_SETS)
def test_two_halves_merged_equal_one_process(name):
    """The first process even lacks fakes: rejects merging without the counts."""
    whole = feed(TWO_SETS[name]())
    first, second = TWO_SETS[name](), TWO_SETS[name]()
    for part in REAL[40:].split(16):
        first.update(part, real=True)
    feed(second, real=REAL[:40])
    first.merge_state(second)
    expected = values(whole.compute())
    torch.testing.assert_close(values(first.compute()), expected, rtol=1e-9, atol=1e-9)


def test_probabilities_merged_equal_one_process():
    rows = normal(40, 5).softmax(1)
    whole, first, second = (InceptionStyleScore(splits=4) for _ in range(3))
    whole.update(rows)
    first.update(rows[25:])
    second.update(rows[:25])
    first.merge_state(second)
    torch.testing.assert_close(values(first.compute()), values(whole.compute()))


@pytest.mark.parametrize("name", TWO_SETS)
def test_batches_and_their_order_of_sets_do_not_matter(name):
    whole, parts = feed(TWO_SETS[name](), batch=1000), TWO_SETS[name]()
    for part in FAKE.split(7):
        parts.update(part, real=False)
    for part in REAL.split(11):
        parts.update(part, real=True)
    torch.testing.assert_close(
        values(parts.compute()), values(whole.compute()), rtol=1e-9, atol=1e-9
    )


def test_frechet_distance_equals_torchmetrics():
    theirs = feed(FrechetInceptionDistance(Features()).set_dtype(torch.float64))
    ours = feed(FrechetDistance(WIDTH)).compute()
    assert ours.dtype == torch.float64
    assert ours.item() == pytest.approx(theirs.compute().item(), rel=1e-5)


def test_frechet_distance_is_blind_to_a_common_distant_mean():
    """Rejects sums of uncentred squares."""
    real, fake = REAL.double(), FAKE.double()
    near, far = (feed(FrechetDistance(WIDTH), real + c, fake + c).compute() for c in (0, 1e7))
    torch.testing.assert_close(far, near, rtol=1e-6, atol=1e-6)


def test_frechet_state_stays_double_when_a_module_is_cast():
    module = nn.Module()
    module.metric = feed(FrechetDistance(WIDTH))
    expected = module.metric.compute()
    module.half()
    module.metric.update(REAL[:0].new_zeros(1, WIDTH), real=True)
    assert module.metric.real_moments.dtype == torch.float64
    assert module.metric.compute() != expected


def test_the_other_shells_return_their_functions():
    kernel = feed(KernelDistance(subsets=5, subset_size=30, seed=3)).compute()
    generator = torch.Generator().manual_seed(3)
    assert kernel == kernel_distance(REAL, FAKE, generator=generator, subsets=5, subset_size=30)
    scores = feed(NeighbourScores(manifold_k=2, density_k=4)).compute()
    assert scores == neighbour_scores(REAL, FAKE, manifold_k=2, density_k=4)
    metric = InceptionStyleScore(splits=3, seed=5)
    rows = normal(20, 4).softmax(1)
    metric.update(rows)
    generator = torch.Generator().manual_seed(5)
    assert metric.compute() == inception_style_score(rows, 3, generator=generator)


def test_reset_forgets_both_sets():
    metric = feed(FrechetDistance(WIDTH))
    expected = metric.compute()
    metric.reset()
    assert metric.real_moments.abs().sum() == metric.fake_moments.abs().sum() == 0
    assert feed(metric).compute() == expected


def test_the_cap_bounds_memory_and_keeps_the_first():
    metric = feed(NeighbourScores(max_samples=40))
    assert sum(map(len, metric.real_features)) == sum(map(len, metric.fake_features)) == 40
    assert metric.compute() == neighbour_scores(REAL[:40], FAKE[:40])


def test_the_cap_treats_processes_alike():
    """Two processes keep 32 each: of these 64, every second one is scored."""
    metric = feed(NeighbourScores(max_samples=32))
    metric.merge_state(feed(NeighbourScores(max_samples=32), REAL[32:], FAKE[32:]))
    real = torch.cat([REAL[32:64], REAL[:32]])[::2]
    fake = torch.cat([FAKE[32:64], FAKE[:32]])[::2]
    assert metric.compute() == neighbour_scores(real, fake)


def test_features_of_a_graph_do_not_keep_it():
    metric = feed(KernelDistance(subsets=2, subset_size=9), REAL.clone().requires_grad_())
    assert not metric.real_features[0].requires_grad
    frechet = feed(FrechetDistance(WIDTH), REAL.clone().requires_grad_())
    assert not frechet.real_moments.requires_grad


@pytest.mark.parametrize("name", TWO_SETS)
def test_refusals_quote_the_values(name):
    metric = TWO_SETS[name]()
    metric.update(REAL, real=True)
    with pytest.raises(ValueError, match="90 real and 0 generated"):
        metric.compute()
    with pytest.raises(ValueError, match=rf"expected features \(N, {WIDTH}\), got \(4, 2\)"):
        metric.update(torch.ones(4, 2), real=False)
    with pytest.raises(ValueError, match=r"got \(6,\)"):
        metric.update(torch.ones(WIDTH), real=False)
    with pytest.raises(ValueError, match=r"not empty, got torch\.float32 \(0, 6\)"):
        metric.update(torch.ones(0, WIDTH), real=False)
    with pytest.raises(ValueError, match=r"floats and not empty, got torch\.uint8"):
        metric.update(torch.ones(3, WIDTH, dtype=torch.uint8), real=False)
    bad = FAKE.clone()
    bad[3, 2], bad[5, 0] = math.nan, math.inf
    with pytest.raises(ValueError, match="2 rows with non-finite values of 70"):
        metric.update(bad, real=False)
    metric.update(FAKE[:1], real=False)
    with pytest.raises(ValueError, match="90 real and 1 generated"):
        metric.compute()


def test_constructors_refuse_impossible_numbers():
    for build, message in (
        (lambda: FrechetDistance(0), "width must be at least 1, got 0"),
        (lambda: KernelDistance(subsets=1), "got 1 of 1000"),
        (lambda: NeighbourScores(density_k=0), "got 3 and 0"),
        (lambda: NeighbourScores(max_samples=5), "max_samples=5 cannot hold 5 neighbours"),
        (lambda: InceptionStyleScore(splits=0), "splits must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            build()


def test_probability_refusals():
    metric = InceptionStyleScore(splits=3)
    metric.update(torch.eye(2))
    with pytest.raises(ValueError, match="3 splits need as many rows, got 2"):
        metric.compute()
    with pytest.raises(ValueError, match=r"got \(1, 3\)"):
        metric.update(torch.eye(3)[:1])
    metric.update(torch.tensor([[5.0, -4.0]]))
    with pytest.raises(ValueError, match="not logits"):
        metric.compute()
