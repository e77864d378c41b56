"""People's own code: families, data sets, scores and priors from outside the package.

A plug-in registers what it brings as it is imported. Only a person names one: with ``--plugin`` on
a command line, in ``$ZOO_PLUGINS``, or by installing a package with the entry-point group
``zoo.plugins``. Recipes, cards and checkpoints cannot.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from zoo.core.errors import UserError
from zoo.core.line import take

__all__ = ["GROUP", "discover", "load_plugin", "modules", "take_plugins"]

GROUP = "zoo.plugins"
VARIABLE = "ZOO_PLUGINS"
OPTION = "--plugin"

_loaded: dict[str, ModuleType] = {}
_state = {"discovered": False}


def modules() -> list[str]:
    """Names the modules that were loaded as plug-ins, whose classes may be built."""
    return [module.__name__ for module in _loaded.values()]


def load_plugin(name: str) -> None:
    """Imports a plug-in, once.

    Args:
        name: A Python file, or a module that can be imported.

    Raises:
        UserError: if there is none, or its code fails; says where.
    """
    path = Path(name).expanduser()
    is_file = name.endswith(".py") or os.sep in name
    key = str(path.resolve()) if is_file else name
    if key in _loaded:
        return
    if is_file and not path.is_file():
        raise UserError(f"the plug-in {name} does not exist.")
    if not is_file and not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())  # the script `zoo` has it not, `python -m` does
    try:
        _loaded[key] = _from_file(path) if is_file else importlib.import_module(name)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        if error.name != name:
            raise UserError(f"the plug-in {name} needs a module {error.name!r}.") from error
        raise UserError(
            f"there is no module {name!r}; a plug-in is a file, my_family.py, or a module that "
            "Python can import."
        ) from None
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        raise UserError(
            f"the plug-in {name} fails in {where}: {type(error).__name__}: {error}."
        ) from error


def _from_file(path: Path) -> ModuleType:
    """Imports a file under a name of its own, by which its classes can be pickled and found."""
    name = f"zoo_plugin_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"the plug-in {path} is not a Python file.")
    if name in sys.modules:
        raise UserError(f"two plug-ins are called {path.name}; rename one.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def discover() -> None:
    """Imports the plug-ins of ``$ZOO_PLUGINS`` and of installed packages, once.

    Called before a registry says what it does not have.

    Raises:
        UserError: if one of them fails.
    """
    if _state["discovered"]:
        return
    _state["discovered"] = True
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        load_plugin(name)
    for entry in entry_points(group=GROUP):
        load_plugin(entry.value.partition(":")[0])


def take_plugins(arguments: Sequence[str]) -> list[str]:
    """Loads the plug-ins that a command line names, and returns the rest of the line.

    Raises:
        UserError: if one fails, or an option has no value.
    """
    rest, taken = take(arguments, OPTION)
    for _, name in taken:
        if not name:
            raise UserError(f"{OPTION} needs a file or a module.")
        load_plugin(name)
    return rest
