"""Several runs of a recipe: what is asked for, what is kept, and what the table says."""

import json
from pathlib import Path

import pytest
import yaml

from zoo.core.errors import UserError
from zoo.shelf.run_folder import RunFolder
from zoo.training.several import Variant, run_several, summary, take_several, variants


def test_seeds_and_values_are_taken_off_the_line():
    line = [
        "--grid",
        "model.hidden=[8],[16, 8]",
        "--name=x",
        "--seeds=3,7",
        "--grid=data.a=on,1e-3",
    ]
    rest, seeds, grid = take_several(line)
    assert rest == ["--name=x"] and seeds == [3, 7]
    assert grid == {"model.hidden": [[8], [16, 8]], "data.a": ["on", 1e-3]}
    assert take_several(["--name", "x"]) == (["--name", "x"], None, {})


WRONG = [
    (["--seeds"], "--seeds must be"), (["--seeds", "0"], "between 1 and 1000"),
    (["--seeds", "-1"], "--seeds must be"), (["--seeds", "two"], "--seeds must be"),
    (["--seeds", "99999999"], "between 1"), (["--grid"], "--grid takes"),
    (["--grid", "model.a"], "--grid takes"), (["--grid", "model.a="], "--grid takes"),
    (["--grid", "=1"], "--grid takes"), (["--grid", "model.a=[1"], "--grid takes"),
    (["--grid", "a=1", "--grid", "a=2"], "given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), WRONG, ids=lambda value: " ".join(value))
def test_what_is_not_written_so_is_refused(line, words):
    with pytest.raises(UserError, match=words):
        take_several(line)


def test_every_combination_meets_every_seed_under_a_plain_name():
    found = variants([0, 1], {"model.hidden": [[8], [16, 8]], "model.lr": [0.1]})
    assert [variant.values for variant in found] == ["hidden=[8], lr=0.1"] * 2 + [
        "hidden=[16, 8], lr=0.1"
    ] * 2
    assert found[3].overrides == ("--model.hidden=[16, 8]", "--model.lr=0.1", "--seed_everything=1")
    assert found[3].name("vae") == "vae-hidden=16,8,lr=0.1-seed1"
    assert len({variant.name("vae") for variant in found}) == 4
    with pytest.raises(UserError, match="that makes 1,001 runs"):
        variants(range(1001), {})


def test_the_table_has_means_and_deviations_in_the_catalogue_s_units():
    error = "code_error[one-to-one,train->test]"
    reports = {
        Variant("dim=2", seed, ()): [{"name": error, "value": value}]
        for seed, value in enumerate((0.1, 0.2, 0.6))
    }
    reports[Variant("dim=5", 0, ())] = [{"name": error, "value": 0.25}]
    reports[Variant("dim=5", 1, ())] = [{"name": error, "value": None}]
    table = summary("title", reports)
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    # mean .3; deviation of a sample, with n - 1: sqrt((.04 + .01 + .09) / 2) = .2646
    assert cells == [[error.replace("[", r"\[")], ["30 % (26.46 %, 3)"], ["25 %"]]


def trainer(begun, broken=()):
    """Stands for `zoo.fit.run`: leaves what a finished run leaves."""

    def train(words):
        given = dict(word[2:].partition("=")[::2] for word in words[1:])
        begun.append(given)
        if given["name"] in broken:
            raise UserError("it cannot be")
        run = RunFolder.create(Path(given["run_root"]), given["name"])
        run.checkpoints.mkdir()
        run.last.write_bytes(b"")
        run.recipe.write_text(yaml.safe_dump({
            "model": "VAE", "data": "Digits", "trainer": {"max_epochs": 2}}))  # fmt: skip
        run.environment.write_text(json.dumps({"epochs": given.get("stop") or 2}))
        run.metrics.write_text("step,epoch,train/loss\n1,0,2\n2,0,1\n")
        score = {"name": "code_error[one-to-one,train->test]", "value": 0.5}
        run.evaluation.write_text(json.dumps({"scores": [score]}))

    return train


def test_finished_runs_are_kept_and_failed_ones_do_not_stop_the_others(tmp_path, capsys):
    runs, begun = variants([0, 1, 2], {}), []
    assert run_several(trainer(begun, {"vae-seed1"}), ["vae"], "vae", tmp_path, runs) == 1
    assert [given["seed_everything"] for given in begun] == ["0", "1", "2"]
    said = capsys.readouterr()
    assert "vae-seed1: it cannot be" in said.err and "2 of 3 runs" in said.out
    begun.clear()
    assert run_several(trainer(begun), ["vae"], "vae", tmp_path, runs) == 0
    assert [given["seed_everything"] for given in begun] == ["1"]
    said = capsys.readouterr().out
    assert "[1/3] vae-seed0: done before" in said and "50 % (0 %, 3)" in said
    record = json.loads((tmp_path / "vae-several.json").read_text())
    assert [entry["seed"] for entry in record] == [0, 1, 2]
    assert (tmp_path / "vae-several.png").is_file()


def test_a_run_that_was_stopped_goes_on(tmp_path):
    runs, begun = variants([4], {}), []
    run_several(trainer(begun), ["vae"], "vae", tmp_path, runs)
    (folder,) = (tmp_path / "vae-seed4").iterdir()
    (folder / "environment.json").write_text(json.dumps({"epochs": 1}))
    run_several(trainer(begun), ["vae"], "vae", tmp_path, runs)
    assert begun[1]["ckpt_path"] == str(folder / "checkpoints" / "last.ckpt")
