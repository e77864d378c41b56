"""The attribute classifier: one softmax per attribute, and no attribute without its gradient."""

import math

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import Batch, CaptionedShapes, ImageSpec
from zoo.data.shapes import render, scenes
from zoo.models import AttributeClassifier
from zoo.shelf.weights import load

SPEC = ImageSpec(3, 16, 16, attributes=(("colour", 3), ("size", 2)))


def make(spec=SPEC, **more):
    torch.manual_seed(0)
    return AttributeClassifier(spec, width=4, feature_width=8, **more)


def loss_of(model, batch, monkeypatch):
    monkeypatch.setattr("zoo.models.classifiers.attributes.record", lambda *_: None)
    return model.training_step(batch, 0)


def test_an_ignorant_classifier_pays_the_entropy_of_all_attributes(monkeypatch):
    model = make()
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    values = torch.tensor([[0, 1], [2, 0], [1, 1]])
    batch = Batch(torch.rand(3, 3, 16, 16), torch.zeros(3), attributes=values)
    loss = loss_of(model, batch, monkeypatch)
    assert abs(loss.item() - (math.log(3) + math.log(2))) < 1e-5


def test_each_attribute_is_read_from_its_own_logits():
    model = make()
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data = torch.tensor([0.0, 0.0, 1.0, 3.0, 2.0])
    assert model.attributes(torch.rand(2, 3, 16, 16)).tolist() == [[2, 0], [2, 0]]


def test_it_learns_to_tell_colours(monkeypatch):
    torch.manual_seed(0)
    model = make(jitter=0.0, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    values = torch.stack([torch.arange(48) % 3, torch.arange(48) % 2], 1)
    x = torch.zeros(48, 3, 16, 16)
    x[torch.arange(48), values[:, 0]] = (0.5 + 0.5 * values[:, 1])[:, None, None]
    for _ in range(30):
        optimizer.zero_grad()
        loss_of(model, Batch(x, values[:, 0], attributes=values), monkeypatch).backward()
        optimizer.step()
    for _ in range(20):  # running statistics follow the weights
        model.encoder(x)
    assert torch.equal(model.attributes(x), values)


def test_it_fits_the_captioned_shapes_and_needs_something_to_read():
    model = make(CaptionedShapes(scenes=10).spec)
    assert model.attributes(torch.rand(2, 3, 64, 64)).shape == (2, 7)
    assert make(ImageSpec(1, 8, 8, 10)).attributes(torch.rand(2, 1, 8, 8)).shape == (2, 1)
    with pytest.raises(UserError, match="attributes or classes"):
        make(ImageSpec(1, 8, 8))


@pytest.mark.parametrize("unseen", [False, True])
def test_the_published_judge_reads_scenes_that_models_never_see(unseen):
    generator = torch.Generator().manual_seed(5)
    asked = scenes(400, generator, unseen)
    images = render(asked, generator).float() / 255
    wrong = (load("features_captionedshapes").attributes(images) != asked).any(dim=1)
    assert wrong.double().mean() < 0.01
