"""What a user can do wrong, said in one sentence.

`UserError` is the one exception that commands turn into a message and exit code 2. Everything
else is a defect of the zoo and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from zoo.core.text import clean, quoted, say

__all__ = [
    "UserError",
    "check_arguments",
    "check_choice",
    "check_counts",
    "check_interval",
    "did_you_mean",
    "exit_on_user_error",
    "out_of_memory",
    "user_error_in",
]

NO_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|cannot allocate memory|"
    r"Storage size calculation overflowed|bad_alloc|CUDNN_STATUS_ALLOC_FAILED|"
    r"CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
SHORT, FEW = 20, 40  # choices that are listed beside a likely one, and where none is likely
TOO_LARGE = (
    "there is not enough memory for this. Lower what is held at once: --data.batch_size, "
    "--data.resize or the model's widths to train, --n to sample, --protocol quick to score."
)
# What a path is answered with that cannot be one, or that is somebody else's.
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what writing on a full disk or quota raises


class UserError(ValueError):
    """A wrong request: its message says what is wrong, where, and what to do."""


def did_you_mean(wrong: str, choices: Iterable[str]) -> str:
    """Names the nearest valid choices, then all of them unless they are very many.

    Nearest are those that begin with what was written, or else hold it, or else are spelt alike.

    Example:
        >>> did_you_mean("InfoGen", ["InfoGAN", "VAE"])
        'Did you mean InfoGAN? Choices: InfoGAN, VAE.'
        >>> did_you_mean("vae", ["conv_vae_mnist", "gan_mnist", "vae_digits", "vae_mnist"])[:44]
        'Did you mean vae_digits, vae_mnist or conv_v'
    """
    known = sorted(clean(name) for name in choices)
    # Dashes say nothing: without them --label is not much like --help.
    near = _near(str(wrong)[:200].lower().lstrip("-"), {n.lower().lstrip("-"): n for n in known})
    words = f"{', '.join(near[:-1])} or {near[-1]}" if len(near) > 1 else "".join(near)
    hint = f"Did you mean {words}? " if near else ""
    if len(known) > FEW:
        return hint.strip() or f"There are {len(known)} others, from {known[0]} to {known[-1]}."
    if near and len(known) > SHORT:
        return hint.strip()
    return f"{hint}Choices: {', '.join(known) or 'none'}."


def _near(asked: str, known: dict[str, str]) -> list[str]:
    """Lists the choices that somebody may have meant, at most twelve, the likeliest first."""
    if asked in known:
        return [known[asked]]
    begun = [name for name in known if asked and name.startswith(asked)]
    holding = [name for name in known if len(asked) > 2 and asked in name]
    near = list(dict.fromkeys([*begun, *holding]))
    near = near or get_close_matches(asked, list(known), n=1, cutoff=0.6)
    return [known[name] for name in near[:12]]


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a name that is none of the choices, and says which is nearest.

    Example:
        >>> check_choice("--model.network", "conv", ["mlp", "conv"])
    """
    choices = tuple(choices)
    if value not in choices:
        raise UserError(f"unknown {what} {quoted(value)}. {did_you_mean(value, choices)}")


def check_interval(option: str, value: float | Iterable[float], interval: str) -> None:
    """Refuses numbers outside an interval; NaN lies in none.

    Args:
        option: What the number is called, e.g. ``--model.lr``.
        value: One number, or several that must all lie inside.
        interval: In the notation of mathematics: ``[0, 1)`` holds 0 but not 1, ``(0, inf)`` is
            all positive numbers; infinity itself is never inside.

    Raises:
        UserError: naming the option, the interval and the number.

    Example:
        >>> check_interval("--model.betas", (0.5, 0.999), "[0, 1)")
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    if math.isinf(high):
        wanted = f"be at least {low:g}" if interval[0] == "[" else f"be greater than {low:g}"
    else:
        wanted = f"lie in {interval}"
    for number in value if isinstance(value, Iterable) else (value,):
        above = number >= low if interval[0] == "[" else number > low
        below = number <= high if interval[-1] == "]" else number < high
        if not (above and below):
            must = "be finite" if math.isinf(number) else wanted
            raise UserError(f"{option} must {must}, got {number}.")


def check_arguments(**arguments: tuple[float | Iterable[float], str]) -> None:
    """Refuses a model's arguments outside their intervals, as `check_interval` does.

    Args:
        arguments: By the argument's name: its value, and the interval it must lie in.

    Raises:
        UserError: naming the first bad one as a recipe does, ``--model.<name>``.

    Example:
        >>> check_arguments(width=(64, "[1, inf)"), betas=((0.5, 0.999), "[0, 1)"))
    """
    for name, (value, interval) in arguments.items():
        check_interval(f"--model.{name}", value, interval)


def check_counts(**counts: int) -> None:
    """Refuses numbers of things, by their names, of which there must be at least one.

    Raises:
        UserError: naming the first that is not positive.

    Example:
        >>> check_counts(rows=8, steps=10)
    """
    for name, count in counts.items():
        check_interval(name, count, "[1, inf)")


def user_error_in(error: BaseException | None) -> UserError | None:
    """Finds the wrong request behind an error that a library raised from it, if there is one."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def exit_on_user_error(command: str, main: Callable[[], int | None]) -> int:
    """Runs a command; a wrong request becomes one line on stderr and exit code 2.

    So do a full disk, memory that ran out and paths that the system refuses to look at, which no
    check can foresee.

    Args:
        command: Name printed in front of the message, e.g. ``zoo.fit``.
        main: The command; its return value is the exit code (None counts as 0).

    Returns:
        The exit code.
    """
    try:
        return main() or 0
    except UserError as error:
        say(f"{command}: {error}")
        return 2
    except BrokenPipeError:
        # The reader of our output has left, which is no failure of ours. What is still buffered
        # must go somewhere, or the interpreter complains when it ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno == errno.ENOMEM:
            say(f"{command}: {TOO_LARGE}")
            return 2
        if error.errno in NO_PATH and error.filename:
            say(f"{command}: {quoted(error.filename)} cannot be used: {error.strerror}.")
            return 2
        if error.errno not in FULL:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        say(f"{command}: {error.strerror}{where}. Make room and try again.")
        return 2
    except KeyboardInterrupt:
        say(f"{command}: stopped.")
        return 130
    except Exception as error:
        if not out_of_memory(error):
            raise
        say(f"{command}: {TOO_LARGE}")
        return 2


def out_of_memory(error: BaseException | None) -> bool:
    """Says whether memory ran out, in Python or NumPy, in torch on a processor or on a device.

    Example:
        >>> out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
        True
    """
    while error is not None:
        # The recipe's parser makes a ValueError of what constructors raise.
        kinds = (RuntimeError, ValueError)
        told = isinstance(error, kinds) and NO_MEMORY.search(str(error)[:1000])
        if told or isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False
