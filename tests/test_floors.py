"""Imports go strictly down: read from the syntax trees, so that no import hides in a function.

`WINGS` is the one list of floors. The top of `zoo/` holds commands, and nothing else.
"""

import ast
import sys
from pathlib import Path

import pytest

from zoo.__main__ import VERBS

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "zoo"
WINGS = [
    {"core", "functional"},
    {"contract", "metrics"},
    {"optim", "nets", "data"},
    {"models"},
    {"recipe"},
    {"shelf"},
    {"judge"},
    {"show"},
    {"training"},
]
LIBRARIES_OF_FUNCTIONAL = {"torch", "scipy"}  # scipy solves the assignment problem of clustering
FILES = sorted(ZOO.rglob("*.py"))


def wing(path):
    """Names the wing of a file; that of a command is its own."""
    return path.relative_to(ZOO).parts[0].removesuffix(".py")


def floor(name):
    """Numbers the floors from the ground; commands stand on top, `tour` and `probe` above them."""
    found = [level for level, names in enumerate(WINGS) if name in names]
    return found[0] if found else len(WINGS) + (name in ("tour", "probe"))


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


def own_imports(path):
    """Lists the modules of the zoo that a file imports."""
    for module in imports(path):
        if module.startswith("zoo.") and module != "zoo.__version__":
            yield module


def test_the_top_holds_what_can_be_typed_after_python_m_zoo():
    names = {path.stem for path in ZOO.glob("*.py")} - {"__init__", "__main__"}
    assert names == set(VERBS)
    wings = {path.name for path in ZOO.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert wings == set().union(*WINGS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ZOO)))
def test_imports_go_strictly_down(path):
    here = wing(path)
    if here in ("__init__", "__main__"):
        return
    for module in own_imports(path):
        there = module.split(".")[1]
        if there != here:
            assert floor(there) < floor(here), f"{path} imports {module}, which is not below it"


def test_contributing_shows_the_wings():
    rows = ["| floor | wing | what it is |", "|---:|---|---|"]
    rows.append(f"| {len(WINGS) + 1} | `zoo/*.py` | The commands, thin: {', '.join(VERBS)}. |")
    for level, names in reversed(list(enumerate(WINGS, start=1))):
        for name in sorted(names):
            doc = ast.get_docstring(ast.parse((ZOO / name / "__init__.py").read_text()))
            rows.append(f"| {level} | `{name}/` | {doc.splitlines()[0]} |")
    begin = "<!-- wings, from the top floor down: tests/test_floors.py -->\n"
    _, _, rest = (ROOT / "CONTRIBUTING.md").read_text().partition(begin)
    assert rest.partition("\n<!-- end of wings -->")[0] == "\n".join(rows)


def test_no_circle_runs_through_files():
    home = {}
    for path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        home[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    below = {
        name: {module for module in own_imports(path) if module in home} - {name}
        for name, path in home.items()
    }
    while free := [name for name, needs in below.items() if not needs]:
        for name in free:
            del below[name]
        for needs in below.values():
            needs.difference_update(free)
    assert not below, f"a circle runs through some of {sorted(below)}"


@pytest.mark.parametrize("path", [p for p in FILES if wing(p) == "models"], ids=lambda p: p.name)
def test_models_never_import_a_sibling_model(path):
    if path.name == "__init__.py":
        return
    own_base = ".".join(path.relative_to(ROOT).parent.parts) + ".base"
    for module in own_imports(path):
        if module.startswith("zoo.models"):
            assert module in ("zoo.models.registry", own_base)


@pytest.mark.parametrize(
    "path", [p for p in FILES if wing(p) == "functional"], ids=lambda p: p.name
)
def test_functional_needs_nothing_but_torch(path):
    for module in imports(path):
        top = module.split(".")[0]
        allowed = LIBRARIES_OF_FUNCTIONAL | sys.stdlib_module_names
        assert top in allowed or module.startswith("zoo.functional"), module


@pytest.mark.parametrize("path", [p for p in FILES if wing(p) == "nets"], ids=lambda p: p.name)
def test_networks_do_not_need_lightning(path):
    assert not any(module.split(".")[0] == "lightning" for module in imports(path))
