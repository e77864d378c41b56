"""Seeds that are added to the card of a model that is on the shelf already."""

import json

import pytest
import yaml

from zoo.core.errors import UserError
from zoo.data.digits import Digits
from zoo.models.variational.vae import VAE
from zoo.shelf.find import read_card
from zoo.shelf.writing import write_entry
from zoo.show.publishing import add_seeds

SCORE = "elbo[dynamic,360,test]"
RECIPE = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 3, "devices": 1},
    "model": {"class_path": "VAE", "init_args": {"latent_dim": 2}},
    "data": {"class_path": "Digits", "init_args": {"batch_size": 64}},
}


REPORT = {"data": {"name": "Digits", "sha256": {"test": "0" * 64}}, "features": None}


def scores(value):
    return {"scores": [{"name": SCORE, "value": value, "unit": "nats", "better": "higher"}]}


@pytest.fixture
def shelf(tmp_path):
    about = {
        "recipe": RECIPE, "training": {"seed": 0, "training_seconds": 5.0},
        "evaluations": {"quick": {**REPORT, **scores(-20.0)}}, "scores": [],
    }  # fmt: skip
    write_entry("tiny", VAE(Digits().spec, latent_dim=2), about, shelf=tmp_path / "shelf")
    return tmp_path / "shelf"


def run_of(folder, seed, value, precision="32-true", **arguments):
    """Writes the records of a run that has ended."""
    folder = folder / f"run{seed}-{precision}"
    folder.mkdir()
    model = {**RECIPE["model"], "init_args": {"latent_dim": 2, "warmup": 0.0, **arguments}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "model": model}))
    (folder / "environment.json").write_text(json.dumps({"seed": seed, "precision": precision}))
    (folder / "evaluation.json").write_text(json.dumps(scores(value)))
    return folder


def test_seeds_are_added_and_weights_stay(shelf, tmp_path):
    (weights,) = (shelf / "tiny").glob("*.safetensors")
    before = weights.read_bytes()
    add_seeds("tiny", [run_of(tmp_path, 1, -21.0), run_of(tmp_path, 2, -22.0)], shelf=shelf)
    add_seeds("tiny", [run_of(tmp_path, 1, -23.0, "bf16-mixed (fast)")], shelf=shelf)
    card, _ = read_card("tiny", shelf=shelf)
    told = [(one["seed"], one["scores"][SCORE]) for one in card["seeds"]]
    assert told == [(0, -20.0), (1, -21.0), (2, -22.0), (1, -23.0)]
    assert [path.read_bytes() for path in (shelf / "tiny").glob("*.safetensors")] == [before]
    assert card["recipe"] == RECIPE and card["evaluations"]["quick"]["scores"][0]["value"] == -20.0


@pytest.mark.parametrize(
    ("seed", "arguments", "words"),
    [
        (1, {"latent_dim": 3}, "another recipe than tiny: its model.latent_dim differs"),
        (0, {}, "the card of tiny has seed 0 already"),
    ],
)
def test_what_does_not_belong_to_the_card_is_refused(shelf, tmp_path, seed, arguments, words):
    before = (shelf / "tiny" / "card.json").read_bytes()
    with pytest.raises(UserError, match=words):
        add_seeds("tiny", [run_of(tmp_path, seed, -21.0, "", **arguments)], shelf=shelf)
    assert (shelf / "tiny" / "card.json").read_bytes() == before
