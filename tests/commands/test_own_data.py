"""People's own images: every recipe takes fifty of them, and a run keeps to those it began with."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from zoo.evaluate import main as evaluate
from zoo.fit import main as fit
from zoo.judge.subject import read_report
from zoo.sample import main as sample
from zoo.show.publishing import _portable, _training

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
# What a recipe asks of its data that not everybody's images have, and what the refusal says.
OTHERS = {
    "dfc_vae_digits": "choose another --model.feature_network",
    "pixelcnn_digits": "multiples of the 3 colours",
    "pixelcnn_mnist": "multiples of the 3 colours",
    "pixelcnn_plus_mnist": "multiples of the 3 colours",
}


def pictures(folder, count=50, side=32, classes=("ant", "cat"), start=0):
    for row in range(count):
        path = folder / classes[row % len(classes)] / f"{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(row + start)
        Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def fifty(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("own") / "fifty")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_takes_fifty_images_of_ones_own(path, fifty, tmp_path, capsys):
    code = fit(
        [str(path), "--data", "ImageFolder", "--data.path", str(fifty), "--data.size", "32",
         "--trainer.fast_dev_run", "2", "--trainer.accelerator", "cpu", "--wandb", "off",
         "--run_root", str(tmp_path)]
    )  # fmt: skip
    told = capsys.readouterr()
    if path.stem in OTHERS:
        assert code == 2 and OTHERS[path.stem] in told.err
        assert len(told.err.strip().splitlines()) == 1
        return
    assert code == 0, told.err
    assert "ImageFolder: 41 training and 4 validation images" in told.out
    leaks = "val_size: 1000" in path.read_text()
    assert ("a tenth validate, because --data.val_size asks for more" in told.out) == leaks
    fits = (yaml.safe_load(path.read_text())["data"]["init_args"]["batch_size"]) <= 41
    assert ("batches of 41, which is all" in told.out) != fits


# What recipes say of images that lie in no folders of classes, and so have neither labels nor
# captions.
WITHOUT = {
    "stackgan_shapes": "StackGAN needs captions or labels, and ImageFolder has none of them here: "
    "give it some, or choose Digits, ",
    "gan_digits": "into a folder for each class, or add --model.conditional false.",
    "features_mnist": "a classifier needs a data set with labels of at least two classes",
}


@pytest.mark.parametrize("name", WITHOUT)
def test_recipes_that_need_more_than_images_refuse_images_alone(name, fifty, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(fifty.rglob("*.png"))):
        shutil.copyfile(path, flat / f"{number}.png")
    line = [
        str(ROOT / "recipes" / f"{name}.yaml"),
        "--data",
        "ImageFolder",
        "--data.path",
        str(flat),
    ]
    assert (
        fit([*line, "--data.size", "32", "--wandb", "off", "--run_root", str(tmp_path / "r")]) == 2
    )
    told = capsys.readouterr().err
    assert WITHOUT[name] in told and len(told.strip().splitlines()) == 1


# ---------------------------------------------------------------- the same images, or none

SMALL = [
    str(ROOT / "recipes" / "vae_digits.yaml"), "--trainer.accelerator=cpu", "--model.hidden=[8]",
    "--trainer.precision=32-true", "--wandb=off", "--evaluate=false", "--pictures_every=100",
    "--data=ImageFolder", "--data.size=8", "--data.channels=grey",
]  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two folders, each with pics of its own, and a run of one epoch that began in the first."""
    pictures(tmp_path / "mine" / "pics", 20, 8)
    pictures(tmp_path / "yours" / "pics", 20, 8, start=100)
    monkeypatch.chdir(tmp_path / "mine")
    arguments = [*SMALL, "--data.path=pics", f"--run_root={tmp_path / 'runs'}"]
    assert fit([*arguments, "--trainer.max_epochs=1"]) == 0
    (run,) = (tmp_path / "runs" / "vae_digits").iterdir()
    return tmp_path, run, [*arguments, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"]


def refused(capsys, code, *words):
    told = capsys.readouterr().err
    message = told.splitlines()[-1]  # after what progress of earlier commands has left
    assert code == 2 and message.startswith("zoo.") and "Traceback" not in told, told
    for word in words:
        assert word in message
    return message


def test_a_run_records_its_data(home):
    folder, run, _ = home
    record = json.loads((run / "environment.json").read_text())["data"]
    assert record["path"] == str(folder / "mine" / "pics")
    assert (record["classes"], record["files"]) == (["ant", "cat"], 20)
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    assert recipe["data"]["init_args"]["path"] == record["path"]
    # none of which is anybody's business where the weights are published
    assert _portable(recipe)["data"]["init_args"]["path"] == "pics"
    assert "path" not in _training(run)["data"] and "names" in _training(run)["data"]


def test_continuing_elsewhere_takes_no_other_pictures(home, monkeypatch, capsys):
    folder, run, again = home
    monkeypatch.chdir(folder / "yours")
    words = ("has other images under the same names", "--data.path", str(folder / "mine" / "pics"))
    refused(capsys, fit([*again, "--trainer.max_epochs=2"]), *words)
    assert json.loads((run / "environment.json").read_text())["epochs"] == 1
    # the run's own recipe knows the place
    here = [str(run / "recipe.yaml"), again[-1], f"--run_root={folder / 'runs'}"]
    assert fit([*here, "--trainer.max_epochs=2"]) == 0
    assert json.loads((run / "environment.json").read_text())["epochs"] == 2


def test_a_renamed_class_swaps_no_labels(home, capsys):
    folder, run, again = home
    (folder / "mine" / "pics" / "ant").rename(folder / "mine" / "pics" / "zebra")
    words = ("class folders zebra where", "learnt ant")
    refused(capsys, fit([*again, "--trainer.max_epochs=2"]), *words)
    refused(capsys, evaluate([str(run)]), *words)
    shutil.rmtree(folder / "mine" / "pics")
    refused(capsys, evaluate([str(run)]), "there is no folder", "--data.path")


def test_moved_data_are_named_again(home, capsys):
    folder, run, again = home
    (folder / "mine" / "pics").rename(folder / "moved")
    moved = f"--data.path={folder / 'moved'}"
    assert fit([*again, moved, "--trainer.max_epochs=2"]) == 0
    assert evaluate([str(run)]) == 0  # whose recipe has the new place now
    (folder / "moved").rename(folder / "again")
    assert evaluate([str(run), "--data.path", str(folder / "again")]) == 0
    refused(
        capsys, evaluate([str(run), "--data.path", str(folder / "yours" / "pics")]),
        "has other images under the same names",
    )  # fmt: skip


def test_a_run_is_judged_on_its_data_wherever_one_stands(home, monkeypatch, tmp_path):
    folder, run, _ = home
    reports = []
    for place in ("mine", "yours"):
        monkeypatch.chdir(folder / place)
        assert evaluate([str(run), "--json", str(tmp_path / f"{place}.json")]) == 0
        reports.append(read_report(tmp_path / f"{place}.json"))
    assert reports[0]["data"] == reports[1]["data"]
    assert reports[0]["scores"] == reports[1]["scores"]


def test_a_run_is_judged_on_another_folder(home, capsys):
    folder, run, _ = home
    other = ["--data", "ImageFolder", "--data.path", str(folder / "yours" / "pics")]
    assert evaluate([str(run), *other]) == 0
    (folder / "yours" / "pics" / "ant").rename(folder / "yours" / "pics" / "owl")
    refused(capsys, evaluate([str(run), *other]), "class folders owl where", "learnt ant")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "ImageFolder"], "--data ImageFolder needs a folder of images: --data.path"),
        (["--data.path", "."], "--data.path names a folder, but Digits reads none."),
        (["--data", "ImageFolder", "--data.path", "nowhere"], "there is no folder"),
    ],
)
def test_folders_that_are_not_named_or_not_read(arguments, words, capsys):
    refused(capsys, evaluate(["vae_digits", *arguments]), words)


def test_a_published_model_is_judged_on_a_folder_in_its_own_size(fifty, capsys):
    assert evaluate(["vae_digits", "--data", "ImageFolder", "--data.path", str(fifty)]) == 0
    assert "vae_digits on ImageFolder" in capsys.readouterr().out


def test_the_advice_after_a_run_without_likelihood_works(fifty, tmp_path, capsys):
    """A GAN of one's own images: the shelf has no feature network for them, so pixels are it."""
    recipe = str(ROOT / "recipes" / "gan_digits.yaml")
    small = [
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--wandb=off",
        "--model.width=4",
    ]
    data = ["--data=ImageFolder", f"--data.path={fifty}", "--data.size=16"]
    assert fit([recipe, *small, *data, "--pictures_every=100", f"--run_root={tmp_path}"]) == 0
    (run,) = (tmp_path / "gan_digits").iterdir()
    assert f"python -m zoo.evaluate {run}" in capsys.readouterr().out
    assert evaluate([str(run)]) == 0
    assert "fid[pixels-8x8,5,test]" in capsys.readouterr().out


def test_a_class_is_drawn_by_the_name_of_its_folder(fifty, tmp_path, capsys):
    recipe = str(ROOT / "recipes" / "gan_digits.yaml")
    small = [
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--wandb=off",
        "--model.width=4",
    ]
    data = ["--data=ImageFolder", f"--data.path={fifty}", "--data.size=16", "--evaluate=false"]
    told = [
        "--model.width=4",
        "--model.conditional=true",
        "--pictures_every=100",
        f"--run_root={tmp_path}",
    ]
    assert fit([recipe, *small, *data, *told]) == 0
    (run,) = (tmp_path / "gan_digits").iterdir()
    drawn = []
    for label in ("cat", "1", "ant"):
        out = tmp_path / f"{label}.png"
        assert sample([str(run), "--label", label, "--n", "4", "--out", str(out)]) == 0
        drawn.append(out.read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]
    refused(capsys, sample([str(run), "--label", "cats"]), "Did you mean cat?")
    refused(capsys, sample(["infogan_digits", "--label", "cat"]), "--label must be a whole number")
