"""Numbers and names of scores: written in one way, taken apart in one place."""

import re
from pathlib import Path

import pytest

from zoo.core.figures import digits, exact, is_name, shown, split_name

ZOO = Path(__file__).resolve().parents[2] / "zoo"


@pytest.mark.parametrize(
    ("value", "count", "text"),
    [(0.012345, 3, "0.0123"), (999.7, 3, "1,000"), (999.4, 3, "999"), (-2106.474, 3, "-2,106"),
     (123456.0, 4, "123,456"), (0.0, 3, "0"), (1e-5, 4, "1e-05"), (float("nan"), 3, "nan"),
     (float("inf"), 3, "inf"), (0.71649, 4, "0.7165")],
)  # fmt: skip
def test_digits_that_count_and_no_exponent_of_large_numbers(value, count, text):
    assert digits(value, count) == text


@pytest.mark.parametrize(
    ("score", "text"),
    [
        ({"value": 2106.474}, "2106.4740"),
        ({"value": None}, "none"),
        ({"value": None, "details": None}, "none"),
        ({"value": None, "details": {"status": "infeasible"}}, "infeasible"),
        ({"value": None, "details": {"status": ["too few", "solved"]}}, "none"),  # of each class
        ({"value": float("nan"), "details": {"status": "undefined"}}, "undefined"),
        ({"value": float("inf")}, "none"),
    ],
)
def test_a_value_or_why_there_is_none(score, text):
    assert shown(score) == text
    assert score["value"] != 2106.474 or text == exact(2106.474)


@pytest.mark.parametrize(
    ("name", "head", "protocol", "good"),
    [
        ("fid[mnist-features,10k,test]", "fid", "mnist-features,10k,test", True),
        ("nll", "nll", "", True),
        ("nll[static", "nll", "static", False),
        ("test NLL", "test NLL", "", False),
        ("[x]", "", "x", False),
    ],
)
def test_names_are_taken_apart(name, head, protocol, good):
    assert split_name(name) == (head, protocol)
    assert is_name(name) is good


def test_nobody_else_takes_names_apart_or_formats_scores():
    """What would be a second home of either: brackets looked for in names, decimals of values."""
    wrong = re.compile(
        r"""partition\(["']\[|split\(["']\[|\\\[\[\^\\\[|startswith\(["']\w+\[|"""
        r"""\{score\[['"]value['"]\]:|\{score\.value:"""
    )
    numbers = re.compile(r"""\{[^{}"']+:,?\.[34]g\}""")  # of what is shown, not of what is refused
    shows = [ZOO / wing for wing in ("judge", "shelf", "show", "training")]
    for path in ZOO.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found = path.name != "figures.py" and wrong.search(text)
        assert not found, f"{path}: {found[0]}"
        found = set(path.parents) & set(shows) and numbers.search(text)
        assert not found, f"{path}: {found[0]}"
