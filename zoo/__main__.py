"""What there is, and the console script ``zoo <verb>``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from zoo import __version__
from zoo.core.errors import did_you_mean
from zoo.core.text import quoted, say

__all__ = ["VERBS", "main"]

VERBS = {
    "fit": "train the model of a recipe",
    "sample": "draw images from a published model or a run",
    "list": "show models, recipes and data sets",
    "evaluate": "score a model by every protocol that fits it",
    "diagnose": "write a report on what a model got wrong, with pictures",
    "compare": "score several models side by side",
    "tour": "train every family on the embedded digits, and compare",
    "probe": "train on data made for it, and read what comes out that was never put in",
    "faults": "plant known faults in real images and show which score sees which",
    "verify": "re-run a card's evaluation and compare",
    "gallery": "build a site of all published models, and the README's table and picture",
    "publish": "put a run's model on the shelf",
}

OVERVIEW = f"""zoo {__version__}: the classic deep generative models under one contract

{{verbs}}

Try next:
  python -m zoo.list                                 what is on the shelf
  python -m zoo.sample infogan_plus_digits --traverse  a picture from published weights
  python -m zoo.fit recipes/infogan_plus_digits.yaml   train one yourself, one minute, no download
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Shows the overview, or hands over to a verb; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given or given[0] in ("-h", "--help"):
        verbs = "\n".join(f"  python -m zoo.{verb:9s} {about}" for verb, about in VERBS.items())
        print(OVERVIEW.format(verbs=verbs), end="")
        return 0
    if given[0] == "--version":
        print(__version__)
        return 0
    if given[0] not in VERBS:
        say(f"zoo: unknown verb {quoted(given[0])}. {did_you_mean(given[0], VERBS)}")
        return 2
    return importlib.import_module(f"zoo.{given[0]}").main(given[1:])


if __name__ == "__main__":
    sys.exit(main())
