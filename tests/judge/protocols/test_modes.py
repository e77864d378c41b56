"""Modes that can be counted: known samplers get the figures that they must get."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from zoo.data import Digits, GaussianGrid, GaussianRing, ImageSpec, StackedMNIST, TwoMoons
from zoo.judge.protocols import modes
from zoo.judge.protocols.samples import fits_samples
from zoo.judge.run import evaluate, fitting
from zoo.judge.score import Features, Task
from zoo.judge.subject import features_for


def by_name(task):
    return {score.name: score for score in evaluate(task)[0]}


@pytest.fixture(scope="module")
def grid():
    return GaussianGrid()


def points(data, keep=lambda labels: labels >= 0):
    images = data.images("train")
    return images.fetch(keep(images.labels).nonzero().flatten())


def test_real_points_are_perfect(replay, grid):
    found = by_name(Task(replay(points(grid)), grid))
    assert list(found) == [
        "modes[25,3sigma,2500]",
        "high_quality[3sigma,2500]",
        "mode_spread[25,3sigma,2500]",
        "mode_kl[25,3sigma,2500]",
    ]
    coverage, quality, spread, kl = found.values()
    assert coverage.value == 25 and sum(coverage.details["counts"]) == round(2500 * quality.value)
    perfect = 1 - math.exp(-4.5)
    assert quality.value == pytest.approx(perfect, abs=4 * (perfect * (1 - perfect) / 2500) ** 0.5)
    assert spread.value == pytest.approx(1, abs=0.03)
    assert kl.value == pytest.approx(24 / 5e3, abs=3e-3)  # what 2,500 perfect samples have


def test_lost_modes_and_poor_points_are_counted(replay, grid):
    some = points(grid, lambda labels: labels % 5 != 2)
    some[: len(some) // 4] += 1 / 9  # by one of the two that separate modes: nowhere near any
    found = list(by_name(Task(replay(some), grid)).values())
    assert found[0].value == 20
    assert [n == 0 for n in found[0].details["counts"]] == [m % 5 == 2 for m in range(25)]
    assert found[1].value == pytest.approx(0.75 * 0.989, abs=0.02)
    assert found[3].value == pytest.approx(math.log(25 / 20), abs=0.01)


def test_points_drawn_together_inside_their_modes_lose_spread_and_gain_quality(replay, grid):
    some = points(grid)
    centres = some.new_zeros(25, 2, 1, 1)
    labels = grid.images("train").labels
    for mode in range(25):
        centres[mode] = some[labels == mode].mean(dim=0)
    close = centres[labels] + 0.4 * (some - centres[labels])
    _, quality, spread, _ = by_name(Task(replay(close), grid)).values()
    assert quality.value == 1 and spread.value == pytest.approx(0.4 / 0.9745, abs=0.02)


def test_a_sampler_that_hits_nothing_has_no_divergence(replay, grid):
    nowhere = torch.full((10, 2, 1, 1), 0.5 + 1 / 9)
    found = list(by_name(Task(replay(nowhere), grid)).values())
    assert [score.value for score in found] == [0, 0, None, None]


def test_the_judge_looks_at_the_2500_points_of_the_papers(replay):
    data = GaussianRing()
    for limit in (2000, 10_000):
        assert "modes[8,3sigma,2500]" in by_name(Task(replay(points(data)), data, limit=limit))


def test_processes_share_out_the_same_samples(replay, grid):
    task = Task(replay(points(grid)), grid)
    whole = torch.cat(list(modes._draws(task, 2600, "")))
    parts = [list(modes._draws(replace(task, rank=r, world=2), 2600, "")) for r in (0, 1)]
    assert [len(x) for x in parts[0]] == [500, 500, 500] and [len(x) for x in parts[1]] == [
        500,
        500,
        100,
    ]
    joined = [x for pair in zip(*parts, strict=True) for x in pair]
    assert torch.equal(torch.cat(joined), whole)


class Reader:
    """Reads the brightness of an image as its digit."""

    spec = ImageSpec(1, 4, 4, 10)
    device = torch.device("cpu")

    def __init__(self, digits=10):
        self.seen = 0
        self.head = lambda read: 100.0 * torch.nn.functional.one_hot(read[:, 0].long(), digits)
        self.head.bias = torch.zeros(digits)

    def features(self, x):
        assert x.shape[1:] == (1, 4, 4)
        self.seen += len(x)
        return (x.mean(dim=(2, 3)) * 10).floor()


class Stacks:
    """Draws stacks of brightnesses: red and green digits of a set, blue always any."""

    device = torch.device("cpu")

    def __init__(self, reds, greens):
        self.reds, self.greens = torch.tensor(reds), torch.tensor(greens)

    def sample(self, n, *, seed=None):
        generator = torch.Generator().manual_seed(seed)
        digits = [
            known[torch.randint(len(known), (n,), generator=generator)]
            for known in (self.reds, self.greens, torch.arange(10))
        ]
        return (torch.stack(digits, dim=1)[:, :, None, None] / 10 + 0.05).expand(-1, -1, 4, 4)


def stack_task(model, reader=None):
    data = SimpleNamespace(spec=ImageSpec(3, 4, 4, 1000), channel_data="MNIST", binarize="none")
    return Task(model, data, features=Features("brightness", reader or Reader(), ""))


def test_stacks_of_all_digits_reach_all_modes():
    task = stack_task(Stacks(list(range(10)), list(range(10))))
    coverage, kl = by_name(task).values()
    assert coverage.name == "modes[1000,brightness,26k]" and coverage.value == 1000
    assert task.features.network.seen == 3 * 26_000
    assert kl.value == pytest.approx(999 / 52_000, abs=0.004)


def test_lost_digits_of_a_channel_are_lost_modes():
    coverage, kl = by_name(stack_task(Stacks([3, 7], [0, 1, 2, 4]))).values()
    assert coverage.value == 2 * 4 * 10
    assert kl.value == pytest.approx(math.log(1000 / 80), abs=0.004)


def test_protocols_follow_from_what_the_data_is(replay, toy, digits, features, grid):
    model = replay(torch.zeros(1, 2, 1, 1))
    assert fitting(Task(model, grid)) == ["centres"]
    assert fitting(Task(model, TwoMoons())) == []
    assert fitting(Task(toy(), grid)) == []
    stacked = stack_task(Stacks([0], [0]))
    assert fitting(stacked) == ["stacks"] and not fits_samples(stacked)
    assert fitting(stack_task(Stacks([0], [0]), Reader(digits=9))) == []
    assert fitting(replace(stacked, features=None)) == []
    assert "stacks" not in fitting(Task(model, Digits(), features=features))


def test_stacks_are_read_by_the_network_of_their_channels():
    found = features_for(StackedMNIST())
    assert found is not None and found.name == "mnist-features"
