"""Captioned scenes: true captions, attributes that the pixels show, held-out pairs."""

import random

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import CaptionedShapes
from zoo.data.captions import text_of, tokens_of
from zoo.data.images import MemoryImages, Notes, subset
from zoo.data.shapes import (
    ATTRIBUTES,
    COLOURS,
    HELD_OUT,
    LENGTH,
    SHAPES,
    WORDS,
    caption,
    parse,
    render,
    scenes,
)


@pytest.fixture(scope="module")
def data():
    return CaptionedShapes(scenes=500, val_size=100, batch_size=20)


def pairs(attributes):
    colours = list(COLOURS)
    found = set()
    for row in attributes.tolist():
        found.add((colours[row[2]], SHAPES[row[3]]))
        if row[0]:
            found.add((colours[row[5]], SHAPES[row[6]]))
    return found


def test_attributes_fit_the_specification_and_hold_out_four_pairs():
    seen = scenes(4000, torch.Generator().manual_seed(0))
    unseen = scenes(2000, torch.Generator().manual_seed(0), unseen=True)
    for some in (seen, unseen):
        assert (some >= 0).all()
        assert some.amax(0).tolist() == [values - 1 for _, values in ATTRIBUTES]
        single = some[:, 0] == 0
        assert (some[single, 4:] == torch.tensor([2, 6, 4])).all()
        assert (some[~single, 4] < 2).all() and (some[~single, 5] < 6).all()
    assert pairs(seen) == {(c, s) for c in COLOURS for s in SHAPES} - set(HELD_OUT)
    for row in unseen:
        assert pairs(row[None]) & set(HELD_OUT)


def test_every_caption_is_true_within_the_vocabulary_and_short_enough():
    rng = random.Random(0)
    texts = set()
    for scene in scenes(1500, torch.Generator().manual_seed(1)).tolist():
        text = caption(scene, rng)
        texts.add(text)
        assert all(said in (-1, true) for said, true in zip(parse(text), scene, strict=True))
        assert text_of(tokens_of(text, WORDS, LENGTH), WORDS) == text
    assert {word for text in texts for word in text.split()} == set(WORDS)
    assert len(texts) > 1300


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("a large red circle left of a small blue square", [1, 1, 0, 0, 0, 2, 1]),
        ("a small blue square to the right of a large red circle", [1, 1, 0, 0, 0, 2, 1]),
        ("A big red disc, under a little blue box.", [2, 0, 2, 1, 1, 0, 0]),
        ("there is a white cross", [0, -1, 5, 3, 2, 6, 4]),
    ],
)
def test_captions_are_read_as_a_person_reads_them(text, attributes):
    assert parse(text) == attributes


@pytest.mark.parametrize("text", ["red", "a red circle a blue square", "a circle left of",
                                  "a cross above a cross above a cross"])  # fmt: skip
def test_what_is_no_caption_is_refused(text):
    with pytest.raises(UserError):
        parse(text)


def test_unknown_words_are_named():
    with pytest.raises(UserError, match=r"'purplish', 'hexagon'.*purple"):
        tokens_of("a purplish hexagon", WORDS, LENGTH)
    with pytest.raises(UserError, match="1 to 16 words"):
        tokens_of("", WORDS, LENGTH)


def test_the_pixels_show_what_the_attributes_say():
    """Areas, colours and places are measured on the picture, without the renderer's help."""
    some = scenes(300, torch.Generator().manual_seed(2))
    images = render(some, torch.Generator().manual_seed(3)).float() / 255
    palette = torch.tensor(list(COLOURS.values()))
    for row, image in zip(some.tolist(), images, strict=True):
        lit = image.amax(dim=0) > 0.45
        y, x = lit.nonzero().float().unbind(dim=1)
        for index in range(1 if row[0] == 0 else 2):
            size, colour, shape = row[1 + 3 * index : 4 + 3 * index]
            mine = torch.ones(len(x), dtype=torch.bool)
            if row[0]:
                mine = ((x if row[0] == 1 else y) < 32) == (index == 0)
            mean = image[:, y[mine].long(), x[mine].long()].median(dim=1).values
            assert (palette - mean).norm(dim=1).argmin() == colour
            extent = x[mine].max() - x[mine].min() + 1
            assert (extent > 17) == (size == 1)
            fill = mine.sum() / (extent * (y[mine].max() - y[mine].min() + 1))
            if SHAPES[shape] == "square":
                assert fill > 0.9
            if SHAPES[shape] == "circle":
                assert 0.7 < fill < 0.88


def test_edges_are_anti_aliased():
    image = render(torch.tensor([[0, 1, 5, 0, 2, 6, 4]]), torch.Generator().manual_seed(0))
    grey = image[0, 0].float() / 255
    ground, paint = grey[0, 0], grey.max()
    between = ((grey > ground + 0.1) & (grey < paint - 0.1)).sum()
    assert 20 < between < 120


def test_scenes_are_the_same_every_time_and_differ_between_parts(data):
    again = CaptionedShapes(scenes=500, val_size=100)
    assert data.fingerprint("train") == again.fingerprint("train")
    assert data.fingerprint("test") != data.fingerprint("train")
    assert len(data.images("train")) == 400 and len(data.images("test")) == 500


def test_a_batch_has_one_caption_of_each_image_drawn_anew_every_epoch(data):
    loader = data.loader("train", shuffle=True)
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append(list(loader))
    first, second, again = epochs
    assert first[0].caption.shape == (20, LENGTH) and first[0].caption.dtype == torch.int64
    assert first[0].attributes.shape == (20, 7)
    assert all(torch.equal(a.caption, b.caption) for a, b in zip(first, again, strict=True))
    notes = data.images("train").notes
    for batch in (first[3], second[3]):
        for image, tokens, attributes in zip(
            batch.image, batch.caption, batch.attributes, strict=True
        ):
            (row,) = (
                (data.images("train").pixels == (image * 255).round().byte())
                .flatten(1).all(1).nonzero().flatten().tolist()
            )  # fmt: skip
            assert (notes.captions[row].long() == tokens).all(dim=1).any()
            assert notes.attributes[row].tolist() == attributes.tolist()
    assert any(not torch.equal(a.caption, b.caption) for a, b in zip(first, second, strict=True))


def test_validation_shows_the_first_caption(data):
    batch = next(iter(data.loader("val")))
    assert torch.equal(batch.caption, data.images("val").notes.captions[:20, 0].long())


def test_notes_follow_images_through_subsets_and_resizing(data):
    small = CaptionedShapes(scenes=500, val_size=100, resize=32)
    assert small.spec.shape == (3, 32, 32) and small.spec.words == WORDS
    assert torch.equal(small.images("train").notes.captions, data.images("train").notes.captions)
    images = MemoryImages(
        torch.zeros(4, 1, 2, 2), torch.zeros(4), Notes(torch.arange(4)[:, None, None])
    )
    assert subset(images, torch.tensor([2, 0])).notes.captions.flatten().tolist() == [2, 0]
    assert subset(images, torch.tensor([1])).notes.attributes is None


def test_prompts_repeat_and_keep_to_what_is_held_out(data):
    for unseen in (False, True):
        tokens, said = data.prompts(50, 0, unseen)
        again, _ = data.prompts(50, 0, unseen)
        assert torch.equal(tokens, again) and said.shape == (50, 7)
        assert [parse(text_of(row, WORDS)) for row in tokens] == said.tolist()
        assert all(bool(pairs(s[None]) & set(HELD_OUT)) == unseen for s in said)
