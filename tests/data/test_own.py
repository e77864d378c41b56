"""Arrays, tensors and torch data sets of a person's own as a data set of the zoo."""

import re
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from zoo.core.errors import UserError
from zoo.data.own import wrap
from zoo.judge.run import evaluate
from zoo.judge.score import Task
from zoo.models import MODELS

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(256, size=(60, 8, 6), dtype=np.uint8)
LABELS = np.arange(60) % 3


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def all_pixels(data):
    parts = [data.images(split) for split in ("train", "val", "test")]
    rows = torch.cat([part.fetch(torch.arange(len(part))) for part in parts])
    return sorted(row.numpy().tobytes() for row in rows), torch.cat([p.labels for p in parts])


COLOUR = np.stack([BYTES, 255 - BYTES, BYTES // 2], axis=1)
FORMS = {
    "array": (BYTES, BYTES[:, None]),
    "channel": (BYTES[:, None], BYTES[:, None]),
    "tensor": (torch.from_numpy(BYTES), BYTES[:, None]),
    "unit": (BYTES.astype(np.float64) / 255, BYTES[:, None]),
    "bool": (BYTES > 99, (BYTES > 99)[:, None].astype(np.uint8) * 255),
    "colour": (COLOUR, COLOUR),
    "channels last": (COLOUR.transpose(0, 2, 3, 1), COLOUR),
    "tensors": (TensorDataset(torch.from_numpy(BYTES)), BYTES[:, None]),
    "PIL": (Items([Image.fromarray(x) for x in BYTES]), BYTES[:, None]),
    "colour PIL": (Items([Image.fromarray(x.transpose(1, 2, 0)) for x in COLOUR]), COLOUR),
    "mappings": (Items([{"image": x, "label": 1} for x in BYTES]), BYTES[:, None]),
    "list": ([torch.from_numpy(x) / 255 for x in BYTES], BYTES[:, None]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_to_the_same_bytes_each_image_once(form):
    given, expected = FORMS[form]
    data = wrap(given)
    assert data.spec.shape == expected.shape[1:] and data.spec.kind == "image"
    assert all_pixels(data)[0] == sorted(x.tobytes() for x in expected)
    assert [len(data.images(split)) for split in ("train", "val", "test")] == [49, 5, 6]
    batch = next(iter(wrap(given, batch_size=4).train_dataloader()))
    assert batch.image.shape == (4, *expected.shape[1:]) and batch.image.dtype == torch.float32


def test_labels_come_beside_or_inside_and_say_how_many_classes():
    pairs = Items([(x, int(y)) for x, y in zip(BYTES, LABELS, strict=True)])
    for data in (wrap(BYTES, labels=LABELS), wrap(pairs), wrap((BYTES, torch.from_numpy(LABELS)))):
        assert data.spec.classes == 3 and data.kinds == ("image", "label")
        images = data.images("train")
        for row in range(len(images)):
            at = next(i for i, x in enumerate(BYTES) if (images.pixels[row, 0].numpy() == x).all())
            assert images.labels[row] == LABELS[at]
    assert wrap(BYTES, labels=LABELS, classes=10).spec.classes == 10
    assert wrap(BYTES).spec.classes == 0 and wrap(BYTES).kinds == ("image",)


def test_parts_that_are_given_stay_what_they_are():
    data = wrap(BYTES[:40], val=BYTES[40:45], test=(BYTES[45:], LABELS[45:]))
    assert [len(data.images(split)) for split in ("train", "val", "test")] == [40, 5, 15]
    assert data.images("test").labels.tolist() == LABELS[45:].tolist()
    assert wrap(BYTES[:40], test=BYTES[40:]).val_size == 4


def test_splits_never_depend_on_the_seed():
    one, two = wrap(BYTES, seed=0), wrap(BYTES, seed=1)
    assert one.fingerprint("test") == two.fingerprint("test")
    assert one.fingerprint("val") == two.fingerprint("val")


def test_points_are_kept_as_they_are():
    points = RANDOM.random((50, 2))
    data = wrap(points)
    assert data.spec.points and data.kinds == ("points",)
    kept = data.images("train").fetch(torch.arange(3))
    assert kept.dtype == torch.float32 and kept.shape == (3, 2, 1, 1)
    assert not wrap(np.zeros((9, 2, 1, 1), np.uint8)).spec.points


@pytest.mark.parametrize(
    ("given", "more", "says"),
    [
        (BYTES.astype(np.float32), {}, r"uint8, or numbers in \[0, 1\], got float32 from 0 to 255"),
        (BYTES.astype(np.int64), {}, "got int64"),
        (np.full((5, 4, 4), np.nan), {}, "got float64 from nan"),
        (np.zeros((5, 16), np.uint8), {}, r"shape \(N, H, W\), .*, got \(5, 16\)"),
        ("folder", {}, "got str"),
        (iter([1]), {}, "a data set with a length and items"),
        (Items(["a.png"] * 5), {}, "must be images, .* got str"),
        (Items([BYTES[0], BYTES[0, :2]]), {}, "several shapes"),
        (BYTES[:0], {}, "no train images"),
        (BYTES[:2], {}, "too few images"),
        (BYTES, {"labels": LABELS[:5]}, "one for each of 60 images, got 5"),
        (BYTES, {"labels": LABELS - 1}, "whole numbers from 0"),
        (BYTES, {"labels": ["a"] * 60}, "whole numbers"),
        (BYTES, {"labels": LABELS, "classes": 2}, "there is a label 2"),
        (BYTES, {"test": BYTES[:, :4]}, "bring them to one size"),
        (RANDOM.random((50, 2)), {"binarize": "dynamic"}, "cannot be binarised"),
    ],
)
def test_what_is_no_data_is_refused_in_a_sentence(given, more, says):
    with pytest.raises(UserError, match=says):
        wrap(given, **more)


def test_a_vae_learns_an_array_under_a_plain_trainer_and_is_judged(tmp_path):
    pixels = (RANDOM.random((300, 8, 8)) < np.linspace(0.05, 0.95, 8)).astype(np.float32)
    data = wrap(pixels, labels=np.arange(300) % 2, name="Stripes", batch_size=32)
    torch.manual_seed(0)
    model = MODELS["VAE"](data.spec, latent_dim=2, hidden=(32,), lr=1e-2)

    def judged():
        return {score.name: score.value for score in evaluate(Task(model, data, "test", 100))[0]}

    before = judged()
    trainer = L.Trainer(
        max_epochs=8, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=tmp_path,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, datamodule=data)
    after = judged()
    bound = next(name for name in after if name.startswith("elbo"))
    assert after[bound] > before[bound] + 3 and after[bound] < 0
    assert data.name == "Stripes" and "Stripes" in data.report()


def test_the_example_of_the_readme_runs_as_it_stands(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    _, _, section = readme.partition("## In your own script")
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    np.save(tmp_path / "my_images.npy", RANDOM.integers(256, size=(200, 8, 8), dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, names)
    assert names["images"].shape == (16, 1, 8, 8)
    assert any(score.name.startswith("elbo[dynamic") for score in names["scores"])
