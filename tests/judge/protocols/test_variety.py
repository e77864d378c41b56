"""Variety within a caption: painters whose variety is known."""

import math

import pytest
import torch

from zoo.data import CaptionedShapes
from zoo.data.captions import text_of
from zoo.data.shapes import WORDS, parse, render
from zoo.judge.protocols.variety import fits_places, score_places
from zoo.judge.score import Task

DATA = 12 / math.sqrt(3)  # objects stand evenly within 12 pixels of the middle


class Painter:
    """Renders captions as the data does; ``share`` of it is drawn anew each time."""

    words, known_captions = WORDS, torch.zeros(0, 16)

    def __init__(self, share):
        self.share = share

    def illustrate(self, captions, *, seed=None, stage=2):
        rows = [[max(v, 0) for v in parse(text_of(tokens, WORDS))] for tokens in captions]
        attributes = torch.tensor(rows)
        images = []
        for number, row in enumerate(attributes):
            own = torch.Generator().manual_seed(seed + 1000 * number)
            same = torch.Generator().manual_seed(1)
            anew = torch.rand(1, generator=own).item() < self.share
            images.append(render(row[None], own if anew else same))
        return torch.cat(images).float() / 255


@pytest.fixture(scope="module")
def data():
    return CaptionedShapes(scenes=600, val_size=10)


def score(data, share):
    (found,) = score_places(Task(Painter(share), data))
    assert found.name == "position_spread[50x20]" and found.unit == "pixels"
    return found


def test_a_painter_that_ignores_its_noise_has_no_variety(data):
    found = score(data, 0.0)
    assert found.value == pytest.approx(0, abs=1e-3)
    assert found.details["data"] == pytest.approx(DATA, abs=0.6)  # of a hundred real scenes


def test_a_painter_of_the_data_has_its_variety(data):
    """Captions that leave a size open add nothing: it moves no centre."""
    found = score(data, 1.0)
    assert found.value == pytest.approx(DATA, abs=0.25)
    assert found.details["share"] == pytest.approx(found.value / found.details["data"], abs=1e-3)


def test_the_protocol_asks_for_words_of_the_data(data):
    assert fits_places(Task(Painter(1.0), data))
    stranger = Painter(1.0)
    stranger.words = ("other",)
    assert not fits_places(Task(stranger, data))
