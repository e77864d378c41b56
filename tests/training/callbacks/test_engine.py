"""Seeds of batches, and a look at what a run keeps finite."""

from types import SimpleNamespace

import pytest
import torch

from zoo.core.errors import UserError
from zoo.optim.steps import NonFinite
from zoo.training.callbacks import ClipGradients, KeepFinite, Pictures, Scores, SeedEachBatch

CPU = SimpleNamespace(device=torch.device("cpu"))


def at(batch, rank=0):
    loop = SimpleNamespace(total_batch_idx=batch)
    return SimpleNamespace(global_rank=rank, fit_loop=loop, current_epoch=0)


def noise(seed, batch, rank=0):
    SeedEachBatch(seed).on_train_batch_start(at(batch, rank), CPU, None, 0)
    return tuple(torch.randn(4).tolist())


def test_noise_is_a_function_of_seed_rank_and_batch():
    first = noise(0, 5)
    torch.randn(100)
    assert noise(0, 5) == first
    different = {noise(seed, batch, rank) for seed in (0, 1) for batch in (5, 6) for rank in (0, 1)}
    assert len(different) == 8


def test_a_checkpoint_of_another_seed_is_refused():
    state = SeedEachBatch(3).state_dict()
    SeedEachBatch(3).load_state_dict(state)
    with pytest.raises(UserError, match="add --seed_everything 3"):
        SeedEachBatch(4).load_state_dict(state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_bad_weights_are_not_saved(bad):
    state = {
        "a": torch.ones(2), "n": torch.tensor(3), "b.weight": torch.tensor([0.0, bad]),
    }  # fmt: skip
    with pytest.raises(NonFinite, match=f"b.weight became {bad}"):
        KeepFinite().on_save_checkpoint(at(7), None, {"state_dict": state})
    del state["b.weight"]
    KeepFinite().on_save_checkpoint(at(7), None, {"state_dict": state})


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_gradients_are_clipped_to_something(value):
    with pytest.raises(UserError, match="gradient_clip_val must be positive"):
        ClipGradients(value)


@pytest.mark.parametrize("callback", [Pictures, Scores])
def test_every_so_many_epochs_is_a_positive_number(callback, tmp_path):
    with pytest.raises(UserError, match="--pictures_every must be at least 1"):
        callback(tmp_path, 0) if callback is Pictures else callback(0, None)
