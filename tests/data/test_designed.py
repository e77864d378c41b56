"""Designed data: the pixels show the features that are stated, and only what was declared."""

import numpy as np
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import MNIST, DigitPairs, DigitTriples, Dots, Pie, TwoObjects
from zoo.data.designed import pick_combinations
from zoo.data.dots import APART, RADIUS, place_dots
from zoo.data.pies import pie_bands, universe_of_pies
from zoo.data.two_objects import COLOURS, SHAPES

MADE = {
    "Dots": lambda **kw: Dots(images=40, **kw),
    "Pie": lambda **kw: Pie(images=40, **kw),
    "TwoObjects": lambda **kw: TwoObjects(images=20, side=32, **kw),
    "DigitPairs": lambda **kw: DigitPairs(images=40, combinations=7, **kw),
    "DigitTriples": lambda **kw: DigitTriples(images=40, combinations=7, **kw),
}


@pytest.mark.parametrize("name", MADE)
def test_the_same_arguments_give_the_same_bytes_and_each_part_its_own(name, real_data):
    make = MADE[name]
    first, again, other = make(), make(seed=5, batch_size=7), make(design_seed=1)
    prints = [data.fingerprint("train") for data in (first, again, other)]
    assert prints[0] == prints[1] != prints[2]
    assert first.fingerprint("val") not in (first.fingerprint("test"), prints[0])
    batch = next(iter(first.loader("train", shuffle=True)))
    assert batch.caption is None and batch.attributes.dtype == torch.int64
    assert batch.attributes.shape[1] == len(first.spec.attributes)
    shown = {tuple(row) for row in first.images("train").notes.attributes.tolist()}
    assert shown <= {tuple(row) for row in first.combinations.tolist()}
    sizes = torch.tensor([size for _, size in first.spec.attributes])
    assert (first.combinations < sizes).all() and (first.combinations >= 0).all()
    few = make(val_size=9)
    assert len(few.images("val")) == 9
    assert all(len(values) == 9 for values in few.features("val").values())


def test_counts_are_shared_equally_and_discs_are_where_they_are_said_to_be():
    data = Dots(counts=(3, 12), images=60, noise=0)
    x = data.images("train").pixels.double() / 255
    known = data.features("train")
    assert known["count"].bincount()[[3, 12]].tolist() == [30, 30]
    for image, count, centres, colours in zip(
        x, known["count"], known["centre"], known["colour"], strict=True
    ):
        assert centres[count:].isnan().all()
        row, column = centres[:count].round().long().unbind(dim=1)
        assert (image[:, row, column].T - colours[:count]).abs().max() < 0.003
        ink = ((1 - image) / (1 - colours[0]).view(3, 1, 1))[0]
        at = torch.arange(64.0)
        away = (at[:, None] - centres[0, 0]).square() + (at - centres[0, 1]).square()
        if (centres[0] > 7).all() and (centres[0] < 56).all():
            area = ink[away < 6.3**2].sum().item()  # nothing else is so near
            assert area == pytest.approx(np.pi * 5.68**2, rel=0.04)
    at_32 = Dots(counts=(3, 12), images=60, noise=0, side=32).images("train").pixels
    pooled = torch.nn.functional.avg_pool2d(x, 2) * 255
    assert (at_32 - pooled).abs().max() < 1.01


def test_layouts_have_the_law_of_whole_layouts_drawn_until_one_is_allowed():
    # Catches discs placed one after another and left there: the last ones then crowd together.
    random = np.random.default_rng(0)
    drawn = random.uniform(RADIUS, 1 - RADIUS, (30_000, 8, 2))
    gap = np.linalg.norm(drawn[:, :, None] - drawn[:, None], axis=3) + 9 * np.eye(8)
    wanted = drawn[gap.min(axis=(1, 2)) > APART * RADIUS]
    assert len(wanted) > 300
    found = place_dots(np.full(4000, 8), random)[:, :8]
    gap = np.linalg.norm(found[:, :, None] - found[:, None], axis=3) + 9 * np.eye(8)
    assert gap.min() > APART * RADIUS

    def statistic(layouts):
        some = np.linalg.norm(layouts - 0.5, axis=2).mean(axis=1)
        return some.mean(), some.std() / np.sqrt(len(some))

    (a, error_a), (b, error_b) = statistic(wanted), statistic(found)
    assert abs(a - b) < 4 * np.hypot(error_a, error_b)
    full = place_dots(np.full(50, 12), random)
    assert np.isfinite(full).all()


def test_noise_is_normal_and_reflected_at_the_borders():
    clean = Dots(counts=(1,), images=20, noise=0).images("train").pixels.double() / 255
    noisy = Dots(counts=(1,), images=20).images("train").pixels.double() / 255
    dark = 1 - noisy[clean == 1]
    assert dark.min() >= 0  # half normal: mean sigma sqrt(2 / pi)
    assert dark.mean().item() == pytest.approx(0.03 * np.sqrt(2 / np.pi), rel=0.03)
    inner = (clean > 0.2) & (clean < 0.8)
    assert (noisy - clean)[inner].std().item() == pytest.approx(0.03, rel=0.05)


def test_pies_have_the_size_place_colours_and_share_of_their_five_digits():
    data = Pie(configurations=("41918", "29192", "30000"), images=90)
    x = data.images("train").pixels.float() / 255
    kinds = data.images("train").notes.attributes
    assert kinds[:2].tolist() == [[4, 1, 9, 1, 8], [2, 9, 1, 9, 2]]
    assert len(kinds[2::3].unique(dim=0)) > 25 and len(data.combinations) == 2 + 9**4
    at = torch.arange(64.0)
    for image, kind in zip(x, kinds, strict=True):
        inside = image.sum(dim=0) < 2.9
        radius = (inside.sum() / np.pi).sqrt() / 32
        assert radius.item() == pytest.approx(0.35 + kind[1].item() / 20, abs=0.006)
        down = (inside.float().sum(dim=1) * at).sum() / inside.sum()
        across = (inside.float().sum(dim=0) * at).sum() / inside.sum()
        assert ((down - 32) / 32).item() == pytest.approx((kind[2].item() - 5) / 20, abs=0.005)
        assert ((across - 32) / 32).item() == pytest.approx((kind[3].item() - 5) / 20, abs=0.005)
        colours = image[:, inside].T.unique(dim=0)
        assert len(colours) <= kind[0]
        red = (image[0] > 0.5) & (image[1] == 0) & inside
        assert (red.sum() / inside.sum()).item() == pytest.approx(kind[4].item() / 10, abs=0.04)
    share = data.features("train")["red"]
    assert (share - kinds[:, 4] / 10).abs().mean() < 0.008


def test_sectors_keep_their_shares_when_they_are_scattered():
    random = np.random.default_rng(0)
    bands = pie_bands(np.full(200, 4), np.full(200, 0.3), random)
    assert ((bands == 0).sum(axis=1) == 300).all()
    ends = (np.diff(bands, axis=1) != 0).sum(axis=1)
    assert ends.mean() > 5  # blocks alone have three
    assert (pie_bands(np.full(5, 1), np.full(5, 0.3), random) == 0).all()


def test_pies_combinations_are_those_of_the_public_code():
    universe = universe_of_pies()
    assert len(universe) == 2025 == len(universe.unique(dim=0))
    assert universe[:, 1].unique().tolist() == [1, 3, 5, 7, 9] == universe[:, 4].unique().tolist()
    data = Pie(combinations=20, feature="size", feature_values=(5, 4), images=10)
    assert data.combinations[:, 1].bincount()[[4, 5]].tolist() == [10, 10]
    assert len(data.combinations[:, [0, 2, 3, 4]].unique(dim=0)) == 20


def test_fewer_combinations_are_among_more():
    universe = universe_of_pies()
    few, more = (
        {tuple(row) for row in pick_combinations(universe, count, 3).tolist()} for count in (20, 80)
    )
    assert few < more and len(more) == 80
    assert few != {tuple(row) for row in pick_combinations(universe, 20, 4).tolist()}
    assert len(pick_combinations(universe, 0, 0)) == 2025


@pytest.mark.parametrize(("kind", "places"), [(DigitPairs, 2), (DigitTriples, 3)])
def test_digits_are_those_of_the_label_and_of_their_part(kind, places, real_data):
    named = ("07", "70", "13") if places == 2 else ("007", "133")
    data = kind(root=str(real_data), named=named, images=30)
    for part, source in (("train", "train"), ("test", "test")):
        digits = MNIST(root=str(real_data)).images(source)
        by_bytes = {
            pixels.numpy().tobytes(): label
            for pixels, label in zip(digits.pixels, digits.labels.tolist(), strict=True)
        }
        images = data.images(part)
        pieces = data.parts(images.pixels)
        assert pieces.shape[1:] == (places, 1, 28, 28)
        for piece, label in zip(pieces, images.labels.tolist(), strict=True):
            read = "".join(str(by_bytes[one.numpy().tobytes()]) for one in piece)
            assert read in named and int(read) == label
    assert {f"{label:0{places}d}" for label in data.images("train").labels.tolist()} == set(named)


def test_exceptions_leave_as_many_combinations_as_the_protocol_says():
    def count(**kw):
        return len(TwoObjects(images=10, side=32, **kw).combinations)

    two = {"colours": ("red", "blue"), "shapes": ("cone", "torus")}
    assert count(**two) == 16
    assert count(**two, restricted=("red", "blue"), only_with=("cone-cone",)) == 13
    three = {"colours": ("red", "blue", "green"), "shapes": ("cone", "cylinder", "sphere")}
    assert count(**three) == 81
    shapes = {"restricted": ("cone", "cylinder"), "only_with": ("red-blue", "green-green")}
    assert count(**three, **shapes) == 74


def test_scenes_show_the_colours_and_shapes_that_are_stated():
    """Colours and silhouettes are measured on the picture, without the renderer's help."""
    data = TwoObjects(images=80)
    x, kinds = data.images("train").pixels.float() / 255, data.images("train").notes.attributes
    palette = torch.tensor(list(COLOURS.values()))
    palette = palette / palette.norm(dim=1, keepdim=True)
    right = 0
    for image, kind in zip(x, kinds, strict=True):
        for place in (0, 1):
            half = image[:, :, 32 * place : 32 * place + 32]
            painted = (half.amax(dim=0) - half.amin(dim=0)) > 0.1 * half.amax(dim=0) + 0.03
            colour = half[:, painted].mean(dim=1)
            right += int((palette @ (colour / colour.norm())).argmax() == kind[2 * place])
            rows = painted.any(dim=1).nonzero().flatten()
            width = painted.sum(dim=1)[rows].float()
            tall, wide = len(rows), painted.any(dim=0).sum().item()
            top, foot = width[: tall // 3].mean(), width[-tall // 3 :].mean()
            name = SHAPES[kind[2 * place + 1]]
            assert (name == "torus") == (tall < 0.75 * wide), (name, tall, wide)
            assert name != "cone" or top < 0.6 * foot
            assert name != "cylinder" or 0.85 < top / foot < 1.2
            assert name != "sphere" or 0.85 < tall / wide < 1.15
    assert right == 160


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dots(counts=()), "counts must name"),
        (lambda: Dots(counts=(2, 13)), "between 1 and 12, got 13"),
        (lambda: Dots(counts=(2, 2)), "twice"),
        (lambda: Dots(side=48), "side"),
        (lambda: Dots(images=3), "images"),
        (lambda: Dots(noise=-1.0), "noise"),
        (lambda: Pie(configurations=("51111",)), "'51111', which is not five digits"),
        (lambda: Pie(configurations=("41111",), combinations=3), "leave out"),
        (lambda: Pie(combinations=2026), "2025, got 2026"),
        (lambda: Pie(feature="size"), "belong together"),
        (lambda: Pie(feature="colour", feature_values=(1,)), "feature"),
        (lambda: Pie(feature="size", feature_values=(0,)), "between 1 and 9"),
        (lambda: DigitPairs(named=("7",)), "'7', which is not 2 digits"),
        (lambda: DigitPairs(named=("07",), combinations=3), "how many"),
        (lambda: DigitTriples(combinations=1001), "1000"),
        (lambda: TwoObjects(colours=("pink",)), "pink"),
        (lambda: TwoObjects(only_with=("cone-cone",)), "beside --data.restricted"),
        (lambda: TwoObjects(restricted=("red", "cone")), "cone"),
        (lambda: TwoObjects(restricted=("red", "red"), only_with=("x",)), "'x'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(make, words):
    with pytest.raises(UserError) as refused:
        make()
    assert words in str(refused.value)
