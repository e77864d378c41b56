"""Values from outside, checked against annotations: of a constructor, or of a `TypedDict`.

The parser checks a recipe's values by the constructor's annotations; cards, records of runs and
Python callers come another way, and pass here. One sentence names what, what it must be and what
it was.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from zoo.core.arguments import WORDS
from zoo.core.errors import UserError, did_you_mean
from zoo.core.text import clean, quoted

__all__ = ["check_values", "misfit"]

NUMBERS = {int: Integral, float: Real}  # with NumPy's; true and false are none
LISTS = (list, tuple, Sequence)


def check_values(
    cls: type, arguments: Mapping[str, Any], where: str, later: Sequence[str] = ()
) -> None:
    """Refuses arguments that a constructor does not have, lacks, or wants of another type.

    Args:
        cls: The class.
        arguments: All arguments that it will get, by name.
        where: What stands before a name, such as ``--model.``.
        later: Names of arguments that are not known yet.

    Raises:
        UserError: naming the first bad one, what is wanted and what was given.

    Example:
        >>> class Box:
        ...     def __init__(self, width: int): ...
        >>> check_values(Box, {"width": 3}, "--model.")
    """
    known = inspect.signature(cls).parameters
    for name in arguments:
        if name not in known:
            raise UserError(
                f"{cls.__name__} has no argument {quoted(name)}. {did_you_mean(str(name), known)}"
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in (*arguments, *later):
            raise UserError(f"{cls.__name__} needs {where}{name}, which is missing.")
    hints = _hints(cls)
    for name, value in arguments.items():
        if name in later:
            continue
        if found := misfit(value, hints.get(name, Any), f"{where}{name}"):
            raise UserError(found)


def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls.__init__)
    except Exception:  # a class of people's own may name types that are there for checkers only
        return {}


def misfit(value: Any, wanted: Any, name: str) -> str | None:
    """Says in a sentence what does not fit an annotation; None if all of it does.

    Args:
        value: A value.
        wanted: A type, ``X | Y``, ``Literal``, ``list``, ``tuple`` or ``dict`` with or without
            what is inside, or a `TypedDict`, whose other keys may be anything. What else there
            is, fits.
        name: What the sentence calls the value.

    Example:
        >>> misfit([1, "x"], list[int], "hidden")
        "hidden[1] must be a whole number, got 'x'."
        >>> misfit(None, int | None, "width")
    """
    found = _found(value, wanted)
    return found and f"{name}{found}"


def _found(value: Any, wanted: Any) -> str | None:
    """Says what `misfit` says, less the value's name; most values fit, and cost no words."""
    if wanted is Any or type(value) in _plain(wanted):
        return None
    for place, key, part, kind in _parts(value, wanted):
        if found := _found(part, kind):
            return f"{place(key)}{found}"
    if _fits(value, wanted):
        return None
    if isinstance(value, Integral) and not _moderate(value):
        return " is a number of too many digits."
    return f" must be {_words(wanted)}, got {quoted(value)}."


def _choices(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)


PLAIN = {str, float, bool, type(None)}  # nothing inside, and no value of them too large


def _plain(wanted: Any) -> frozenset[type]:
    """Lists those types among the wanted kinds of which every value fits."""
    try:
        return _plain_kinds(wanted)
    except TypeError:  # what people's own classes write as an annotation may have no hash
        return frozenset()


@functools.cache  # the parts of cards are looked at thousands of times before a list is shown
def _plain_kinds(wanted: Any) -> frozenset[type]:
    return frozenset(kind for kind in _choices(wanted) if kind in PLAIN)


def _fits(value: Any, wanted: Any) -> bool:
    """Says whether a value is of one of the wanted kinds, whatever is inside it."""
    return any(_is(value, kind) for kind in _choices(wanted))


def _is(value: Any, wanted: Any) -> bool:
    origin = get_origin(wanted) or wanted
    if origin is Literal:
        return any(type(c) is type(value) and c == value for c in get_args(wanted))
    if origin in NUMBERS:
        return (
            isinstance(value, NUMBERS[origin]) and not isinstance(value, bool) and _moderate(value)
        )
    if origin in LISTS:
        fixed = get_args(wanted) if origin is tuple and Ellipsis not in get_args(wanted) else ()
        return isinstance(value, (list, tuple)) and (not fixed or len(value) == len(fixed))
    if is_typeddict(origin):
        return isinstance(value, dict)
    if origin in (Any, inspect.Parameter.empty) or not isinstance(origin, type):
        return True
    return isinstance(value, origin)


def _moderate(value: Any) -> bool:
    """Says whether a number has 64 bits, as torch's have; Python's may have any length."""
    return not isinstance(value, Integral) or -(2**63) <= int(value) < 2**63


Part = tuple[Callable[[Any], str], Any, Any, Any]


def _parts(value: Any, wanted: Any) -> Iterator[Part]:
    """Yields what is inside a value: how to write its place, the key, it, and what is wanted there.

    Only where one of the wanted kinds can have something inside, so that it is clear which.
    """
    if not isinstance(value, (dict, list, tuple)):
        return
    for kind in _choices(wanted):
        origin, inner = get_origin(kind) or kind, get_args(kind)
        if not _is(value, kind):
            continue
        if origin in LISTS and inner:
            fixed = origin is tuple and Ellipsis not in inner
            kinds: Iterable[Any] = inner if fixed else (inner[0] for _ in value)
            for index, (part, wanted_there) in enumerate(zip(value, kinds, strict=True)):
                yield "[{}]".format, index, part, wanted_there
        elif is_typeddict(origin) and isinstance(value, dict):
            yield from _keys(value, origin)
        elif origin in (dict, Mapping) and inner and isinstance(value, dict):
            for key, part in value.items():
                yield _key, key, part, inner[1]
                yield _name, key, key, inner[0]


def _key(key: Any) -> str:
    return f"[{quoted(key)}]"


def _name(key: Any) -> str:
    return f"[{quoted(key)}], the name,"


class _Missing:
    """What stands where a key should."""

    def __str__(self) -> str:
        return "nothing"


_hints_of_keys = functools.cache(get_type_hints)


def _keys(value: dict[str, Any], wanted: Any) -> Iterator[Part]:
    for key, kind in _hints_of_keys(wanted).items():
        if key in value or key in wanted.__required_keys__:
            yield ".{}".format, key, value.get(key, _Missing()), kind


def _words(wanted: Any) -> str:
    """Puts an annotation into words; null only where nothing else is wanted."""
    words, choices = [], []
    for kind in _choices(wanted):
        if get_origin(kind) is Literal:
            choices += [clean(choice) for choice in get_args(kind)]
        else:
            words.append(_word(kind))
    words += [f"one of {', '.join(choices)}"] if choices else []
    return " or ".join([word for word in dict.fromkeys(words) if word != "null"] or words)


def _word(kind: Any) -> str:
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin is tuple and inner and Ellipsis not in inner:
        return f"a list of {len(inner)}"
    if is_typeddict(origin) or origin is Mapping:
        return "a mapping"
    name = getattr(origin, "__name__", str(origin))
    return WORDS.get("list" if origin in LISTS else name, f"a {name}")
