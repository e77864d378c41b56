"""zoo.compare: one table and one picture, on the same images and features."""

import json

import pytest
import torch
from PIL import Image

from zoo.compare import main
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.shelf.writing import write_entry
from zoo.show.comparison import best_of, comparison_table, labelled_rows, short_names


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Three models: two of digits, one of larger images."""
    root = tmp_path / "shelf"
    monkeypatch.setenv("ZOO_SHELF", str(root))
    about = {"recipe": {"data": {"class_path": "Digits", "init_args": {}}}}
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        model = MODELS["InfoGAN"](ImageSpec(1, 8, 8, 10), noise_dim=4, width=4, features=8)
        write_entry(name, model.eval(), about, shelf=root)
    large = MODELS["InfoGAN"](ImageSpec(1, 28, 28, 10), noise_dim=4, width=2, features=4)
    write_entry("large", large.eval(), about, shelf=root)
    return root


def test_a_table_a_picture_and_the_reports(shelf, tmp_path, capsys):
    out, file = tmp_path / "both.png", tmp_path / "both.json"
    assert main(["first", "second", "--out", str(out), "--json", str(file)]) == 0
    printed, reports = capsys.readouterr().out, json.loads(file.read_text())
    assert list(reports) == ["first", "second"]
    names = [{score["name"] for score in report["scores"]} for report in reports.values()]
    assert names[0] == names[1] and "code_error[one-to-one,train->test]" in names[0]
    assert "first" in printed and "second" in printed and "*" in printed
    assert reports["first"]["data"] == reports["second"]["data"]
    with Image.open(out) as picture:
        assert picture.width > 12 * 56 and picture.height > 2 * 56


def test_reports_become_a_table_of_a_document(tmp_path, capsys):
    def report(**values):
        return {
            "scores": [
                {"name": f"{name}[x]", "value": value, "better": "lower", "details": {}}
                for name, value in values.items()
            ]
        }

    file = tmp_path / "both.json"
    file.write_text(json.dumps({"a": report(fid=2, fid_at=1), "b": report(fid=3, kid=None)}))
    assert main(["--table", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| score | a | b | better |",
        "| --- | ---: | ---: | --- |",
        "| `fid[x]` | **2.0000** | 3.0000 | lower |",
        "| `fid_at[x]` | 1.0000 |  | lower |",
        "| `kid[x]` |  | none | lower |",
    ]
    assert main(["--table", str(file), "--scores", "fid_at", "kid"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    for damaged in ({}, [], {"a": {"scores": [{"better": "lower"}]}}, {"a": report(fid="2")}):
        file.write_text(json.dumps(damaged))
        assert main(["--table", str(file)]) == 2
        assert "not a readable report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table", "nothing.json"], "not a readable report"),
        (["first", "--table", "nothing.json"], "takes no models"),
        (["first", "second", "--scores", "code_errors"], "Did you mean code_error"),
        ([], "at least two"),
        (["first"], "at least two"),
        (["first", "first"], "named twice"),
        (["first", "nobody"], "no model 'nobody'"),
        (["first", "large"], "images of one shape"),
        (["first", "second", "--out", "both.jpg"], "must end in .png"),
        (["first", "second", "--jsn", "x"], "Did you mean --json?"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(shelf, capsys, arguments, words):
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1


def test_curves_of_runs_are_drawn_over_each_other(tmp_path, capsys):
    runs = [tmp_path / name for name in ("first", "second")]
    for run in runs:
        run.mkdir()
        (run / "metrics.csv").write_text("step,epoch,train/loss\n1,0,2\n2,0,1\n")
    out = tmp_path / "both.png"
    assert main([*map(str, runs), "--curves", str(out)]) == 0
    assert out.is_file() and capsys.readouterr().out == f"{out}\n"
    for wrong, words in (
        ([str(tmp_path / "none"), "--curves", str(out)], "is not a run with curves"),
        ([str(runs[0]), "--curves", "both.svg"], "--curves must end in .png"),
        (["--curves", str(out)], "whose curves?"),
    ):
        assert main(wrong) == 2
        assert words in capsys.readouterr().err


def test_the_best_value_is_marked():
    def report(**values):
        scores = [
            {"name": name, "value": value, "better": "lower", "unit": "", "details": {}}
            for name, value in values.items()
        ]
        return {"scores": scores}

    table = comparison_table(
        "t", {"a": report(x=1.0, y=2.0), "b": report(x=3.0), "c[1]": report(x=1.0)}
    )
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["x", "y"]
    assert cells[1] == ["[bold]* 1.0000[/bold]", "2.0000"]  # nobody to be better than
    assert cells[2] == ["3.0000", ""] and cells[3] == ["[bold]* 1.0000[/bold]", ""]


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ({"a": 1.0, "b": 2.0}, "higher", {"b"}),
        ({"a": 1.0, "b": 2.0}, "", set()),
        ({"a": 1.0}, "lower", set()),
        ({"a": None, "b": 2.0}, "lower", {"b"}),
        ({"a": None, "b": None}, "lower", set()),
    ],
)
def test_best(values, better, best):
    assert best_of(values, better) == best


def test_names_stay_apart():
    assert short_names(["runs/a/now", "old/a/now"]) == ["runs/a/now", "old/a/now"]
    assert short_names(["/x/runs/a/now", "/x/runs/b/now", "c"]) == ["a/now", "b/now", "c"]
    one, two = (f"runs/a/2026-11-23_05-38-{second}" for second in ("38", "39_2"))
    assert short_names([one, "runs/b/2026-11-23_05-38-38", "c"]) == ["a", "b", "c"]
    assert short_names([one, two]) == [one[5:], two[5:]]
    assert short_names([one, "a"]) == [one[5:], "a"]
    with pytest.raises(UserError, match="twice"):
        short_names(["a", "a"])


def test_rows_of_any_size_are_drawn():
    sheet = labelled_rows(
        {"a very long name of a model" * 3: torch.rand(2, 3, 9, 5), "b": torch.rand(2, 1, 9, 5)}
    )
    assert sheet.mode == "RGB" and sheet.width > 400
