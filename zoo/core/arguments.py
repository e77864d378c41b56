"""Command lines whose complaints are one sentence, instead of a usage text or a parser's report."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from zoo.core.errors import UserError, did_you_mean, user_error_in

__all__ = ["ON_EVERY_LINE", "SEEDS", "WORDS", "Parser", "in_a_sentence", "refused_class"]

SEEDS = f"[0, {2**63 - 1}]"  # what torch's generators take on every platform
WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "NoneType": "null",
}
ON_EVERY_LINE = {  # taken off by `zoo.core.command` before a command reads its line
    "--plugin": (
        "FILE",
        "also import this file or module of your own, which registers families, data sets, scores "
        "or priors (see CONTRIBUTING.md)",
    ),
    "--threads": (
        "N",
        "threads that compute; default: $OMP_NUM_THREADS, else as many as are fastest just now",
    ),
}
KEY = re.compile(r'Parser key "([^"]+)"')
EXPECTED = re.compile(
    r"Expected an? <class '(?P<name>\w+)'>"
    r"|Expected a typing\.Literal\[(?P<choices>[^\]]+)\]"
    r"|Expected a tuple with (?P<count>\d+) elements"
)
GIVEN = re.compile(r"(?:Got value|Given value): (.*)")
DENIED = re.compile(r"Importing '([^']+)' is not allowed")
BUILT = re.compile(r"class_path='[\w.]*?(\w+)'")  # in what a report was given
CONSTRUCTOR = re.compile(
    r"Errors:\s+- (?:Problem with given class_path '\S+':)?(.*?)(?:\n  - |$)", re.S
)
NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
# What the report says of every key, whatever was wrong with it.
ALWAYS = re.compile(
    r"Parser key|Does not validate|Subtypes|Errors:|Given value|Expected a path but|"
    r"Expected an? (<class|typing|tuple)|Not a valid subclass|Subclass types|a (class path|dict) "
)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` and takes no abbreviations."""

    def __init__(self, prog: str, about: str | None = None, **kwargs: Any) -> None:
        super().__init__(prog, description=about, allow_abbrev=False, **kwargs)
        for option, (metavar, text) in ON_EVERY_LINE.items():
            self.add_argument(option, metavar=metavar, default=argparse.SUPPRESS, help=text)

    def read(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """Parses; an unknown option is answered with the nearest one.

        Raises:
            UserError: on the first mistake.
        """
        options, unknown = self.parse_known_args(arguments)
        if unknown:
            wrong = unknown[0].partition("=")[0]
            if not wrong.startswith("-"):
                raise UserError(f"unexpected argument {wrong!r}; options begin with --.")
            known = [text for action in self._actions for text in action.option_strings]
            long = [text for text in known if text.startswith("--")]
            raise UserError(f"unknown option {wrong}. {did_you_mean(wrong, long)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Raises what the parser has to say."""
        text = re.sub(r"^argument (--\w+)\S*: ", r"\1: ", message)
        text = re.sub(r"invalid int value: ", "must be a whole number, got ", text)
        raise UserError(f"{text.replace(': must', ' must')}.")


def in_a_sentence(message: str, cause: BaseException | None = None) -> str:
    r"""Retells a complaint of jsonargparse, which reports on every type that it tried.

    Args:
        message: The report.
        cause: The exception behind it; where a `UserError` is behind that, its words are used.

    Returns:
        One sentence: which key, what it must be and what it was; where the report has another
        form, its first lines.

    Example:
        >>> in_a_sentence('Parser key "wandb":\n  Expected a <class \'bool\'>. Got value: x')
        "--wandb must be true or false, got 'x'."
    """
    found = KEY.search(message)
    key = found[1].removeprefix("config.") if found else ""
    inner = user_error_in(cause)
    if inner is not None:
        text = str(inner)
        nested = text.replace("--", f"--{key}.", 1) if text.startswith("--") else f"--{key}: {text}"
        return nested if key not in ("", "config") else text
    if denied := DENIED.search(message):
        return (
            f"--{key}: the class {denied[1]!r} is refused: a recipe may only name classes of the "
            "zoo and of Lightning."
        )
    if unknown := NO_CLASS.search(message):
        return f"--{key}: there is no class {unknown[1]!r}."
    lines = [line.strip(" -") for line in message.splitlines()]
    told = [line for line in lines if line and not ALWAYS.match(line)]
    given, wanted = GIVEN.search(message), _wanted(message)
    if key and given and wanted and not told:
        return f"--{key} must be {wanted}, got {_shown(given[1])}."
    what = " ".join(told or lines)[:250].rstrip(". ")
    return f"--{key}: {what}." if key else f"{what}."


def refused_class(message: str) -> str | None:
    r"""Retells what the constructor of a class said that a recipe names; None if none spoke.

    Args:
        message: The parser's report on every type that it tried to make of the class.

    Example:
        >>> refused_class("Errors:\n  - no day\n  - Not a valid\nGiven: (class_path='x.Timer')")
        'Timer: no day.'
    """
    names, told = BUILT.findall(message), CONSTRUCTOR.search(message)
    if not names or told is None:
        return None
    words = " ".join(told[1].split())[:300].rstrip(". ")
    return f"{', '.join(dict.fromkeys(names))}: {words}."


def _wanted(message: str) -> str:
    """Puts into words all that a report says was expected; null only where nothing else was."""
    words, choices = [], []
    for match in EXPECTED.finditer(message):
        if match["name"]:
            words.append(WORDS.get(match["name"], match["name"]))
        elif match["choices"]:
            choices += match["choices"].replace("'", "").split(", ")
        else:
            words.append(f"a list of {match['count']}")
    words += [f"one of {', '.join(dict.fromkeys(choices))}"] if choices else []
    return " or ".join([word for word in dict.fromkeys(words) if word != "null"] or words)


def _shown(value: str) -> str:
    """Quotes text, and leaves numbers, lists and mappings as they are."""
    value = value.strip()
    return value if value[:1] in "[{" or re.fullmatch(r"[-+.\deE]+", value) else repr(value)
