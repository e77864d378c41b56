"""What all commands share: the line they are called with, people's plug-ins, errors, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from zoo.core.errors import exit_on_user_error
from zoo.core.plugins import discover, take_plugins
from zoo.core.threads import take_threads

__all__ = ["command"]


def command(
    name: str, run: Callable[[list[str]], int | None]
) -> Callable[[Sequence[str] | None], int]:
    """Makes the ``main`` of a command.

    Args:
        name: What its messages begin with, such as ``zoo.fit``.
        run: The command, which takes the words after its name and returns its exit code, or None
            for 0; whatever a user did wrong is a `UserError`.

    Returns:
        A function of the words of a command line, by default this process's, that returns the exit
        code. It loads plug-ins first.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        given = sys.argv[1:] if arguments is None else list(arguments)

        def whole() -> int | None:
            discover()
            return run(take_threads(take_plugins(given)))

        return exit_on_user_error(name, whole)

    main.__doc__ = f"Runs {name}; returns its exit code."
    return main
