"""A small shelf: a model with a paper's figure, points of the plane, and a feature network."""

import shutil

import pytest
import torch

from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.shelf.writing import write_entry
from zoo.show.gallery.table import END
from zoo.show.pictures import grid, save_png

ERROR = "code_error[one-to-one,train->test]"  # the figure of recipes/infogan_mnist.yaml
EVIL = '<script src="https://evil.example/x.js">alert(1)</script>'
TINY = {"width": 4, "feature_width": 4}


def one_score(name, value, unit="", better="lower"):
    return {"name": name, "value": value, "unit": unit, "better": better, "details": {}}


def put(root, name, kind, spec, made_by, data, scores, arguments, **more):
    """Puts an untrained model on a shelf, with a card like those of zoo.publish."""
    torch.manual_seed(0)
    section = {"class_path": f"zoo.data.{data}", "init_args": {"batch_size": 64}}
    ran_on = {"training_seconds": 1316.8, "threads": 1, "device": "cpu", "processes": 1}
    card = {
        "recipe_name": made_by,
        "recipe": {"seed_everything": 0, "data": section},
        "training": ran_on,
        "scores": scores,
        "seeds": [],
        **more,
    }
    write_entry(name, MODELS[kind](ImageSpec(*spec), **arguments), card, shelf=root)


def put_codes(root, scores, made_by="infogan_mnist", **more):
    """Puts the model there that recipes/infogan_mnist.yaml and its paper's figure belong to."""
    small = {"noise_dim": 4, "width": 4, "features": 8}
    put(root, "codes", "InfoGAN", (1, 28, 28, 10), made_by, "MNIST", scores, small, **more)


@pytest.fixture
def score():
    return one_score


@pytest.fixture(scope="session")
def pattern(tmp_path_factory):
    root = tmp_path_factory.mktemp("pattern")
    scores = [("fid[x,10k,test]", 3.8), (ERROR, 0.0362, "share"), ("kid[x]", None)]
    put_codes(root, [one_score(*given) for given in scores])
    sheet = grid(torch.linspace(0, 1, 64)[:, None, None, None].expand(-1, 1, 28, 28))
    for name in ("samples", "traverse-z12", "traverse-z2"):
        save_png(sheet, root / "codes" / f"{name}.png")
    scores = [one_score("modes[25,3sigma,2500]", 23.0, "modes", "higher")]
    small = {"latent_dim": 2, "width": 4}
    put(root, "cloud", "GAN", (2, 1, 1, 1), "pacgan_grid", "GaussianGrid", scores, small)
    scores = [one_score("error[test]", 0.019444, "share")]
    put(root, "eyes", "Classifier", (1, 8, 8, 10), "features_digits", "Digits", scores, TINY)
    return root


@pytest.fixture
def shelf(pattern, tmp_path):
    shutil.copytree(pattern, tmp_path / "shelf")
    return tmp_path / "shelf"


@pytest.fixture
def codes(shelf):
    """Publishes that model anew."""

    def codes(scores, **more):
        put_codes(shelf, scores, **more)

    return codes


@pytest.fixture
def evil(shelf):
    """The same shelf with a card that tries to become markup wherever it is free to."""
    name = f"error[{EVIL}|`](https://evil.example)"
    fence = f"```\n{EVIL}\n{END}\n```"
    section = {"class_path": "zoo.data.Digits", "init_args": {"path": EVIL, "note": fence}}
    ran_on = dict.fromkeys(("device", "gpu", "precision", "commit", "python", "torch"), EVIL)
    more = {
        "recipe": {"data": section},
        "training": {"training_seconds": 1.0, **ran_on},
        "seeds": [{"seed": 0, "training_seconds": 1.0, "scores": {name: v}} for v in (0.1, 0.2)],
    }
    failed = {**one_score(f"own[{END}]", None, EVIL), "details": {"status": EVIL}}
    scores = [one_score(name, 0.5, EVIL, EVIL), failed]
    put(shelf, "evil", "Classifier", (1, 8, 8, 10), "gone", "Digits", scores, TINY, **more)
    return shelf
