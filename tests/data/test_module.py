"""What all data sets share: split, sizes, fingerprints, messages."""

import numpy as np
import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.data.changes import fit_to_size
from zoo.data.images import MemoryImages
from zoo.data.module import data_root


def rows(pixels, whole):
    """The positions of images in a set without equal images."""
    return [
        (whole == image).flatten(1).all(dim=1).nonzero().flatten().tolist() for image in pixels
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["memory", "streaming"])
def test_validation_is_split_from_training_and_never_from_test(request, kind):
    data = request.getfixturevalue(kind)()
    whole, test = (data.read(part).fetch(torch.arange(n)) for part, n in
                   (("train", 50), ("test", 11)))  # fmt: skip
    train, val = (data.images(s).fetch(torch.arange(n)) for s, n in (("train", 40), ("val", 10)))
    in_train, in_val = rows(train, whole), rows(val, whole)
    assert sorted(row for (row,) in in_train + in_val) == list(range(50))
    assert not any(rows(train, test)) and not any(rows(val, test))
    assert data.images("train").labels.tolist() == [row % 3 for (row,) in in_train]
    assert data.images("val").labels.tolist() == [row % 3 for (row,) in in_val]
    assert [row for (row,) in in_val] != list(range(40, 50))  # drawn, not cut off


def test_test_images_are_not_even_read_to_train(memory):
    class Guarded(memory):
        def read(self, part):
            assert part == "train"
            return super().read(part)

    data = Guarded()
    data.setup("fit")
    list(data.train_dataloader()), list(data.val_dataloader()), data.report()


def test_the_split_never_depends_on_the_seed_and_is_nested(memory):
    first, other = memory(seed=0), memory(seed=1, batch_size=4)
    assert first.images("val").pixels.equal(other.images("val").pixels)
    assert first.images("train").pixels.equal(other.images("train").pixels)
    large = memory(val_size=20).images("val").pixels
    assert all(rows(first.images("val").pixels, large))  # a larger set contains the smaller one


def test_the_split_is_the_same_for_ever(memory):
    val = memory().images("val").pixels
    found = [row for (row,) in rows(val, memory().read("train").pixels)]
    assert found == [0, 5, 9, 19, 21, 24, 25, 33, 37, 42]


def test_an_own_validation_part_is_used_and_can_be_shortened(own_validation):
    data = own_validation()
    assert len(data.images("train")) == 50
    assert data.images("val").pixels.equal(data.read("val").pixels)
    assert own_validation(val_size=3).images("val").pixels.equal(data.read("val").pixels[:3])
    with pytest.raises(UserError, match="val_size 8 is more than the 7 validation images"):
        own_validation(val_size=8).images("val")


def test_without_validation_images_there_are_no_batches(memory):
    data = memory(val_size=0)
    assert data.val_dataloader() == []
    assert len(data.images("train")) == 50
    with pytest.raises(UserError, match=r"no val images to load: --data\.val_size is 0"):
        data.loader("val")
    assert "0 validation" in data.report()


def test_padding_is_black_and_centred():
    image = torch.arange(1, 7, dtype=torch.uint8).view(1, 2, 3)
    assert fit_to_size(image, None, 5).tolist() == [
        [[0, 0, 0, 0, 0], [0, 1, 2, 3, 0], [0, 4, 5, 6, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    ]
    assert fit_to_size(image, None, 4)[0].tolist() == [
        [0, 0, 0, 0], [1, 2, 3, 0], [4, 5, 6, 0], [0, 0, 0, 0]
    ]  # fmt: skip


def test_resizing_is_antialiased_bilinear():
    image = torch.tensor([[0, 100], [200, 100]], dtype=torch.uint8).view(1, 2, 2)
    # Upwards by 2, samples lie at -.25, .25, .75, 1.25 pixels: weights 1, 3/4 : 1/4, 1/4 : 3/4, 1.
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    expected = weights @ image[0].numpy().astype(float) @ weights.T
    assert np.abs(fit_to_size(image, 4, None)[0].numpy() - expected).max() <= 1
    # Downwards by 4, one white column in four must become grey; without antialiasing the samples,
    # halfway between the second and third of every four, would miss it.
    columns = (torch.arange(16).expand(16, 16) % 4 == 0) * 255
    small = fit_to_size(columns.to(torch.uint8)[None], 4, None)
    assert small.shape == (1, 4, 4)
    assert (small.int() - 64).abs().max() <= 40
    flat = torch.full((1, 7, 5), 77, dtype=torch.uint8)
    assert fit_to_size(flat, 3, None).tolist() == [[[77] * 3] * 3]


@pytest.mark.parametrize("kind", ["memory", "streaming"])
def test_resize_comes_before_pad_and_the_spec_knows(request, kind):
    data = request.getfixturevalue(kind)(resize=4, pad=6, batch_size=10)
    assert data.spec == ImageSpec(2, 6, 6, classes=3)
    batch = next(iter(data.loader("test")))
    assert batch.image.shape == (10, *data.spec.shape)
    expected = fit_to_size(data.read("test").fetch(torch.arange(10)), 4, 6)
    assert batch.image.equal(expected.float() / 255)
    assert batch.image[..., 0, :].eq(0).all()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_fingerprint_changes_with_one_pixel_or_label(memory, streaming, split):
    class Touched(memory):
        pixel, label = 0, 0

        def read(self, part):
            images = super().read(part)
            # every image, since which of them validate is not known here
            images.pixels[:, 0, 0, 0] += self.pixel
            images.labels[:] += self.label
            return images

    reference = memory().fingerprint(split)
    assert reference == memory(seed=4, batch_size=1).fingerprint(split)
    assert reference == streaming().fingerprint(split)
    pixel, label = Touched(), Touched()
    pixel.pixel, label.label = 1, 1
    others = [pixel, label, memory(binarize="static"), memory(resize=5)]
    assert len({reference, *(data.fingerprint(split) for data in others)}) == 5
    assert len({memory().fingerprint(s) for s in ("train", "val", "test")}) == 3


def test_a_fingerprint_sees_one_pixel_of_one_image(memory):
    data = memory()
    before = data.fingerprint("test")
    data.images("test").pixels[10, 1, 5, 3] ^= 1
    assert data.fingerprint("test") != before


def test_a_loader_can_be_limited(memory):
    data = memory(batch_size=4)
    assert sum(len(batch.image) for batch in data.loader("test", limit=6)) == 6
    assert sum(len(batch.image) for batch in data.loader("test", limit=600)) == 11
    with pytest.raises(UserError, match="no test images to load: limit is 0"):
        data.loader("test", limit=0)


def test_the_report_counts(memory):
    counts = "Memory: 40 training and 10 validation images, 6x4, colour, 3 classes, values "
    assert memory(batch_size=40).report() == f"{counts}0.00 to 1.00"
    said = memory(batch_size=41).report()
    assert said == f"{counts}0.00 to 1.00; batches of 40, which is all, not of 41"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"workers": -1}, "workers must not be negative, got -1"),
        ({"val_size": -1}, "val_size must not be negative, got -1"),
        ({"binarize": "dynamics"}, "unknown --data.binarize 'dynamics'. Did you mean dynamic?"),
        ({"resize": 0}, "resize must be a positive number of pixels, got 0"),
        ({"pad": 5}, "pad 5 is smaller than the 6x4 images"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(memory, options, message):
    with pytest.raises(UserError) as caught:
        memory(**options)
    assert message in str(caught.value)


def test_validation_must_leave_training_images(memory):
    with pytest.raises(UserError, match="val_size 50 leaves no training images: Memory has 50"):
        memory(val_size=50).images("train")


def test_the_root_is_the_argument_else_the_environment_else_data(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert str(data_root("else/where")) == "else/where"
    assert data_root(None) == tmp_path
    monkeypatch.delenv("ZOO_DATA")
    assert str(data_root(None)) == "data"
    assert data_root("~/x").is_absolute()


def test_every_part_is_ensured_before_reading_and_by_prepare_data(memory, own_validation):
    for kind, expected in ((memory, ["train", "test"]), (own_validation, ["train", "val", "test"])):
        asked = []

        class Asking(kind):
            def ensure(self, part, asked=asked):
                asked.append(part)

            def read(self, part, asked=asked):
                assert part in asked
                return super().read(part)

        Asking().prepare_data()
        assert asked == expected
        del asked[:]
        data = Asking()
        data.images("test"), data.images("train")
        assert sorted(asked) == sorted(expected)


def test_an_empty_set_in_memory_survives_binarisation_and_resizing(memory):
    class Empty(memory):
        def read(self, part):
            return MemoryImages(
                torch.zeros(0, 2, 6, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)
            )

    assert len(Empty(binarize="static", resize=3).images("test")) == 0


def test_a_limit_takes_images_from_all_over_the_split():
    data = DATASETS["Digits"]()
    whole, some = data.images("test"), data.loader("test", limit=90)
    assert torch.equal(torch.cat([batch.label for batch in some]), whole.labels[::4])


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_the_judges_batches_do_not_depend_on_the_number_of_processes(world):
    data = DATASETS["Digits"](batch_size=7)
    expected = [batch.image for batch in data.dealt("test", limit=250)]
    assert [len(part) for part in expected] == [100, 100, 50]
    for rank in range(world):
        loader = data.dealt("test", limit=250, rank=rank, world=world)
        own = [batch.image for batch in loader]
        assert len(loader) == len(own)
        for turn, part in enumerate(own):
            assert torch.equal(part, expected[rank + turn * world])


def test_other_bits_of_the_same_data():
    dynamic = DATASETS["Digits"](binarize="dynamic")
    grey, static = dynamic.with_bits("none"), dynamic.with_bits("static")
    assert dynamic.with_bits("dynamic") is dynamic
    assert grey.fingerprint("test") == DATASETS["Digits"]().fingerprint("test")
    assert static.fingerprint("train") == DATASETS["Digits"](binarize="static").fingerprint("train")
    assert dynamic.fingerprint("test") == static.fingerprint("test") != grey.fingerprint("test")
    assert dynamic.binarize == "dynamic"


def test_a_batch_that_is_where_it_should_be_is_left_alone():
    data = DATASETS["Digits"](batch_size=4)
    batch = next(iter(data.loader("train")))
    assert data.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert (
        type(moved) is type(batch) and moved.image.device.type == moved.label.device.type == "meta"
    )
