"""What a class says of itself, read from its source: nothing is imported, and nobody waits.

A recipe is checked, and help is given, from names, arguments and docstrings. They stand in the
source, which is parsed; importing it would bring torch along.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo.core.registry import Registry

__all__ = ["REQUIRED", "Made", "Outline", "outline_of", "trainer_arguments"]

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Outline:
    """A class without its code.

    Args:
        name: Its name.
        summary: First line of its docstring.
        arguments: The constructor's arguments with their defaults, `REQUIRED` where there is none.
        texts: What its docstring, or an ancestor's, says of each argument.
        facts: Plain values that it, or an ancestor, sets for the class as a whole.
        methods: Public methods by name, each with its keyword-only arguments and their types.
        about: Docstring of its module.
    """

    name: str
    summary: str
    arguments: dict[str, Any]
    texts: dict[str, str]
    facts: dict[str, Any]
    methods: dict[str, dict[str, str]]
    about: str


def outline_of(registry: Registry[Any], name: str) -> Outline:
    """Outlines an entry of a registry, from the source unless it has been imported already.

    Raises:
        UserError: if there is no such entry.
    """
    if registry.loaded(name) or name not in registry.homes:
        return _of_class(registry[name])
    return _of_source(registry.homes[name], name)


@lru_cache(maxsize=1)
def trainer_arguments() -> tuple[str, ...]:
    """Names the arguments of Lightning's Trainer; importing Lightning would take seconds."""
    package = importlib.util.find_spec("lightning")
    if package is None or package.origin is None:
        return ()
    file = Path(package.origin).parent / "pytorch" / "trainer" / "trainer.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Trainer")
    init = _method(found, "__init__")
    assert init is not None
    return tuple(argument.arg for argument in [*init.args.args[1:], *init.args.kwonlyargs])


def documented(doc: str) -> dict[str, str]:
    r"""Reads the ``Args:`` of a docstring.

    Example:
        >>> documented("A box.\n\nArgs:\n    width: How\n        wide.\n    depth: How deep.\n")
        {'width': 'How wide.', 'depth': 'How deep.'}
    """
    found = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)*)", doc, re.MULTILINE)
    texts = {}
    for entry in re.split(r"^[ ]{4}(?=\w)", found[1] if found else "", flags=re.MULTILINE):
        name, colon, text = entry.partition(":")
        if colon and name.isidentifier():
            texts[name] = " ".join(text.split())
    return texts


# ---------------------------------------------------------------- from a class


def _of_class(cls: type) -> Outline:
    facts: dict[str, Any] = {}
    methods: dict[str, dict[str, str]] = {}
    texts: dict[str, str] = {}
    for ancestor in cls.__mro__:
        if ancestor.__module__.partition(".")[0] in ("torch", "lightning", "builtins", "typing"):
            continue
        for name, text in documented(inspect.cleandoc(ancestor.__doc__ or "")).items():
            texts.setdefault(name, text)
        for name, value in vars(ancestor).items():
            if name.startswith("_"):
                continue
            if inspect.isfunction(value):
                parameters = inspect.signature(value).parameters.values()
                keyword = {
                    p.name: str(p.annotation) for p in parameters if p.kind is p.KEYWORD_ONLY
                }
                methods.setdefault(name, keyword)
            elif isinstance(value, (str, int, float, bool, tuple, type(None))):
                facts.setdefault(name, value)
    signature = inspect.signature(cls).parameters.values()
    return Outline(
        cls.__name__,
        (inspect.getdoc(cls) or "").partition("\n")[0],
        {p.name: p.default for p in signature},
        texts,
        facts,
        methods,
        inspect.cleandoc(getattr(inspect.getmodule(cls), "__doc__", None) or ""),
    )


# ---------------------------------------------------------------- from source


@lru_cache(maxsize=64)
def _tree(module: str) -> ast.Module:
    """Parses a module of the zoo."""
    package = Path(__file__).resolve().parents[1]
    path = package.parent.joinpath(*module.split(".")).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _lineage(module: str, name: str) -> list[tuple[str, ast.ClassDef]]:
    """Lists a class and its ancestors within the zoo, the class first, each with its module."""
    tree = _tree(module)
    own = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    imported = {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("zoo.")
        for alias in node.names
    }
    found = [(module, own[name])]
    for base in own[name].bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(base, ast.Name) and base.id in own:
            found += _lineage(module, base.id)
        elif isinstance(base, ast.Name) and base.id in imported:
            found += _lineage(imported[base.id], base.id)
    return found


@lru_cache(maxsize=256)
def _of_source(module: str, name: str) -> Outline:
    lineage = _lineage(module, name)
    facts: dict[str, Any] = {}
    methods: dict[str, dict[str, str]] = {}
    texts: dict[str, str] = {}
    init = None
    for home, cls in lineage:
        for argument, text in documented(ast.get_docstring(cls) or "").items():
            texts.setdefault(argument, text)
        init = init or _method(cls, "__init__")
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                decorators = [ast.unparse(d) for d in node.decorator_list]
                if not any(d == "property" or d.endswith(".setter") for d in decorators):
                    keyword = {a.arg: _written(a.annotation) for a in node.args.kwonlyargs}
                    methods.setdefault(node.name, keyword)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and not target.id.startswith("_"):
                    facts.setdefault(target.id, _value(node.value, home))
    return Outline(
        name,
        (ast.get_docstring(lineage[0][1]) or "").partition("\n")[0],
        _arguments(init, module),
        texts,
        {name: value for name, value in facts.items() if not isinstance(value, _Source)},
        methods,
        inspect.cleandoc(ast.get_docstring(_tree(module)) or ""),
    )


class _Source(str):
    """A value that only running the code would give, as it is written."""


@dataclass(frozen=True)
class Made:
    """An object as it is made: the class's name, and those arguments that are plain values.

    Args:
        name: The class.
        positional: Arguments by position.
        named: Arguments by name.
    """

    name: str
    positional: tuple[Any, ...]
    named: dict[str, Any]


def _value(node: ast.expr, module: str) -> Any:
    """Returns a literal, or what is put together from literals and constants of the module."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    if isinstance(node, ast.Name):
        for other in _tree(module).body:
            if isinstance(other, ast.Assign) and ast.unparse(other.targets[0]) == node.id:
                return _value(other.value, module)
    elif isinstance(node, ast.Subscript):
        whole, index = _value(node.value, module), _value(node.slice, module)
        if isinstance(whole, (tuple, list)) and isinstance(index, int):
            return whole[index]
    elif isinstance(node, ast.JoinedStr):
        parts = [
            _value(p.value if isinstance(p, ast.FormattedValue) else p, module) for p in node.values
        ]
        if not any(isinstance(part, _Source) for part in parts):
            return "".join(map(str, parts))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        named = {k.arg: _value(k.value, module) for k in node.keywords if k.arg}
        positional = tuple(_value(argument, module) for argument in node.args)
        if not any(isinstance(value, _Source) for value in positional):
            plain = {k: v for k, v in named.items() if not isinstance(v, _Source)}
            return Made(node.func.id, positional, plain)
    return _Source(ast.unparse(node))


def _written(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation)


def _method(cls: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    found = (n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name == name)
    return next(found, None)


def _arguments(function: ast.FunctionDef | None, module: str) -> dict[str, Any]:
    if function is None:
        return {}
    plain = [*function.args.posonlyargs, *function.args.args][1:]  # without self
    defaults = [REQUIRED] * (len(plain) - len(function.args.defaults))
    if plain:
        defaults += [_value(node, module) for node in function.args.defaults[-len(plain) :]]
    found = {a.arg: d for a, d in zip(plain, defaults, strict=True)}
    for argument, node in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        found[argument.arg] = REQUIRED if node is None else _value(node, module)
    return found
