"""The catalogue: one row for each score, from which its name is written and by which it is read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.judge.catalogue import SCORES, add, find, headline, meaning, parameters, row_of
from zoo.judge.rows import Row, short

SHELF = Path(__file__).resolve().parents[2] / "checkpoints"


def cards():
    for path in sorted(SHELF.glob("*/card.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def scores_on_the_shelf():
    for card in cards():
        for report in card["evaluations"].values():
            yield from report["scores"]


def test_every_name_on_the_shelf_is_read_and_written_again():
    names = {score["name"] for score in scores_on_the_shelf()}
    names |= {name for card in cards() for run in card["seeds"] for name in run["scores"]}
    assert len(names) > 100
    for name in names:
        row = row_of({"name": name})
        assert row.name in SCORES and row.text(row.read(name)) == name


def test_rows_say_what_cards_say():
    for score in scores_on_the_shelf():
        row = row_of(score)
        assert (row.unit, row.better) == (score["unit"], score["better"]), score["name"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fid[mnist-features,10k,test,bits]",
         {"features": "mnist-features", "count": 10_000, "split": "test", "bits": True}),
        ("fid[inception,legacy-resize,2k,val]",
         {"features": "inception", "resize": "legacy", "count": 2000, "split": "val"}),
        ("fid[shapes-features,stage2,360,test]",
         {"features": "shapes-features", "stage": "stage2", "count": 360, "split": "test"}),
        ("code_error[majority-of-30,train->test:2k]",
         {"matching": "majority", "codes": 30, "split": "test", "count": 2000}),
        ("code_error[one-to-one,train->test]", {"matching": "one-to-one", "split": "test"}),
        ("nll[static,ensemble8,10k,test]",
         {"pixels": "static", "ensemble": 8, "count": 10_000, "split": "test"}),
        ("modes[25,3sigma,2500]", {"of": 25, "within": 3.0, "samples": 2500}),
        ("modes[1000,mnist-features,26k]",
         {"of": 1000, "features": "mnist-features", "samples": 26_000}),
        ("log_density[points,2k,test]", {"range": "points", "count": 2000, "split": "test"}),
        ("error[any-attribute,test]", {"what": "any-attribute", "split": "test"}),
    ],
)  # fmt: skip
def test_protocols_are_values(name, values):
    assert parameters({"name": name}) == values
    assert row_of({"name": name}).text(values) == name
    assert parameters({"name": name, "parameters": {"own": 1}}) == {"own": 1}  # a card's come first


@pytest.mark.parametrize("name", ["fid[x]", "fid", "fid[a,b,c,d,e,f]", "modes[many,3sigma,2500]"])
def test_protocols_of_another_make_have_no_values(name):
    assert parameters({"name": name}) == {}


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="fid needs a value for split"):
        SCORES["fid"].text({"features": "f", "count": 2})
    with pytest.raises(ValueError, match=r"fid has no parameter \['cuont'\]"):
        SCORES["fid"].text({"features": "f", "cuont": 2, "split": "test"})


def test_no_name_is_taken_twice():
    with pytest.raises(ValueError, match="'fid' is registered twice"):
        add(Row("fid"))


def test_unknown_scores_keep_what_was_written_with_them():
    known = row_of({"name": "sparkle[x]", "unit": "share", "better": "higher"})
    assert known == Row("sparkle", "", "share", "higher")
    assert known.brief(0.5) == "50 %" and meaning("sparkle[x]") == ""
    assert row_of({"name": "sparkle", "unit": None}).unit == ""


def test_every_row_explains_itself():
    for name, row in SCORES.items():
        assert row.name == name and row.meaning.endswith((".", "?")), name
        assert row.better in ("lower", "higher", "")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.05, "share", "5 %"), (0.1, "share", "10 %"), (1000.0, "modes", "1,000 modes"),
     (24.8, "modes", "24.8 modes"), (86.64, "nats", "86.64 nats"), (0.0, "nats", "0.00 nats"),
     (0.00525, "nats", "0.00525 nats"), (1.059, "bits/dim", "1.06 bits/dim"),
     (0.012345, "", "0.0123"), (2106.474, "nats", "2,106.47 nats"), (4000.5, "", "4,000"),
     (0.0001, "share", "0.01 %"), (12.345, "dB", "12.3 dB")],
)  # fmt: skip
def test_figures_are_short_and_have_units(value, unit, text):
    assert Row("x", unit=unit).brief(value) == text


def test_decimals_of_a_row_come_before_its_units():
    assert Row("x", unit="dB", decimals=1).brief(12.345) == "12.3 dB"
    assert Row("x", decimals=0).brief(12.5) == "12"


def test_the_lowest_rank_stands_for_a_model():
    scores = [{"name": f"{head}[x]", "value": 1.0} for head in ("kid", "fid", "nll", "error")]
    assert headline(scores)["name"] == "error[x]"
    assert headline(scores[:3])["name"] == "nll[x]"
    assert headline(scores[:1])["name"] == "kid[x]"
    assert headline([{**scores[3], "value": None}, *scores[:2]])["name"] == "fid[x]"
    assert headline([]) is None


def test_scores_are_found_by_their_head():
    scores = [{"name": "fid_at_prior[x]"}, {"name": "fid[x]"}, {"name": "fid[y]"}]
    assert find(scores, "fid") == {"name": "fid[x]"} and find(scores, "kid") is None


def test_counts_are_short():
    assert [short(n) for n in (10_000, 2500, 360, 26_000)] == ["10k", "2500", "360", "26k"]


def test_the_catalogue_needs_no_torch():
    code = (
        "import sys, zoo.judge.catalogue, zoo.core.figures; "
        "print(*{'torch', 'lightning', 'torchmetrics', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
