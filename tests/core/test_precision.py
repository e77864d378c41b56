"""The number format is asked of the hardware, and only for models that want it."""

import pytest
import torch

import zoo.core.precision
from zoo.core.precision import automatic_precision, has_fast_bf16


@pytest.mark.parametrize(
    "prefers, fast, precision",
    [
        (True, True, "bf16-mixed"),
        (True, False, "32-true"),
        (False, True, "32-true"),
    ],
)
def test_the_choice(monkeypatch, prefers, fast, precision):
    monkeypatch.setattr(zoo.core.precision, "has_fast_bf16", lambda device: fast)
    chosen, reason = automatic_precision(prefers, "cpu")
    assert chosen == precision
    assert reason


@pytest.mark.parametrize(
    "oneapi, amx, avx, fast",
    [(True, True, False, True), (True, False, True, True), (True, False, False, False),
     (False, True, True, False)],
)  # fmt: skip
def test_a_processor_needs_units_and_a_library(monkeypatch, oneapi, amx, avx, fast):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: oneapi)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx, raising=False)
    assert has_fast_bf16("cpu") is fast


def test_an_old_torch_is_not_asked_what_it_does_not_know(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert has_fast_bf16("cpu") is False


def test_other_devices_have_none():
    assert has_fast_bf16("mps") is False
