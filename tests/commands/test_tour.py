"""zoo.tour: every family of the digits, once; what is done stays, what was stopped goes on."""

import json
import math
import signal

import pytest

from zoo.models import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import read_recipe
from zoo.shelf.run_folder import RunFolder
from zoo.tour import main, overview, stated_seconds, stations
from zoo.training.callbacks import SeedEachBatch
from zoo.training.several import begun_run

TWO = ["made_digits", "nade_digits"]


def test_the_tour_visits_every_family_that_draws():
    found = {class_name("model", read_recipe(path)["model"]) for path in stations().values()}
    assert found == {name for name, cls in MODELS.items() if hasattr(cls, "sample")}
    assert "features_digits" not in stations()


@pytest.mark.parametrize("name", stations())
def test_every_recipe_of_the_tour_states_a_time_of_at_most_two_minutes(name):
    assert 0 < stated_seconds(stations()[name]) <= 120


@pytest.mark.parametrize(
    ("head", "seconds"),
    [
        ("cost: {seconds: 60, on: a core}", 60),
        ("# About two minutes.", math.nan),
    ],
)
def test_a_time_is_read_from_the_recipe(head, seconds, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(f"{head}\nmodel: VAE\ndata: Digits\n")
    assert stated_seconds(path) == pytest.approx(seconds, nan_ok=True)


@pytest.fixture(scope="module")
def toured(tmp_path_factory):
    """A trial tour of two recipes, taken once."""
    out = tmp_path_factory.mktemp("tour")
    assert main(["--only", *TWO, "--epochs", "1", "--out", str(out)]) == 0
    return out / "1_epochs"


def test_a_tour_ends_in_one_report(toured):
    reports = json.loads((toured / "tour.json").read_text())
    assert reports.keys() == set(TWO)
    assert all(report["scores"] for report in reports.values())
    assert (toured / "tour.png").stat().st_size > 1000
    for name in TWO:
        run, finished = begun_run(toured, name)
        assert finished and run.last.is_file() and not run.evaluation.is_file()


def test_what_is_done_is_not_done_again(toured, capsys):
    before = {path: path.stat().st_mtime_ns for path in toured.rglob("*.ckpt")}
    line = ["--only", *TWO, "--epochs", "1", "--out", str(toured.parent)]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert said.startswith("0 of 2 recipes to train") and said.count("done before") == 2
    assert "[digits-features,360,test,bits], best marked *" in said and "tour.png" in said
    assert all(any(line.startswith(name) for line in said.splitlines()) for name in TWO)
    assert {path: path.stat().st_mtime_ns for path in toured.rglob("*.ckpt")} == before


def test_only_scores_of_one_protocol_share_a_table():
    def report(protocol, fid, own):
        values = {f"fid[{protocol}]": (fid, "lower"), own: (1.0, "higher")}
        return {"scores": [{"name": n, "value": v, "better": b} for n, (v, b) in values.items()]}

    reports = {
        "a": report("x", 2.0, "elbo[y]"),
        "b": report("x", 1.0, "nll"),
        "c": report("z", 0.5, "k"),
    }
    first, second = overview(reports)
    assert list(first.columns[0].cells) == ["a", "b"] and list(second.columns[0].cells) == ["c"]
    assert list(first.columns[1].cells) == ["2.0000", "* 1.0000"]
    assert list(first.columns[-1].cells) == ["elbo\\[y] 1.0000", "nll 1.0000"]
    assert list(second.columns[1].cells) == ["0.5000"]  # the best of one is no news


def test_a_stopped_tour_goes_on(tmp_path, capsys, monkeypatch):
    start = SeedEachBatch.on_train_batch_start

    def stop(self, trainer, *rest):
        if trainer.fit_loop.total_batch_idx == 25:
            signal.raise_signal(signal.SIGINT)
        start(self, trainer, *rest)

    line = ["--only", "gan_digits", "--epochs", "2", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(SeedEachBatch, "on_train_batch_start", stop)
        assert main(line) == 128 + signal.SIGINT
    assert "run the same command again" in capsys.readouterr().err
    run, finished = begun_run(tmp_path / "2_epochs", "gan_digits")
    assert not finished
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "gan_digits: continues" in said and "continuing last.ckpt after batch 2" in said
    again, finished = begun_run(tmp_path / "2_epochs", "gan_digits")
    assert finished and again.path == run.path


def test_a_recipe_that_fails_does_not_end_the_tour(tmp_path, capsys, monkeypatch):
    run, made = RunFolder.create, []

    def create(root, name):
        if name == "made_digits":
            from zoo.core.errors import UserError

            raise UserError("no room.")
        made.append(name)
        return run(root, name)

    monkeypatch.setattr(RunFolder, "create", create)
    assert main(["--only", *TWO, "--epochs", "1", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert made == ["nade_digits"] and said.err == "zoo.tour: made_digits: no room.\n"
    assert "1 of 2 recipes," in said.out
    assert json.loads((tmp_path / "1_epochs" / "tour.json").read_text()).keys() == {"nade_digits"}
