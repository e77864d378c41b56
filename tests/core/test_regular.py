"""Whatever reads a file of somebody else's refuses a pipe or a device, which would keep it."""

import os
import signal
from pathlib import Path

import pytest

from zoo.core.errors import UserError
from zoo.core.files import open_text, read_json, sha256
from zoo.data import DATASETS
from zoo.data.captioned import _text
from zoo.data.download import read_gzip
from zoo.data.identity import _beginning
from zoo.data.vision import read_idx
from zoo.gallery import _update
from zoo.judge.inception import _weights
from zoo.recipe.reading import read_recipe
from zoo.shelf.run_weights import read_checkpoint
from zoo.show.curves import read_curves
from zoo.show.gallery import written_contents
from zoo.show.pictures import open_picture
from zoo.training.loggers import _read_rows

REFUSED = (OSError, UserError)
# What reads a file, and what comes out where it is no regular one.
READERS = {
    "a picture": (open_picture, UserError), "a wall": (written_contents, ""),
    "metrics": (_read_rows, UserError), "curves": (read_curves, {}),
    "the beginning of an image": (_beginning, b"0\n"),
    "Inception": (lambda path: _weights(path, ""), UserError),
    "an archive": (read_gzip, UserError), "idx": (read_idx, REFUSED),
    "captions": (_text, REFUSED), "a recipe": (read_recipe, UserError),
    "a checkpoint": (read_checkpoint, UserError), "a record": (read_json, REFUSED),
    "a hash": (sha256, REFUSED), "text": (open_text, REFUSED),
    "a document": (lambda path: _update([path], path, []), UserError),
}  # fmt: skip


def fifo(place):
    os.mkfifo(place / "x")
    return place / "x"


def link(target):
    def made(place):
        (place / "x").symlink_to(target)
        return place / "x"

    return made


def linked_fifo(place):
    os.mkfifo(place / "pipe")
    return link("pipe")(place)


KINDS = {
    "pipe": fifo, "link to a pipe": linked_fifo, "link to a device": link("/dev/zero"),
    "link to itself": link("x"), "folder": lambda place: place,
}  # fmt: skip


@pytest.fixture
def hurried():
    """Ends a test that waits for a pipe, or reads a device to its end."""

    def ring(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_no_pipe_and_no_device_keeps_a_reader(reader, kind, tmp_path, hurried):
    read, outcome = READERS[reader]
    path = KINDS[kind](tmp_path)
    if isinstance(outcome, (type, tuple)):
        with pytest.raises(outcome):
            read(path)
    else:
        assert read(path) == outcome


def test_dsprites_is_read_from_a_regular_file(tmp_path, hurried):
    data = DATASETS["DSprites"](root=str(tmp_path))
    os.mkfifo(tmp_path / data.file)
    data._places = lambda: (Path(tmp_path / data.file),)
    with pytest.raises(UserError, match="is not a readable copy"):
        data._pixels()
