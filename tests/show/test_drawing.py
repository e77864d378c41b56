"""Sheets of a model: which there are, and that what they show of images belongs together."""

import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.show.drawing import unseen
from zoo.show.pictures import explained, tiles
from zoo.show.views import VIEWS, pictures

SPEC = ImageSpec(channels=1, height=28, width=28, classes=10)


def sheets(model, images=None):
    """Draws what stands on a card, without the words around it."""
    return {picture.name: picture.sheet for picture in pictures(model, images)}


def words(model, images=None):
    """Returns the words around each picture: rows, columns, title."""
    found = {picture.name: picture.drawn for picture in pictures(model, images)}
    return {name: (list(d.rows), list(d.columns), d.title) for name, d in found.items()}


class Inverts:
    """Reconstructs the negative of an image, and completes images by white."""

    spec = SPEC

    def sample(self, n, *, seed=None):
        return torch.zeros(n, 1, 28, 28)

    def reconstruct(self, x):
        return 1 - x

    def complete(self, x, mask, *, seed=None):
        return x.masked_fill(mask, 1.0)


class Flow(Inverts):
    def log_prob(self, x):
        return torch.zeros(len(x))


def cells(sheet):
    """Cuts a picture of 8 columns into its images, in [0, 1], shape (rows, 8, 28, 28)."""
    sheet = sheet / 255 if sheet.dtype == torch.uint8 else sheet
    return tiles(sheet, 28, 28)[:, 0, ::2, ::2].unflatten(0, (-1, 8))  # shown at twice the size


def test_reconstructions_stand_below_their_images():
    images = torch.rand(32, 1, 28, 28)
    found = cells(sheets(Inverts(), images)["reconstructions"])
    torch.testing.assert_close(found[0::2].flatten(0, 1), images[:, 0])
    torch.testing.assert_close(found[1::2], 1 - found[0::2])


def test_completions_keep_the_upper_half_of_unseen_images():
    images = torch.rand(32, 1, 28, 28)
    found = cells(sheets(Inverts(), images)["completions"])
    half = 0.51 / 255  # it is drawn in bytes
    torch.testing.assert_close(found[:, 0], images[:8, 0], rtol=0, atol=half)
    kept = images[:8, :, :14].expand(-1, 8, -1, -1)
    torch.testing.assert_close(found[:, :, :14], kept, rtol=0, atol=half)
    assert (found[:, 2:, 14:] == 1).all()


def test_what_is_covered_looks_like_no_image_no_ground_and_no_empty_place():
    """The ground is grey and an empty place white; stripes of two blues are neither."""
    images = torch.rand(1, 1, 28, 28)
    one = VIEWS["completions"].picture(Inverts(), images=images, seed=0, n=3).drawn
    assert one.columns == ["image", "kept", *["drawn"] * 3]
    found = tiles(one.sheet.float() / 255, 28, 28)[:, :, ::2, ::2]
    assert len(found) == 5  # in one row, below words
    hidden = found[1, :, 14:].flatten(1)
    assert len(hidden.unique(dim=1).T) == 2 and (hidden[2] > hidden[0] + 0.15).all()
    assert (found[2:, 0] == found[2:, 2]).all()
    many = VIEWS["completions"].picture(Inverts(), images=images, seed=0, n=12).drawn
    found = tiles(many.sheet.float() / 255, 28, 28)
    assert len(found) == 16 and (found[14:] == 1).all() and "kept" in many.title


class Coded:
    """Two codes: the first has three values, the second as many as asked for."""

    spec = SPEC

    def codes(self):
        return ("kind", "tone")

    def traverse(self, code, *, rows=8, steps=10, seed=0):
        steps = 3 if code == "kind" else steps
        return torch.linspace(0, 1, steps)[None, :, None, None, None].expand(rows, -1, 1, 28, 28)


def test_all_codes_stand_on_one_sheet_row_by_row():
    found = sheets(Coded())
    assert set(found) == {"traverse-kind", "traverse-tone", "traversals"}
    shown = tiles(found["traversals"], 28, 28)[:, 0, 0, 0].view(2, 10)
    torch.testing.assert_close(shown[0, :3], torch.tensor([0, 0.5, 1.0]))
    assert (shown[0, 3:] == 1).all()
    torch.testing.assert_close(shown[1], torch.linspace(0, 1, 10))


class Walks:
    """Its even rows end in a bolder form of their image, the odd ones in another image."""

    spec = SPEC

    def interpolate(self, *, rows, steps, seed):
        first = torch.rand(rows, 1, 28, 28, generator=torch.Generator().manual_seed(seed)) / 2
        last = torch.where(torch.arange(rows)[:, None, None, None] % 2 == 1, 0.5 - first, 2 * first)
        return torch.stack([first, *[torch.zeros_like(first)] * (steps - 2), last], dim=1)


def test_walks_are_those_whose_ends_look_different():
    """By the difference of pixels, the bolder images would win."""
    drawn = VIEWS["walks"].picture(Walks(), seed=0, n=8, steps=8).drawn
    found = cells(drawn.sheet)
    assert found.shape[0] == 8
    torch.testing.assert_close(found[:, -1], 0.5 - found[:, 0], rtol=0, atol=1.1 / 255)
    whole = Walks().interpolate(rows=16, steps=8, seed=0)[1::2, 0, 0]  # in their order
    torch.testing.assert_close(found[:, 0], whole, rtol=0, atol=0.6 / 255)


def test_rows_and_columns_are_told_in_words():
    images = torch.rand(32, 1, 28, 28)
    told = words(Inverts(), images)
    assert told["completions"] == ([], ["image", "kept", *["drawn"] * 6], "")
    assert told["reconstructions"] == (["image", "again"] * 4, [], "")
    assert told["samples"] == ([], [], "")
    told = words(Coded())
    assert told["traversals"] == (["kind", "tone"], [], "")
    assert told["traverse-tone"] == ([], [], "tone")
    torch.manual_seed(0)
    vae = MODELS["VAE"](ImageSpec(1, 8, 8), latent_dim=2)
    z = VIEWS["traverse"].picture(vae, "z2", seed=0, n=2, steps=3).drawn
    assert (z.title, z.columns) == ("z2", ["-3", "0", "3"])
    infogan = MODELS["InfoGAN"](ImageSpec(1, 8, 8))
    c = VIEWS["traverse"].picture(infogan, "category", seed=0, n=1).drawn
    assert c.columns == [str(k) for k in range(10)]


def test_words_stand_around_a_sheet_which_stays_as_it_is():
    sheet = torch.rand(3, 116, 58)
    around = explained(sheet, rows=["a", "bb"], columns=["c"], title="d")
    high, wide = around.shape[1] - 116, around.shape[2] - 58
    assert high == 32 and wide > 8
    assert torch.equal(around[:, high:, wide:], sheet)
    left, top = around[:, high:, :wide], around[:, :high]
    for part in (*left.split(58, dim=1), *top.split(16, dim=1)):  # something stands everywhere
        assert part.min() < 0.5 and part.max() == 1
    assert explained(sheet) is sheet
    in_bytes = (sheet * 255).round().byte()
    told = explained(in_bytes, rows=["a", "bb"], columns=["c"], title="d")
    assert told.dtype == torch.uint8 and told.max() == 255
    assert torch.equal(told[:, high:, wide:], in_bytes)
    long = explained(sheet, title="a small blue box left of a big red disc")
    assert long.shape[2] > 200 and torch.equal(long[:, 16:, :58], sheet)  # no word is cut


def test_points_have_axes():
    """The labels stand where the values are: one at 0.7, 0.1 is between x of 0.5 and 0.9."""

    class Points(Inverts):
        spec = ImageSpec(2, 1, 1)

        def sample(self, n, *, seed=None):
            return torch.tensor([0.7, 0.1]).view(1, 2, 1, 1).expand(n, 2, 1, 1)

    drawn = VIEWS["samples"].picture(Points(), seed=0).drawn
    dark = (drawn.sheet[0] < 230).nonzero().float().mean(dim=0) / drawn.sheet.shape[1]
    assert drawn.columns[int(dark[1] * 5)] == "0.7" and drawn.rows[int(dark[0] * 5)] == "0.1"


def test_what_a_flow_reconstructs_is_not_shown_and_nothing_is_without_images():
    images = torch.rand(3, 1, 28, 28)
    assert set(sheets(Inverts(), images)) == {"samples", "completions", "reconstructions"}
    assert set(sheets(Flow(), images)) == {"samples", "completions"}
    assert set(sheets(Inverts())) == {"samples"}


def test_unseen_images_are_those_of_the_split_and_binarised_as_it_is():
    data = DATASETS["Digits"](binarize="static")
    images = unseen(data, "test")
    pixels = data.images("test").fetch(torch.arange(360))
    assert images.shape == (32, 1, 8, 8) and set(images.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(images[-1], pixels[31 * 360 // 32] / 255)
    assert unseen(DATASETS["TwoMoons"](), "test") is None
    assert unseen(DATASETS["Digits"](val_size=0), "val") is None


class Illustrator:
    """Draws what a caption's first word says, as a shade; sketches are half as bright."""

    spec, words = SPEC, ("dark", "bright")

    def __init__(self, captions):
        self.known_captions = torch.tensor(captions)

    def illustrate(self, captions, *, seed=None, stage=2):
        return (captions[:, 0] / 4 * stage)[:, None, None, None].expand(-1, 1, 28, 28)


def test_images_and_their_sketches_stand_below_their_caption():
    found = sheets(Illustrator([[2, 1], [1, 0], [2, 1], [0, 0]]))["captions"]  # one is there twice
    rows = found.split(found.shape[1] // 2, dim=1)
    shown = [cells(row[:, 16:]).mean(dim=(2, 3))[0] for row in rows]
    for shades, first in zip(shown, (0.25, 0.5), strict=True):
        torch.testing.assert_close(shades, torch.tensor([first, 2 * first] * 4))


def test_a_model_that_knows_no_caption_yet_shows_none():
    assert sheets(Illustrator([[0, 0]])) == {}


class Wide(Inverts):
    """Makes large images, but not today."""

    spec = ImageSpec(channels=3, height=256, width=256)

    def sample(self, n, *, seed=None):
        raise AssertionError("drawn in vain")

    def interpolate(self, *, rows, steps, seed):
        raise AssertionError("drawn in vain")

    def complete(self, x, mask, *, seed=None):
        raise AssertionError("drawn in vain")


@pytest.mark.parametrize(
    ("view", "arguments"),
    [
        ("samples", {"n": 1025}),
        ("walks", {"n": 205, "steps": 5}),
        ("completions", {"n": 1023, "images": torch.zeros(1, 3, 256, 256)}),
    ],
)
def test_more_images_than_a_picture_holds_are_refused_before_they_are_drawn(view, arguments):
    with pytest.raises(UserError, match=r"1,025 images of 256x256 .* at most 1,024 .*: lower --n"):
        VIEWS[view].picture(Wide(), seed=0, **arguments)
