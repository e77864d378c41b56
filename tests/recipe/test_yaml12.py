"""YAML 1.2, with anchors and merge keys, and nothing that has no end."""

import math
import time

import pytest

from zoo.recipe.yaml12 import NotYAML, plain_value, read_yaml

VALUES = {
    "off": "off",
    "on": "on",
    "yes": "yes",
    "no": "no",
    "true": True,
    "False": False,
    "~": None,
    "null": None,
    "": None,
    "010": 10,
    "-7": -7,
    "0o17": 15,
    "0x1F": 31,
    "0b1": "0b1",
    "1_000": "1_000",
    "12:30": "12:30",
    "1e-4": 1e-4,
    "1.": 1.0,
    ".5": 0.5,
    "2E3": 2000.0,
    "-.inf": -math.inf,
    "2026-11-28": "2026-11-28",
    "'1'": "1",
    "[1, off]": [1, "off"],
    "=": "=",
}


@pytest.mark.parametrize(("text", "value"), VALUES.items(), ids=[repr(text) for text in VALUES])
def test_values_are_those_of_version_1_2(text, value):
    assert read_yaml(text) == value and type(read_yaml(text)) is type(value)
    assert read_yaml(f"a: {text}") == {"a": value}


def test_anchors_and_merge_keys():
    text = "base: &b {lr: 1e-3, width: 8}\nmine:\n  <<: *b\n  width: 16\n"
    assert read_yaml(text)["mine"] == {"lr": 1e-3, "width": 16}
    several = "a: &a {x: 1}\nb: &b {y: 2, x: 3}\nc: {<<: [*a, *b], z: 4}\n"
    assert read_yaml(several)["c"] == {"x": 1, "y": 2, "z": 4}


BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
REFUSED = {
    "twice": ("a: 1\nb: 2\na: 3\n", "the key 'a' is given twice", 3),
    "twice beside a merge": ("a: &a {x: 1}\nb: {<<: *a, y: 1, y: 2}", "'y' is given twice", 2),
    "itself": ("trainer: &t {callbacks: [*t]}", "part of what it stands for", None),
    "a bomb": (BOMB, "unfold to more than", None),
    "deep": ("[" * 80 + "]" * 80, "nested more than", None),
    "deeper": ("[" * 5000, "cannot be read|expected|nesting", None),
    "a key that is a list": ("? [1, 2]\n: 3\n", "cannot be a key", 1),
    "a merge of a number": ("a: {<<: 3}", "expected a mapping", 1),
    "many digits": ("1" * 6000, "cannot be read", None),
    "a tag": ("!!python/object/apply:os.system [ls]", "could not determine a constructor", 1),
    "a date": ("a: !!timestamp 2001-01-01", "could not determine a constructor", 1),
    "bytes": ("a: !!binary gA==", "could not determine a constructor", 1),
    "a set": ("a: !!set {b, c}", "could not determine a constructor", 1),
    "pairs": ("\na: !!pairs [b: 1]", "could not determine a constructor", 2),
    "control characters": ("a: \x00", "characters", None),
}


@pytest.mark.parametrize(("text", "words", "line"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text, words, line):
    began = time.process_time()
    with pytest.raises(NotYAML, match=words) as error:
        read_yaml(text)
    assert line is None or error.value.line == line
    assert time.process_time() - began < 5  # a bomb has no end
    plain_value(text)  # a command line takes it for text


def test_an_alias_may_be_used_twice_side_by_side():
    assert read_yaml("a: &a [1]\nb: [*a, *a]") == {"a": [1], "b": [[1], [1]]}
