"""The page of a run: whole with all of its parts, and with any of them missing or hostile."""

import json
import re

import pytest
from PIL import Image

from zoo.shelf.run_folder import RunFolder
from zoo.show.run_page import write_curves, write_page


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path / "vae_digits" / "2026-01-02_03-04-05")
    run.pictures.mkdir(parents=True)
    run.metrics.write_text("step,epoch,train/loss,val/elbo_nats\n10,0,3.0,\n20,1,2.0,-30\n")
    run.recipe.write_text("model:\n  class_path: VAE  # <b>\n")
    run.environment.write_text(json.dumps({"device": "cpu", "threads": 1, "batches": 2000}))
    for epoch, grey in ((1, 0), (12, 255), (3, 128)):
        Image.new("L", (4, 6), grey).save(run.pictures / f"samples-epoch{epoch:04d}.png")
    Image.new("L", (4, 6)).save(run.pictures / "traverse-z1-epoch0003.png")  # of no use later on
    return run


def test_it_shows_state_curves_recipe_and_the_newest_picture(folder):
    write_page(folder, "Training: epoch 2.", again=20)
    page = folder.page.read_text()
    assert "Training: epoch 2." in page and 'http-equiv="refresh" content="20"' in page
    assert "val/elbo_nats" in page and page.index("val/elbo_nats") < page.index("train/loss")
    assert "class_path: VAE  # &lt;b&gt;" in page
    assert "samples, epoch 12" in page and page.count("data:image/png") == 1
    assert '<img src="data:image/png;base64,' in page and 'width="4" height="6"' in page
    assert "<dd>2,000</dd>" in page
    # nothing is fetched from anywhere
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_run_that_has_ended_is_not_loaded_again(folder):
    score = {"name": "code_error[one-to-one,train->test]", "value": 0.1, "unit": "share"}
    folder.evaluation.write_text(json.dumps({"scores": [score]}))
    write_page(folder, "Trained.")
    page = folder.page.read_text()
    assert "refresh" not in page and "code error" in page and "0.1000" in page


@pytest.mark.parametrize("part", ["metrics", "recipe", "environment", "pictures"])
def test_any_part_may_be_missing(part, folder):
    path = getattr(folder, part)
    path.rename(path.with_name("elsewhere"))
    write_page(folder, "Training.")
    assert "Training." in folder.page.read_text()


def test_damaged_parts_are_left_out(folder):
    (folder.pictures / "samples-epoch0012.png").write_bytes(b"no picture")
    folder.environment.write_text("[1]")
    folder.evaluation.write_text("{")
    write_page(folder, "Training.")
    assert "data:image/png" not in folder.page.read_text()


def test_curves_are_drawn_once_there_are_some(folder):
    write_curves(folder)
    assert not folder.curves.exists()  # two points
    folder.metrics.write_text("step,epoch,a\n1,0,1\n2,0,2\n3,0,3\n")
    write_curves(folder)
    with Image.open(folder.curves) as picture:
        assert picture.size[0] > 400
    folder.curves.unlink()
    folder.metrics.write_text("step,epoch\n")
    write_curves(folder)
    assert not folder.curves.exists()
