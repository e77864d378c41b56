"""A judgement that was ended half-way goes on, to the same figures."""

import pytest
import torch

from zoo.judge import notes
from zoo.judge.notes import Notes
from zoo.judge.subject import Subject, judge, task_for

BATCHES = 4  # of a hundred images


class Ended(Exception):
    pass


class Bounded:
    """A 'model' with a noisy bound that takes long enough to be ended at its n-th call."""

    device = torch.device("cpu")

    def __init__(self, spec):
        self.spec, self.calls, self.ends_at = spec, 0, None

    def to(self, device):
        return self

    def elbo(self, x, samples=1):
        self.calls += 1
        if self.calls == self.ends_at:
            raise Ended
        return -x.flatten(1).sum(dim=1) - torch.rand(samples, len(x)).logsumexp(dim=0)


def test_a_judgement_goes_on_where_it_was_ended(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(notes, "A_MINUTE", -1.0)
    files = tmp_path / "judgements"

    def judged(model, weights="0" * 64):
        subject = Subject("toy", model, {"class_path": "Digits"}, weights, None, tmp_path)
        return judge(subject, task_for(subject, digits, None, "quick"), "quick")

    whole = Bounded(digits.spec)
    wanted = judged(whole)
    assert not list(files.glob("*"))

    parts = Bounded(digits.spec)
    parts.ends_at = whole.calls // 2 + 1
    with pytest.raises(Ended):
        judged(parts)
    assert len(list(files.glob("*"))) == 1
    parts.ends_at = None
    before = parts.calls
    with monkeypatch.context() as patched:
        patched.setattr("zoo.judge.subject.PACKAGE", tmp_path / "other")
        others = Bounded(digits.spec), Bounded(digits.spec)
        assert judged(others[0])["scores"] == wanted["scores"]
    assert judged(others[1], "1" * 64)["scores"] == wanted["scores"]
    assert [other.calls for other in others] == [whole.calls] * 2  # other code, other weights
    assert judged(parts)["scores"] == wanted["scores"]
    assert parts.calls - before == whole.calls // BATCHES * 2
    assert not list(files.glob("*"))


def test_short_work_leaves_no_file(tmp_path):
    path = tmp_path / "notes.json"
    assert Notes(path).recall("a", lambda: [1.5]) == [1.5]
    assert not path.exists()


def test_files_that_cannot_be_read_or_written_are_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr(notes, "A_MINUTE", -1.0)
    path = tmp_path / "notes.json"
    for text in ("{", "[1]", '{"a": 1}', '{"a": ["b"]}'):
        path.write_text(text)
        assert Notes(path).recall("a", lambda: [2.5]) == [2.5]
    assert Notes(path).recall("a", lambda: [0.0]) == [2.5]
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert Notes(in_the_way / "notes.json").recall("a", lambda: [3.5]) == [3.5]
