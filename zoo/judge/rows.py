"""What a row of the catalogue is: a score's protocol as typed values, its unit, its meaning.

The text of a protocol is written from a pattern, and read by the same pattern. In it ``{split}``
is a text without commas, ``{count:short}`` a number as in ``10k``, ``{bins:int}`` and
``{within:number}`` are numbers, ``{bits:flag}`` is its own name or nothing, and what stands in
round brackets is left out where a value in it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from zoo.core.figures import digits, split_name

__all__ = ["Row", "short"]

Better = Literal["lower", "higher", ""]
TOKEN = re.compile(r"\{(\w+)(?::(\w+))?\}|([()])|([^{}()]+)")
DECIMALS = {
    "share": 2,
    "nats": 2,
    "bits/dim": 2,
    "modes": 1,
    "classes": 1,
    "units": 1,
    "pixels": 2,
}  # shares as per cent
WHOLE = ("share", "modes", "classes", "units")  # whose trailing zeros say nothing
TINY = 0.1  # below it decimals would leave little of a figure


def short(number: int) -> str:
    """Writes a count as protocols do.

    Example:
        >>> short(10_000), short(2_000), short(360)
        ('10k', '2k', '360')
    """
    return f"{number // 1000}k" if number >= 1000 and number % 1000 == 0 else str(number)


def long(text: str) -> int:
    """Reads such a count."""
    return 1000 * int(text[:-1]) if text.endswith("k") else int(text)


KINDS: dict[str, tuple[str, Any, Any]] = {  # pattern, how it is read, how it is written
    "text": (r"[^,\[\]]+?", str, str),
    "short": (r"\d+k?", long, short),
    "int": (r"\d+", int, str),
    "number": (r"\d[\d.]*", float, "{:g}".format),
}


@dataclass(frozen=True)
class Row:
    """All that there is to know of a score before it is computed.

    Args:
        name: The name without protocol, such as ``fid``.
        protocol: Pattern of the values that change the figure; see above.
        unit: ``share``, ``nats``, ``bits/dim``, ``modes``, ``classes`` or another; empty if none.
        better: Which direction is better; empty where neither is.
        meaning: A sentence for somebody who has never met it.
        decimals: Of a short figure in its unit, per cent for shares; None for those that the unit
            has by custom, three digits for units without custom.
        rank: Among the scores that can stand for a model, the lowest that it has does; None for
            scores that never do so of themselves.
        beside: Scores that show what this one hides: wherever it stands for a model, they do too.

    Example:
        >>> row = Row("nll", "{pixels}(,is{samples:int}),{count:short}", "nats", "lower")
        >>> row.text({"pixels": "static", "samples": 50, "count": 10_000})
        'nll[static,is50,10k]'
        >>> row.read("nll[static,10k]")
        {'pixels': 'static', 'count': 10000}
        >>> row.brief(86.6412)
        '86.64 nats'
    """

    name: str
    protocol: str = ""
    unit: str = ""
    better: Better = ""
    meaning: str = ""
    decimals: int | None = None
    rank: int | None = None
    beside: tuple[str, ...] = ()

    def text(self, parameters: Mapping[str, Any]) -> str:
        """Writes the name with its protocol, from the protocol's values.

        Raises:
            ValueError: if a value is missing, or is none of this protocol.
        """
        if unknown := set(parameters) - {field for group in self._groups for field in group.fields}:
            raise ValueError(f"{self.name} has no parameter {sorted(unknown)}: {self.protocol}")
        written = "".join(group.write(self.name, parameters) for group in self._groups)
        return f"{self.name}[{written}]" if written else self.name

    def read(self, text: str) -> dict[str, Any]:
        """Reads the protocol's values from a name as cards have it; empty if it is another's.

        Args:
            text: Such as ``fid[mnist-features,10k,test]``.
        """
        found = self._pattern.fullmatch(split_name(text)[1])
        if found is None:
            return {}
        kinds = {field: kind for group in self._groups for field, kind in group.fields.items()}
        return {
            field: True if kinds[field] == "flag" else KINDS[kinds[field]][1](value)
            for field, value in found.groupdict().items()
            if value is not None
        }

    def brief(self, value: float, error: float | None = None) -> str:
        """Writes a figure short enough for a table, with its unit; shares as per cent.

        Args:
            value: The figure.
            error: Its standard error, if it is known.

        Example:
            >>> Row("recall", unit="share").brief(0.1769)
            '17.69 %'
            >>> Row("bpd", unit="bits/dim").brief(1.1602, 0.0031)
            '1.16 \N{PLUS-MINUS SIGN} 0.003 bits/dim'
        """
        share = self.unit == "share"
        scale, unit = (100, "%") if share else (1, self.unit)
        written = self._number(scale * value)
        if error is not None:
            written = f"{written} \N{PLUS-MINUS SIGN} {self._doubt(scale * error)}"
        return f"{written} {unit}".rstrip()

    def _number(self, number: float) -> str:
        places = DECIMALS.get(self.unit) if self.decimals is None else self.decimals
        whole = self.unit in WHOLE
        if places is None or (not whole and 0 < abs(number) < TINY and self.decimals is None):
            return digits(number)
        written = f"{number:,.{places}f}"
        if whole and "." in written:
            written = written.rstrip("0").rstrip(".")
        return written

    def _doubt(self, error: float) -> str:
        """Writes a standard error: to the places of its figure, unless nothing is left of it."""
        written = self._number(error)
        return digits(error, 1) if error < TINY or not written.strip("0.") else written

    @cached_property
    def _groups(self) -> tuple[_Group, ...]:
        groups, now = [], _Group(False, [], {})
        for field, kind, bracket, literal in TOKEN.findall(self.protocol):
            if bracket:
                groups.append(now)
                now = _Group(bracket == "(", [], {})
            elif field:
                now.parts.append(field)
                now.fields[field] = kind or "text"
            else:
                now.parts.append(literal)
        return tuple(group for group in (*groups, now) if group.parts)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("".join(group.pattern() for group in self._groups))


@dataclass(frozen=True)
class _Group:
    """A stretch of a protocol that is written whole, or left out.

    Args:
        optional: Whether it may be left out.
        parts: Names of values, and the text between them.
        fields: The values with their kinds.
    """

    optional: bool
    parts: list[str]
    fields: dict[str, str]

    def write(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Writes the stretch; empty where it is left out."""
        missing = [field for field in self.fields if parameters.get(field) in (None, False)]
        if missing and not self.optional:
            raise ValueError(f"{name} needs a value for {', '.join(missing)}.")
        return "" if missing else "".join(self._written(part, parameters) for part in self.parts)

    def _written(self, part: str, parameters: Mapping[str, Any]) -> str:
        kind = self.fields.get(part)
        if kind is None or kind == "flag":
            return part
        return KINDS[kind][2](parameters[part])

    def pattern(self) -> str:
        """Returns the pattern by which it is read."""
        parts = [self._field(p) if p in self.fields else re.escape(p) for p in self.parts]
        return f"(?:{''.join(parts)})?" if self.optional else "".join(parts)

    def _field(self, part: str) -> str:
        kind = self.fields[part]
        return f"(?P<{part}>{part if kind == 'flag' else KINDS[kind][0]})"
