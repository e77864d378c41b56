"""The embedded digits against scikit-learn."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from zoo.data import Digits


def test_values_labels_and_split_are_exact():
    bunch = load_digits()
    source = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    by_bytes = {}
    for image, label in zip(source, bunch.target, strict=True):
        by_bytes.setdefault(image.tobytes(), []).append(int(label))
    data = Digits()
    sizes = {"train": 1257, "val": 180, "test": 360}
    for split, size in sizes.items():
        images = data.images(split)
        pixels = images.fetch(torch.arange(len(images)))
        assert pixels.shape == (size, 1, 8, 8)
        assert pixels.max() == 255
        for image, label in zip(pixels, images.labels.tolist(), strict=True):
            assert label in by_bytes[image.numpy().tobytes()]
            by_bytes[image.numpy().tobytes()].remove(label)  # nothing twice: the parts are disjoint
    assert not any(by_bytes.values())  # and nothing is left out


def test_every_class_has_its_share_of_every_part():
    data = Digits()
    for split in ("train", "val", "test"):
        counts = data.images(split).labels.bincount(minlength=10)
        size = counts.sum()
        assert len(counts) == 10
        # as much as chance allows: four standard errors
        assert ((counts / size - 0.1).abs() < 4 * (0.09 / size).sqrt()).all()


def test_shape_and_range():
    data = Digits(batch_size=50)
    assert data.spec.shape == (1, 8, 8)
    assert data.spec.classes == 10
    batch = next(iter(data.train_dataloader()))
    assert batch.image.min() == 0 and batch.image.max() == 1
    assert data.report() == (
        "Digits: 1,257 training and 180 validation images, 8x8, grey, 10 classes, "
        "values 0.00 to 1.00"
    )
