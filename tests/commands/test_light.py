"""Help, lists and refusals of wrong names do not wait for torch: nothing heavy is imported."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo import list as listing
from zoo.__main__ import VERBS
from zoo.data import DATASETS
from zoo.recipe import reading

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import importlib, sys
for line in sys.stdin.read().splitlines():
    verb, wanted, *words = line.split("\\t")
    before = set(sys.modules)
    try:
        code = importlib.import_module(f"zoo.{verb}").main(words)
    except SystemExit as end:
        code = end.code or 0
    heavy = {"torch", "lightning", "torchmetrics", "torchvision", "sklearn", "scipy", "matplotlib"}
    new = sorted(heavy & set(sys.modules) - before)
    assert str(code) == wanted, (line, code)
    assert not new, (line, new)
"""
REFUSED = {
    "fit": (["infogan_digitz"], ["infogan_digits", "--model.widht", "3"], ["--trainer.x", "1"],
            ["infogan_digits", "--trainer.max_epoch", "3"], ["vae_digits", "--model", "VAF"]),
    "sample": (["infogan_digitz"], [], ["infogan_digits", "--sed", "1"], ["../x"]),
    "list": (["--markdwn"],),
    "evaluate": (["infogan_digitz"], ["infogan_digits", "--data", "MNISD"],
                 ["x", "--protcol", "y"]),
    "diagnose": (["infogan_digitz"], ["infogan_digits", "--out", "x.txt"]),
    "compare": (["infogan_digitz", "vae_digits"], ["vae_digits", "--features", "features_digitz"]),
    "tour": (["--epoch", "1"],),
    "probe": (["numerositi"], [], ["numerosity", "--model", "vaf"], ["size", "--seeds", "0"],
              ["numerosity", "--model", "vae_digits"]),
    "faults": (["--data", "MNISD"], ["--protocol", "slow"]),
    "verify": (["infogan_digitz"], []),
    "gallery": (["--output", "x"],),
    "publish": ([], ["--hub"]),
}  # fmt: skip


def without_torch(lines):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input="\n".join(lines), env=environment, cwd=ROOT,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def helps():
    return without_torch([f"{verb}\t0\t--help" for verb in VERBS])


def test_help_needs_no_torch(helps):
    assert helps.stdout.count("usage:") == len(VERBS)


def test_a_recipes_help_needs_no_torch():
    said = without_torch(["fit\t0\tstackgan_shapes\t--help"]).stdout
    assert "--model.text_features" in said and "--data.batch_size" in said


def test_lists_need_no_torch():
    said = without_torch(["list\t0", "list\t0\t--markdown"]).stdout
    assert "gmvae_mnist" in said and "scikit-learn" in said and "traverse" in said


def test_refusals_need_no_torch():
    assert REFUSED.keys() == VERBS.keys()
    lines = ["\t".join([verb, "2", *words]) for verb, all in REFUSED.items() for words in all]
    said = without_torch(lines).stderr
    assert said.count("\n") == len(lines), said


def test_the_package_shows_what_there_is():
    shown = dir(zoo)
    assert {"available", "data", "datasets", "load", "models"} <= set(shown)
    assert not [name for name in shown if not hasattr(zoo, name)]
    assert zoo.datasets.MNIST is DATASETS["MNIST"] and "VAE" in dir(zoo.models)
    data = zoo.data(np.zeros((30, 8, 8), dtype=np.uint8))
    assert data.spec.shape == (1, 8, 8) and len(data.images("test")) == 3


def test_names_need_no_torch():
    code = "import sys, zoo, zoo.models, zoo.data; zoo.available(); dir(zoo.models); "
    code += "assert 'VAE' in zoo.models.MODELS and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_the_list_reads_each_recipe_once(monkeypatch, capsys):
    read, paths = reading.read_recipe, []

    def counted(path):
        paths.append(path)
        return read(path)

    monkeypatch.setattr(reading, "read_recipe", counted)
    assert listing.main([]) == 0
    assert len(paths) == len(set(paths)) >= 43
