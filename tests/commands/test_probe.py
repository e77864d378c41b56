"""The lab as a command: planted truths come out of it, and it goes on where it stopped."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.judge.lab.experiments import EXPERIMENTS
from zoo.probe import _parser, _plan

ROOT = Path(__file__).resolve().parents[2]
PLANTED = Path(__file__).with_name("planted.py")


def probe(folder, experiment, data, *models, samples=600):
    """Runs the command on planted generators; returns its report and what it printed."""
    for model in models:
        recipe = {"model": {"class_path": model}, "data": {"class_path": data},
                  "trainer": {"max_epochs": 1, "devices": 1}}  # fmt: skip
        (folder / f"{model.lower()}.yaml").write_text(json.dumps(recipe))
    names = [f"{model.lower()}.yaml" for model in models]
    done = subprocess.run(
        [sys.executable, "-m", "zoo.probe", experiment, "--quick", "--plugin", str(PLANTED),
         "--samples", str(samples), "--threads", "1", "--model", *names],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    place = folder / "probe" / f"{experiment}-quick"
    report = json.loads((place / "probe.json").read_text())
    page = (place / "report.html").read_text()
    assert "http" not in re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    return {model["model"]: model for model in report["models"]}, done.stdout, place


@pytest.mark.slow
def test_replayed_pairs_are_not_novel_and_uniform_ones_fill_every_cell(tmp_path):
    models, said, place = probe(tmp_path, "combinations", "DigitPairs", "Replay", "Uniform",
                                samples=3000)  # fmt: skip
    few, many = models["replay"]["points"]
    assert few["novel"]["mean"] == 0 and few["lost"]["mean"] == 0  # of 10 combinations
    assert many["novel"]["mean"] == 0  # of 80
    # What the classifier misreads is no new combination: it is believed where it is certain.
    assert 0 <= many["novel_mass"]["mean"] < 0.01
    assert few["overlap"]["mean"] == 1
    for row, missing in zip(models["uniform"]["points"], (90, 20), strict=True):
        assert row["novel"]["mean"] == missing and row["filled"]["mean"] == 1
        assert row["lost"]["mean"] == 0
        assert row["novel_mass"]["mean"] == pytest.approx(missing / 100, abs=0.03)
    assert "replay: trained on 10 combinations: draws 0 new ones" in said
    # What is finished is kept; what is lost is done again, to the same figures.
    shutil.rmtree(place / "runs" / "uniform-10-of-100-seed0")
    (place / "read" / "replay-80-of-100-seed0.json").unlink()
    again, said, _ = probe(tmp_path, "combinations", "DigitPairs", "Replay", "Uniform",
                           samples=3000)  # fmt: skip
    assert again == models
    assert said.count("done before") == 3 and "1 of 4 trainings to do" in said


@pytest.mark.slow
def test_an_additive_generator_has_no_enhancement(tmp_path):
    models, _, _ = probe(tmp_path, "numerosity", "Dots", "Additive", samples=3000)
    found = models["additive"]
    for row in found["points"][:3]:
        (count,) = row["trained"]
        assert row["mean"]["mean"] == pytest.approx(count, abs=0.1)
        assert row["hit"]["mean"] == pytest.approx(0.5, abs=0.05)
        assert row["sd"]["mean"] == pytest.approx(0.5**0.5, abs=0.05)
    assert found["exponents"]["sd"]["mean"] == pytest.approx(0, abs=0.1)
    near = found["pairs"][0]
    assert near["enhancement"]["mean"] == pytest.approx(1, abs=0.15)
    assert near["distance"]["mean"] < 0.06
    for row in found["points"]:
        assert sum(row["law"]) + row["outside"] == pytest.approx(1)


def test_every_experiment_has_what_its_findings_need():
    # Catches pairs whose values were never trained on alone, and points that no recipe takes.
    for experiment in EXPERIMENTS.values():
        for quick in (True, False):
            points = [p for p in experiment.points if p.quick or not quick]
            alone = {p.trained for p in points if len(p.trained) == 1}
            for point in points:
                if experiment.kind == "modes":
                    assert {(value,) for value in point.trained} <= alone, point
        assert len({point.name for point in experiment.points}) == len(experiment.points)
    options = _parser().read(["numerosity", "--seeds", "2", "--model", "vae"])
    plan = _plan(EXPERIMENTS["numerosity"], options)
    assert len(plan) == 2 * 9 and len({training.name for training in plan}) == len(plan)
