"""Shells over counts per mode: halves that add up, and clear refusals."""

import math

import pytest
import torch

from zoo.metrics.modes import ClassModes, ModeCoverage

CENTRES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])


def test_coverage_over_batches_of_unequal_size():
    """Catches batch shares that are averaged: that would give .75, not .8."""
    metric = ModeCoverage(CENTRES, sigma=0.1)
    metric.update(torch.tensor([[0.0, 0.1], [1.0, 0.0]]))
    metric.update(torch.tensor([[4.0, 0.2], [0.0, 0.0], [0.1, 0.0]]))
    scores = {name: score.item() for name, score in metric.compute().items()}
    # Three samples of one mode: squares 1 + 0 + 1 less 2/3 for their mean, over 2 x 2, and the cut.
    spread = math.sqrt((2 - 2 / 3) / 4 / 0.94946)
    known = {"modes": 2.0, "high_quality": pytest.approx(0.8)}
    assert scores == {**known, "spread": pytest.approx(spread, abs=1e-4)}


def test_a_mode_counts_once():
    """Catches captured modes that are added over batches."""
    metric = ModeCoverage(CENTRES, sigma=0.1)
    for _ in range(3):
        metric.update(CENTRES[:1])
    assert metric.compute()["modes"].item() == 1


def test_class_modes_against_a_reference():
    """Catches a reference that is not read (KL log 2, factor inf against uniform)."""
    metric = ClassModes(3, reference=torch.tensor([10, 30, 0]))
    metric.update(torch.tensor([0, 1, 1, 0]))
    scores = metric.compute()
    assert scores["modes"].item() == 2
    assert scores["kl_nats"].item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert scores["worst_factor"].item() == pytest.approx(2)
    assert scores["total_variation"].item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (
            lambda: ModeCoverage(CENTRES, sigma=0.3),
            0.5 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0)),
        ),
        (
            lambda: ClassModes(7),
            torch.randint(6, (300,), generator=torch.Generator().manual_seed(0)),
        ),
    ],
)
def test_halves_add_up(make, data):
    """Catches a state that is averaged, replaced, or not reduced at all."""
    first, second, whole = make(), make(), make()
    first.update(data[:80])
    second.update(data[80:])
    whole.update(data)
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute(), rtol=0, atol=0)
    assert str(second.compute()) != str(whole.compute())
    assert {reduction.__name__ for reduction in whole._reductions.values()} == {"dim_zero_sum"}


def test_constants_are_no_state():
    """Catches centres that a reset, or a state dict, would carry."""
    metric = ModeCoverage(CENTRES, sigma=0.1)
    metric.update(CENTRES)
    metric.reset()
    assert metric.state_dict() == {}
    assert metric.centres.tolist() == CENTRES.tolist() and metric.total == 0


def test_refusals():
    with pytest.raises(ValueError, match=r"centres .* got shape \(3,\)"):
        ModeCoverage(torch.zeros(3), sigma=1.0)
    with pytest.raises(ValueError, match="positive, got -1"):
        ModeCoverage(CENTRES, sigma=-1.0)
    with pytest.raises(ValueError, match="got 0"):
        ClassModes(0)
    with pytest.raises(ValueError, match=r"3 modes, got shape \(2,\)"):
        ClassModes(3, reference=torch.ones(2))
    metric = ClassModes(3)
    with pytest.raises(ValueError, match=r"\[0, 2\], got values from 1 to 3"):
        metric.update(torch.tensor([1, 3]))
    with pytest.raises(ValueError, match="float32"):
        metric.update(torch.tensor([1.0]))
    with pytest.raises(ValueError, match=r"\(0,\)"):
        metric.update(torch.tensor([], dtype=torch.int64))


@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
@pytest.mark.parametrize("metric", [ModeCoverage(CENTRES, 1.0), ClassModes(3)])
def test_nothing_sampled_is_refused(metric):
    with pytest.raises(ValueError, match=r"no samples yet \(0\)"):
        metric.compute()
