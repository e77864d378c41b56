"""Shells of GEL: what they accumulate must equal what the pure functions see at once."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from zoo.functional.gel.one_sample import (
    class_kernel_moments,
    gel_one_sample,
    gel_per_class,
    gel_two_sample,
    kernel_moments,
)
from zoo.metrics.gel import FeatureMeanGEL, KernelGEL, PerClassKernelGEL, TwoSampleKernelGEL


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TEST, MODEL, WITNESS = normal(0, 90, 4), normal(1, 140, 4) * 0.9 + 0.1, normal(2, 6, 4)
TEST_LABELS, MODEL_LABELS = torch.arange(90) % 3, torch.arange(140) % 3
WITNESS_LABELS = torch.arange(6) % 3
METRICS: dict[str, Callable[..., Any]] = {
    "mean": lambda **k: FeatureMeanGEL(4, num_classes=3, **k),
    "kernel": lambda **k: KernelGEL(WITNESS, num_classes=3, **k),
    "two": lambda **k: TwoSampleKernelGEL(WITNESS, num_classes=3, **k),
    "class": lambda **k: PerClassKernelGEL(WITNESS, WITNESS_LABELS, 3, **k),
}


def fill(metric, test=slice(None), model=slice(None), batch=32) -> Any:
    """Update with both sides in batches, the sides interleaved."""
    sides = [
        (TEST[test].split(batch), TEST_LABELS[test].split(batch), True),
        (MODEL[model].split(batch), MODEL_LABELS[model].split(batch), False),
    ]
    for features, labels, real in sides:
        for x, y in zip(features, labels, strict=True):
            metric.update(x, real, y)
    return metric


def weights_of(result):
    return result.test_weights if hasattr(result, "test_weights") else result.weights


def direct(name, objective) -> Any:
    """The same answer from the pure functions."""
    f = lambda x: kernel_moments(x, WITNESS)  # noqa: E731
    if name == "mean":
        return gel_one_sample(TEST, MODEL.double().mean(0), objective)
    if name == "kernel":
        return gel_one_sample(f(TEST), f(MODEL).mean(0), objective)
    if name == "two":
        return gel_two_sample(f(MODEL), f(TEST), objective)
    test = class_kernel_moments(TEST, TEST_LABELS, WITNESS, WITNESS_LABELS)
    model = class_kernel_moments(MODEL, MODEL_LABELS, WITNESS, WITNESS_LABELS)
    target = torch.stack([model[MODEL_LABELS == k].mean(0) for k in range(3)])
    return gel_per_class(test, TEST_LABELS, target, torch.bincount(MODEL_LABELS), objective)


@pytest.mark.parametrize("objective", ["et", "el", "euclidean"])
@pytest.mark.parametrize("name", METRICS)
def test_batches_equal_one_call(name, objective):
    result, want = fill(METRICS[name](objective=objective)).compute(), direct(name, objective)
    assert result.status == want.status == "solved"
    assert result.divergence == pytest.approx(want.divergence, rel=1e-6)
    torch.testing.assert_close(weights_of(result), weights_of(want), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_two_processes_equal_one(name):
    """Rejects averaging the model means of processes with different counts."""
    single = fill(METRICS[name]()).compute()
    first = fill(METRICS[name](), slice(0, 50), slice(0, 100))
    second = fill(METRICS[name](), slice(50, None), slice(100, None))
    second.merge_state(first)  # the merged state comes first
    result = second.compute()
    assert result.divergence == pytest.approx(single.divergence, rel=1e-9)
    torch.testing.assert_close(weights_of(result), weights_of(single), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", METRICS)
def test_reset_and_copy(name):
    metric = fill(METRICS[name]())
    want = copy.deepcopy(metric).compute().divergence
    metric.reset()
    metric.update(TEST, True, TEST_LABELS)
    with pytest.raises(ValueError, match=r"both sides|model side is empty"):
        metric.compute()
    metric.reset()
    metric.update(MODEL, False, MODEL_LABELS)
    with pytest.raises(ValueError, match="both sides"):
        metric.compute()
    metric.reset()
    assert fill(metric).compute().divergence == want


def test_states_stay_double_when_the_model_is_half():
    metric = KernelGEL(WITNESS)
    holder = torch.nn.ModuleList([metric]).half()
    fill(metric)
    assert metric.model_sum.dtype == metric.test_moments[0].dtype == torch.float64
    assert len(holder) == 1 and metric.compute().status == "solved"


def test_model_state_does_not_grow():
    metric = KernelGEL(WITNESS)
    for _ in range(5):
        metric.update(MODEL, real=False)
    assert metric.model_sum.shape == (6,) and int(metric.model_count) == 700


def test_mode_masses():
    result = fill(KernelGEL(WITNESS, num_classes=4)).compute()
    assert result.mode_mass.sum().item() == pytest.approx(1)
    assert result.mode_share.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    two = fill(TwoSampleKernelGEL(WITNESS, num_classes=3)).compute()
    assert two.model_mode_mass.sum().item() == pytest.approx(1)
    assert two.test_mode_mass.sum().item() == pytest.approx(1)


def test_ids_follow_the_weights():
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    metric = KernelGEL(WITNESS)
    for part in order.split(40):
        metric.update(TEST[part], real=True, ids=part)
    metric.update(MODEL, real=False)
    result, want = metric.compute(), direct("kernel", "et")
    torch.testing.assert_close(result.weights, want.weights[result.ids], rtol=1e-7, atol=1e-10)


def test_infeasible_is_an_answer():
    metric: Any = FeatureMeanGEL(4, num_classes=3)
    metric.update(TEST, real=True, labels=TEST_LABELS)
    metric.update(MODEL + 50, real=False)
    result = metric.compute()
    assert (result.status, result.divergence) == ("infeasible", math.inf)
    assert result.mode_mass.isnan().all() and result.mode_share.isfinite().all()


def test_features_of_single_precision_use_the_coarse_cut():
    """Softmax outputs sum to one only up to rounding; that must not become a moment."""
    test, model = TEST.softmax(1), (MODEL / 2).softmax(1)
    metric = FeatureMeanGEL(4)
    metric.update(test, real=True)
    metric.update(model, real=False)
    assert metric.compute().rank == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: KernelGEL(WITNESS, "expo"), "did you mean 'exponential'"),
        (lambda: KernelGEL(WITNESS).update(TEST[:, :2], True), "width 2.*width 4"),
        (lambda: KernelGEL(WITNESS).update(TEST * math.inf, True), "non-finite"),
        (lambda: KernelGEL(WITNESS).update(TEST[:0], False), "non-empty"),
        (lambda: FeatureMeanGEL(3).update(TEST, True), r"\(B, 3\).*got \(90, 4\)"),
        (lambda: KernelGEL(WITNESS, num_classes=3).update(TEST, True), "labels are needed"),
        (lambda: KernelGEL(WITNESS, num_classes=2).update(TEST, True, TEST_LABELS), "got 0..2"),
        (lambda: KernelGEL(WITNESS, num_classes=0), "at least 1, got 0"),
        (lambda: PerClassKernelGEL(WITNESS, WITNESS_LABELS, 2), "got 0..2"),
        (lambda: fill(KernelGEL(WITNESS, objective="elx")).compute(), "did you mean 'el'"),
    ],
)
def test_bad_use_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
