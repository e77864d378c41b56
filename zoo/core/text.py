"""Text that did not come from us, made fit to be shown: one line, short, and nothing but letters.

Names of tensors, of files and of scores, a server's words, arguments of a command: whoever wrote
them could clear the screen, colour it, fake a second message or fill it with megabytes. What a
`UserError` says passes `message` before it is printed, what stands in a table `clean` (see
`zoo.core.tables`); a test finds whatever goes past them.
"""

from __future__ import annotations

import re
import sys
import unicodedata

__all__ = ["clean", "message", "print_line", "quoted", "say"]

CUT = " ... "
LONGEST_MESSAGE = 1500  # characters; more is no sentence
LONGEST_QUOTE = 100
LONGEST_LINE = 5000  # of output: longer than any path, which a person copies as a whole
BREAK = re.compile(r"\s*[^\S ]\s*")  # ends of lines, tabs and odd spaces, with what is around them
# Control characters, those that turn the direction of writing or are not seen at all, halves of
# characters that no terminal can encode, and the two that separate lines.
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def clean(text: object, limit: int = LONGEST_QUOTE) -> str:
    r"""Makes one short line of text from outside.

    Ends of lines and tabs become a space, what is no visible character becomes ``?``, and of
    longer text the beginning and the end stay.

    Args:
        text: Anything; what is not text is written as ``str`` does.
        limit: Characters of the longest answer.

    Example:
        >>> clean("red\x1b[31m\nzoo: all is well"), clean("abcdefghijklmnop", 11)
        ('red?[31m zoo: all is well', 'abc ... nop')
    """
    text = text if isinstance(text, str) else str(text)
    if len(text) > 4 * limit:  # megabytes are cut before every letter is looked at
        text = text[: 2 * limit] + text[-2 * limit :]
    words = BREAK.sub(" ", text.strip())
    words = "".join("?" if unicodedata.category(letter) in UNSEEN else letter for letter in words)
    if len(words) <= limit:
        return words
    half = (limit - len(CUT)) // 2
    return f"{words[:half]}{CUT}{words[-half:]}"


def message(text: object) -> str:
    """Makes one line of a whole message, whatever it quotes."""
    return clean(text, LONGEST_MESSAGE)


def quoted(value: object, limit: int = LONGEST_QUOTE) -> str:
    """Shows a value from outside in a sentence: text in quotes, all else as Python writes it.

    Example:
        >>> quoted("a b"), quoted([1, 2.5]), quoted(None)
        ("'a b'", '[1, 2.5]', 'null')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{clean(value, limit)}'"
    try:
        return clean(list(value) if isinstance(value, tuple) else value, limit)
    except (ValueError, RecursionError):  # a number of more digits than Python writes
        return f"a {type(value).__name__} too large to show"


def print_line(text: object) -> None:
    """Prints one line of a command's output, whatever it quotes; its indentation stays."""
    words = text if isinstance(text, str) else str(text)
    indent = words[: len(words) - len(words.lstrip(" "))][:LONGEST_QUOTE]
    print(f"{indent}{clean(words, LONGEST_LINE)}", flush=True)


def say(text: object) -> None:
    """Prints one line on stderr, beside the output of commands, whatever it quotes."""
    print(message(text), file=sys.stderr, flush=True)
