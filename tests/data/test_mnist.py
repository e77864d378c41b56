"""MNIST against its own bytes, parsed here without the zoo's reader."""

import numpy as np
import pytest
import torch

from zoo.data import MNIST


@pytest.fixture(scope="module")
def raw(real_data):
    """Images (N, 28, 28) and labels (N,) of both parts, straight from the files."""
    folder = real_data / "MNIST" / "raw"
    parts = {}
    for part, prefix, count in (("train", "train", 60_000), ("test", "t10k", 10_000)):
        images = np.fromfile(folder / f"{prefix}-images-idx3-ubyte", np.uint8)
        labels = np.fromfile(folder / f"{prefix}-labels-idx1-ubyte", np.uint8)
        assert images[:16].view(">u4").tolist() == [2051, count, 28, 28]
        assert labels[:8].view(">u4").tolist() == [2049, count]
        parts[part] = images[16:].reshape(count, 28, 28), labels[8:]
    return parts


def test_the_test_part_is_the_files_bytes(real_data, raw):
    images = MNIST(root=str(real_data)).images("test")
    assert np.array_equal(images.pixels[:, 0].numpy(), raw["test"][0])
    assert np.array_equal(images.labels.numpy(), raw["test"][1])


def test_train_and_val_are_the_training_files_bytes(real_data, raw):
    data = MNIST(root=str(real_data))
    train, val = data.images("train"), data.images("val")
    assert (len(train), len(val)) == (50_000, 10_000)

    def keys(pixels, labels):
        flat = pixels.reshape(len(pixels), -1)
        return [row.tobytes() + bytes([label]) for row, label in zip(flat, labels, strict=True)]

    ours = [
        *keys(train.pixels.numpy(), train.labels.numpy()),
        *keys(val.pixels.numpy(), val.labels.numpy()),
    ]
    assert sorted(ours) == sorted(keys(*raw["train"]))
    # in file order within each part
    order = {key: row for row, key in enumerate(keys(*raw["train"]))}
    places = [order[key] for key in ours[:50_000]]
    assert places == sorted(places)


def test_spec_report_and_batches(real_data):
    data = MNIST(root=str(real_data), pad=32, batch_size=100)
    assert data.spec.shape == (1, 32, 32)
    assert data.report() == (
        "MNIST: 50,000 training and 10,000 validation images, 32x32, grey, 10 classes, "
        "values 0.00 to 1.00"
    )
    batch = next(iter(data.loader("test")))
    assert batch.image.shape == (100, 1, 32, 32)
    assert batch.image[..., :2, :].sum() == 0
    assert batch.label[:5].tolist() == [7, 2, 1, 0, 4]


def test_static_bits_follow_the_intensities(real_data):
    root = str(real_data)
    grey = MNIST(root=root).images("test").pixels.double() / 255
    bits = MNIST(root=root, binarize="static").images("test").pixels.double() / 255
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert bits[grey == 0].max() == 0
    assert bits[grey == 1].min() == 1
    error = (grey * (1 - grey)).sum().sqrt()
    assert (bits - grey).sum().abs() < 4 * error
    assert torch.corrcoef(torch.stack([bits.flatten(), grey.flatten()]))[0, 1] > 0.9
