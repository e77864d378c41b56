"""Pixels drawn from their intensities."""

import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.data.images import MemoryImages
from zoo.data.loader import BatchLoader, Order
from zoo.data.module import ImageData


class Grey(ImageData):
    """Two constant images of each intensity in 0, 51, 102, ..., 255."""

    native = ImageSpec(1, 8, 8)
    default_val_size = 4

    def read(self, part):
        levels = torch.arange(0, 256, 51).repeat(2).to(torch.uint8)
        pixels = levels.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
        return MemoryImages(pixels, levels.long())


def bits(data, split):
    images = data.images(split)
    return images.fetch(torch.arange(len(images)))


def test_dynamic_bits_have_the_intensity_as_their_mean_over_epochs():
    data = Grey(batch_size=8, binarize="dynamic", val_size=4)
    loader = data.train_dataloader()
    sums, counts = torch.zeros(6), torch.zeros(6)
    for epoch in range(200):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            assert ((batch.image == 0) | (batch.image == 1)).all()
            rows = batch.label // 51
            sums.index_add_(0, rows, batch.image.mean(dim=(1, 2, 3)))
            counts.index_add_(0, rows, torch.ones(len(rows)))
    mean, intensity = sums / counts, torch.linspace(0, 1, 6)
    error = (intensity * (1 - intensity) / (counts * 64)).sqrt()
    assert mean[0] == 0
    assert mean[-1] == 1
    assert ((mean - intensity).abs() <= 4.5 * error).all()
    assert (error < 0.005).all()  # narrow enough to reject rounding instead of drawing


def test_fixed_bits_have_the_intensity_as_their_mean():
    class Large(Grey):
        native = ImageSpec(1, 200, 200)

        def read(self, part):
            level = torch.tensor([64, 128], dtype=torch.uint8).view(-1, 1, 1, 1)
            return MemoryImages(level.expand(-1, 1, 200, 200), torch.zeros(2, dtype=torch.int64))

    drawn = bits(Large(binarize="static", val_size=0), "train")
    assert set(drawn.unique().tolist()) == {0, 255}
    mean = (drawn == 255).double().mean(dim=(1, 2, 3))
    assert mean.tolist() == pytest.approx([64 / 255, 128 / 255], abs=0.01)


def test_dynamic_bits_change_with_epoch_and_seed_and_are_repeated_exactly(memory):
    def epoch(number, seed=0):
        loader = memory(batch_size=40, binarize="dynamic", seed=seed).train_dataloader()
        loader.sampler.set_epoch(number)
        (batch,) = loader
        return batch.image[loader.sampler.batches()[0].argsort()]  # in file order

    assert epoch(0).equal(epoch(0))
    assert not epoch(0).equal(epoch(1))
    assert not epoch(0).equal(epoch(0, seed=1))


def test_dynamic_bits_differ_between_ranks():
    same = MemoryImages(
        torch.full((8, 1, 8, 8), 128, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64)
    )
    drawn = [
        next(iter(BatchLoader(same, Order(8, 4, shuffle=True, rank=r, world=2), binarize=True)))
        for r in (0, 1)
    ]
    assert not drawn[0].image.equal(drawn[1].image)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_static_bits_are_fixed_for_ever(memory, streaming, split):
    expected = bits(memory(binarize="static"), split)
    assert set(expected.unique().tolist()) == {0, 255}
    for other in (
        memory(binarize="static", seed=9, batch_size=3),
        memory(binarize="static", workers=2),
        streaming(binarize="static"),
    ):
        assert bits(other, split).equal(expected)
    data = memory(binarize="static", batch_size=3)
    loader = data.loader(split)
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        assert torch.cat([batch.image for batch in loader]).equal(expected.float() / 255)


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_bits_are_fixed_under_dynamic_binarisation(memory, streaming, split):
    expected = bits(memory(binarize="dynamic"), split)
    assert set(expected.unique().tolist()) == {0, 255}
    for other in (memory(binarize="dynamic", seed=9, batch_size=3), streaming(binarize="dynamic")):
        assert bits(other, split).equal(expected)
        batches = [batch.image for batch in other.loader(split)]
        assert torch.cat(batches).equal(expected.float() / 255)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_evaluation_bits_do_not_depend_on_the_rank(memory, kind):
    images = memory(binarize=kind).images("test")
    whole = torch.cat([b.image for b in BatchLoader(images, Order(11, 3, shuffle=False))])
    for rank in range(3):
        order = Order(11, 2, shuffle=False, rank=rank, world=3)
        part = torch.cat([batch.image for batch in BatchLoader(images, order)])
        assert part.equal(whole[rank::3])


def test_static_bits_of_an_image_do_not_depend_on_the_split(memory):
    def by_row(data):  # bits by the position in the file
        pixels = data.read("train").pixels
        whole = memory(binarize="none", val_size=data.val_size)
        rows = {}
        for split in ("train", "val"):
            for image, drawn in zip(bits(whole, split), bits(data, split), strict=True):
                (row,) = (pixels == image).flatten(1).all(dim=1).nonzero().flatten().tolist()
                rows[row] = drawn
        return torch.stack([rows[row] for row in range(len(pixels))])

    few, many = memory(binarize="static", val_size=5), memory(binarize="static", val_size=20)
    assert by_row(few).equal(by_row(many))


def test_train_val_and_test_bits_are_unrelated(own_validation):
    class Constant(own_validation):
        def read(self, part):
            pixels = torch.full((7, 2, 6, 4), 128, dtype=torch.uint8)
            return MemoryImages(pixels, torch.zeros(7, dtype=torch.int64))

    data = Constant(binarize="static")
    drawn = [bits(data, split) for split in ("train", "val", "test")]
    assert all(not drawn[i].equal(drawn[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
