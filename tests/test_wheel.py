"""The wheel works by itself: installed outside the repository, in an empty folder, offline."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST = 12 * 2**20  # bytes of the wheel; weights that are larger are fetched

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="the extra dev brings hatchling"
)

# What a newcomer does first, in one process, since importing takes longest.
SCRIPT = """
import sys
from pathlib import Path

import zoo
from zoo.fit import main as fit
from zoo.gallery import main as gallery
from zoo.shelf.find import writable_shelf
from zoo.recipe.reading import recipe_folder

home = Path(sys.argv[1])
assert Path(zoo.__file__).parent.parent == home, zoo.__file__
assert zoo.available() == sys.argv[2].split(","), zoo.available()
print("shape", tuple(zoo.load("infogan_digits").sample(4, seed=0).shape))
assert recipe_folder() == home / "zoo" / "recipes", recipe_folder()
for ask in (lambda: zoo.load(sys.argv[3]), writable_shelf):
    try:
        ask()
    except ValueError as error:
        print("refused:", error)
code = fit(["infogan_digits", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2",
            "--wandb=off", "--evaluate=false", "--trainer.accelerator=cpu", "--model.width=4"])
print("fit", code, [path.name for path in Path("runs").iterdir()])
print("gallery", gallery([]), "font:" in Path("gallery/models/infogan_digits.html").read_text())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip(
        "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT,
        paths=os.environ.get("PYTHONPATH", ""),
    )  # fmt: skip
    (found,) = folder.glob("*.whl")
    return found


def pip(*words, paths=""):
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index")
    subprocess.run(
        [sys.executable, "-m", "pip", words[0], *quiet, *map(str, words[1:])],
        check=True, env={**os.environ, "PYTHONPATH": paths}, capture_output=True,
    )  # fmt: skip


def tracked(folder):
    """Names the files of the checkout's folder that are not ignored."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", folder],
        capture_output=True, text=True,
    )  # fmt: skip
    return set(listed.stdout.split())


def test_the_wheel_holds_code_recipes_and_small_weights(wheel):
    assert wheel.stat().st_size < MOST
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("zoo/")}
    assert {
        "zoo/contract/nonparametric_prior.npy",
        "zoo/py.typed",
        "zoo/checkpoints/index.json",
    } <= names
    if not tracked("zoo"):
        pytest.skip("no checkout: nothing to compare with")
    travelling = {
        f"zoo/{name}"
        for name in tracked("checkpoints")
        if Path(name).parent.name.endswith("_digits")
        and name.endswith(("card.json", ".safetensors"))
    }
    assert travelling, "no weights travel"
    expected = tracked("zoo") | {f"zoo/{name}" for name in tracked("recipes")} | travelling
    assert names == {*expected, "zoo/checkpoints/index.json"}


@pytest.mark.slow
def test_the_installed_wheel_loads_samples_and_trains(wheel, tmp_path):
    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    pip("install", "--no-deps", "--target", home, wheel)
    digits = sorted(path.name for path in (ROOT / "checkpoints").glob("*_digits"))
    elsewhere = sorted(path.name for path in (ROOT / "checkpoints").glob("*_mnist"))
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home), ",".join(digits), elsewhere[0]],
        cwd=empty, capture_output=True, text=True,
        env={**{k: v for k, v in os.environ.items() if k != "ZOO_SHELF"}, "PYTHONPATH": str(home)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "shape (4, 1, 8, 8)" in ended.stdout
    assert f"{elsewhere[0]} is not part of this installation: set ZOO_SHELF" in ended.stdout
    assert "belongs to the installed package: set ZOO_SHELF" in ended.stdout
    assert "fit 0 ['infogan_digits']" in ended.stdout, ended.stdout + ended.stderr
    assert "gallery 0 True" in ended.stdout, ended.stdout + ended.stderr
