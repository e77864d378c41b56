"""The family that CONTRIBUTING shows, which stands outside of the package, takes the whole way."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.core import plugins
from zoo.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
WAY = """
import json, os, sys
from pathlib import Path
from zoo import fit, publish, evaluate, diagnose, sample, list as listing, verify
plugin = ["--plugin", "my_family.py"]
assert fit.main(["my_recipe.yaml", "--wandb", "off", *plugin]) == 0
(run,) = map(str, Path("runs/my_recipe").iterdir())
assert sample.main([run, "--n", "4", "--out", "s.png", *plugin]) == 0
assert publish.main([run, *plugin]) == 0
assert evaluate.main(["my_recipe", "--json", "e.json", *plugin]) == 0
assert verify.main(["my_recipe", *plugin]) == 0
assert diagnose.main([run, "--out", "d.html", *plugin]) == 0
assert listing.main(["--plugin=my_family.py"]) == 0
names = [score["name"] for score in json.loads(Path("e.json").read_text())["scores"]]
assert any(name.startswith("nll[") for name in names), names
"""


@pytest.fixture
def place(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (family,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (recipe,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_family.py").write_text(family)
    (tmp_path / "my_recipe.yaml").write_text(recipe)
    (tmp_path / "my_shelf").mkdir()
    return tmp_path


def run(place, *arguments, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled", **variables}
    return subprocess.run(
        [sys.executable, *arguments], cwd=place, env=environment,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_family_from_outside_is_trained_published_judged_and_diagnosed(place):
    done = run(place, "-c", WAY, ZOO_SHELF="my_shelf", ZOO_CACHE=str(place / "cache"))
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert "IndependentPixels" in done.stdout
    assert (place / "s.png").stat().st_size > 100 and "IndependentPixels" in (
        place / "d.html"
    ).read_text(encoding="utf-8")
    card = (place / "my_shelf" / "my_recipe" / "card.json").read_text()
    assert str(place) not in card and "my_family" not in card  # a card names no code


def test_only_a_person_names_code(place):
    recipe = (place / "my_recipe.yaml").read_text()
    for line, word in (
        ("plugin: my_family.py\n", "unknown key 'plugin'"),
        ("", "unknown model 'IndependentPixels'"),
    ):
        (place / "my_recipe.yaml").write_text(recipe + line)
        done = run(place, "-m", "zoo.fit", "my_recipe.yaml")
        assert done.returncode == 2 and word in done.stderr and done.stderr.count("\n") == 1
    named = recipe.replace("IndependentPixels", "my_family.IndependentPixels")
    (place / "my_recipe.yaml").write_text(named)
    done = run(place, "-m", "zoo.fit", "my_recipe.yaml")
    assert done.returncode == 2 and "unknown model" in done.stderr


def test_the_environment_names_plugins_too(place):
    code = "import zoo.models; print('IndependentPixels' in zoo.models.MODELS)"
    assert run(place, "-c", code).stdout == "False\n"
    for value in ("my_family.py", "my_family", f"{place}/my_family.py{os.pathsep}"):
        assert run(place, "-c", code, ZOO_PLUGINS=value).stdout == "True\n"


def test_an_installed_package_names_plugins_too(place):
    about = place / "my_package-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[zoo.plugins]\nmine = my_family\n")
    done = run(place, "-m", "zoo.list", PYTHONPATH=f"{ROOT}{os.pathsep}{place}")
    assert done.returncode == 0 and "IndependentPixels" in done.stdout


BROKEN = {
    "gone.py": (None, "does not exist"),
    "gone_module": (None, "there is no module 'gone_module'"),
    "syntax.py": ("class :", "SyntaxError"),
    "fails.py": ("x = 1\n1 / 0\n", "fails in fails.py, line 2: ZeroDivisionError"),
    "needs.py": ("import no_such_thing\n", "needs a module 'no_such_thing'"),
    "taken.py": (
        "from zoo.models.registry import MODELS\n@MODELS.register\nclass VAE: ...\n",
        "'VAE' is registered twice",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_told_in_a_sentence(name, tmp_path, monkeypatch):
    content, words = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(words)) as error:
        plugins.load_plugin(name)
    assert "\n" not in str(error.value)


def test_plugins_are_taken_from_a_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted.py").write_text("import builtins\nbuiltins.zoo_count = 1\n")
    line = ["a", "--plugin", "counted.py", "--x", "1", "--plugin=counted.py"]
    assert plugins.take_plugins(line) == ["a", "--x", "1"]
    assert plugins.modules() == ["zoo_plugin_counted"]
    for wrong in (["--plugin"], ["--plugin", "--x"]):
        with pytest.raises(UserError, match="needs a file or a module"):
            plugins.take_plugins(wrong)
