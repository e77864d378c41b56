"""k-means in a latent space that is known to be clustered, or known not to be."""

import pytest
import torch

from zoo.judge.protocols.latents import fits_latents, score_latents
from zoo.judge.score import Task


class Encoder:
    """Encodes an image by its label, as far as it can be read from a corner pixel."""

    device = torch.device("cpu")
    latent_dim = 3

    def __init__(self, code):
        self.code = code

    def encode(self, x):
        return self.code(x)


def labelled(digits):
    """Maps images to labels by their bytes."""
    known = {}
    for split in ("train", "test"):
        images = digits.images(split)
        for number, label in enumerate(images.labels.tolist()):
            known[images.fetch(torch.tensor([number])).numpy().tobytes()] = label

    def labels(x):
        rows = (x * 255).round().to(torch.uint8)
        return torch.tensor([known[row[None].numpy().tobytes()] for row in rows])

    return labels


def test_latents_in_ten_clumps_have_no_error(digits):
    labels = labelled(digits)
    means = 50 * torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    task = Task(Encoder(lambda x: means[labels(x)] + x.flatten(1)[:, :3]), digits)
    assert fits_latents(task)
    (score,) = score_latents(task)
    assert score.name == "kmeans_error[10,one-to-one,train->test]" and score.value == 0


def test_latents_that_tell_nothing_err_as_chance_does(digits):
    noise = torch.Generator().manual_seed(0)
    task = Task(Encoder(lambda x: torch.randn(len(x), 3, generator=noise)), digits)
    (score,) = score_latents(task)
    assert score.value == pytest.approx(0.87, abs=0.05)


def test_models_that_classify_or_keep_every_pixel_are_not_asked(digits):
    model = Encoder(lambda x: x)
    model.num_codes, model.classify = 10, lambda x: x
    assert not fits_latents(Task(model, digits))
    model = Encoder(lambda x: x)
    model.latent_dim = 64
    assert not fits_latents(Task(model, digits))
