"""The project's own papers agree with one another."""

import re
from pathlib import Path

import pytest
import yaml

import zoo
from zoo.__main__ import VERBS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("tool", ["ruff", "pyright"])
def test_tools_are_pinned_to_one_version(tool):
    (wanted,) = re.findall(rf'"{tool}==([\d.]+)"', PROJECT)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (found,) = (hook["rev"] for hook in hooks if tool in hook["repo"])
    assert found == f"v{wanted}"


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'version = "{zoo.__version__}"' in PROJECT
    assert citation["version"] == zoo.__version__


def test_withdrawn_releases_are_never_installed():
    assert "!=2.6.2" in PROJECT and "!=2.6.3" in PROJECT


def test_every_verb_is_a_module_and_named_in_the_readme_or_the_overview():
    for verb in VERBS:
        assert (ROOT / "zoo" / f"{verb}.py").is_file()


def test_weights_keep_to_the_budget():
    sizes = [path.stat().st_size for path in (ROOT / "checkpoints").rglob("*") if path.is_file()]
    assert sum(sizes) <= 120 * 2**20
    weights = (ROOT / "checkpoints").rglob("*.safetensors")
    assert all(path.stat().st_size <= 8 * 2**20 for path in weights)
