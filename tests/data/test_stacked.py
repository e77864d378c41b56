"""Stacked MNIST: every channel is a digit of MNIST, and the label says which three."""

import pytest
import torch

from zoo.data import MNIST, StackedMNIST


@pytest.fixture(scope="module")
def stacked(real_data):
    return StackedMNIST(root=str(real_data), batch_size=64)


@pytest.mark.parametrize(
    ("split", "count"), [("train", 128_000), ("val", 10_000), ("test", 26_000)]
)
def test_channels_are_digits_of_the_same_part(stacked, real_data, split, count):
    images, digits = stacked.images(split), MNIST(root=str(real_data)).images(split)
    assert len(images) == count
    rows = torch.tensor([0, 1, count // 2, count - 1])
    by_bytes = {}
    for pixels, label in zip(digits.pixels, digits.labels.tolist(), strict=True):
        by_bytes[pixels.numpy().tobytes()] = label
    for stack, label in zip(images.fetch(rows), images.labels[rows].tolist(), strict=True):
        assert stack.shape == (3, 28, 28) and stack.dtype == torch.uint8
        read = [by_bytes[channel.numpy().tobytes()] for channel in stack]
        assert 100 * read[0] + 10 * read[1] + read[2] == label


def test_the_thousand_modes_have_about_equal_shares(stacked):
    counts = stacked.images("train").labels.bincount(minlength=1000)
    assert len(counts) == 1000 == stacked.spec.classes
    assert counts.min() > 60 and counts.max() < 240  # 128 each, if digits were equally frequent
    red, blue = (stacked.images("train").labels // 100, stacked.images("train").labels % 10)
    assert torch.corrcoef(torch.stack([red, blue]).double())[0, 1].abs() < 0.012


def test_stacks_never_change_and_are_not_kept_in_memory(stacked, real_data):
    other = StackedMNIST(root=str(real_data), seed=3)
    rows = torch.arange(0, 26_000, 1000)
    assert other.images("test").fetch(rows).equal(stacked.images("test").fetch(rows))
    kept = stacked.images("train")
    assert not hasattr(kept, "pixels")
    batch = next(iter(stacked.train_dataloader()))
    assert batch.image.shape == (64, 3, 28, 28) and 0 <= batch.image.min() <= batch.image.max() <= 1


def test_other_sizes_and_fewer_validation_images(real_data):
    data = StackedMNIST(root=str(real_data), pad=32, val_size=100)
    assert data.spec.shape == (3, 32, 32)
    assert len(data.images("val")) == 100
    assert data.images("val").fetch(torch.tensor([3])).shape == (1, 3, 32, 32)
