"""zoo.verify: figures that hold, figures that were changed, and files that were tampered with."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from zoo.data import DATASETS
from zoo.judge.subject import Subject, features_for, judge, task_for
from zoo.models import MODELS
from zoo.shelf.find import read_card
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry
from zoo.verify import compare_scores, main

CODES = ("code_error", "nmi", "ari")
DATA = {"class_path": "Digits", "init_args": {}}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A shelf with the feature network of the digits and one small model with its figures."""
    root = tmp_path_factory.mktemp("shelf")
    source = Path(__file__).resolve().parents[2] / "checkpoints"
    shutil.copytree(source / "features_digits", root / "features_digits")
    shutil.copy(source / "index.json", root / "index.json")
    data = DATASETS["Digits"]()
    torch.manual_seed(0)
    small = MODELS["InfoGAN"](data.spec, noise_dim=4, width=4, features=8).eval()
    write_entry("small", small, {"recipe": {"data": DATA}}, shelf=root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_SHELF", str(root))
        card, folder = read_card("small")
        subject = Subject("small", load("small"), DATA, card["weights"]["sha256"], None, folder)
        report = judge(subject, task_for(subject, data, features_for(data), "quick"), "quick")
    about = {"recipe": {"data": DATA}, "evaluations": {"quick": report}}
    write_entry("small", small, about, shelf=root)
    write_entry("unjudged", small, {"recipe": {"data": DATA}}, shelf=root)
    return root


@pytest.fixture
def shelf(published, tmp_path, monkeypatch):
    """A copy that a test may damage."""
    root = tmp_path / "shelf"
    shutil.copytree(published, root)
    monkeypatch.setenv("ZOO_SHELF", str(root))
    return root


def change_card(root, change, bless=True):
    """Changes a card and, as a skilled forger would, the index with it."""
    path = root / "small" / "card.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))
    if bless:
        index = json.loads((root / "index.json").read_text())
        index["cards"]["small"] = [hashlib.sha256(path.read_bytes()).hexdigest()]
        (root / "index.json").write_text(json.dumps(index))


def claim(card):
    return card["evaluations"]["quick"]


def test_honest_figures_hold(shelf, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["small"]) == 0
    printed = capsys.readouterr().out
    assert "all figures hold" in printed and "DRIFT" not in printed
    assert "fid[digits-features,360,test]" in printed  # names are no markup


def test_a_changed_claim_is_drift(shelf, capsys):
    def flatter(card):
        (fid,) = (s for s in claim(card)["scores"] if s["name"].startswith("fid"))
        fid["value"] *= 0.9

    change_card(shelf, flatter)
    assert main(["small"]) == 1
    printed = capsys.readouterr().out
    assert printed.count("DRIFT") == 1 and "figures have drifted" in printed


def test_a_score_that_was_left_out_is_drift(shelf):
    change_card(shelf, lambda card: claim(card)["scores"].pop())
    assert main(["small"]) == 1


def test_what_the_judge_has_learned_since_is_not_asked(shelf, capsys):
    def of_old(card):
        del claim(card)["seconds"]["codes"]
        others = (s for s in claim(card)["scores"] if not s["name"].startswith(CODES))
        claim(card)["scores"] = list(others)

    change_card(shelf, of_old)
    assert main(["small"]) == 0
    printed = capsys.readouterr().out
    assert "fid[" in printed and "code_error[" not in printed


def test_an_invented_score_is_drift(shelf):
    invented = {"name": "beauty", "value": 1.0, "unit": "", "better": "higher", "details": {}}
    change_card(shelf, lambda card: claim(card)["scores"].append(invented))
    assert main(["small"]) == 1


def test_changed_weights_are_refused(shelf, capsys):
    (weights,) = (shelf / "small").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert main(["small"]) == 2
    assert "damaged or were changed" in capsys.readouterr().err


def test_a_changed_card_is_refused(shelf, capsys):
    change_card(shelf, lambda card: claim(card)["scores"].pop(), bless=False)
    assert main(["small"]) == 2
    assert "damaged or was changed" in capsys.readouterr().err


def test_other_data_are_refused(shelf, capsys):
    change_card(shelf, lambda card: claim(card)["data"]["sha256"].update(test="0" * 64))
    assert main(["small"]) == 2
    assert "test images of Digits differ" in capsys.readouterr().err


def test_another_feature_network_is_refused(shelf, capsys):
    change_card(shelf, lambda card: claim(card)["features"].update(sha256="0" * 64))
    assert main(["small"]) == 2
    assert "another feature network" in capsys.readouterr().err


def test_without_an_evaluation_there_is_nothing_to_verify(shelf, capsys):
    assert main(["unjudged"]) == 2
    assert "no evaluation with protocol 'quick'" in capsys.readouterr().err
    assert main(["small", "--protocol", "full"]) == 2
    assert "'full'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"), [([], "which model"), (["small", "--protocl"], "--protocol")]
)
def test_mistakes_are_answered(shelf, capsys, arguments, words):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_pairs_agree_up_to_the_rounding_of_another_processor():
    def side(**values):
        return [{"name": name, "value": value} for name, value in values.items()]

    rows = compare_scores(
        side(same=1.0, near=100.0, far=100.0, none=None, lost=1.0, gone=1.0),
        side(same=1.0, near=100.4, far=101.0, none=None, lost=None, new=2.0),
    )
    assert {name: agrees for name, _, _, agrees in rows} == {
        "same": True, "near": True, "far": False, "none": True, "lost": False, "gone": False,
        "new": False,
    }  # fmt: skip


def test_what_cannot_be_verified_is_named_and_the_others_are_verified(shelf, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    (shelf / "features_digits" / "card.json").write_text("{}")
    assert main(["--all"]) == 2
    told = capsys.readouterr()
    assert "the card of features_digits is damaged" in told.out
    assert "the card of unjudged has no evaluation" in told.out
    assert told.err == "zoo.verify: 3 of 3 models cannot be verified, see above.\n"
