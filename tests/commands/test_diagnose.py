"""zoo.diagnose writes one file, with and without a feature network."""

import json
import shutil

import pytest

from zoo.diagnose import main


@pytest.fixture(scope="module")
def run(shared_runs):
    if not (shared_runs.root / "judged").exists():
        assert shared_runs.here("--trainer.max_epochs=2", name="judged") == 0
    return shared_runs.folder("judged")


def test_a_run_gets_a_report_with_its_curves(run, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main([str(run), "--out", str(out)]) == 0
    printed, page = capsys.readouterr().out, out.read_text()
    assert str(out) in printed and "only 360 real images" in " ".join(printed.split())
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    for title in ("What is wrong", "Samples beside data", "Scores", "Classes", "Traversals",
                  "Walks between samples", "Nearest training images", "Training</h2>"):  # fmt: skip
        assert title in page
    assert "train/generator_loss" in page
    assert f"judged/{run.name}" in page
    assert str(run.parent.parent) not in page  # a report may be passed on: no paths
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_reports_repeat(run, tmp_path):
    for name in ("a.html", "b.html"):
        assert main([str(run), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_warnings_of_the_run_are_in_the_report(run, tmp_path):
    copy = tmp_path / "copy" / "now"
    shutil.copytree(run, copy)
    warning = {"saturation": {"epoch": 3, "text": "It is <near> 0. Try: lower --model.lr (now 1)."}}
    (copy / "health.json").write_text(json.dumps(warning))
    assert main([str(copy), "--out", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "It is &lt;near&gt; 0." in page and "<code>--model.lr</code>" in page


def test_without_a_feature_network_it_shows_what_it_can(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_SHELF", str(tmp_path / "empty"))
    out = tmp_path / "report.html"
    assert main([str(run), "--out", str(out)]) == 0
    page = out.read_text()
    assert "no feature network" in page and "code error" in page and "Traversals" in page
    assert "Most spurious samples" not in page


def test_a_classifier_of_the_shelf_gets_a_report_too(tmp_path):
    out = tmp_path / "report.html"
    assert main(["features_digits", "--out", str(out)]) == 0
    page = out.read_text()
    assert "Share of images that the classifier names wrongly." in page
    assert "Samples beside data" not in page and "Training</h2>" not in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no model 'nobody'"),
        (["nobody", "--out", "report.pdf"], "must end in .html"),
        (["nobody", "--ouput", "x"], "Did you mean --out?"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(capsys, arguments, words):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
