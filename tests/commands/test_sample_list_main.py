"""The commands that look at models: sample, list, and the overview."""

import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo.list
import zoo.sample
from zoo import __version__
from zoo.__main__ import VERBS, main
from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.models import MODELS
from zoo.recipe.reading import recipe_folder
from zoo.shelf.writing import write_entry

ROOT = Path(__file__).resolve().parents[2]
CODES = ("category", "continuous1", "continuous2")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    torch.manual_seed(0)
    spec = ImageSpec(1, 8, 8, 10)
    model = MODELS["InfoGAN"](spec, noise_dim=4, width=4, features=8)
    with torch.no_grad():  # an untrained network answers grey to everything
        for parameter in model.generator_ema.parameters():
            parameter.mul_(20.0)
    root = tmp_path_factory.mktemp("shelf")
    card = {"recipe": {"data": {"class_path": "zoo.data.Digits"}}}
    scores = [{"name": "first", "value": None}, {"name": "second", "value": 0.25}]
    write_entry("tiny", model, {**card, "scores": scores}, shelf=root)
    return root


@pytest.fixture
def sample(shelf, tmp_path, monkeypatch):
    """Runs the command and returns the PNG's bytes."""
    monkeypatch.setenv("ZOO_SHELF", str(shelf))
    monkeypatch.chdir(tmp_path)

    def sample(line, model="tiny"):
        assert zoo.sample.main([model, *line.split()]) == 0
        (png,) = tmp_path.rglob("*.png")
        content = png.read_bytes()
        with Image.open(png) as image:
            size = image.size
        png.unlink()
        return content, size

    return sample


def pixels(across, down, zoom=7, side=8, gap=2, lines=0):
    """Returns the size of a sheet with so many lines of words above it."""
    return across * (side * zoom + gap) + gap, down * (side * zoom + gap) + gap + 16 * lines


# ------------------------------------------------------------------------- sample


def test_samples_repeat_for_a_seed_and_differ_for_another(sample, capsys):
    first, size = sample("--seed 3")
    assert size == pixels(8, 8)
    assert capsys.readouterr().out == "grid.png\n"
    assert sample("--seed 3")[0] == first
    assert sample("--seed 4")[0] != first
    assert sample("")[0] == sample("--seed 0")[0]


def test_options_decide_count_and_place(sample):
    assert sample("--n 5 --out some/where/x.png")[1] == pixels(3, 2)


def test_a_label_decides_the_category(sample):
    pictures = [sample(f"--n 4 --label {label}")[0] for label in range(3)]
    assert len(set(pictures)) == 3
    assert sample("--n 4 --label=1")[0] == pictures[1]


@pytest.mark.parametrize("code", CODES)
def test_every_code_can_be_traversed(sample, code):
    first, size = sample(f"--traverse {code} --n 3 --steps 10")
    assert size == pixels(10, 3, lines=2)
    assert sample(f"--n 3 --traverse={code}")[0] == first
    assert sample(f"--n 3 --traverse {code} --seed 1")[0] != first


def test_traversing_without_a_code_takes_the_first(sample):
    assert sample("--traverse")[0] == sample("--traverse category")[0]
    assert sample("--traverse")[1] == pixels(10, 8, lines=2)


def test_continuous_codes_take_as_many_steps_as_asked(sample):
    assert sample("--traverse continuous1 --n 2 --steps 4")[1] == pixels(4, 2, lines=2)


def test_interpolation_walks_in_rows(sample):
    first, size = sample("--interpolate --n 2 --steps 5")
    assert size == pixels(5, 2)
    assert sample("--interpolate --n 2 --steps 5")[0] == first
    assert sample("--interpolate --n 2 --steps 5 --seed 1")[0] != first


def test_a_run_is_sampled_like_a_published_model(sample, shelf, tmp_path):
    run = tmp_path / "runs" / "tiny" / "2030-01-02_03-04-05"
    (run / "checkpoints").mkdir(parents=True)
    (run / "recipe.yaml").write_text(
        "model: {class_path: InfoGAN, init_args: {noise_dim: 4, width: 4, features: 8}}\n"
        "data: {class_path: Digits}\n"
    )
    spec = '{"channels": 1, "height": 8, "width": 8, "classes": 10}'
    (run / "environment.json").write_text(f'{{"spec": {spec}}}')
    model = zoo.load("tiny")
    torch.save({"state_dict": model.state_dict()}, run / "checkpoints" / "last.ckpt")
    assert sample("--seed 5", model=str(run)) == sample("--seed 5")
    shutil.rmtree(run)


def test_help_shows_the_conditions_of_a_model(shelf, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_SHELF", str(shelf))
    assert zoo.sample.main(["tiny", "--help"]) == 0
    assert "--label" in capsys.readouterr().out
    assert zoo.sample.main(["-h"]) == 0
    out = capsys.readouterr().out
    assert "--traverse" in out and "--label LABEL" not in out


# ------------------------------------------------------------------------- list


def listed(shelf, monkeypatch, capsys, width=200):
    monkeypatch.setenv("ZOO_SHELF", str(shelf))
    monkeypatch.setenv("COLUMNS", str(width))
    assert zoo.list.main([]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_list_names_everything_there_is(shelf, monkeypatch, capsys):
    out = listed(shelf, monkeypatch, capsys)
    recipes = [path.stem for path in recipe_folder().glob("*.yaml")]
    for name in ("tiny", *MODELS, *DATASETS, *recipes):
        assert name in out
    line = next(line for line in out.splitlines() if line.startswith("tiny"))
    assert line.split()[:3] == ["tiny", "InfoGAN", "Digits"] and "0.25  second" in line
    line = next(line for line in out.splitlines() if line.startswith("InfoGAN"))
    assert "sample" in line and "traverse" in line and "classify" in line


def test_a_name_that_is_piped_is_whole_however_narrow_the_screen():
    environment = {**os.environ, "COLUMNS": "40", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "zoo.list"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    rows = [row.split() for row in done.stdout.splitlines() if row.strip()]
    for name in zoo.available():
        card = zoo.card(name)
        wanted = [name, card.family, *card.data.split(), *card.size.split()]
        assert sum(row[: len(wanted)] == wanted for row in rows) == 1, name
        if card.headline:
            assert sum(row[0] == name and row[-1] == card.headline["name"] for row in rows) == 1


@pytest.mark.parametrize(
    "filters", [{"family": "VAE"}, {"data": "MNIST", "can": "traverse"}, {"can": "features"}]
)
def test_the_list_is_filtered_as_the_shelf_is_and_json_says_it_all(filters, capsys):
    words = [word for name, value in filters.items() for word in (f"--{name}", value)]
    assert zoo.list.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["models"]] == zoo.available(**filters) != []
    for row in told["models"]:
        card = zoo.card(row["name"])
        assert row["bytes"] == card["weights"]["bytes"]
        assert row["score"] in ({k: score[k] for k in ("name", "value")} for score in card.scores)
    recipes = {row["name"]: row for row in told["recipes"]}
    assert recipes and (not told["data"] or filters.keys() == {"data"})
    for row in recipes.values():
        assert filters.get("family") in (None, row["family"])
        assert filters.get("data") in (None, row["data"])
    assert zoo.list.main(words) == 0
    first = [row.split()[0] for row in capsys.readouterr().out.splitlines() if row.strip()]
    shown = {*zoo.available(**filters), *recipes}
    assert shown <= {*first} and not ({*zoo.available()} - shown) & {*first}


def test_the_list_takes_a_pattern(capsys):
    assert zoo.list.main(["vae*", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["models"]] == zoo.available("vae*")
    assert all(row["name"].startswith("vae") for row in told["recipes"]) and not told["data"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--family vae", "unknown family 'vae'. Did you mean VAE?"),
        ("--data MNISD", "unknown data set 'MNISD'. Did you mean MNIST?"),
        ("--can draw", "unknown capability 'draw'."),
        ("nothing*", "there is nothing of that kind"),
        ("--json --markdown", "ways to print"),
    ],
)
def test_wrong_wishes_for_lists_are_refused(line, words, capsys):
    assert zoo.list.main(line.split()) == 2
    assert words in capsys.readouterr().err


def test_one_damaged_entry_does_not_hide_the_others(shelf, monkeypatch, capsys, tmp_path):
    copy = tmp_path / "shelf"
    shutil.copytree(shelf, copy)
    (copy / "broken").mkdir()
    (copy / "broken" / "card.json").write_text("{}")
    out = listed(copy, monkeypatch, capsys)
    assert "unusable" in out and "0.25  second" in out


def test_one_broken_recipe_does_not_hide_the_others(shelf, monkeypatch, capsys, tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "broken.yaml").write_text("model: [\n")
    (tmp_path / "recipes" / "short.yaml").write_text("model: InfoGAN\ndata: MNIST\n")
    monkeypatch.chdir(tmp_path)
    out = listed(shelf, monkeypatch, capsys)
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "unusable" in lines["broken"] and lines["short"].split()[1:] == ["InfoGAN", "MNIST"]


def test_an_empty_shelf_is_a_list_without_models(monkeypatch, capsys, tmp_path):
    assert "Families" in listed(tmp_path, monkeypatch, capsys)


# ------------------------------------------------------------------------- the overview


@pytest.mark.parametrize("line", [[], ["-h"], ["--help"]])
def test_the_overview_names_every_verb_and_what_to_try(line, capsys):
    assert main(line) == 0
    out = capsys.readouterr().out
    assert all(f"zoo.{verb} " in out for verb in VERBS)
    assert out.count("python -m zoo.", out.index("Try next")) == 3


def test_the_version_is_the_projects(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    tomllib = pytest.importorskip("tomllib")  # part of Python from 3.11 on
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert project["scripts"]["zoo"] == "zoo.__main__:main"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps_by_itself_and_through_the_console_script(verb, capsys):
    helps = []
    for call in (importlib.import_module(f"zoo.{verb}").main, lambda line: main([verb, *line])):
        try:
            code = call(["--help"])
        except SystemExit as end:
            code = end.code
        assert code in (0, None)
        helps.append(capsys.readouterr().out)
    assert helps[0] == helps[1] and "usage" in helps[0].lower()


def test_the_console_script_hands_arguments_and_code_on(shelf, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("ZOO_SHELF", str(shelf))
    out = tmp_path / "x.png"
    assert main(["sample", "tiny", "--n", "1", "--out", str(out)]) == 0
    assert out.is_file()
    assert main(["sample", "tiny", "--n", "0"]) == 2
    assert main(["fit", "no_such_recipe"]) == 2
    assert "zoo.fit: recipe 'no_such_recipe' does not exist" in capsys.readouterr().err


def test_the_package_is_a_command_and_imports_no_torch_for_it():
    code = (
        "import sys, runpy; sys.argv = ['zoo']\n"
        "try: runpy.run_module('zoo', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("zoo ")


# ------------------------------------------------------------------------- completions


@pytest.fixture
def completing(sample, shelf, tmp_path):
    """Completes a picture, and returns the images of the row, (N, 8, 8, 3) in [0, 1]."""
    torch.manual_seed(0)
    write_entry("half", MODELS["MADE"](ImageSpec(1, 8, 8, 10), hidden=(8,)), {}, shelf=shelf)
    ramp = (torch.arange(64).view(8, 8) % 2 * 255).to(torch.uint8)
    files = tmp_path / "in"
    files.mkdir()
    Image.fromarray(ramp.numpy()).save(files / "ramp.bmp")
    corner = torch.zeros(8, 8, dtype=torch.uint8)
    corner[:3, :2] = 255
    Image.fromarray(corner.numpy()).save(files / "corner.bmp")

    def complete(line, count):
        content, _ = sample(f"--complete in/ramp.bmp {line} --n {count}", model="half")
        pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB"))) / 255
        row = pixels[18 : 18 + 56 : 7]  # below the words that say what is what
        lefts = range(2, 2 + (count + 2) * 58, 58)
        return torch.stack([row[:, left : left + 56 : 7] for left in lefts]), ramp / 255

    return complete


@pytest.mark.parametrize(
    ("line", "covered"),
    [
        ("", (slice(4, 8), slice(0, 8))),
        ("--mask bottom", (slice(4, 8), slice(0, 8))),
        ("--mask top", (slice(0, 4), slice(0, 8))),
        ("--mask left", (slice(0, 8), slice(0, 4))),
        ("--mask right", (slice(0, 8), slice(4, 8))),
        ("--mask in/corner.bmp", (slice(0, 3), slice(0, 2))),
    ],
)
def test_a_completion_keeps_what_is_not_covered(completing, line, covered):
    cells, image = completing(line, 6)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[covered] = True
    image = image[..., None].expand(-1, -1, 3)
    assert torch.equal(cells[0], image)
    assert torch.equal(cells[1][~mask], image[~mask])
    red, _, blue = cells[1][mask].unbind(dim=-1)
    assert (blue > red).all(), "what is covered has a colour that no grey image has"
    assert (cells[2:, ~mask] == image[~mask]).all()
    assert (cells[2:, mask] != image[mask]).flatten(1).any(1).all()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("half --complete nothing.png", "nothing.png cannot be read"),
        ("half --complete in/ramp.bmp --mask botom", "Did you mean bottom?"),
        ("half --complete in/ramp.bmp --interpolate", "one at a time"),
        ("half --mask top", "--mask belongs to --complete"),
        ("tiny --complete in/ramp.bmp", "cannot complete"),
    ],
)
def test_wrong_wishes_for_completions_are_refused(completing, line, words, capsys):
    assert zoo.sample.main(line.split()) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def others(sample, shelf, tmp_path):
    """Publishes one model that reconstructs, one with a prior, one that gives images back."""
    torch.manual_seed(0)
    spec = ImageSpec(1, 8, 8, 10)
    write_entry("coded", MODELS["VAE"](spec, latent_dim=2, width=4), {}, shelf=shelf)
    write_entry("drawn", MODELS["GAN"](spec, latent_dim=2, width=4), {}, shelf=shelf)
    write_entry("flow", MODELS["NICE"](spec, hidden=8), {}, shelf=shelf)
    (tmp_path / "in").mkdir()
    Image.new("L", (8, 8), 255).save(tmp_path / "in" / "white.bmp")


def test_an_image_stands_above_its_reconstruction(others, sample):
    content, size = sample("--reconstruct in/white.bmp", model="coded")
    rows = np.array(Image.open(io.BytesIO(content)).convert("L"))
    assert size[1] == pixels(1, 2)[1] and size[0] > pixels(1, 2)[0]  # with words before the rows
    rows = rows[:, -pixels(1, 2)[0] :]
    assert (rows[2:58, 2:58] == 255).all() and (rows[60:116, 2:58] < 255).all()


def test_pictures_of_images_make_their_own_examples(tmp_path, capsys, monkeypatch):
    out = tmp_path / "x.png"
    assert zoo.sample.main(["vae_digits", "--reconstruct", "--out", str(out)]) == 0
    rows = np.array(Image.open(out).convert("L"))[:, -pixels(4, 2)[0] :]
    shown = rows[2:58:7, 2:].reshape(8, 4, 58)[:, :, :56:7]  # the four above their reconstructions
    test = DATASETS["Digits"](binarize="dynamic").images("test").fetch(torch.arange(360))
    for image in shown.transpose(1, 0, 2):
        assert (test[:, 0].numpy() == image).all(axis=(1, 2)).any()
    capsys.readouterr()
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setattr("zoo.data.vision.fetch", refuse)
    line = ["pixelcnn_plus_mnist", "--complete", "--mask", "top", "--out", str(out)]
    assert zoo.sample.main(line) == 2
    assert "; or name an image of your own: --complete IMAGE." in capsys.readouterr().err
    zoo.load("vae_digits").save(tmp_path / "mine")
    assert zoo.sample.main([str(tmp_path / "mine"), "--reconstruct"]) == 2
    assert "nobody knows what data" in capsys.readouterr().err


def refuse(*_):
    raise UserError("there are no files of MNIST.")


def test_rows_go_through_the_origin(others, sample):
    assert sample("--origin --n 2", model="drawn")[1] == pixels(11, 2)
    assert sample("--origin --n 1 --steps 3", model="drawn")[1] == pixels(3, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flow --reconstruct in/white.bmp", "what it reconstructs is the image itself"),
        ("tiny --reconstruct in/white.bmp", "this model cannot reconstruct; it can sample"),
        ("coded --reconstruct nothing.png", "nothing.png cannot be read"),
        ("coded --origin --mask top", "--mask belongs to --complete."),
        ("flow --origin", "--origin has nothing to show of this model: it decodes no draws"),
        ("tiny --illustrate", "this model cannot illustrate"),
    ],
)
def test_what_a_model_cannot_show_is_a_sentence(others, line, words, capsys):
    assert zoo.sample.main(line.split()) == 2
    assert words in capsys.readouterr().err


# ------------------------------------------------------------------------- conditions in words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("coded --label 3", "coded takes no --label: it draws without conditions."),
        ("coded --label=3", "coded takes no --label: it draws without conditions."),
        ("tiny --caption red", "tiny takes no --caption: it takes --label."),
        ("tiny --lable 3", "unknown option --lable. Did you mean --label?"),
        ("coded --hlep", "unknown option --hlep. Did you mean --help?"),
    ],
)
def test_a_condition_that_a_model_has_not_is_told(others, line, words, capsys):
    assert zoo.sample.main(line.split()) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["infogan_plus_mnist", "gmvae_plus_mnist"])
def test_a_code_that_was_found_without_labels_is_told_in_words(name, capsys, tmp_path):
    """Against the model's own view: the code that it infers of most test images of that class."""
    features, model = zoo.load("features_mnist"), zoo.load(name)
    out = tmp_path / "x.png"
    for code in (3, 7):
        assert zoo.sample.main([name, "--label", str(code), "--n", "4", "--out", str(out)]) == 0
        said = capsys.readouterr().err
        found = re.fullmatch(rf"zoo\.sample: code {code} \(mostly (\d)\)\n", said)
        assert found, said
        seen = features.probabilities(model.sample(200, seed=9, label=code)).argmax(dim=1)
        assert int(seen.mode().values) == int(found[1])
    assert zoo.sample.main([name, "--n", "4", "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""


def test_a_code_of_which_no_classifier_knows_is_told_by_its_number(sample, capsys):
    sample("--label 1 --n 2")
    assert capsys.readouterr().err == "zoo.sample: code 1\n"


def test_a_saved_model_is_drawn_from_by_its_folder(others, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    zoo.load("coded").save("mine")
    assert zoo.sample.main("mine --n 4 --out x.png".split()) == 0
    assert (tmp_path / "x.png").is_file()
    (tmp_path / "pics").mkdir()
    assert zoo.sample.main(["pics"]) == 2
    assert "pics is not a run: it has no recipe.yaml, and no card.json either." in (
        capsys.readouterr().err
    )
