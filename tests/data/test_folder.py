"""A user's own images."""

import os
import time

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageFolder, folder, listing

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def paint(path, colour=(10, 20, 30), size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, size, colour).save(path)


def noise(path, seed, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def flat(tmp_path):
    for row in range(40):
        noise(tmp_path / "images" / f"{row:02}.png", row)
    return tmp_path / "images"


def everything(data, split):
    images = data.images(split)
    return images.fetch(torch.arange(len(images))), images.labels


def test_it_is_registered():
    assert DATASETS["ImageFolder"] is ImageFolder


def test_a_flat_folder(flat):
    data = ImageFolder(str(flat), size=8)
    assert data.spec.shape == (3, 8, 8)
    assert data.spec.classes == 0
    counts = {split: len(data.images(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 33, "val": 3, "test": 4}
    pixels = torch.cat([everything(data, split)[0] for split in counts])
    assert len(pixels.flatten(1).unique(dim=0)) == 40  # every image once, none twice
    assert everything(data, "train")[1].eq(0).all()
    batch = next(iter(data.train_dataloader()))
    assert batch.image.dtype == torch.float32


def test_class_folders_are_numbered_in_alphabetical_order(tmp_path):
    for label, colour in (("zebra", 200), ("ant", 50), ("Bee", 100)):
        for row in range(6):
            paint(tmp_path / label / "deep" / f"{row}.png", colour)
    data = ImageFolder(str(tmp_path), size=4, val_size=3)
    assert data.listing.classes == ["Bee", "ant", "zebra"]
    assert data.spec.classes == 3
    assert data.spec.channels == 1
    for split in ("train", "val", "test"):
        pixels, labels = everything(data, split)
        for image, label in zip(pixels, labels.tolist(), strict=True):
            assert image.unique().tolist() == [[100, 50, 200][label]]


@pytest.mark.parametrize("classes", [True, False])
def test_train_and_test_folders_are_obeyed(tmp_path, classes):
    for part, colour in (("train", 10), ("test", 90)):
        for label in ("a", "b"):
            for row in range(5):
                where = tmp_path / part / label if classes else tmp_path / part
                paint(where / f"{label}{row}.png", colour + (label == "b"))
    data = ImageFolder(str(tmp_path), size=4, val_size=2, test_fraction=0.9)
    assert data.spec.classes == (2 if classes else 0)
    assert {s: len(data.images(s)) for s in ("train", "val", "test")} == {
        "train": 8, "val": 2, "test": 10
    }  # fmt: skip
    for split, base in (("train", 10), ("val", 10), ("test", 90)):
        pixels, labels = everything(data, split)
        expected = (pixels[:, 0, 0, 0] - base) if classes else torch.zeros(len(labels))
        assert labels.tolist() == expected.tolist()


def test_train_without_test_sets_some_aside(tmp_path):
    for row in range(10):
        paint(tmp_path / "train" / "a" / f"{row}.png")
    data = ImageFolder(str(tmp_path), size=4)
    assert [len(data.images(s)) for s in ("train", "val", "test")] == [8, 1, 1]


def test_the_test_part_is_fixed(flat):
    first = everything(ImageFolder(str(flat), size=8), "test")[0]
    again = everything(ImageFolder(str(flat), size=8, seed=3, batch_size=2, val_size=9), "test")[0]
    assert first.equal(again)
    assert len(everything(ImageFolder(str(flat), size=8, test_fraction=0.5), "test")[0]) == 20


@pytest.mark.parametrize("options", [{}, {"resize": 6, "pad": 9, "binarize": "dynamic"},
                                     {"binarize": "static", "channels": "grey"}])  # fmt: skip
@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_gives_what_memory_gives(flat, options, workers):
    if workers and not options.get("pad"):
        options = {**options, "resize": 5}
    common = {"path": str(flat), "size": 8, "batch_size": 5, **options}
    here, there = ImageFolder(**common), ImageFolder(**common, memory_mib=0, workers=workers)
    assert here.in_memory
    assert not there.in_memory
    assert here.spec == there.spec
    for split in ("train", "val", "test"):
        left, right = (
            list(data.loader(split, shuffle=split == "train")) for data in (here, there)
        )  # fmt: skip
        assert len(left) == len(right) > 0
        for a, b in zip(left, right, strict=True):
            assert a.image.shape[1:] == here.spec.shape
            assert a.image.equal(b.image)
            assert a.label.equal(b.label)
        assert here.fingerprint(split) == there.fingerprint(split)


def test_memory_is_used_up_to_the_limit(flat):
    assert 2 < 40 * 3 * 160 * 160 / 2**20 < 3  # MiB
    assert ImageFolder(str(flat), size=160, memory_mib=3).in_memory
    assert not ImageFolder(str(flat), size=160, memory_mib=2).in_memory


def test_channels(tmp_path):
    for row in range(4):
        paint(tmp_path / f"{row}.png", 10 * row)
    assert ImageFolder(str(tmp_path), size=4).spec.channels == 1
    assert ImageFolder(str(tmp_path), size=4, channels="colour").spec.channels == 3
    paint(tmp_path / "9.png", (10, 20, 30))
    assert ImageFolder(str(tmp_path), size=4).spec.channels == 3
    data = ImageFolder(str(tmp_path), size=4, channels="grey")
    assert data.spec.channels == 1
    assert data.images("train").fetch(torch.tensor([0])).shape == (1, 1, 4, 4)


def test_crop_and_squeeze(tmp_path):
    stripes = np.repeat(np.array([10, 20, 30, 40], np.uint8)[None], 2, axis=0)
    for row in range(3):
        Image.fromarray(stripes).save(tmp_path / f"{row}.png")
    centre = everything(ImageFolder(str(tmp_path), size=2), "train")[0]
    assert centre[0, 0].tolist() == [[20, 30], [20, 30]]
    squeezed = everything(ImageFolder(str(tmp_path), size=2, crop="none"), "train")[0]
    assert squeezed[0, 0, 0, 0] < 20
    assert squeezed[0, 0, 0, 1] > 30


def test_hidden_and_other_files_are_left_alone_and_links_followed(tmp_path):
    real = tmp_path / "elsewhere"
    for row in range(4):
        paint(real / f"{row}.PNG")
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a" / "link").symlink_to(real)
    (top / "a" / "back").symlink_to(top)  # a circle
    (top / "a" / "notes.txt").write_text("not an image")
    (top / "a" / ".hidden.png").write_bytes(b"x")
    (top / "__MACOSX").mkdir()
    (top / "__MACOSX" / "b.png").write_bytes(b"x")
    (top / ".cache").mkdir()
    (top / ".cache" / "c.png").write_bytes(b"x")
    data = ImageFolder(str(top), size=4)
    assert data.listing.classes == ["a"]
    assert len(data.listing.train) + len(data.listing.test) == 4


def test_pipes_are_no_images_and_hold_nothing_up(flat):
    os.mkfifo(flat / "pipe.png")
    (flat / "gone.png").symlink_to(flat / "nowhere.png")
    data = ImageFolder(str(flat), size=4, on_unreadable="skip")
    names = {file.name for file in (*data.listing.train, *data.listing.test)}
    assert "pipe.png" not in names and len(names) == 41
    assert "1 skipped: gone.png (no such file or directory)" in data.report()


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"\x1b[31m.png", b"two\nlines.png"])
def test_names_that_no_terminal_shows_are_told_in_escapes(flat, name):
    with open(os.path.join(os.fsencode(flat), name), "wb") as file:
        file.write(b"no image")
    said = ImageFolder(str(flat), size=4, on_unreadable="skip").report()
    assert said.isprintable() and said.encode("utf-8") and "\\" in said


def test_a_relative_path_is_found_here_or_in_the_root(flat, monkeypatch, tmp_path):
    assert ImageFolder("images", root=str(tmp_path), size=4).decoder.folder == flat
    monkeypatch.chdir(tmp_path)
    assert ImageFolder("images", root="/nowhere", size=4).decoder.folder == flat
    with pytest.raises(UserError) as caught:
        ImageFolder("imags", root="/nowhere")
    assert str(caught.value) == (
        f"there is no folder {tmp_path / 'imags'}, nor /nowhere/imags; see --data.path."
    )


# ---------------------------------------------------------------- what can be wrong


def refusal(*args, **kwargs):
    with pytest.raises(UserError) as caught:
        ImageFolder(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_folders_that_are_none(tmp_path):
    assert (
        refusal(str(tmp_path / "no")) == f"there is no folder {tmp_path / 'no'}; see --data.path."
    )
    (tmp_path / "images.zip").write_bytes(b"PK")
    said = refusal(str(tmp_path / "images.zip"))
    assert said == f"{tmp_path / 'images.zip'} is a file; --data.path must be a folder of images."


def test_folders_without_images(tmp_path):
    assert refusal(str(tmp_path)).startswith(
        f"there are no images in {tmp_path}, no files. Images "
    )
    (tmp_path / "a.txt").write_text("a")
    assert "only 1 other files, such as a.txt" in refusal(str(tmp_path))


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images(tmp_path, count):
    for row in range(count):
        paint(tmp_path / f"{row}.png")
    assert refusal(str(tmp_path)) == (
        f"{tmp_path} has too few images ({count}): training, validation and testing need at least "
        "one each."
    )
    for row in range(3):
        paint(tmp_path / f"{row}.png")
    data = ImageFolder(str(tmp_path), size=4)
    assert [len(data.images(split)) for split in ("train", "val", "test")] == [1, 1, 1]


def test_unclear_layouts(tmp_path):
    for row in range(3):
        paint(tmp_path / "a" / f"{row}.png")
    paint(tmp_path / "stray.png")
    assert (
        "has images of its own, such as stray.png, and others in subfolders, such as a/0.png"
        in (refusal(str(tmp_path)))
    )
    (tmp_path / "stray.png").unlink()
    paint(tmp_path / "test" / "b" / "0.png")
    assert "has the subfolders a, test: where there is train/ or test/" in refusal(str(tmp_path))
    (tmp_path / "a").rename(tmp_path / "train")
    assert "test has the classes b, which train/ does not have" in refusal(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 0}, "--data.size must be at least 1, got 0."),
        ({"test_fraction": 0.0}, "--data.test_fraction must lie between 0 and 1, got 0.0."),
        ({"test_fraction": 1.0}, "--data.test_fraction must lie between 0 and 1, got 1.0."),
        ({"memory_mib": -1}, "--data.memory_mib must not be negative, got -1."),
        ({"crop": "center"}, "unknown --data.crop 'center'. Did you mean centre?"),
        ({"channels": "color"}, "unknown --data.channels 'color'. Did you mean colour?"),
        ({"on_unreadable": "skp"}, "unknown --data.on_unreadable 'skp'. Did you mean skip?"),
        ({"batch_size": 0}, "--data.batch_size must be at least 1, got 0."),
    ],
)
def test_arguments_that_make_no_sense(flat, options, said):
    assert refusal(str(flat), **options).startswith(said)


@pytest.fixture
def broken(flat):
    """Five unreadable files: in one, the damage lies behind the header."""
    for row in (3, 9, 20, 31):
        (flat / f"{row:02}.png").write_bytes(b"no image")
    whole = (flat / "12.png").read_bytes()
    (flat / "12.png").write_bytes(whole[: len(whole) // 2])
    return flat


@pytest.mark.parametrize("memory_mib", [0, 100])
def test_unreadable_files_are_refused_by_name(broken, memory_mib):
    data = ImageFolder(str(broken), size=8, memory_mib=memory_mib)
    with pytest.raises(UserError) as caught:
        data.report()
    said = str(caught.value)
    # of the training part, which is read first; behind 12.png's header, decoding only can look
    assert f" of the images in {broken} cannot be read: 03.png (not an image" in said
    assert "--data.on_unreadable skip" in said
    in_train = {file.name for file in data.listing.train}
    bad = {"03.png", "09.png", "20.png", "31.png"} | ({"12.png"} if memory_mib else set())
    count = len(bad & in_train)
    assert said.startswith(f"{count} of")
    assert said.count(".png (") == min(count, 3)
    assert (f" and {count - 3} more" in said) == (count > 3)


@pytest.mark.parametrize("memory_mib", [0, 100])
def test_unreadable_files_are_skipped_and_reported(broken, memory_mib):
    data = ImageFolder(str(broken), size=8, memory_mib=memory_mib, on_unreadable="skip")
    said = data.report()
    sizes = [len(data.images(split)) for split in ("train", "val", "test")]
    assert sum(sizes) == 35
    assert "; 5 skipped: 03.png (not an image of a known kind), 09.png (" in said
    assert said.endswith(" and 2 more")
    for split in ("train", "val", "test"):
        assert all(len(batch.image) for batch in data.loader(split))
    # the others stay in their parts
    for row in (3, 9, 12, 20, 31):
        noise(broken / f"{row:02}.png", row)
    assert ImageFolder(str(broken), size=8).listing.test == data.listing.test


def test_damage_behind_the_header_of_a_streamed_file_stops_the_run_by_name(flat):
    whole = (flat / "12.png").read_bytes()
    (flat / "12.png").write_bytes(whole[: len(whole) // 2])
    for workers in (0, 1):
        data = ImageFolder(str(flat), size=8, memory_mib=0, workers=workers, val_size=1)
        with pytest.raises(UserError, match=r"^1 of the images in .* cannot be read: 12.png \("):
            for split in ("train", "val", "test"):
                list(data.loader(split))


def test_nothing_readable(tmp_path):
    for row in range(5):
        (tmp_path / f"{row}.png").write_bytes(b"no image")
    assert "5 of the images" in refusal(str(tmp_path), on_unreadable="skip")
    data = ImageFolder(str(tmp_path), channels="grey", on_unreadable="skip")
    with pytest.raises(UserError, match="none of the 4 train images can be read"):
        data.images("train")


def test_decompression_bombs_are_refused(flat, monkeypatch):
    monkeypatch.setattr("zoo.data.decode.MAX_PIXELS", 10_000)
    Image.new("RGB", (101, 100)).save(flat / "05.png")
    with pytest.raises(UserError, match=r"05.png \(more than 0 megapixels\)"):
        ImageFolder(str(flat), size=8).report()


def test_the_report_names_sizes_modes_and_range(tmp_path):
    for row in range(20):
        paint(tmp_path / f"{row}.png", 255 if row % 2 else (0, 0, 0), size=(10 + row, 30))
    assert ImageFolder(str(tmp_path), size=8).report() == (
        "ImageFolder: 17 training and 1 validation images, 8x8, colour, no classes, "
        "values 0.00 to 1.00; batches of 17, which is all, not of 128; 2 test images; "
        "from files of 10x30 to 29x30 pixels (width x height) in RGB (10), L (10)"
    )


@pytest.mark.parametrize(
    ("asked", "used"), [(None, 3), (0, 0), (18, 18), (19, 3), (36, 3), (1000, 3)]
)
def test_more_than_half_of_few_images_never_validate(flat, asked, used):
    data = ImageFolder(str(flat), size=4, val_size=asked, batch_size=4)
    assert (len(data.images("val")), len(data.images("train"))) == (used, 36 - used)
    assert ("a tenth validate" in data.report()) == (asked is not None and asked != used)


def test_a_folder_that_cannot_be_listed_is_named(flat, monkeypatch):
    def walk(top, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", "/secret"))
        return iter(())

    monkeypatch.setattr(listing.os, "walk", walk)
    assert refusal(str(flat)) == "/secret cannot be read: Permission denied."


def test_two_hundred_images_take_less_than_a_second(tmp_path):
    for row in range(200):
        noise(tmp_path / f"{row}.jpg", row, size=(64, 48))
    start = time.process_time()  # however busy the machine is
    ImageFolder(str(tmp_path), size=32).report()
    assert time.process_time() - start < 1


def test_a_stop_in_the_middle_does_not_decode_the_rest():
    done = []

    def work(row):
        done.append(row)
        if row == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder._for_each(work, 100_000, "reading")
    assert len(done) < 100_000
