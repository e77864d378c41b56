"""Trains the model of a recipe: ``python -m zoo.fit recipes/infogan_digits.yaml``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.command import command
from zoo.core.errors import UserError
from zoo.core.processes import Terminated, is_first, terminated_by_exception, watch_parent
from zoo.core.text import say
from zoo.recipe.checking import check_arguments
from zoo.recipe.help import USAGE, describe_command, describe_recipe
from zoo.recipe.reading import find_recipe, read_recipe
from zoo.training.several import run_several, take_several, variants

if TYPE_CHECKING:
    from zoo.training.run import Fit

__all__ = ["main", "run"]

LAUNCHERS = {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"}  # who has one has counted the devices
FIRST_WORD = 5.0  # seconds for which other processes leave the word to the first one


def _quieten() -> None:
    """Silences what Lightning says to developers; it would bury what the user needs."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # they are for LightningCLI
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Callbacks that a user asks for, such as a summary of the layers, speak through a log, too.
    logging.getLogger("lightning.pytorch.callbacks").setLevel(logging.INFO)
    for message in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*Found .* module.s. in eval mode.*",
        ".*You passed in a `val_dataloader`.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*smaller than the logging interval.*",
        ".*overridden `on_before_batch_transfer` in `LightningModule`.*",
        ".*callbacks used to create the checkpoint need to be provided.*",  # such as a time limit
        "LightningCLI's args parameter.*",
        ".*recommended to use .self.log.*sync_dist=True.*",  # all processes log the joint figure
    ):
        warnings.filterwarnings("ignore", message=message)


def run(arguments: Sequence[str]) -> Fit:
    """Trains and returns what was built, the trained model in ``.model``.

    Args:
        arguments: A recipe, then overrides.

    Raises:
        UserError: if anything in the request is wrong.
        Stopped: if the user or the cluster asked for it.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(describe_command(), end="")
        raise SystemExit(0)
    if arguments[0].startswith("-"):
        raise UserError(f"the recipe comes first: {USAGE}")
    watch_parent()
    path = find_recipe(arguments[0])
    recipe = read_recipe(path)
    overrides = check_arguments(arguments[1:], recipe)
    if "--help" in overrides:
        print(describe_recipe(recipe))
        raise SystemExit(0)
    # Only from here on is torch needed: help and refusals need not wait for it.
    from zoo.training.callbacks import Stopped
    from zoo.training.choosing import processes
    from zoo.training.run import Fit
    from zoo.training.sharing import most_that_share

    _quieten()  # after the import, which sets levels of its own
    fit = Fit(path, recipe, overrides)
    settings = fit.config_init["trainer"]
    from_line = sys.argv[-len(arguments) :] == list(arguments)
    if str(settings["devices"]) == "auto" and not LAUNCHERS & os.environ.keys():
        found = processes(settings) // settings["num_nodes"] if from_line else 1
        settings["devices"] = most_that_share(fit.model, fit.datamodule.batch_size, found)
    started = {*LAUNCHERS, "LOCAL_RANK"} & os.environ.keys()  # the latter by our own trainer
    if processes(settings) > 1 and not (from_line or started):
        raise UserError(
            f"several processes are only started from the command line: {USAGE} --trainer.devices N"
        )
    try:
        fit.fit()
    except Stopped as stop:
        if is_first():
            print(
                f"zoo.fit: stopped after batch {stop.batches:,}, which is saved. To continue:\n"
                f"  python -m zoo.fit {fit.folder.recipe} --ckpt_path {fit.folder.last}",
                file=sys.stderr,
            )
        raise
    return fit


def _several(line: Sequence[str], seeds: Sequence[int] | None, grid: dict[str, list[Any]]) -> int:
    """Trains the recipe several times; returns 1 if a run failed.

    Raises:
        UserError: if anything in the request is wrong; nothing has been trained then.
        Stopped: if the user or the cluster asked for it; the same command goes on.
    """
    if "--help" in line or "-h" in line or not line:
        run(line)
    path = find_recipe(line[0])
    recipe = read_recipe(path)
    given: dict[str, str] = {}
    for word in check_arguments(line[1:], recipe):
        key, _, value = word[2:].partition("=")
        given[key] = value
    for key, option in (("seed_everything", "--seeds"), ("ckpt_path", "--seeds or --grid")):
        if key in given and (seeds is not None or key == "ckpt_path"):
            raise UserError(f"--{key} and {option} exclude each other.")
    if seeds is None:
        seeds = [int(given.get("seed_everything", recipe.get("seed_everything") or 0))]
    runs = variants(seeds, grid)
    for variant in runs:
        check_arguments([*line[1:], *variant.overrides], recipe)
    from zoo.training.callbacks import Stopped

    base = given.get("name") or recipe.get("name") or path.stem
    root = Path(given.get("run_root") or recipe.get("run_root") or "runs")
    try:
        return 1 if run_several(run, line, base, root, runs) else 0
    except Stopped:
        say("zoo.fit: the same command goes on from here with what is left of the runs.")
        raise


def _met() -> bool:
    """Says whether several processes have met."""
    import torch

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _command(arguments: Sequence[str]) -> int:
    try:
        with terminated_by_exception():
            rest, seeds, grid = take_several(arguments)
            if seeds is not None or grid:
                return _several(rest, seeds, grid)
            run(arguments)
    except Terminated:
        if is_first():
            say("zoo.fit: stopped before there was anything to save.")
        return 128 + signal.SIGTERM
    except Exception as error:
        if (signum := getattr(error, "signum", None)) is not None:  # that of a `Stopped`
            return 128 + signum
        if not is_first():  # if the first process fails, too, it speaks, and ends this one
            time.sleep(FIRST_WORD)
            if isinstance(error, UserError) and not _met():
                return 2  # before the processes met, all of them had the same to say
        raise
    if _met():
        import torch

        torch.distributed.destroy_process_group()  # its threads must not outlive Python
    return 0


main = command("zoo.fit", _command)


if __name__ == "__main__":
    sys.exit(main(None))
