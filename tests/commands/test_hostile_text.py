"""Hostile words on every command's line come back clean, on either stream."""

import importlib
import unicodedata
from pathlib import Path

import pytest

from zoo.shelf.find import shelf_folder

HOSTILE = {
    "escape": "a\x1b[2J\x1b[31mb",
    "one byte that begins an escape": "a\x9b31mb",
    "second message": "a\nzoo: all is well",
    "line separator": "a\u2028zoo: all is well",
    "cleared line": "a\rzoo: all is well",
    "turned round": "a\u202egnp.b",
    "not UTF-8": "a\udcffb",
    "3 MB": "a" * 3_000_000,
}
# Lines of every command: TEXT stands for the hostile text.
LINES = {
    "no command": ("", "TEXT"),
    "fit, recipe": ("fit", "TEXT"),
    "fit, option": ("fit", "vae_digits", "--TEXT", "1"),
    "fit, value": ("fit", "vae_digits", "--model.latent_dim", "TEXT"),
    "fit, text": ("fit", "vae_digits", "--model.network", "TEXT"),
    "fit, class": ("fit", "vae_digits", "--model", "TEXT"),
    "fit, data": ("fit", "vae_digits", "--data", "TEXT"),
    "fit, name": ("fit", "vae_digits", "--name", "TEXT", "--trainer.fast_dev_run", "x"),
    "fit, beginning": ("fit", "vae_digits", "--from", "TEXT"),
    "fit, continued": ("fit", "vae_digits", "--ckpt_path", "TEXT"),
    "fit, callback": ("fit", "vae_digits", "--trainer.callbacks", "TEXT"),
    "sample, name": ("sample", "TEXT"),
    "sample, out": ("sample", "vae_digits", "--n", "1", "--out", "TEXT.png"),
    "sample, no picture": ("sample", "vae_digits", "--out", "TEXT"),
    "sample, seed": ("sample", "vae_digits", "--seed", "TEXT"),
    "sample, picture": ("sample", "vae_digits", "--reconstruct", "TEXT"),
    "sample, part": ("sample", "vae_digits", "--traverse", "TEXT"),
    "list": ("list", "TEXT"),
    "evaluate, name": ("evaluate", "TEXT"),
    "evaluate, data": ("evaluate", "vae_digits", "--data", "TEXT"),
    "evaluate, features": ("evaluate", "vae_digits", "--features", "TEXT"),
    "evaluate, protocol": ("evaluate", "vae_digits", "--protocol", "TEXT"),
    "diagnose": ("diagnose", "TEXT"),
    "compare, name": ("compare", "vae_digits", "TEXT"),
    "compare, out": ("compare", "vae_digits", "infogan_digits", "--out", "TEXT"),
    "compare, table": ("compare", "--table", "TEXT"),
    "tour": ("tour", "--only", "TEXT"),
    "probe": ("probe", "TEXT"),
    "probe, model": ("probe", "numerosity", "--model", "TEXT"),
    "faults": ("faults", "--data", "TEXT"),
    "faults, table": ("faults", "--table", "TEXT"),
    "verify": ("verify", "TEXT"),
    "gallery": ("gallery", "--readme", "TEXT"),
    "publish, run": ("publish", "TEXT"),
    "publish, name": ("publish", "vae_digits", "--name", "TEXT"),
    "publish, hub": ("publish", "vae_digits", "--hub", "TEXT"),
    "plug-in": ("list", "--plugin", "TEXT"),
}


@pytest.mark.parametrize("line", LINES)
def test_hostile_words_come_back_clean(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    verb, *words = LINES[line]
    main = importlib.import_module(f"zoo.{verb}" if verb else "zoo.__main__").main
    for case, text in HOSTILE.items():
        try:
            code = main([word.replace("TEXT", text) for word in words])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        assert code in (0, 2), case
        for stream in said:
            odd = {unicodedata.category(letter) for letter in stream.replace("\n", "")}
            assert not odd & {"Cc", "Cf", "Cs", "Zl", "Zp"}, (case, stream[:300])
            assert "zoo: all is well" not in stream.splitlines(), case
            assert len(stream) < 6000, case
        assert said.err.count("\n") == (code == 2), (case, said.err[:300])


def test_a_shelf_with_odd_letters_in_its_path_is_told_clean(tmp_path, monkeypatch, capsys):
    odd = tmp_path / "a\x1b[31m\nzoo: all is well"
    odd.mkdir()
    monkeypatch.setenv("ZOO_SHELF", str(odd))
    main = importlib.import_module("zoo.sample").main
    assert main(["vae_digits"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and said.count("\n") == 1
    assert Path(shelf_folder()) == odd
