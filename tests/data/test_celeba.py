"""CelebA from a few synthetic faces in its own layout."""

import hashlib
import threading
import time
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from zoo.core import waiting
from zoo.core.errors import UserError
from zoo.data import CelebA, download

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

PARTS = [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]


@pytest.fixture
def root(tmp_path):
    """Ten faces of 178x218: black, but for the middle 148x148 in a grey of their own."""
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    lines = []
    for row, part in enumerate(PARTS):
        face = np.zeros((218, 178, 3), np.uint8)
        face[35:183, 15:163] = 20 + 20 * row
        name = f"{row + 1:06d}.jpg"
        Image.fromarray(face).save(folder / name, quality=100)
        lines.append(f"{name} {part}\n")
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("".join(lines))
    return tmp_path


def test_the_partition_file_decides_and_the_face_is_cut_out(root, no_network):
    data = CelebA(root=str(root), batch_size=2)
    data.prepare_data()
    assert data.spec.shape == (3, 64, 64)
    assert data.spec.classes == 0
    for split, rows in (("train", range(5)), ("val", (5, 6)), ("test", (7, 8, 9))):
        images = data.images(split)
        assert len(images) == len(rows)
        assert images.labels.tolist() == [0] * len(rows)
        pixels = images.fetch(torch.arange(len(images)))
        assert pixels.shape == (len(rows), 3, 64, 64)
        for image, row in zip(pixels, rows, strict=True):
            inside = image[:, 2:-2, 2:-2].int()
            assert (inside - (20 + 20 * row)).abs().max() <= 3  # JPEG is not exact
            assert image[:, :, 0].float().mean() > 0.8 * (20 + 20 * row)  # no black rim


def test_another_size_is_cut_from_the_file_not_from_64_pixels(tmp_path, root):
    fine = np.zeros((218, 178, 3), np.uint8)
    fine[:, ::2] = 255  # stripes of one pixel, which 64 pixels cannot hold
    path = root / "celeba/img_align_celeba/000008.jpg"
    Image.fromarray(fine).save(path, "png")
    data = CelebA(root=str(root), resize=148)
    assert data.spec.shape == (3, 148, 148)
    image = data.images("test").fetch(torch.tensor([0]))
    assert image.unique().tolist() == [0, 255]
    padded = CelebA(root=str(root), resize=32, pad=40).images("test").fetch(torch.arange(3))
    assert padded.shape == (3, 3, 40, 40)
    assert padded[..., :4].max() == 0


def test_workers_stream_the_same_batches(root):
    options = {"root": str(root), "batch_size": 2, "resize": 16, "binarize": "dynamic"}
    alone = list(CelebA(**options).train_dataloader())
    helped = list(CelebA(**options, workers=2).train_dataloader())
    assert len(alone) == len(helped) == 2
    assert all(a.image.equal(b.image) for a, b in zip(alone, helped, strict=True))


def test_a_shorter_validation_part(root):
    assert len(CelebA(root=str(root), val_size=1).images("val")) == 1
    with pytest.raises(UserError, match="val_size 3 is more than the 2 validation images"):
        CelebA(root=str(root), val_size=3).images("val")


def test_the_archive_is_unpacked_if_it_is_there(root, monkeypatch, no_network):
    folder = root / "celeba" / "img_align_celeba"
    archive = root / "celeba" / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"img_align_celeba/{path.name}")
            path.unlink()
    folder.rmdir()
    data = CelebA(root=str(root))
    with pytest.raises(UserError, match=r"img_align_celeba.zip is damaged: its checksum"):
        data.prepare_data()
    checksum = hashlib.md5(archive.read_bytes()).hexdigest()
    table = [(key, checksum if name.endswith("zip") else md5, name)
             for key, md5, name in datasets.CelebA.file_list]  # fmt: skip
    monkeypatch.setattr(datasets.CelebA, "file_list", table)
    data.prepare_data()
    assert len(data.images("train")) == 5
    assert len(list(folder.iterdir())) == 10


def test_what_is_wrong_is_named(root, no_network):
    folder, partition = (
        root / "celeba" / n for n in ("img_align_celeba", "list_eval_partition.txt")
    )
    (folder / "000002.jpg").write_bytes(b"\xff\xd8 broken")
    images = CelebA(root=str(root)).images("train")
    with pytest.raises(UserError, match=r"000002.jpg is damaged: .* unpack img_align_celeba.zip"):
        images.fetch(torch.tensor([1]))
    Image.new("RGB", (100, 100)).save(folder / "000002.jpg")
    with pytest.raises(UserError, match="100x100 pixels are fewer than the 148x148"):
        images.fetch(torch.tensor([1]))
    (folder / "000002.jpg").unlink()
    with pytest.raises(UserError, match=r"lacks 1 of 5 train images, such as 000002.jpg"):
        CelebA(root=str(root)).images("train")
    for text, why in (("000001.jpg\n", "not a file name and 0, 1 or 2"), ("", "not a file name"),
                      ("000001.jpg 0\n", "lists no test images")):  # fmt: skip
        partition.write_text(text)
        with pytest.raises(UserError, match=rf"list_eval_partition.txt is damaged: .*{why}"):
            CelebA(root=str(root)).images("test")


def test_a_drive_that_sends_a_byte_at_a_time_is_given_up(tmp_path, monkeypatch):
    """Whoever downloads from there sets no limit of its own."""
    ended = threading.Event()

    def trickle(_, folder, name, __):
        while not ended.wait(0.05):
            with open(folder / name, "ab") as file:
                file.write(b"x")

    monkeypatch.setattr(download.utils, "download_file_from_google_drive", trickle)
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: nullcontext())
    monkeypatch.setattr(waiting, "PATIENCE", 0.5)
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"bytes came in \d+ seconds"):
        download.from_drive("id", download.RemoteFile("x", (), "0"), tmp_path / "here", UserError)
    ended.set()
    assert time.monotonic() - begun < 10 and not list((tmp_path / "here").glob("*"))
