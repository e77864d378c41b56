"""The lab's findings from readings that were planted, and what its report says of them."""

import json
from html.parser import HTMLParser

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import DigitPairs, Dots, Pie, TwoObjects
from zoo.judge.lab.experiments import EXPERIMENTS
from zoo.judge.lab.findings import find, over_seeds
from zoo.judge.lab.reading import read_features
from zoo.show.lab import histogram, page, sentences

SEEDS = (0, 1)


def report_of(experiment, points, readings, combinations):
    found = find(experiment, points, SEEDS, readings, combinations)
    json.dumps(found, allow_nan=False)  # plain values only
    report = {
        "experiment": experiment.name, "question": experiment.question, "kind": experiment.kind,
        "data": experiment.data, "features": list(experiment.features), "trainings": [],
        "protocol": {"samples": 10, "seeds": 2, "quick": True},
        "models": [{"model": "<b>", "recipe": "planted", **found}],
    }  # fmt: skip
    report["sentences"] = sentences(report)
    return found, report


def counts(trained, width, generator, merged=False):
    """Answers to one or two counts: their own, blurred, or what lies between."""
    values = torch.tensor(trained)
    if merged:
        values = values.mean(dim=0, keepdim=True)
    drawn = values[torch.randint(len(values), (4000,), generator=generator)]
    blur = width * drawn * torch.randn(4000, generator=generator)
    return (drawn + blur).round().clamp(min=0).long()


def test_webers_law_additivity_and_prototypes_are_found_where_they_were_planted(tmp_path):
    experiment = EXPERIMENTS["numerosity"]
    generator = torch.Generator().manual_seed(0)
    readings, combinations = {}, {}
    for point in experiment.points:
        for seed in SEEDS:
            merged = point.name == "2+4"
            readings[point.name, seed] = {"count": counts(point.trained, 0.2, generator, merged)}
            combinations[point.name, seed] = torch.tensor(point.trained)[:, None]
    found, report = report_of(experiment, experiment.points, readings, combinations)
    assert found["exponents"]["sd"]["mean"] == pytest.approx(1, abs=0.25)
    rows = {row["name"]: row for row in found["points"]}
    assert rows["7"]["sd"]["mean"] == pytest.approx(1.43, abs=0.1)
    assert rows["7"]["mean"]["seeds"] == 2 and rows["7"]["mean"]["sd"] is not None
    pairs = {pair["name"]: pair for pair in found["pairs"]}
    assert pairs["2+7"]["enhancement"]["mean"] == pytest.approx(1, abs=0.2)
    assert pairs["2+7"]["distance"]["mean"] < 0.05
    assert pairs["2+4"]["enhancement"]["mean"] > 2 and pairs["2+4"]["valley"]["mean"] == 1
    assert pairs["2+4"]["gap_over_sd"]["mean"] == pytest.approx(2 / 0.62, rel=0.15)
    said = " ".join(report["sentences"])
    assert "as the talk says" in said and "prototype enhancement" in said and "add up" in said

    class Checker(HTMLParser):
        open_, drawn = [], 0

        def handle_starttag(self, tag, attrs):
            self.drawn += tag == "rect"
            if tag not in ("meta", "img", "br", "rect", "polyline", "line", "link"):
                self.open_.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("rect", "polyline", "line"):
                assert self.open_.pop() == tag

    text = page(report, tmp_path)
    checker = Checker()
    checker.feed(text)
    assert not checker.open_ and checker.drawn > 60
    assert "<b>" not in text and "&lt;b&gt;" in text  # a name never becomes markup
    assert "six images of each count" in text  # the paper's figures stand beside


def test_what_was_not_read_is_said_and_no_figure_is_made_up(tmp_path):
    experiment = EXPERIMENTS["numerosity"]
    points = [point for point in experiment.points if point.quick]
    blank = {"count": torch.full((50,), -1)}
    readings = {(point.name, seed): blank for point in points for seed in SEEDS}
    found, report = report_of(experiment, points, readings, {})
    assert found["points"][0]["mean"] == {"mean": None, "sd": None, "seeds": 0}
    assert found["points"][0]["unread"]["mean"] == 1
    assert "none" in page(report, tmp_path)


def test_combinations_are_counted_against_those_of_each_seed(tmp_path):
    experiment = EXPERIMENTS["combinations"]
    readings, combinations = {}, {}
    for point in experiment.points:
        for seed in SEEDS:
            data = DigitPairs(combinations=int(point.trained[0]), design_seed=seed, images=10)
            shown = data.combinations
            # Seed 1 replays; seed 0 draws every pair, and one in eleven cannot be read.
            some = shown if seed == 1 else torch.cartesian_prod(*[torch.arange(10)] * 2)
            some = some.repeat(1000 // len(some), 1)
            if seed == 0:
                some = torch.cat([some, torch.full((100, 2), -1)])
            combinations[point.name, seed] = shown
            readings[point.name, seed] = {"first": some[:, 0], "second": some[:, 1]}
    found, report = report_of(experiment, experiment.points, readings, combinations)
    for row in found["points"]:
        size = row["trained"][0]
        uniform, replay = row["runs"]
        assert (replay["novel"], replay["lost"], replay["novel_mass"]) == (0, 0, 0)
        assert replay["precision"] == 1 and replay["unread"] == 0
        assert uniform["novel"] == 100 - size and uniform["filled"] == 1
        assert uniform["unread"] == pytest.approx(1 / 11)
    text = page(report, tmp_path)
    assert text.count('class="trained"') == 10 + 20 + 40 + 80
    assert "New, RNN" in text


def test_a_combination_held_out_is_seen_and_independence_measured(tmp_path):
    experiment = EXPERIMENTS["independence"]
    (point,) = experiment.points
    data = Pie(configurations=tuple(point.data["configurations"]), images=10)
    generator = torch.Generator().manual_seed(0)
    readings = {}
    for seed in SEEDS:
        digits = torch.tensor([2, 5, 8])[torch.randint(3, (9000, 2), generator=generator)]
        if seed == 0:  # as trained: never both the largest
            digits = digits[(digits != 8).any(dim=1)]
        radius, red = 0.35 + digits[:, 0] / 20, digits[:, 1] / 10
        readings[point.name, seed] = {"radius": radius, "red": red}
    shown = {(point.name, seed): data.combinations for seed in SEEDS}
    found, report = report_of(experiment, [point], readings, shown)
    trained, independent = found["points"][0]["runs"]
    assert trained["novel_mass"] == 0 and trained["from_independence"] > 0.05
    assert independent["novel_mass"] == pytest.approx(1 / 9, abs=0.01)
    assert independent["from_independence"] < 0.02
    assert not independent["trained"][2][2] and sum(map(sum, independent["trained"])) == 8
    assert "together with the highest red" in page(report, tmp_path)


def test_readers_are_found_by_the_data_and_their_absence_is_said():
    dots = Dots(counts=(3,), images=10)
    x = dots.images("train").pixels.float() / 255
    assert read_features(dots, x)["count"].tolist() == [3] * 10
    pairs = DigitPairs(combinations=5, images=40)
    images = pairs.images("train")
    read = read_features(pairs, images.pixels.float() / 255)
    right = torch.stack(list(read.values()), dim=1) == images.notes.attributes
    assert right.double().mean() > 0.94
    with pytest.raises(UserError, match="no reader for TwoObjects"):
        read_features(TwoObjects(images=10, side=32), torch.zeros(1, 3, 32, 32))


def test_seeds_without_a_figure_do_not_count():
    assert over_seeds([1.0, 3.0, float("nan")]) == {
        "mean": 2.0, "sd": pytest.approx(2**0.5), "seeds": 2,
    }  # fmt: skip
    assert over_seeds([2.0])["sd"] is None


def test_bars_end_at_their_shares_and_marks_at_their_values():
    row = {"law": [0, 0.25, 0.5, 0.25, 0], "trained": [2], "name": "2",
           "mean": over_seeds([2.0]), "unread": over_seeds([0.0])}  # fmt: skip
    drawn = histogram(row, [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5], [0, 0.5, 0, 0.5, 0])
    tall = [bar[3] for bar in drawn.bars]
    assert max(tall) == tall[2] == pytest.approx(2 * tall[1])
    left, _, wide, _ = drawn.bars[2]
    assert left < drawn.marks[0] < left + wide  # the middle of its bar
    assert drawn.marks[0] == pytest.approx(left + wide / 2, abs=1)
    assert len(drawn.line) == 2 * len(drawn.bars)
