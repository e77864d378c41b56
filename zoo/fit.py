"""Trains the model of a recipe: ``python -m zoo.fit recipes/infogan_digits.yaml``."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence

import torch

from zoo.core.errors import UserError, exit_on_user_error
from zoo.core.processes import is_first, watch_parent
from zoo.recipe.checking import check_arguments
from zoo.recipe.help import USAGE, describe_command, describe_recipe
from zoo.recipe.reading import find_recipe, read_recipe
from zoo.training.callbacks import Stopped
from zoo.training.run import Fit
from zoo.training.trainer import processes

__all__ = ["main", "run"]

FIRST_WORD = 5.0  # seconds for which other processes leave the word to the first one


def _check_launch(arguments: Sequence[str]) -> None:
    """Refuses several processes from within Python: the trainer would repeat its command."""
    started_by_others = {"TORCHELASTIC_RUN_ID", "SLURM_PROCID", "LOCAL_RANK"} & os.environ.keys()
    if not started_by_others and sys.argv[-len(arguments) :] != list(arguments):
        raise UserError(
            f"several processes are only started from the command line: {USAGE} --trainer.devices N"
        )


def _quieten() -> None:
    """Silences what Lightning says to developers; it would bury what the user needs."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # they are for LightningCLI
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*Found .* module.s. in eval mode.*",
        ".*You passed in a `val_dataloader`.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*smaller than the logging interval.*",
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
    _quieten()
    path = find_recipe(arguments[0])
    recipe = read_recipe(path)
    overrides = check_arguments(arguments[1:], recipe)
    if "--help" in overrides:
        print(describe_recipe(recipe))
        raise SystemExit(0)
    fit = Fit(path, recipe, overrides)
    if processes(fit.config_init["trainer"]) > 1:
        _check_launch(arguments)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)

    def command() -> int:
        try:
            run(given)
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()  # its threads must not outlive Python
        except Stopped as stop:
            return 128 + stop.signum
        except Exception as error:
            if not is_first():  # if the first process fails, too, it speaks, and ends this one
                time.sleep(FIRST_WORD)
                if isinstance(error, UserError) and not torch.distributed.is_initialized():
                    return 2  # before the processes met, all of them had the same to say
            raise
        return 0

    return exit_on_user_error("zoo.fit", command)


if __name__ == "__main__":
    sys.exit(main())
