"""How long a run will take, told from made-up seconds of its first batches."""

from types import SimpleNamespace

import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.training.callbacks import Pace
from zoo.training.callbacks.threads import Choice
from zoo.training.choosing import about_size


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("zoo.training.callbacks.pace.time.perf_counter", lambda: self.now)


def trainer(data=None, batches=100, epochs=10, steps=-1, every=50):
    return SimpleNamespace(
        num_training_batches=batches, max_epochs=epochs, max_steps=steps, log_every_n_steps=every,
        accumulate_grad_batches=1, fit_loop=SimpleNamespace(total_batch_idx=-1), datamodule=data,
        print=print, strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )  # fmt: skip


def train(pace, clock, run, seconds, gap=0.0):
    """Trains batches of so many seconds."""
    pace.on_train_start(run, None)
    for number, each in enumerate(seconds):
        run.fit_loop.total_batch_idx += 1
        pace.on_train_batch_start(run, None, None, number)
        clock.now += each
        pace.on_train_batch_end(run, None, None, None, number)
        clock.now += gap
        if (number + 1) % run.num_training_batches == 0:
            pace.on_train_epoch_end(run, None)
            clock.now += 1000  # pictures


def test_the_time_is_told_once_and_early_without_the_first_batch(monkeypatch, capsys):
    run = trainer()
    train(Pace(), Clock(monkeypatch), run, [5.0, *[0.2] * 60], gap=0.1)
    # nine batches of .3 s have been seen, 991 are left; the first one would make it .8 s each
    assert capsys.readouterr().out == (
        "about 30 s an epoch, 5 min for what is left, pictures and scores aside\n"
    )


@pytest.mark.parametrize("batches", [1, 2, 100])
def test_slow_batches_are_told_of_after_ten_seconds(monkeypatch, capsys, batches):
    run = trainer(batches=batches, epochs=None)
    train(Pace(), Clock(monkeypatch), run, [7.0, 6.0, 6.0])
    told = {1: "6 s", 2: "12 s", 100: "10 min"}[batches]
    assert capsys.readouterr().out == f"about {told} an epoch\n"


def test_a_single_batch_that_takes_long_is_enough(monkeypatch, capsys):
    train(Pace(Choice(2)), Clock(monkeypatch), trainer(batches=2, epochs=3), [102.0])
    assert capsys.readouterr().out.startswith("about 3 min an epoch, 8 min for what is left")


def test_the_plan_may_be_one_of_steps(monkeypatch, capsys):
    train(Pace(), Clock(monkeypatch), trainer(steps=109), [1.0] * 9)
    assert "about 100 s an epoch, 100 s for what is left" in capsys.readouterr().out.replace(
        "2 min", "100 s"
    )


def test_it_waits_for_the_number_of_threads_and_takes_the_better_one(monkeypatch, capsys):
    choice, clock, run = Choice(2), Clock(monkeypatch), trainer()
    pace = Pace(choice)
    pace.on_train_start(run, None)
    for number in range(18):
        assert capsys.readouterr().out == ""
        pace.on_train_batch_start(run, None, None, number)
        seconds = 0.4 if choice.number == 2 else 0.2
        clock.now += seconds
        choice.took(seconds)
        pace.on_train_batch_end(run, None, None, None, number)
    assert choice.settled and capsys.readouterr().out.startswith("about 20 s an epoch")


@pytest.mark.parametrize("side, option", [(64, "size"), (128, "size"), (32, None)])
def test_a_very_long_epoch_names_a_smaller_size_and_a_gpu(monkeypatch, capsys, side, option):
    taken = {"__init__": DATASETS["ImageFolder"].__init__, "spec": ImageSpec(3, side, side)}
    data = object.__new__(type("Folder", (), taken))  # no folder of images is needed
    train(Pace(), Clock(monkeypatch), trainer(data), [7.0, 7.0])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("about 12 min an epoch")
    assert second.startswith("an epoch of 12 min is long: ") and "a GPU is" in second
    told = f"--data.{option} {side // 2} has a quarter of the {side}x{side} pixels"
    assert (told in second) is ("--data" in second) is (option is not None)


def test_data_sets_without_a_size_are_resized(monkeypatch, capsys):
    data = DATASETS["MNIST"](pad=64)
    train(Pace(), Clock(monkeypatch), trainer(data), [11.0, 11.0])
    assert "--data.resize 32 has a quarter of the 64x64 pixels" in capsys.readouterr().out


def test_points_and_short_epochs_are_left_in_peace(monkeypatch, capsys):
    data = DATASETS["TwoMoons"]()
    train(Pace(), Clock(monkeypatch), trainer(data), [11.0, 11.0])
    assert "--data." not in capsys.readouterr().out
    train(Pace(), Clock(monkeypatch), trainer(data), [5.0, 5.0])
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("batches, rows", [(2, 2), (49, 49), (50, 50), (400, 50), (0, 1)])
def test_every_epoch_has_a_row(batches, rows):
    run = trainer(batches=batches)
    Pace().on_train_start(run, None)
    assert run.log_every_n_steps == rows
    for epoch in range(1, 8):  # a multiple of it lies in every epoch
        inside = range(batches * (epoch - 1) + 1, batches * epoch + 1)
        assert not batches or any(batch % rows == 0 for batch in inside)


def test_fully_connected_layers_of_large_images_are_spoken_of():
    with torch.device("meta"):
        small = MODELS["VAE"](ImageSpec(3, 64, 64), hidden=(4,))
        large = MODELS["VAE"](ImageSpec(3, 128, 128), hidden=(4,))
        conv = MODELS["VAE"](ImageSpec(3, 128, 128), network="conv", width=4)
        other = MODELS["PixelCNN"](ImageSpec(3, 128, 128))
    assert "each of the 49,152 numbers" in about_size(large)
    assert "--model.network conv" in about_size(large)
    assert [about_size(model) for model in (small, conv, other)] == [""] * 3
