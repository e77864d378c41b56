"""Models take batches from anybody's loader, and say of themselves what tools ask."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo.contract.model import Model, batch_of, facts
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError

GREY, COLOUR, POINTS = ImageSpec(1, 4, 5, 3), ImageSpec(3, 4, 5), ImageSpec(2, 1, 1)


class Learner(Model):
    def __init__(self, spec, needs=None):
        super().__init__()
        self.spec, self.weight = spec, nn.Parameter(torch.zeros(1))
        if needs:
            self.needs = needs


def taken(given, spec=GREY, needs=None):
    needs = needs or ((spec.kind,),)
    return Learner(spec, needs).on_before_batch_transfer(given, 0)


X, Y = torch.rand(6, 1, 4, 5), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("given", [(X, Y), [X, Y], (X[:, 0], Y.int()), (X.double(), Y),
                                   (X.numpy(), Y), Batch(X, Y)],
                         ids=["tuple", "list", "no-channel", "double", "array", "own"])  # fmt: skip
def test_pairs_become_batches(given):
    batch = taken(given)
    assert type(batch) is Batch and batch.image.dtype == torch.float32
    torch.testing.assert_close(batch.image, X)
    assert batch.label.dtype == torch.int64 and torch.equal(batch.label, Y)


def test_a_batch_that_fits_passes_untouched():
    batch, model = Batch(X, Y, caption=Y[:, None]), Learner(GREY)
    for _ in range(2):
        assert model.on_before_batch_transfer(batch, 0) is batch
    with pytest.raises(UserError, match=r"got shape \(6, 1, 4, 2\)"):
        model.on_before_batch_transfer(Batch(X[..., :2], Y), 0)


def test_the_first_batch_of_a_loader_is_looked_at_and_bytes_in_any():
    model = Learner(GREY)
    with pytest.raises(UserError, match="values from"):
        model.on_before_batch_transfer(Batch(X * 200, Y), 0)
    pixels = (X * 255).byte()
    model = Learner(GREY)
    for _ in range(2):
        taken_now = model.on_before_batch_transfer(Batch(pixels, Y), 0)
        assert torch.equal(taken_now.image, pixels / 255)


@pytest.mark.parametrize("given", [X, (X,), [X], (X, torch.rand(6)), (X, ["a"] * 6), (X, X)],
                         ids=["tensor", "tuple", "list", "numbers", "words", "images"])  # fmt: skip
def test_without_labels_all_are_nought(given):
    batch = taken(given)
    assert torch.equal(batch.image, X) and torch.equal(batch.label, torch.zeros(6).long())


def test_bytes_are_divided_and_nothing_else():
    pixels = torch.randint(256, (6, 4, 5), dtype=torch.uint8)
    assert torch.equal(taken(pixels).image, pixels[:, None] / 255)
    assert torch.equal(taken(torch.zeros(6, 1, 4, 5, dtype=torch.int64)).image, torch.zeros_like(X))


def test_points_come_flat_or_as_images():
    points = torch.rand(6, 2)
    for given in (points, points[:, :, None, None], points.numpy().astype(np.float64)):
        torch.testing.assert_close(taken(given, POINTS).image, points[:, :, None, None])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (X * 255, r"values in \[0, 1\], got values from .*: its images / 255"),
        (X[:, :, :2], r"shape \(B, 1, 4, 5\) .*, got shape \(6, 1, 2, 5\)"),
        (torch.rand(6, 3, 4, 5), r"shape \(B, 1, 4, 5\).*reads 1 channel"),
        (X * float("nan"), "NaN"),
        ({"image": X}, "got dict"),
        ((X, Y, Y), "got 3 things: .*zoo.data.Batch"),
        (Batch(X[..., :2], Y), r"got shape \(6, 1, 4, 2\)"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_batch_is_refused_in_a_sentence(given, says):
    with pytest.raises(UserError, match=says):
        taken(given)


def test_a_loader_must_yield_what_the_model_needs():
    labels, captions = (("image",), ("label",)), (("image",), ("caption",))
    assert taken((X, Y), needs=labels).label is not X
    with pytest.raises(UserError, match="Learner needs labels, which its loader does not yield"):
        taken(X, needs=labels)
    with pytest.raises(UserError, match=r"needs captions, .* with the field caption"):
        taken((X, Y), needs=captions)
    with pytest.raises(UserError, match="needs captions"):
        taken(Batch(X, Y), needs=captions)
    batch = Batch(X, Y, caption=Y[:, None])
    assert taken(batch, needs=captions).caption is batch.caption
    with pytest.raises(UserError, match=r"labels in 0\.\.2, .* got 0 to 7"):
        taken((X, torch.tensor([0, 1, 2, 0, 1, 7])), needs=labels)
    assert taken((X, torch.tensor([0, 1, 2, 0, 1, 7]))).label.max() == 7  # nobody looks at them


def test_images_come_in_the_weights_own_format():
    model = Learner(GREY).double()
    assert batch_of((X, Y), model).image.dtype == torch.float64


def test_a_model_from_the_shelf_leaves_evaluation_mode_but_a_frozen_part_stays():
    model = Learner(GREY)
    model.part = nn.Dropout()
    model.eval().on_fit_start()
    assert model.training and model.part.training
    model.part.eval()
    model.on_fit_start()
    assert not model.part.training


def test_facts_of_a_stranger_are_complete():
    class Stranger(nn.Module):
        levels = 2

    assert facts(Stranger()).levels == 2 and facts(Stranger()).measure == "lebesgue"
    assert facts(Stranger()).not_published == () and facts(Stranger()).feature_network is None
    model = Learner(GREY)
    assert facts(model) is model
