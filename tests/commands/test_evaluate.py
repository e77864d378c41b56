"""zoo.evaluate on a short run: what it prints, what it writes, and that it repeats."""

import json
import subprocess
import sys

import pytest

from zoo.core.figures import shown
from zoo.evaluate import main
from zoo.judge.options import score_table
from zoo.judge.subject import read_report


@pytest.fixture(scope="module")
def run(shared_runs):
    if not (shared_runs.root / "judged").exists():
        assert shared_runs.here("--trainer.max_epochs=2", name="judged") == 0
    return str(shared_runs.folder("judged"))


def test_the_report_holds_what_the_table_shows(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a narrower table folds names
    file = tmp_path / "report.json"
    assert main([run, "--json", str(file)]) == 0
    report = read_report(file)
    printed = "".join(capsys.readouterr().out.split())
    assert len(report["scores"]) > 10
    for score in report["scores"]:
        assert score["name"] in printed  # protocol and all
    assert report["preset"] == "quick" and report["model"] == "InfoGAN"
    assert set(report["data"]["sha256"]) == {"train", "test"}
    assert report["seconds"].keys() == {"codes", "samples"}


def test_two_evaluations_are_equal(run, tmp_path):
    reports = []
    for name in ("a.json", "b.json"):
        assert main([run, "--json", str(tmp_path / name)]) == 0
        report = json.loads((tmp_path / name).read_text())
        del report["seconds"]
        reports.append(report)
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "no model 'nobody'"),
        (["{run}", "--protocl", "full"], "Did you mean --protocol?"),
        (["{run}", "--protocol", "slow"], "--protocol"),
        (["{run}", "--data", "Digitz"], "Did you mean Digits?"),
        (["{run}", "--features", "features_dogs"], "no model 'features_dogs'"),
        ([], "NAME_OR_RUN"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(run, capsys, arguments, words):
    assert main([argument.format(run=run) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("zoo.evaluate: ") and words in message
    assert message.count("\n") == 1


def test_values_that_do_not_exist_say_why():
    missing = {"name": "gel[x]", "value": None, "unit": "nats", "better": "lower",
               "details": {"status": "infeasible"}}  # fmt: skip
    assert shown(missing) == "infeasible"
    assert score_table("[odd] title", [missing]).row_count == 1


def test_two_processes_get_the_figures_of_one(tmp_path):
    """Samples, features, codes and likelihoods are shared out, and the joint figures are equal."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
                "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]  # fmt: skip
    found = []
    for name, start in (("one", [sys.executable]), ("two", torchrun)):
        file = tmp_path / f"{name}.json"
        command = [*start, "-m", "zoo.evaluate", "infogan_digits", "--device", "cpu",
                   "--json", str(file)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("code_error[") == 1  # the first process alone prints
        found.append({score["name"]: score["value"] for score in read_report(file)["scores"]})
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    assert len(found[0]) > 10


# Names that torch knows, too: without their package, their build, or any numbers in them.
@pytest.mark.parametrize(
    "device", ["warp", "hpu", "privateuseone", "meta", "vulkan", "mkldnn", "cuda:99", "", "cpu:x"]
)
def test_a_device_that_is_not_there_is_refused(run, capsys, device):
    assert main([run, "--device", device]) == 2
    assert "there is no such device" in capsys.readouterr().err
