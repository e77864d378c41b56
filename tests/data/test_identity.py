"""Which changes of a person's own files a run notices, and that asking is cheap."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from zoo.core.errors import UserError
from zoo.data import CaptionedFolder, Digits, ImageFolder
from zoo.data.identity import check_classes, check_identity, identity_of


def pictures(folder, count=12, classes=("cat", "dog")):
    for row in range(count):
        path = folder / classes[row % len(classes)] / f"{row:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(row).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(values).save(path)
    return folder


def swap(folder):
    (folder / "cat").rename(folder / "zebra")


def replace_one(folder):
    path = folder / "cat" / "04.png"
    size = path.stat().st_size
    path.write_bytes(bytes(size))


def touch(folder):
    os.utime(folder / "cat" / "04.png", (1, 1))


CHANGES = {
    "a class folder renamed": (swap, "class folders zebra where the run learnt cat, so that"),
    "a picture less": (lambda f: (f / "cat" / "04.png").unlink(), "11 images where there were 12"),
    "a picture renamed": (
        lambda f: (f / "cat" / "04.png").rename(f / "cat" / "05.png"), "images of other names",
    ),
    "other contents of one size": (replace_one, "other images under the same names"),
    "another size": (
        lambda f: (f / "dog" / "01.png").write_bytes(b"no image"), "other images under the same",
    ),
    "another time of writing": (touch, None),
    "a note beside them": (lambda f: (f / "cat" / "notes.txt").write_text("hello"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_noticed(tmp_path, name):
    change, said = CHANGES[name]
    folder = pictures(tmp_path / "pics")
    before = ImageFolder(str(folder), size=8).identity()
    change(folder)
    now = ImageFolder(str(folder), size=8).identity()
    if said is None:
        check_identity(before, now, "the run")
        return
    with pytest.raises(UserError) as caught:
        check_identity(before, now, "the run")
    assert said in str(caught.value) and "--data.path" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_moved_data_are_the_same(tmp_path):
    before = ImageFolder(str(pictures(tmp_path / "here")), size=8).identity()
    now = ImageFolder(str(pictures(tmp_path / "there")), size=4, batch_size=3).identity()
    assert before["path"] != now["path"]
    check_identity(before, now, "the run")


def test_classes_are_compared_where_both_have_some():
    check_classes(["a", "b"], {"classes": ["a", "b"]}, "it")
    check_classes([], {"classes": ["a"]}, "it")
    check_classes(["a"], {}, "it")
    with pytest.raises(UserError, match="the class folders c where it learnt a, so that labels"):
        check_classes(["a", "b"], {"path": "x", "classes": ["b", "c"]}, "it")


def test_old_records_and_known_sets_are_never_refused():
    assert Digits().identity() == {}
    check_identity(None, {"files": 3}, "the run")
    check_identity({"files": 3}, {}, "the run")


def test_captions_belong_to_the_images(tmp_path):
    for kind, suffix in (("images", "png"), ("text_c10", "txt")):
        (tmp_path / kind / "a").mkdir(parents=True)
        for row in range(12):
            path = tmp_path / kind / "a" / f"{row:02}.{suffix}"
            if kind == "images":
                Image.new("RGB", (8, 8), (row, 0, 0)).save(path)
            else:
                path.write_text("a red bird\n" * 5)
    make = lambda: CaptionedFolder(str(tmp_path), size=8, frequent=1).identity()  # noqa: E731
    before = make()
    check_identity(before, make(), "the run")
    (tmp_path / "text_c10" / "a" / "03.txt").write_text("a blue bird\n" * 5)
    with pytest.raises(UserError, match="other images under the same names"):
        check_identity(before, make(), "the run")


def test_a_large_folder_is_known_without_reading_it(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("zoo.data.identity._beginning", lambda path: opened.append(path) or b"")
    start = time.process_time()
    found = identity_of(tmp_path, [f"{row}.png" for row in range(50_000)])
    assert len(opened) == len(set(opened)) == 256
    assert found["files"] == 50_000 and time.process_time() - start < 5
