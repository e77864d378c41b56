"""Lines and bars: short, and about this epoch only."""

from types import SimpleNamespace

import pytest
import torch

from zoo.training.callbacks.progress import WIDTH, Bar, EpochLines, brief_terms


def trainer(epoch, figures, **more):
    return SimpleNamespace(
        callback_metrics=figures, is_global_zero=True, current_epoch=epoch, max_epochs=9, **more
    )


def test_a_line_leaves_out_what_an_earlier_epoch_logged(capsys):
    lines = EpochLines()
    figures = {"val/error[one-to-one]": torch.tensor(0.25), "train/loss": torch.tensor(2.0)}
    lines.on_train_start(trainer(0, {}), None)
    lines.on_train_epoch_end(trainer(0, figures), None)
    figures = {**figures, "train/loss": torch.tensor(2.0)}  # logged again, with an equal value
    lines.on_train_epoch_end(trainer(1, figures), None)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "epoch 1/9  0 s  error 0.25  loss 2"
    assert second == "epoch 2/9  0 s  loss 2"


def test_long_lines_drop_what_does_not_fit(capsys):
    lines = EpochLines()
    figures = {f"train/a_rather_long_name_{i}": torch.tensor(float(i)) for i in range(20)}
    lines.on_train_start(trainer(0, {}), None)
    lines.on_train_epoch_end(trainer(0, figures), None)
    line = capsys.readouterr().out.rstrip("\n")
    assert WIDTH - 40 < len(line) <= WIDTH


@pytest.mark.parametrize("most", [-1, None])
def test_without_a_plan_no_plan_is_shown(capsys, most):
    lines = EpochLines()
    now = trainer(4, {})
    now.max_epochs = most
    lines.on_train_start(now, None)
    lines.on_train_epoch_end(now, None)
    assert capsys.readouterr().out == "epoch 5  0 s\n"


def test_other_processes_are_silent(capsys):
    lines = EpochLines()
    now = trainer(0, {})
    now.is_global_zero = False
    lines.on_train_start(now, None)
    lines.on_train_epoch_end(now, None)
    assert capsys.readouterr().out == ""


def test_a_bar_shows_a_few_terms():
    figures = {f"train/t{i}": torch.tensor(1.0) for i in range(9)}
    figures["val/nmi[codes,val]"] = torch.tensor(0.5)
    shown = Bar().get_metrics(trainer(0, figures), None)
    assert shown == {"nmi": "0.5", "t0": "1", "t1": "1", "t2": "1"}


class Drawn:
    """Stands in for tqdm: keeps what it was told to show."""

    total, n, disable, descriptions = 100, 0, False, ()

    def __init__(self):
        self.shown = []

    def set_description(self, text):
        self.descriptions = (*self.descriptions, text)

    def reset(self, total=None):
        self.n = 0

    def refresh(self):
        self.shown.append(self.n)

    def set_postfix(self, terms):
        pass


@pytest.mark.parametrize("pause, drawn", [(0.15, [1, 3, 5, 7, 9, 10]), (1.0, list(range(1, 11)))])
def test_a_bar_is_redrawn_by_the_clock_and_at_the_end(monkeypatch, pause, drawn):
    now = [100.0]
    monkeypatch.setattr("zoo.training.callbacks.progress.time.monotonic", lambda: now[0])
    bar, run = Bar(), trainer(4, {}, num_training_batches=10)
    monkeypatch.setattr(bar, "init_train_tqdm", Drawn)
    bar._trainer = run
    bar.on_train_epoch_start(run, None)
    assert bar.train_progress_bar.descriptions[-1] == "epoch 5/9"
    for batch in range(10):
        bar.on_train_batch_end(run, None, None, None, batch)
        now[0] += pause
    assert bar.train_progress_bar.shown == drawn


def test_tiny_and_huge_figures_stay_readable():
    assert brief_terms({"train/a": 1e-5, "train/b": 123456.0}) == ["a 1e-05", "b 123,456"]
