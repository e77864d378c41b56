"""How a figure is written: its number, and the name that carries its protocol in brackets.

One way for a record, where figures are compared digit by digit, and one for a glance. What each
score means, and of what its protocol consists, is in `zoo.judge.catalogue`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "digits",
    "duration",
    "exact",
    "in_thousands",
    "is_name",
    "is_number",
    "score_line",
    "shown",
    "split_name",
]

NAME = re.compile(r"[a-z]\w*(\[[^\[\]\s]+\])?")


def is_name(text: str) -> bool:
    """Says whether a text can be the name of a score, with or without its protocol.

    Example:
        >>> is_name("nll[static,10k,test]"), is_name("test NLL")
        (True, False)
    """
    return NAME.fullmatch(text) is not None


def is_number(value: object) -> bool:
    """Says whether a value from outside is a finite number that fits into a float.

    Example:
        >>> is_number(2), is_number(True), is_number("2"), is_number(10**400)
        (True, False, False, False)
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # whole numbers have no end
        return False


def split_name(text: str) -> tuple[str, str]:
    """Takes a score's name apart: what is scored, and the protocol, empty if there is none.

    Example:
        >>> split_name("nll[static,10k,test]")
        ('nll', 'static,10k,test')
    """
    head, _, protocol = text.partition("[")
    return head, protocol.removesuffix("]")


def duration(seconds: float) -> str:
    """Writes a duration for a glance.

    Example:
        >>> duration(0.00312), duration(4.2), duration(75), duration(4000), duration(40_000)
        ('3.1 ms', '4.2 s', '75 s', '67 min', '11 h')
    """
    if seconds < 1:
        return f"{digits(seconds * 1000, 2)} ms"
    if seconds < 100:
        return f"{digits(seconds, 2)} s"
    return f"{seconds / 60:,.0f} min" if seconds < 9000 else f"{seconds / 3600:,.0f} h"


def exact(value: float) -> str:
    """Writes a number for a record: four decimals.

    Example:
        >>> exact(86.34)
        '86.3400'
    """
    return f"{value:.4f}"


def digits(value: float, count: int = 3) -> str:
    """Writes a number for a glance: so many digits that count, and no exponent for large ones.

    Example:
        >>> digits(0.0052534), digits(-12.3456, 4), digits(2106.474), digits(0.5)
        ('0.00525', '-12.35', '2,106', '0.5')
    """
    large = math.isfinite(value) and abs(value) >= 10**count - 0.5  # 999.7 is 1,000
    return f"{value:,.0f}" if large else f"{value:.{count}g}"


def in_thousands(count: int) -> str:
    """Writes how many numbers a network holds, rounded.

    Example:
        >>> in_thousands(116_128), in_thousands(2_551_000), in_thousands(129)
        ('116 k', '2.55 M', '129')
    """
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


def shown(score: Mapping[str, Any]) -> str:
    """Writes a score's value for a record, or why there is none.

    Args:
        score: As in a card or a report; its details may hold a text ``status``.

    Example:
        >>> shown({"value": 0.5}), shown({"value": None, "details": {"status": "infeasible"}})
        ('0.5000', 'infeasible')
    """
    value = score["value"]
    if value is not None and math.isfinite(value):
        return exact(value)
    status = (score.get("details") or {}).get("status")
    return status if isinstance(status, str) and status else "none"


def score_line(score: Mapping[str, Any]) -> str:
    """Writes a score on a line: its name, its value and its unit.

    Example:
        >>> score_line({"name": "elbo[grey,2k,val]", "value": -12.5, "unit": "nats"})
        'elbo[grey,2k,val]                             -12.5000 nats'
    """
    return f"{score['name']:45s} {shown(score)} {score['unit']}".rstrip()
