"""What a user can do wrong, said in one sentence.

`UserError` is the one exception that commands turn into a message and exit code 2. Everything
else is a defect of the zoo and keeps its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches

__all__ = ["UserError", "did_you_mean", "exit_on_user_error"]


class UserError(ValueError):
    """A wrong request: its message says what is wrong, where, and what to do."""


def did_you_mean(wrong: str, choices: Iterable[str]) -> str:
    """Names the nearest valid choice, then all of them if they are few.

    Example:
        >>> did_you_mean("InfoGen", ["InfoGAN", "VAE"])
        'Did you mean InfoGAN? Choices: InfoGAN, VAE.'
    """
    known = sorted(choices)
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(wrong.lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f"Did you mean {by_lower[near[0]]}? " if near else ""
    if len(known) > 20 and near:
        return hint.strip()
    return f"{hint}Choices: {', '.join(known) or 'none'}."


def exit_on_user_error(command: str, main: Callable[[], int | None]) -> int:
    """Runs a command; a wrong request becomes one message on stderr and exit code 2.

    Args:
        command: Name printed in front of the message, e.g. ``zoo.fit``.
        main: The command; its return value is the exit code (None counts as 0).

    Returns:
        The exit code.
    """
    try:
        return main() or 0
    except UserError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left; that is no failure of ours
        return 0
    except KeyboardInterrupt:
        print(f"{command}: stopped.", file=sys.stderr)
        return 130
