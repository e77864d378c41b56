"""One entry for each picture: every tool shows it, and a plug-in's, without knowing its name."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import zoo.gallery
import zoo.sample
from zoo.contract.capabilities import CAPABILITIES, capabilities
from zoo.contract.spec import ImageSpec
from zoo.core import plugins
from zoo.data import DATASETS
from zoo.judge.score import Task
from zoo.judge.subject import Subject
from zoo.models import MODELS
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry
from zoo.show.diagnosis import open_case, page
from zoo.show.pictures import save_png, tiles
from zoo.show.views import COUNT, VIEWS, Option, View, sheets, view_of
from zoo.training.callbacks.pictures import Pictures

ROOT = Path(__file__).resolve().parents[2]

PLUGIN = '''
"""A capability of somebody else's: what a model makes of a tilt."""

import torch

from zoo.show.pictures import grid
from zoo.show.views import COUNT, Option, VIEWS, View


def tilts(model, *, seed, n=4, tone=1.0):
    return grid(model.tilt(n, seed=seed) * tone)


VIEWS.register(
    View(
        name="tilts", capability="tilt", title="Tilted images", draw=tilts,
        caption="Images <tilted> to the right", flag="tilt", help="tilt images",
        options=(COUNT, Option("tone", "brightness (default 1)", 1.0, float, interval="[0, 1]")),
    )
)
'''


class Words(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.words = []
        self.feed(markup)

    def handle_data(self, data):
        self.words.append(data)


def words(markup):
    return " ".join(" ".join(Words(markup).words).split())


@pytest.fixture
def own_table(monkeypatch):
    """Lets a test add views and capabilities that are gone when it ends."""
    monkeypatch.setattr(VIEWS, "_entries", dict(VIEWS._entries))
    known = dict(CAPABILITIES)
    yield
    CAPABILITIES.clear()
    CAPABILITIES.update(known)


@pytest.fixture
def tilting(own_table, monkeypatch, tmp_path):
    """Loads the plug-in, as a person would, and publishes a model that can tilt."""
    (tmp_path / "tilting.py").write_text(PLUGIN)
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setitem(sys.modules, "zoo_plugin_tilting", None)  # is gone when the test ends
    del sys.modules["zoo_plugin_tilting"]
    assert zoo.sample.main(["--help", "--plugin", str(tmp_path / "tilting.py")]) == 0
    shades = torch.linspace(0.2, 1, 5)[:, None, None, None].expand(-1, 1, 8, 8)

    def tilt(self, n, *, seed):
        return shades[:n] if seed == 0 else 1 - shades[:n]

    monkeypatch.setattr(MODELS["InfoGAN"], "tilt", tilt, raising=False)
    shelf = tmp_path / "shelf"
    small = {"noise_dim": 4, "width": 4, "features": 8}
    write_entry("tiny", MODELS["InfoGAN"](ImageSpec(1, 8, 8, 10), **small), {}, shelf=shelf)
    monkeypatch.setenv("ZOO_SHELF", str(shelf))
    monkeypatch.chdir(tmp_path)
    return shelf / "tiny"


# ------------------------------------------------------------------------- a plug-in's entry


def test_the_command_draws_it_by_its_flag(tilting, capsys):
    assert zoo.sample.main(["tiny", "--tilt", "--n", "2", "--tone", "0.5"]) == 0
    with Image.open("grid.png") as picture:
        assert picture.size == (118, 60)
        assert [picture.getpixel((x, 9))[0] for x in (9, 69)] == [26, 51]  # half of .2 and of .4
    assert zoo.sample.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "--tilt" in out and "tilt images" in out and "brightness" in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--tilt --traverse", "are different pictures"),
        ("--tone 0.5", "--tone belongs to --tilt."),
        ("--tilt --tone 2", "--tone must lie in [0, 1], got 2.0."),
        (
            "--tilt --steps 3",
            "--steps belongs to --traverse or --interpolate or --chain or --origin.",
        ),
        ("--tilt --label 3", "--label is a condition of samples"),
        ("--tild", "Did you mean --tilt?"),
    ],
)
def test_wrong_wishes_are_refused_as_those_of_any_picture(tilting, capsys, line, said):
    assert zoo.sample.main(["tiny", *line.split()]) == 2
    assert said in capsys.readouterr().err


def test_a_model_without_the_capability_says_what_it_can(tilting, capsys):
    write_entry("flat", MODELS["MADE"](ImageSpec(1, 8, 8, 10), hidden=(8,)), {})
    assert zoo.sample.main(["flat", "--tilt"]) == 2
    assert "this model cannot tilt; it can sample, complete, log_prob" in capsys.readouterr().err
    assert "tilt" in capabilities(load("tiny")) and "tilt" not in capabilities(load("flat"))


def test_cards_and_training_draw_it(tilting, tmp_path):
    model = load("tiny")
    assert tiles(sheets(model)["tilts"], 8, 8)[:, 0, 0, 0].tolist() == pytest.approx(
        [0.2, 0.4, 0.6, 0.8]
    )
    trainer = SimpleNamespace(current_epoch=0, max_epochs=9, fast_dev_run=False, loggers=[],
                              is_global_zero=True, datamodule=DATASETS["Digits"]())  # fmt: skip
    Pictures(tmp_path / "drawn", every=5).on_train_epoch_end(trainer, model)
    assert (tmp_path / "drawn" / "tilts-epoch0001.png").is_file()


def test_the_report_shows_it_in_a_section_of_its_own(tilting):
    data = DATASETS["Digits"]()
    model = load("tiny")
    subject = Subject("tiny", model, None, "ab" * 32, None, Path())
    markup = page(open_case(subject, Task(model, data), "quick", []))
    assert "Tilted images Images <tilted> to the right" in words(markup)
    assert "<tilted>" not in markup


def test_the_gallery_shows_it_with_its_caption_and_how_to_draw_more(tilting, tmp_path):
    for name, sheet in sheets(load("tiny")).items():
        save_png(sheet, tilting / f"{name}.png")
    save_png(torch.zeros(3, 4, 4), tilting / "a_thing.png")
    assert zoo.gallery.main(["--out", "site"]) == 0
    markup = (tmp_path / "site" / "models" / "tiny.html").read_text()
    assert "Images <tilted> to the right a thing" in words(markup)  # what nobody knows comes last
    assert "python -m zoo.sample tiny --tilt --out tilts.png" in words(markup)


# ------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("stem", "caption"),
    [
        ("samples", "Samples, the first ones drawn, none chosen"),
        ("captions", "Below each caption: four sketches, each beside what was made of it"),
        (
            "completions",
            "An unseen image, the half of it that is kept, and ways to draw what is hatched",
        ),
        ("reconstructions", "Unseen images, and below each its reconstruction from its code"),
        ("origin", "Each row walks from a latent code through the origin to its opposite"),
        ("traversals", "One image, and what each code makes of it; a row for every code"),
        ("traverse-z12", "Along a row only z12 changes"),
        ("traverse-{part}-b", "Along a row only {part}-b changes"),
    ],
)
def test_pictures_of_older_cards_are_found_by_their_file(stem, caption):
    view, part = view_of(stem)
    assert view.says(part) == caption and view.stem(part) == stem


@pytest.mark.parametrize("stem", ["wall", "traverse", "samples-2", "", "-"])
def test_other_files_are_no_view(stem):
    assert view_of(stem) is None


def test_every_picture_of_the_shelf_is_one_of_a_view():
    stems = {path.stem for path in (ROOT / "checkpoints").glob("*/*.png")}
    assert [stem for stem in sorted(stems) if view_of(stem) is None] == []


@pytest.mark.parametrize("name", VIEWS)
def test_entries_are_whole(name):
    view = VIEWS[name]
    assert view.name == name and view.title and not view.caption.endswith(".")
    assert bool(view.flag) == bool(view.help) and not view.help.endswith(".")
    assert bool(view.part) == bool(view.parts) == ("{part}" in view.caption)


def entry(**changes):
    given = {"name": "new", "capability": "new", "title": "t", "caption": "c", "draw": print}
    return View(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "samples"}, "view 'samples' is registered twice"),
        ({"flag": "traverse", "help": "h"}, "view 'new': the option --traverse is taken."),
        ({"flag": "mask", "help": "h"}, "--mask is taken"),
        ({"flag": "out", "help": "h"}, "--out is taken"),
        ({"options": (Option("n", "another meaning"),)}, "--n is taken"),
        ({"options": (Option("origin", "a flag"),)}, "--origin is taken"),
        ({"options": (Option("seed", "the command's"),)}, "--seed is taken"),
    ],
)
def test_no_name_is_given_twice(own_table, changes, said):
    before = list(VIEWS)
    with pytest.raises(ValueError, match=said):
        VIEWS.register(entry(**changes))
    assert list(VIEWS) == before and "new" not in CAPABILITIES
    VIEWS.register(entry(options=(COUNT,)))  # an option may be shared


def test_nobody_waits_for_torch_to_learn_what_can_be_shown():
    code = (
        "import sys, zoo.sample\n"
        "assert zoo.sample.main(['--help']) == 0\n"
        "assert zoo.sample.main(['x', '--traverse', '--interpolate']) == 2\n"
        "assert not {'torch', 'lightning', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
