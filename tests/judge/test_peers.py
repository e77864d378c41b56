"""A folder of images in the place of a model, and pixels in the place of features."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.core.errors import UserError
from zoo.data.folder import ImageFolder
from zoo.evaluate import main
from zoo.judge.banks import sample_chunks
from zoo.judge.peers import FolderSamples, folder_subject
from zoo.judge.pixels import pixels
from zoo.judge.score import Task
from zoo.judge.subject import read_report, task_for


def pictures(folder, count, seed=0, side=16, mode="RGB", bright=256):
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for row in range(count):
        shape = (side, side, 3) if mode == "RGB" else (side, side)
        values = generator.integers(0, bright, shape, dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{row:03}.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("peers")
    return {
        "mine": pictures(home / "mine", 30),
        "like": pictures(home / "like", 40, seed=1),
        "dark": pictures(home / "dark", 30, seed=2, bright=60),
        "grey": pictures(home / "grey", 30, seed=3, mode="L"),
        "large": pictures(home / "large", 30, seed=4, side=40),
    }


def scores(tmp_path, *arguments):
    file = tmp_path / "report.json"
    assert main([*map(str, arguments), "--json", str(file)]) == 0
    report = read_report(file)
    return report, {s["name"].partition("[")[0]: s["value"] for s in report["scores"]}


def test_the_samples_are_the_images_in_order_each_once(folders):
    samples = FolderSamples(ImageFolder(str(folders["mine"]), size=16).whole())
    assert samples.number == 30
    first = np.asarray(Image.open(folders["mine"] / "000.png")).transpose(2, 0, 1)
    assert torch.equal(samples.sample(1, seed=5)[0], torch.tensor(first) / 255)
    data = ImageFolder(str(folders["like"]), size=16).whole()
    for world in (1, 2):
        task = Task(samples, data, "test", limit=30)
        parts = [
            images for rank in range(world)
            for _, images in sample_chunks(Task(samples, data, "test", 30, rank=rank, world=world))
        ]  # fmt: skip
        assert task.count == 30 and len(torch.cat(parts).flatten(1).unique(dim=0)) == 30


def test_a_folder_is_at_no_distance_from_itself(folders, tmp_path):
    report, found = scores(tmp_path, folders["mine"], "--data.path", folders["mine"])
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert [found[name] for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert found["memorisation_z"] < -3  # every sample is a training image
    assert "inception_style" not in found  # pixels know no classes
    assert report["features"]["name"] == "pixels-8x8" and report["limit"] == 30


def test_folders_of_another_kind_are_further_away(folders, tmp_path):
    near = scores(tmp_path, folders["like"], "--data.path", folders["mine"])[1]
    far = scores(tmp_path, folders["dark"], "--data.path", folders["mine"])[1]
    assert 0 < near["fid"] < far["fid"] / 4 and near["kid"] < far["kid"]
    assert far["precision"] == 0


def test_images_are_compared_in_the_samples_size_and_in_colour_where_one_has_it(folders):
    sizes = {("mine", "large"): (3, 16, 16), ("large", "mine"): (3, 40, 40),
             ("grey", "mine"): (3, 16, 16), ("mine", "grey"): (3, 16, 16),
             ("grey", "grey"): (1, 16, 16)}  # fmt: skip
    for (samples, others), shape in sizes.items():
        subject, data = folder_subject(
            str(folders[samples]), None, None, str(folders[others])
        )  # fmt: skip
        assert subject.model.spec.shape == data.spec.shape == shape
        assert len(data.images("test")) == len(list(folders[others].iterdir()))


def test_a_data_set_and_its_network_are_taken_as_they_are(folders, tmp_path):
    report, found = scores(tmp_path, folders["grey"], "--data", "Digits")
    assert report["data"]["name"] == "Digits" and report["features"]["name"] == "digits-features"
    assert found["fid"] > 10 and "inception_style" in found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{mine}"], "it has no recipe.yaml. A folder of samples is compared with a data set"),
        (["{mine}", "--data", "ImageFolder"], "--data ImageFolder needs a folder of images"),
        (["{mine}", "--data.path", "nowhere"], "there is no folder"),
        (["{mine}/..", "--data", "Digits", "--data.path", "."], "Digits reads none"),
        (["{empty}", "--data", "Digits"], "it has no recipe.yaml; there are no images in"),
        (["{mine}", "--data", "TwoMoons"], "TwoMoons have the shape (2, 1, 1)"),
    ],
)
def test_what_cannot_be_compared_is_told(folders, tmp_path, arguments, words, capsys):
    (tmp_path / "empty").mkdir()
    places = {**folders, "empty": tmp_path / "empty"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert words in message and message.count("\n") == 1


def test_pixels_are_means_over_blocks(folders):
    look = pixels(ImageFolder(str(folders["mine"]), size=16).spec)
    images = torch.rand(3, 3, 16, 16)
    features, probabilities = look(images)
    blocks = images.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))
    torch.testing.assert_close(features, blocks.flatten(1))
    assert probabilities.shape == (3, 1) and look.classes == 0
    assert look(torch.rand(2, 1, 4, 4))[0].shape == (2, 16)


def test_pixels_are_taken_only_where_nothing_else_fits(folders):
    subject, data = folder_subject(str(folders["mine"]), None, None, str(folders["like"]))
    assert task_for(subject, data, None, "quick").features.name == "pixels-8x8"
    with pytest.raises(UserError, match="unknown protocol"):
        task_for(subject, data, None, "slow")
