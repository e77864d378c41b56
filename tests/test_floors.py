"""Imports go strictly down: read from the syntax trees, so that no import hides in a function."""

import ast
import sys
from pathlib import Path

import pytest

ZOO = Path(__file__).resolve().parent.parent / "zoo"
FLOORS = [
    {"errors", "functional"},
    {
        "arguments", "files", "knobs", "meanings", "memory", "modelcard", "paper", "processes",
        "registry",
    },
    {
        "contracts", "data", "inference", "markup", "metrics", "nets", "pictures", "precision",
        "priors", "progress", "training",
    },
    {"answers"},
    {"models"},
    {"recipe", "evaluation", "logs", "runs"},
    {"entry", "sheets"},
    {"trained", "web"},
    {"hub"},
    {"places"},
    {"callbacks", "shelf", "usage"},
    {"engine", "exhibition", "judge"},
    {"diagnosis", "fitting", "judging"},
    {"fit", "sample", "list", "publish", "evaluate", "verify", "diagnose", "compare",
     "faults", "gallery"},
    {"tour"},
    {"__main__"},
]  # fmt: skip
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
LIBRARIES_OF_FUNCTIONAL = {"torch", "scipy"}  # scipy solves the assignment problem of clustering


def room(path):
    """Names the file or folder of `zoo` that a file belongs to."""
    return path.relative_to(ZOO).parts[0].removesuffix(".py")


def imports(path):
    """Lists the modules that a file imports anywhere, except for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "zoo":
                yield from (f"zoo.{alias.name}" for alias in node.names)


FILES = sorted(ZOO.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ZOO)))
def test_imports_go_strictly_down(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"{here} has no floor: give it one in this test"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] != "zoo" or len(parts) == 1 or parts[1] == "__version__":
            continue
        there = parts[1]
        if there == here:
            continue
        assert FLOOR[there] < FLOOR[here], f"{path.name} imports {module}, which is not below it"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "models"], ids=lambda p: p.name)
def test_models_never_import_a_sibling_model(path):
    if path.name == "__init__.py":
        return
    for module in imports(path):
        if module.startswith("zoo.models"):
            assert module == "zoo.models.registry"


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) == "functional"], ids=lambda p: p.name
)
def test_functional_needs_nothing_but_torch(path):
    for module in imports(path):
        top = module.split(".")[0]
        allowed = LIBRARIES_OF_FUNCTIONAL | sys.stdlib_module_names
        assert top in allowed or module.startswith("zoo.functional"), module


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "nets"], ids=lambda p: p.name)
def test_networks_do_not_need_lightning(path):
    assert not any(module.split(".")[0] == "lightning" for module in imports(path))
