"""Readers: the cases of the specification, and pictures drawn here whose truth is known."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zoo.functional.readers import certain, dots, pies

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ZOO_CASES", ROOT.parent / "shared" / "cases")) / "probes"
SOME = np.load(ROOT / "tests" / "cases" / "probes" / "some.npz")  # a few of each kind


def case(name):
    """All of a case where there is the folder of cases, else the few that lie beside the tests."""
    if SHARED.is_dir():
        return dict(np.load(SHARED / f"{name}.npz"))
    return {k.removeprefix(f"{name}_"): SOME[k] for k in SOME if k.startswith(f"{name}_")}


def unit(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def discs(centres, radii, colours, side=64):
    """Draws discs pixel by pixel in NumPy, with another rule of edges than the data set's."""
    at = (np.arange(side * 4) + 0.5) / 4 - 0.5  # sixteen points of each pixel
    image = np.ones((side * 4, side * 4, 3))
    for (row, column), radius, colour in zip(centres, radii, colours, strict=True):
        inside = (at[:, None] - row) ** 2 + (at - column) ** 2 < radius**2
        image[inside] = colour
    image = image.reshape(side, 4, side, 4, 3).mean(axis=(1, 3))
    return torch.from_numpy(image).permute(2, 0, 1).float()


@pytest.mark.parametrize(("name", "least"), [("clean", 0.97), ("noisy", 0.97), ("hard", 0.90)])
def test_dots_of_the_cases_are_counted(name, least):
    # Catches borders that are continued outwards (a cut disc then has a middle outside), thresholds
    # that lose faint discs beside dark ones, and one blob for discs that touch.
    known = case(f"dots_{name}")
    assert (dots(unit(known["images"])).numpy() == known["count"]).mean() >= least


def test_touching_and_cut_discs_of_other_sizes_and_sides_are_counted():
    random = np.random.default_rng(5)
    images, counts = [], []
    for _ in range(40):
        count = int(random.integers(0, 9))
        centres = np.empty((0, 2))
        while len(centres) < count:
            place = random.uniform(2.2, 60.8, 2)
            if (np.linalg.norm(centres - place, axis=1) > 2.0 * 5.7).all():
                centres = np.vstack([centres, place])
        radii = 5.7 * random.uniform(0.92, 1.05, count)
        images.append(discs(centres, radii, random.uniform(0, 0.85, (count, 3))))
        counts.append(count)
    x, counts = torch.stack(images), torch.tensor(counts)
    noisy = (x + 0.03 * torch.from_numpy(random.standard_normal(x.shape)).float()).clamp(0, 1)
    assert (dots(x) == counts).double().mean() >= 0.97
    assert (dots(noisy) == counts).double().mean() >= 0.97
    large = F.interpolate(x, (128, 128), mode="bilinear")
    assert (dots(large) == counts).double().mean() >= 0.95
    assert (dots(F.avg_pool2d(x, 2)) == counts).double().mean() >= 0.9


def test_white_has_no_dots_and_what_shows_none_is_not_counted():
    # Catches guesses: haze, a black picture, strokes and broken numbers have no count.
    at = torch.arange(64)
    stripes = torch.where(at % 16 < 3, 0.2, 1.0).expand(3, 64, 64)
    half = torch.where(at < 32, 0.5, 1.0).expand(3, 64, 64)
    broken = torch.full((3, 64, 64), float("nan"))
    others = [torch.full((3, 64, 64), grey) for grey in (0.0, 0.5, 0.8)]
    x = torch.stack([torch.ones(3, 64, 64), stripes, half, broken, *others])
    assert dots(x).tolist() == [0, -1, -1, -1, -1, -1, -1]
    assert dots(x).dtype == torch.int64 and dots(x[:0]).shape == (0,)
    for wrong in (torch.ones(1, 1, 64, 64), torch.ones(1, 3, 64, 32), torch.ones(3, 64, 64)):
        with pytest.raises(ValueError, match="images must be"):
            dots(wrong)
    with pytest.raises(ValueError, match="uint8"):
        pies(torch.ones(1, 3, 64, 64, dtype=torch.uint8))


def test_pies_of_the_cases_are_measured_within_the_limits():
    # Catches rows taken for columns, index / 32 without - 1, R > G alone, and areas of soft edges.
    known = case("pie")
    found = pies(unit(known["images"]))
    for kind in ("clean", "antialiased", "noisy"):
        of = known["kind"] == kind

        def off(read, name, of=of):
            return read.numpy()[of] - known[name][of]

        limit = 0.002 if kind == "clean" else 0.01
        assert np.abs(off(found.red, "prop_red_rendered")).mean() <= limit
        assert abs(off(found.radius, "radius").mean()) <= (0.008 if kind != "clean" else 0.001)
        for read, name in ((found.row, "loc_y"), (found.column, "loc_x")):
            assert np.abs(off(read, name)).max() <= 0.01


@pytest.mark.parametrize("side", [32, 48, 64, 128])
def test_pies_drawn_here_have_their_size_place_and_share(side):
    scale = side / 64
    at = (torch.arange(side, dtype=torch.float64) + 0.5) / scale - 0.5
    images, truth = [], []
    for radius, row, column in ((0.42, 0.2, -0.15), (0.6, -0.1, 0.05), (0.75, 0.0, 0.2)):
        down, across = at[:, None] - 32 * (1 + row), at - 32 * (1 + column)
        inside = down.square() + across.square() < (32 * radius) ** 2
        red = (across < 0) & inside  # about half of it
        image = torch.ones(3, side, side)
        image[:, inside] = torch.tensor([0.0, 0.3, 0.8])[:, None]
        image[:, red] = torch.tensor([0.85, 0.0, 0.0])[:, None]
        images.append(image)
        truth.append([radius, row, column, (red.sum() / inside.sum()).item()])
    found = torch.stack(pies(torch.stack(images)), dim=1)
    share = 0.005 if side in (32, 64) else 0.03  # where pixels are neither mixed nor counted twice
    limits = torch.tensor([0.015, 0.01, 0.01, share])
    assert ((found - torch.tensor(truth)).abs() <= limits).all(), found


def test_what_is_no_pie_is_not_measured():
    ring = torch.ones(3, 64, 64)
    at = torch.arange(64) - 32.0
    away = (at[:, None].square() + at.square()).sqrt()
    ring[:, (away > 20) & (away < 24)] = 0
    few = torch.ones(3, 64, 64)
    few[:, 30:36, 30:36] = 0
    x = torch.stack([torch.ones(3, 64, 64), ring, few, torch.full((3, 64, 64), 0.5)])
    x = torch.cat([x, torch.full((1, 3, 64, 64), torch.nan)])
    assert all(part.isnan().all() for part in pies(x))
    assert len(pies(x[:0]).red) == 0


def test_a_class_is_named_only_where_the_reader_is_certain():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.34, 0.33, 0.33]])
    assert certain(p).tolist() == [0, 2, -1]
    assert certain(p, 0.55).tolist() == [-1, 2, -1]
