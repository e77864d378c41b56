"""The protocol of captions, on models whose obedience is known."""

from dataclasses import replace

import pytest
import torch

from zoo.data import CaptionedShapes
from zoo.data.captions import text_of
from zoo.data.shapes import ATTRIBUTES, WORDS, parse, render
from zoo.judge.protocols.captions import (
    fits_attributes,
    fits_captions,
    score_attributes,
    score_captions,
    shows,
)
from zoo.judge.score import Features, Task


class Reader:
    """Knows the attributes of every image that was made here, by its bytes; disturbed on demand."""

    device = torch.device("cpu")

    def __init__(self, data, wrong=0):
        self.spec, self.wrong, self.known = data.spec, wrong, {}
        self.head = torch.nn.Linear(4, 2)

    def learn(self, images, attributes):
        for image, row in zip(images, attributes, strict=True):
            self.known[(image * 255).round().byte().numpy().tobytes()] = row

    def attributes(self, x):
        keys = [(image * 255).round().byte().numpy().tobytes() for image in x]
        assert all(key in self.known for key in keys)
        found = torch.stack([self.known[key] for key in keys])
        found[: self.wrong, 2] = (found[: self.wrong, 2] + 1) % 6
        return found

    def features(self, x):
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3)), x[:, 0].mean((1, 2)),
                            x[:, 2].amax((1, 2))], dim=1)  # fmt: skip


class Painter:
    """Renders what a caption says; the first stage is a grey sheet."""

    words, known_captions = WORDS, torch.zeros(0, 16)
    device = torch.device("cpu")

    def __init__(self, reader):
        self.reader = reader

    def illustrate(self, captions, *, seed=None, stage=2):
        rows = []
        for tokens in captions:
            row = parse(text_of(tokens, WORDS))
            rows.append([max(value, 0) for value in row])
        attributes = torch.tensor(rows)
        images = render(attributes, torch.Generator().manual_seed(seed)).float() / 255
        if stage == 1:
            return torch.full_like(images, 0.5) + 0.01 * images
        self.reader.learn(images, attributes)
        return images


@pytest.fixture(scope="module")
def data():
    return CaptionedShapes(scenes=600, val_size=10)


def task(data, model, reader):
    return Task(model, data, features=Features("shapes-features", reader, ""), limit=200)


def test_a_caption_is_shown_if_all_it_says_is():
    found = torch.tensor([[1, 0, 2], [1, 0, 2], [1, 0, 2]])
    asked = torch.tensor([[1, 0, 2], [-1, -1, 2], [1, 1, 2]])
    assert shows(found, asked).tolist() == [True, True, False]


def test_an_obedient_painter_shows_everything_and_a_misread_image_counts(data):
    for wrong, share in ((0, 1.0), (20, 0.9)):
        reader = Reader(data, wrong)
        scores = {s.name: s for s in score_captions(task(data, Painter(reader), reader))}
        for kind in ("seen", "unseen"):
            score = scores[f"captions_shown[shapes-features,{kind},200]"]
            assert score.value == pytest.approx(share)
            assert score.details["colour1"] == pytest.approx(share)
            assert score.details["size1"] == 1.0
        sketch = scores["fid[shapes-features,stage1-enlarged,200,test]"].value
        image = scores["fid[shapes-features,stage2,200,test]"].value
        assert image < 0.2 * sketch
        told = {name.split("[")[0] for name in scores}
        assert {"precision", "recall", "coverage", "memorisation_z"} < told
        assert "inception_style" not in told  # the values of seven attributes are no classes


def test_attributes_of_real_images_are_scored_one_by_one(data):
    reader = Reader(data)
    test = data.images("test")
    reader.learn(test.fetch(torch.arange(500)).float() / 255, test.notes.attributes)
    (score,) = score_attributes(task(data, reader, reader))
    assert score.value == 0 and set(score.details) == {name for name, _ in ATTRIBUTES}
    reader.wrong = 1  # the first of each batch of 100
    (score,) = score_attributes(task(data, reader, reader))
    assert score.value == pytest.approx(2 / 200) and score.details["colour1"] == score.value
    second = replace(task(data, reader, reader), rank=1, world=2)
    assert score_attributes(second) == [score]  # every process looks at all images


def test_the_protocols_fit_whom_they_are_for(data):
    reader = Reader(data)
    both = task(data, Painter(reader), reader)
    assert fits_captions(both) and not fits_attributes(both)
    assert fits_attributes(task(data, reader, reader))
    assert not fits_captions(Task(Painter(reader), data))
    stranger = Painter(reader)
    stranger.words = ("other",)
    assert not fits_captions(task(data, stranger, reader))
    other = Reader(data)
    other.spec = replace(data.spec, attributes=(("label", 10),))
    assert not fits_captions(task(data, Painter(reader), other))


def test_the_judge_sees_images_at_its_own_size(data):
    """A painter of small images is judged by a network for large ones."""
    reader = Reader(data)
    sizes = []
    painter = Painter(reader)
    large = painter.illustrate
    painter.illustrate = lambda tokens, **more: large(tokens, **more)[:, :, ::2, ::2]
    reader.attributes = lambda x: sizes.append(x.shape[2:]) or torch.zeros(len(x), 7).long()
    score_captions(task(data, painter, reader))
    assert set(sizes) == {(64, 64)}
