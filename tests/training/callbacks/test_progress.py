"""Lines and bars: short, and about this epoch only."""

from types import SimpleNamespace

import pytest
import torch

from zoo.training.callbacks.progress import WIDTH, Bar, EpochLines, brief_terms


def trainer(epoch, figures, **more):
    return SimpleNamespace(
        callback_metrics=figures, is_global_zero=True, current_epoch=epoch, max_epochs=9, **more
    )


def table(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_line_leaves_out_what_an_earlier_epoch_logged(capsys):
    lines = EpochLines()
    figures = {"val/code_error[one-to-one]": torch.tensor(0.25), "train/loss": torch.tensor(2.0)}
    lines.on_train_start(trainer(0, {}), None)
    lines.on_train_epoch_end(trainer(0, figures), None)
    figures = {**figures, "train/loss": torch.tensor(2.0)}  # logged again, with an equal value
    lines.on_train_epoch_end(trainer(1, figures), None)
    said = capsys.readouterr().out
    # in the units of the tables of published models: an error of a quarter is 25 %
    assert [line.split() for line in said.splitlines()] == [
        ["epoch", "s", "code_error", "loss"], ["1/9", "0", "25", "%", "2"], ["2/9", "0", "2"],
    ]  # fmt: skip
    assert len({line.rstrip().rfind(last) for line, last in zip(said.splitlines()[1:], "22",
                                                                strict=True)}) == 1  # fmt: skip


def test_a_long_run_has_some_fifteen_lines_whose_columns_stand_still(capsys):
    lines = EpochLines()
    lines.on_train_start(
        trainer(
            0,
            {},
        ),
        None,
    )
    for epoch in range(240):
        figures = {"train/loss": torch.tensor(10.0 ** (epoch % 5))}
        if epoch % 80 == 79:  # a score that is computed every eightieth epoch
            figures["val/nmi[codes,val]"] = torch.tensor(0.5)
        now = trainer(epoch, figures)
        now.max_epochs = 240
        lines.on_train_epoch_end(now, None)
    said = capsys.readouterr().out.splitlines()
    assert 15 <= len(said) <= 20
    assert [line.split() for line in said if "epoch" in line] == [
        ["epoch", "s", "loss"], ["epoch", "s", "nmi", "loss"],
    ]  # fmt: skip
    second = next(n for n, line in enumerate(said) if "nmi" in line)
    for part in (said[:second], said[second:]):
        assert len({len(line) for line in part}) == 1
    assert said[1].split()[0] == "1/240" and said[-1].split()[0] == "240/240"


def test_a_silent_minute_is_ended_and_so_is_a_run_that_stops_early(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("zoo.training.callbacks.progress.time.perf_counter", lambda: now[0])
    lines, run = EpochLines(), trainer(0, {})
    run.max_epochs = 600
    lines.on_train_start(run, None)
    for run.current_epoch in range(8):
        now[0] += 25
        lines.on_train_epoch_end(run, None)
    lines.on_train_end(run, None)
    assert [line[:2] for line in table(capsys)[1:]] == [
        ["1/600", "25"], ["4/600", "100"], ["7/600", "175"], ["8/600", "200"],
    ]  # fmt: skip


def test_long_lines_drop_what_does_not_fit(capsys):
    lines = EpochLines()
    figures = {f"train/a_rather_long_name_{i}": torch.tensor(float(i)) for i in range(20)}
    lines.on_train_start(trainer(0, {}), None)
    lines.on_train_epoch_end(trainer(0, figures), None)
    for line in capsys.readouterr().out.splitlines():
        assert WIDTH - 40 < len(line) <= WIDTH


@pytest.mark.parametrize("most", [-1, None])
def test_without_a_plan_no_plan_is_shown(capsys, most):
    lines = EpochLines()
    now = trainer(3, {})
    now.max_epochs = most
    lines.on_train_start(now, None)
    lines.on_train_epoch_end(now, None)
    assert table(capsys) == [["epoch", "s"], ["4", "0"]]


def test_other_processes_are_silent(capsys):
    lines = EpochLines()
    now = trainer(0, {})
    now.is_global_zero = False
    lines.on_train_start(now, None)
    lines.on_train_epoch_end(now, None)
    lines.on_train_end(now, None)
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
