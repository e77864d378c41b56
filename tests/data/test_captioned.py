"""Birds and flowers in their public layout, in small."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.data.captioned import CaptionedFolder
from zoo.data.captions import text_of


@pytest.fixture
def birds(tmp_path):
    """Three classes of four birds; each image has its class as its grey level."""
    for kind in range(3):
        pictures = tmp_path / "CUB_200_2011" / "images" / f"00{kind}.Bird"
        texts = tmp_path / "cvpr2016_cub" / "text_c10" / f"00{kind}.Bird"
        pictures.mkdir(parents=True)
        texts.mkdir(parents=True)
        for number in range(4):
            pixels = np.full((20, 30, 3), 80 * kind + number, dtype=np.uint8)
            Image.fromarray(pixels).save(pictures / f"bird_{kind}_{number}.png")
            lines = [f"this bird number {'one two three'.split()[kind]} is grey.", "", "A Bird!"]
            (texts / f"bird_{kind}_{number}.txt").write_text("\n".join(lines))
    (tmp_path / "cvpr2016_cub" / "text_c10" / "orphan.txt").write_text("no image\n")
    return tmp_path


def make(path, **more):
    return CaptionedFolder(path=str(path), size=16, frequent=2, val_size=2, **more)


def test_captions_go_with_their_images(birds):
    data = make(birds, batch_size=5)
    assert DATASETS["CaptionedFolder"] is CaptionedFolder
    assert {"this", "bird", "number", "one", "two", "three", "is", "grey", "a"} == set(
        data.spec.words
    )
    assert data.spec.shape == (3, 16, 16)
    train, test = data.images("train"), data.images("test")
    assert (len(train), len(data.images("val")), len(test)) == (9, 2, 1)
    for index in range(len(train)):
        kind = int(train.fetch(torch.tensor([index])).float().mean()) // 80
        texts = [text_of(row, data.spec.words) for row in train.notes.captions[index]]
        assert texts == [f"this bird number {'one two three'.split()[kind]} is grey", "a bird"]
    batch = next(iter(data.loader("train", shuffle=True)))
    assert batch.caption.shape == (5, 24) and batch.attributes is None


def test_classes_for_the_test_are_kept_out_of_training(birds):
    (birds / "cvpr2016_cub" / "testclasses.txt").write_text("001.Bird\n")
    data = make(birds)
    assert (len(data.images("train")), len(data.images("test"))) == (6, 4)
    assert "two" not in data.spec.words
    assert (data.images("test").fetch(torch.arange(4)) // 80 == 1).all()


def test_missing_folders_are_named(tmp_path, birds):
    with pytest.raises(UserError, match=r"no folder text_c10.*CaptionedShapes"):
        make(tmp_path / "nowhere")
    (tmp_path / "flowers" / "text_c10").mkdir(parents=True)
    with pytest.raises(UserError, match="folder of images"):
        make(tmp_path / "flowers")
    with pytest.raises(UserError, match="no word comes 99 times"):
        CaptionedFolder(path=str(birds), frequent=99)


def test_images_of_one_name_in_several_classes_keep_their_own_captions(birds):
    for file in birds.rglob("bird_*"):
        file.rename(file.with_name(file.name.replace(f"bird_{file.parent.name[2]}", "bird")))
    test_captions_go_with_their_images(birds)
    stray = birds / "cvpr2016_cub" / "text_c10" / "bird_3.txt"
    stray.write_text("whose bird is this")
    with pytest.raises(
        UserError, match=r"bird_3\.txt may belong to .*000\.Bird.* or to .*001\.Bird"
    ):
        make(birds)


@pytest.mark.parametrize(("kinds", "which"), [("002.birds", "none"), ("0 1 2", "all")])
def test_a_split_without_one_of_its_parts_is_refused(birds, kinds, which):
    names = " ".join(f"00{k}.Bird" for k in kinds.split()) if which == "all" else kinds
    (birds / "cvpr2016_cub" / "testclasses.txt").write_bytes(names.encode() + b" \xff")
    with pytest.raises(UserError, match=rf"testclasses\.txt names {which} of the folders"):
        make(birds)


def test_a_few_images_are_enough_and_captions_of_rare_words_are_left_out(birds):
    texts = sorted(birds.rglob("bird_*.txt"))
    for text in texts[4:]:
        text.unlink()
    texts[0].write_text("unheard words alone\nthis bird\n")
    data = make(birds)
    assert (len(data.images("train")), len(data.images("val")), len(data.images("test"))) == (
        2,
        1,  # two are asked for, which is more than half
        1,
    )
    captions = torch.cat([data.images(part).notes.captions for part in ("train", "val")])
    assert (captions.sum(dim=2) > 0).all()
