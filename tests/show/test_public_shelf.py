"""What ``import zoo`` offers: names, cards, models, pictures; none of it needs torch at first."""

import pydoc
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.core.errors import UserError
from zoo.fit import main as fit
from zoo.shelf.find import available as names_of


def test_all_of_the_shelf_and_parts_of_it():
    assert zoo.available() == names_of()
    assert zoo.available("vae*") == ["vae_digits", "vae_plus_mnist"]
    cards = {name: zoo.card(name) for name in names_of()}
    for family in {card.family for card in cards.values()}:
        wanted = [name for name, card in cards.items() if card.family == family]
        assert zoo.available(family=family) == wanted
    told = zoo.available("*vae*", data="MNIST", can="traverse")
    assert told and all(cards[name].data == "MNIST" and "vae" in name for name in told)
    assert all(callable(zoo.load(name).traverse) for name in told[:1])
    assert zoo.available("nothing*", data="MNIST") == []


@pytest.mark.parametrize(("asked", "said"), [
    ({"family": "vae"}, r"unknown family 'vae'\. Did you mean VAE\?"),
    ({"data": "mnist"}, r"unknown data set 'mnist'\. Did you mean MNIST\?"),
    ({"can": "traverses"}, r"unknown capability 'traverses'\. Did you mean traverse\?"),
])  # fmt: skip
def test_names_that_there_are_not_are_refused(asked, said):
    with pytest.raises(UserError, match=said):
        zoo.available(**asked)


def test_a_card_is_an_object():
    card = zoo.card("vae_plus_mnist")
    assert (card.family, card.data) == ("VAE", "MNIST")
    assert card.figure.startswith("85.") and card.figure.endswith("nll[dynamic,is5000,10k,test]")
    assert card["weights"]["numbers"] == card.card["weights"]["numbers"]
    head, *lines = repr(card).splitlines()
    assert head == "vae_plus_mnist: VAE of MNIST" and len(lines) == 5
    assert {line.split()[0] for line in lines} == {"figure", "paper", "training", "weights", "can"}
    with pytest.raises(UserError, match=r"there is no model 'vea_plus_mnist'.*Did you mean"):
        zoo.card("vea_plus_mnist")


def test_a_loaded_model_knows_its_card_and_says_what_it_is():
    model = zoo.load("vae_digits", device="cpu")
    assert model.card == zoo.card("vae_digits")
    head = repr(model).partition("\n")[0]
    told = "VAE vae_digits of Digits, 22.40 nats nll[dynamic,is5000,360,test]"
    assert head == f"{told}; grey images of 8x8; 116 k parameters"
    with pytest.raises(UserError, match="device nowhere: there is no such device here; try cpu"):
        zoo.load("vae_digits", device="nowhere")


def test_a_run_is_loaded_by_its_folder_with_a_card(tmp_path):
    """Of a run that ended, and of one that was stopped before it was scored."""
    line = ["recipes/vae_digits.yaml", "--trainer.max_epochs", "1", "--model.hidden", "[8]",
            "--trainer.limit_train_batches", "2", "--wandb", "off", "--run_root", str(tmp_path),
            "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]  # fmt: skip
    assert fit(line) == 0
    (folder,) = (tmp_path / "vae_digits").iterdir()
    for name in (folder, str(folder)):
        model = zoo.load(name)
        assert not model.training and model.sample(2, seed=0).shape == (2, 1, 8, 8)
        assert (model.card.family, model.card.data) == ("VAE", "Digits")
        assert "nats" in model.card.figure and repr(model).startswith(f"VAE {folder} of Digits, ")
    (folder / "evaluation.json").unlink()
    assert zoo.load(folder).card.figure == "" and zoo.card(folder).scores == []
    (folder / "environment.json").write_text("{}")
    with pytest.raises(UserError, match="damaged records"):
        zoo.card(folder)


def test_a_broken_recipe_spoils_no_weights(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "vae_digits.yaml").write_text("model: [")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.show.gallery.exhibit.recipe_folder", lambda: tmp_path / "recipes")
    model = zoo.load("vae_digits")
    assert model.card is None and len(model.sample(2)) == 2


def test_an_unknown_model_is_answered_with_all_that_may_be_meant():
    with pytest.raises(UserError) as error:
        zoo.load("vae")
    for name in zoo.available("*vae*"):
        assert name in str(error.value)


def test_a_grid_is_a_picture_that_shows_itself():
    x = torch.rand(5, 1, 8, 8)
    sheet = zoo.grid(x)
    assert isinstance(sheet, Image.Image) and sheet.size == (3 * 58 + 2, 2 * 58 + 2)
    assert callable(sheet._repr_png_)  # what notebooks ask for
    pixels = np.asarray(sheet)
    assert pixels[2, 2, 0] == round(float(x[0, 0, 0, 0]) * 255)
    assert zoo.grid(x, columns=5).size == (5 * 58 + 2, 60)
    same = [x.numpy(), (x * 255).round().byte(), list(x)]
    for other in same:
        assert np.abs(np.asarray(zoo.grid(other)).astype(int) - pixels).max() <= 1
    assert zoo.grid(x[0]).size == (60, 60) and zoo.grid(x[None]).size == (5 * 58 + 2, 60)
    assert zoo.grid(sheet).size == sheet.size or zoo.grid(sheet).mode == "RGB"
    assert zoo.grid(torch.rand(9, 2, 1, 1)).size == (512, 512)
    for wrong, said in ((x * 255, r"images / 255"), (x[:0], "no images"), ("x", "got str"),
                        (torch.rand(2, 5, 8, 8), "1 channel or 3"), (x / 0, "NaN")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            zoo.grid(wrong)


def test_help_begins_with_five_lines_of_use():
    text = pydoc.plain(pydoc.render_doc(zoo))
    use = text.partition("DESCRIPTION\n")[2].splitlines()
    use = [line.strip() for line in use if line.strip()][:5]
    for line, word in zip(use, ("available", "load", "sample", "grid", "save"), strict=True):
        assert word in line
    assert {"available", "card", "datasets", "grid", "load", "models"} <= set(dir(zoo))


def test_importing_listing_and_completing_need_no_torch():
    code = (
        "import sys, rlcompleter, zoo; dir(zoo); zoo.available('*', can='sample'); "
        "repr(zoo.card('vae_digits')); c = rlcompleter.Completer({'zoo': zoo}); "
        "assert c.complete('zoo.ava', 0).startswith('zoo.available'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
