"""A card of any kind of damage is one sentence, and never stops what is said of the others."""

import copy
import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest

import zoo.gallery
import zoo.list
import zoo.verify
from zoo.core.errors import UserError
from zoo.shelf.find import available, read_card
from zoo.shelf.page import model_card
from zoo.shelf.schema import check_parts
from zoo.shelf.weights import load
from zoo.show.gallery import exhibits, markdown
from zoo.show.gallery.pages import page

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
NAME = "vae_digits"
REAL = json.loads((CHECKPOINTS / NAME / "card.json").read_text())
PUBLISHED = sorted(path.parent.name for path in CHECKPOINTS.glob("*/card.json"))
OTHERS = ("x", "", -1, 0, 10**400, 1.5, 1e999, True, None, [], [1], {}, {"a": 1}, "\x1b[31m")
DEEP = [[]]
for _ in range(100):
    DEEP = [DEEP]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A shelf with a sound model and one whose card will be damaged."""
    root = tmp_path_factory.mktemp("shelf")
    for name in ("infogan_digits", NAME):
        shutil.copytree(CHECKPOINTS / name, root / name)
    shutil.copy(CHECKPOINTS / "index.json", root / "index.json")
    return root


def put(root, card):
    """Puts a card on the shelf, and makes the index agree, as a careless publisher would."""
    content = json.dumps(card).encode()
    (root / NAME / "card.json").write_bytes(content)
    index = json.loads((root / "index.json").read_text())
    index["cards"][NAME] = [hashlib.sha256(content).hexdigest()]
    (root / "index.json").write_text(json.dumps(index))


def nodes(value, path=()):
    yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from nodes(value[key], (*path, key))


def replaced(card, path, new):
    """Returns a card with one node replaced."""
    card = copy.deepcopy(card)
    inside = card
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return card


def kind(path):
    """Nodes that differ by place in a list only, or are arguments of trainers, are of a kind."""
    return tuple("*" if isinstance(key, int) else key for key in path)


KINDS = {kind(path): path for path in nodes(REAL) if path}

TABLE = {
    "scores in words": {"scores": "x"},
    "scores a mapping": {"scores": {"fid": 1}},
    "a score in words": {"scores": ["fid"]},
    "a score without value": {"scores": [{"name": "fid"}]},
    "a score without name": {"scores": [{"value": 1.0}]},
    "a value in words": {"scores": [{"name": "fid", "value": "1"}]},
    "a value beyond all numbers": {"scores": [{"name": "fid", "value": 10**400}]},
    "a value that is not a number": {"scores": [{"name": "fid", "value": float("nan")}]},
    "an infinite value": {"scores": [{"name": "fid", "value": float("inf")}]},
    "a unit that is a number": {"scores": [{"name": "fid", "value": 1, "unit": 3}]},
    "details in words": {"scores": [{"name": "fid", "value": None, "details": "x"}]},
    "a score's name that is a number": {"scores": [{"name": 1, "value": 1}]},
    "a score's name that clears the screen": {"scores": [{"name": "\x1b[2J", "value": 1}]},
    "half a character in a name": {"scores": [{"name": "a\ud800", "value": 1}]},
    "a name of a megabyte": {"scores": [{"name": "x" * 10**6, "value": 1}]},
    "seeds numbers": {"seeds": [1, 2]},
    "seeds without scores": {"seeds": [{"seed": 0}, {"seed": 1}]},
    "seeds whose scores are a list": {"seeds": [{"seed": 0, "scores": []}] * 2},
    "seeds with a value in words": {"seeds": [{"seed": 0, "scores": {"fid": "x"}}] * 2},
    "seeds whose seed is text": {"seeds": [{"seed": "0", "scores": {}}] * 2},
    "seconds of a seed in words": {
        "seeds": [{"seed": 0, "scores": {}, "training_seconds": "x"}] * 2
    },
    "recipe in words": {"recipe": "x"},
    "recipe a list": {"recipe": [1]},
    "data a number": {"recipe": {"data": 5}},
    "data without a class": {"recipe": {"data": {}}},
    "data with an unknown key": {"recipe": {"data": {"class_path": "Digits", "args": {}}}},
    "data whose arguments are a list": {
        "recipe": {"data": {"class_path": "Digits", "init_args": [1]}}
    },
    "model null": {"recipe": {"model": None}},
    "recipe of a hundred levels": {"recipe": {"trainer": {"callbacks": DEEP}}},
    "training in words": {"training": "x"},
    "device a number": {"training": {"device": 5, "training_seconds": 1.0}},
    "seconds in words": {"training": {"training_seconds": "62"}},
    "processes in words": {"training": {"training_seconds": 1.0, "processes": "2"}},
    "threads a list": {"training": {"training_seconds": 1.0, "threads": [1]}},
    "batches in words": {"training": {"batches": "many"}},
    "spec empty": {"spec": {}},
    "spec a list": {"spec": [1, 8, 8]},
    "height in words": {"spec": {"channels": 1, "height": "8", "width": 8}},
    "height a fraction": {"spec": {"channels": 1, "height": 8.5, "width": 8}},
    "evaluations a list": {"evaluations": []},
    "an evaluation in words": {"evaluations": {"quick": "x"}},
    "an evaluation without scores": {"evaluations": {"quick": {"features": None}}},
    "an evaluation of a split that is none": {
        "evaluations": {"quick": {
            "features": None, "scores": [], "data": {"name": "x", "sha256": {"all": "x"}}
        }}
    },
    "features in words": {
        "evaluations": {"quick": {
            "features": "x", "scores": [], "data": {"name": "x", "sha256": {}}
        }}
    },
    "name a number": {"name": 5},
    "name missing": {"name": None},
    "model a list": {"model": []},
    "arguments a list": {"arguments": []},
    "weights in words": {"weights": "x"},
    "numbers in words": {"weights": {**REAL["weights"], "numbers": "many"}},
    "bytes a fraction": {"weights": {**REAL["weights"], "bytes": 1.5}},
    "bytes true": {"weights": {**REAL["weights"], "bytes": True}},
    "format text": {"format": "1"},
    "format true": {"format": True},
    "format a fraction": {"format": 1.0},
    "recipe's name a list": {"recipe_name": ["vae_digits"]},
}  # fmt: skip


def test_every_published_card_is_sound():
    for name in PUBLISHED:
        assert check_parts(json.loads((CHECKPOINTS / name / "card.json").read_text())) is None


def refused(root, card):
    """Checks that a card is refused in a sentence of a line."""
    put(root, card)
    with pytest.raises(UserError) as error:
        read_card(NAME, shelf=root)
    said = str(error.value)
    assert f"the card of {NAME} " in said and said.isprintable() and len(said) < 400
    return said


@pytest.mark.parametrize("case", TABLE)
def test_each_kind_of_damage_is_a_sentence(case, root):
    assert "readable card" in refused(root, {**REAL, **TABLE[case]})


def test_the_table_is_as_long_as_the_issue_counts():
    assert len(TABLE) >= 55


def test_the_others_go_on(root, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("ZOO_SHELF", str(root))
    monkeypatch.setenv("COLUMNS", "300")
    put(root, {**REAL, "scores": "x"})
    assert available() == ["infogan_digits", NAME]
    assert zoo.list.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    (bad,) = [line for line in lines if line.startswith(NAME) and "unusable" in line]
    assert "scores must be a list, got 'x'." in bad
    assert any(line.startswith("infogan_digits") and "InfoGAN" in line for line in lines)
    assert zoo.list.main(["--markdown"]) == 0
    told = capsys.readouterr()
    assert "infogan_digits" in told.out and NAME not in told.out
    assert f"{NAME} is unusable" in told.err and told.err.count("\n") == 1
    assert zoo.gallery.main(["--out", str(tmp_path / "site")]) == 0
    assert f"{NAME} is unusable" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "site" / "models").iterdir()] == ["infogan_digits.html"]


def shows(root, path, other):
    """Shows a card everywhere where cards are shown; sentences are fine, tracebacks are not."""
    put(root, replaced(REAL, path, other))
    told = []
    shown = exhibits(root, unusable=lambda name, error: told.append(str(error)))
    markdown(shown)
    for exhibit in shown:
        page(exhibit, {})
        model_card(exhibit.card, "owner/name", "0" * 64).encode()
    assert len(shown) + len(told) == 2
    assert all(len(text) < 500 for text in told)
    if told or path[0] not in ("model", "arguments", "spec", "weights"):
        return
    try:
        load(NAME, shelf=root)
    except UserError as error:
        assert len(str(error)) < 500


def test_no_node_of_a_real_card_replaced_by_another_kind_is_a_traceback(root):
    chance = random.Random(0)
    for path in KINDS.values():
        for other in chance.sample(OTHERS, 2):
            shows(root, path, other)


@pytest.mark.slow
def test_no_node_replaced_by_any_kind_is_a_traceback(root):
    for path in KINDS.values():
        for other in (*OTHERS, DEEP, "x" * 10**5, {"class_path": "os.system"}):
            shows(root, path, other)
