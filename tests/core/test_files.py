"""Files are whole or not there."""

import errno
import json
import os
import stat

import pytest
import torch

from zoo.core import files
from zoo.core.errors import UserError
from zoo.core.files import json_text, read_regular, replacing, sha256, write_json, write_text
from zoo.shelf.run_folder import RunFolder


def test_text_is_written_in_new_folders_with_ordinary_permissions(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "grüß\n")
    assert path.read_text(encoding="utf-8") == "grüß\n"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_json_comes_back_and_knows_no_nan(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": [1, 0.1, None]})
    assert json.loads(path.read_text()) == {"a": [1, 0.1, None]}
    assert path.read_text() == json_text({"a": [1, 0.1, None]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": [1, 0.1, None]}


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, call, no_space)
    with pytest.raises(UserError, match=r"x\.txt: No space left on device\. Nothing was changed"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_torch_hides_what_the_disk_said_and_we_find_it(tmp_path):
    """On a full disk torch.save raises a RuntimeError about its archive's position."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.ckpt"
    write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(UserError, match="File too large"):
            with replacing(path) as temporary, temporary.open("wb") as file:
                torch.save({"x": torch.zeros(50_000)}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_defect_in_the_writing_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(RuntimeError, match="a defect"), replacing(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise RuntimeError("a defect")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_name_or_a_file_for_a_folder_is_a_wrong_request(tmp_path):
    (tmp_path / "folder").mkdir()
    write_text(tmp_path / "file", "")
    for path in (tmp_path / "folder", tmp_path / "file" / "x"):
        with pytest.raises(UserError, match="cannot write"):
            write_text(path, "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


# ------------------------------------------------------------------------- only files are read


def make_pipe(path):
    os.mkfifo(path)


def make_folder(path):
    path.mkdir()


def make_link_to(target):
    return lambda path: path.symlink_to(target)


NO_FILES = {
    "pipe": make_pipe,
    "folder": make_folder,
    "endless device": make_link_to("/dev/zero"),
    "empty device": make_link_to("/dev/null"),
    "link to nothing": make_link_to("nothing"),
    "link to itself": make_link_to("x"),
    "nothing": lambda path: None,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_an_error_at_once(case, tmp_path):
    path = tmp_path / "x"
    NO_FILES[case](path)
    for read in (lambda: read_regular(path, 10), lambda: sha256(path)):
        with pytest.raises(OSError, match="x"):
            read()


def test_a_file_is_read_up_to_its_limit_and_a_byte_more(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert read_regular(tmp_path / name, 10) == b"0123456789"
        assert read_regular(tmp_path / name, 2**40) == b"0123456789"
        assert read_regular(tmp_path / name, 3) == b"0123"
    with pytest.raises(OSError, match="Invalid"):
        read_regular(tmp_path / "a\0b", 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_record_is_a_regular_file_of_json(tmp_path, monkeypatch):
    good, pipe = tmp_path / "good.json", tmp_path / "pipe.json"
    good.write_text('{"a": [1, "é"]}', encoding="utf-8")
    os.mkfifo(pipe)
    assert files.read_json(good) == {"a": [1, "é"]}
    with pytest.raises(OSError):
        files.read_json(pipe)  # and does not wait for somebody to write
    assert RunFolder(tmp_path).learnt_from() == {}
    pipe.rename(tmp_path / "environment.json")
    assert RunFolder(tmp_path).learnt_from() == {}
    monkeypatch.setattr(files, "LARGEST_RECORD", 5)
    with pytest.raises(ValueError, match="larger than any record"):
        files.read_json(good)
