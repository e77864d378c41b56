"""Tries hostile files and command lines: ``python tests/campaign/fuzz.py --tries 3000 --seed 0``.

Recipes, cards, weights, indexes, runs and command lines are spoilt by chance, and handed to the
commands and functions that read them. A try fails if anything but success or one sentence with
exit code 2 comes out, if a file is written where none may be, if code from a file is run, or if it
takes longer than a limit. ``--only cards:17`` repeats one try. Not a test: the tests start it.
"""

import argparse
import contextlib
import faulthandler
import resource
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

from hostile import chance  # noqa: E402
from sandbox import PATIENCE, Sandbox, clear  # noqa: E402

MEMORY = 4 * 2**30  # bytes beyond those of the start: what is larger must be refused


def options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tries", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds of a try")
    parser.add_argument("--only", help="a kind, or one try of it: cards:17")
    parser.add_argument("--loud", action="store_true", help="show what every try says")
    return parser.parse_args()


def bound_memory():
    """Makes this process fail, instead of the machine, when something huge is built."""
    (size,) = (int(line.split()[1]) * 1024 for line in open("/proc/self/status")
               if line.startswith("VmSize"))  # fmt: skip
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def play(sandbox, kinds, chosen):
    """Makes the tries in turn; returns how many were made, accepted and failed, by kind."""
    from kinds import stop_before_work

    tried, accepted, failed = Counter(), Counter(), Counter()
    wanted, _, number = (chosen.only or "").partition(":")
    numbers = Counter()
    for turn in range(chosen.tries if not number else len(kinds) * (int(number) + 1)):
        kind = list(kinds)[turn % len(kinds)]
        index = numbers[kind]
        numbers[kind] += 1
        if wanted and (kind != wanted or (number and index != int(number))):
            continue
        rng = chance(chosen.seed, kind, index)
        sandbox.reset()
        restore = stop_before_work(sandbox, kind, rng)
        attempt = kinds[kind](sandbox, rng)
        faulthandler.dump_traceback_later(2 * PATIENCE * chosen.limit, exit=True)
        try:
            wrong, code, said, seconds = sandbox.judge(attempt, chosen.limit)
        finally:
            faulthandler.cancel_dump_traceback_later()
            restore()
        tried[kind] += 1
        accepted[kind] += wrong is None and code == 0
        failed[kind] += wrong is not None
        if wrong or chosen.loud:
            about = attempt.about[:3000] if wrong else attempt.about[:300]
            print(f"--- {kind}:{index} ({seconds:.1f} s) {about}")
            print(f"{'FAILED: ' + wrong if wrong else said.strip()[:400]}", flush=True)
    return tried, accepted, failed


def main():
    chosen = options()
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    sandbox = Sandbox(folder / "sandbox")
    try:
        sandbox.prepare()
        from kinds import cards, indexes, recipes
        from lines import command_lines
        from stored import run_folders, weights

        sandbox.watch()
        bound_memory()
        kinds = {
            "recipes": recipes, "cards": cards, "weights": weights, "indexes": indexes,
            "runs": run_folders, "command lines": command_lines,
        }  # fmt: skip
        tried, accepted, failed = play(sandbox, kinds, chosen)
    finally:
        with contextlib.suppress(OSError):
            clear(folder)
    print(f"seed {chosen.seed}")
    counts = {kind: (tried[kind], accepted[kind], failed[kind]) for kind in kinds}
    counts["all"] = (tried.total(), accepted.total(), failed.total())
    for kind, (made, sound, bad) in counts.items():
        print(f"{kind:14s} {made:5d} tried {sound:5d} accepted {bad:5d} failed")
    return 1 if failed.total() else 0


if __name__ == "__main__":
    sys.exit(main())
