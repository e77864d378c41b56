"""YAML as people expect it: version 1.2, with anchors and merge keys, and within bounds.

In YAML 1.1, which PyYAML reads, ``off`` is false, ``010`` is eight and ``1e-4`` is text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ["NotYAML", "plain_value", "read_yaml"]

LARGEST = 20_000  # values, aliases unfolded; a recipe has some fifty
DEEPEST = 50
MERGE = "tag:yaml.org,2002:merge"


# The parser in C, six times as fast, where PyYAML was built with it; both check alike.
_Safe: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """The core schema of YAML 1.2, in which no key may be given twice."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 - that is where PyYAML looks

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key, _ in node.value:
            if key.tag == MERGE:
                continue
            value: Any = self.construct_object(key, deep=True)  # pyright: ignore
            if not isinstance(value, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or a mapping cannot be a key", key.start_mark
                )
            if value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {value!r} is given twice", key.start_mark
                )
            seen.add(value)
        return super().construct_mapping(node, deep)

    def integer(self, node: yaml.ScalarNode) -> int:
        """Reads a whole number: decimal unless it says otherwise, so 010 is ten."""
        text = str(self.construct_scalar(node))
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
for _tag in ("binary", "omap", "pairs", "set", "timestamp"):  # of YAML 1.1: no plain values
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", yaml.SafeLoader.construct_undefined)


class NotYAML(ValueError):
    """Says what is wrong with a text, and in which line where that is known.

    Args:
        problem: What is wrong.
        line: From 1.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


def read_yaml(text: str) -> Any:
    """Reads one YAML document into plain values.

    Raises:
        NotYAML: if it is none, is deeper or larger than any recipe, or an alias is part of what
            it stands for.
    """
    try:
        value = yaml.load(text, _Loader)
        _check_bounds(value)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it holds characters that YAML does not allow"
        raise NotYAML(problem, mark.line + 1 if mark else None) from None
    except NotYAML:
        raise
    except (ValueError, TypeError, RecursionError):  # numbers of 5,000 digits, [[[[...
        raise NotYAML("it holds a value that cannot be read") from None
    return value


def _check_bounds(value: Any) -> None:
    """Refuses what aliases make endless, or so large that whoever walks through it never ends."""
    counted, path = 0, set()

    def walk(part: Any) -> None:
        nonlocal counted
        counted += 1
        if counted > LARGEST:
            raise NotYAML(f"its aliases unfold to more than {LARGEST:,} values")
        if not isinstance(part, (dict, list)):
            return
        if id(part) in path:
            raise NotYAML("an alias is part of what it stands for")
        if len(path) >= DEEPEST:
            raise NotYAML(f"it is nested more than {DEEPEST} deep")
        path.add(id(part))
        for inner in part.values() if isinstance(part, dict) else part:
            walk(inner)
        path.remove(id(part))

    walk(value)


def plain_value(text: str) -> Any:
    """Reads a value from the command line; what is no YAML is text.

    Example:
        >>> [plain_value(text) for text in ("1e-4", "off", "010", "[1, 2]", "a: b: c")]
        [0.0001, 'off', 10, [1, 2], 'a: b: c']
    """
    try:
        return read_yaml(text)
    except NotYAML:
        return text
