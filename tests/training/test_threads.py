"""The number of threads of a run, decided from made-up seconds of batches."""

import pytest
import torch

from zoo.training.callbacks.threads import LATE, WATCHED, Choice, Threads


def train(choice, seconds, batches):
    """Takes batches whose seconds depend on the number of threads; returns the numbers used."""
    used = []
    for _ in range(batches):
        used.append(choice.number)
        choice.took(seconds(choice.number))
    return used


@pytest.mark.parametrize("several", [0.3, 0.49, 0.51, 5.0])
def test_the_faster_number_is_found_within_eighteen_batches(several):
    choice = Choice(2)
    used = train(choice, {2: several, 1: 0.5}.get, 30)
    assert choice.settled and choice.number == (2 if several < 0.5 else 1)
    assert len(set(used[18:])) == 1
    # it tries both at the same batches in every run, so that equal decisions give equal weights
    assert used[:6] == [2, 2, 2, 1, 1, 1]


def test_a_hopeless_number_is_tried_three_times_only():
    used = train(Choice(2), {2: 20.0, 1: 1.0}.get, 40)
    assert used.count(2) == 3


def test_the_first_batch_after_a_change_does_not_count():
    choice, seconds = Choice(2), iter([9.0, 0.1, 0.1, 0.01, 0.2, 0.2] * 3)
    for _ in range(18):
        choice.took(next(seconds))
    assert choice.number == 2  # counting the first ones, one thread would win


def test_several_threads_are_given_up_when_another_program_takes_a_core():
    choice = Choice(2)
    train(choice, {2: 0.6, 1: 1.0}.get, 100)
    assert choice.number == 2
    train(choice, lambda _: 0.99 * LATE, 3 * WATCHED)  # slower, but not slower than one thread was
    assert choice.number == 2
    train(choice, lambda _: 1.1 * LATE, 2 * WATCHED)
    assert choice.number == 1
    train(choice, lambda _: 0.1, 3 * WATCHED)
    assert choice.number == 1  # for good: going up again would change a run by the clock


def test_one_late_batch_changes_nothing():
    choice = Choice(2)
    train(choice, {2: 0.6, 1: 1.0}.get, 18)
    late = iter([30.0, *[0.6] * (WATCHED - 1)])
    train(choice, lambda _: next(late), WATCHED)
    assert choice.number == 2


@pytest.mark.parametrize("stop", [1, 5, 9, 18, 40])
def test_a_continued_run_goes_on_with_the_same_numbers(stop):
    whole, part = Choice(2), Choice(2)
    used = train(whole, {2: 0.6, 1: 1.0}.get, 60)
    first = train(part, {2: 0.6, 1: 1.0}.get, stop)
    again = Choice(2)
    again.restore(part.state())
    assert first + train(again, {2: 0.6, 1: 1.0}.get, 60 - stop) == used


def test_a_run_continued_with_one_core_uses_one():
    several = Choice(4)
    train(several, {4: 0.2, 1: 1.0}.get, 30)
    one = Choice(1)
    one.restore(several.state())
    assert one.number == 1
    two = Choice(2)
    two.restore(several.state())
    assert two.number == 2 and two.settled


def test_the_callback_sets_torch_s_number_and_says_so(capsys):
    class Trainer:
        print = staticmethod(print)

    before = torch.get_num_threads()
    try:
        callback = Threads(2)
        callback.on_train_start(Trainer, None)
        assert torch.get_num_threads() == 2
        callback.choice.seconds = {2: [0.8, 0.8], 1: [0.2, 0.2]}
        callback.choice.batches = 5
        callback.on_train_batch_start(Trainer, None, None, 0)
        callback.on_train_batch_end(Trainer, None, None, None, 0)
        assert torch.get_num_threads() == 1
        said = capsys.readouterr().out
        assert said == "1 thread: 200 ms a batch (2 threads: 800 ms)\n"
    finally:
        torch.set_num_threads(before)
