"""Runs zoo.fit with an accident at a chosen moment: ``driver.py '{"kill_at": 30}' RECIPE ...``.

Several accidents as a list, with the word NAME in the arguments standing for 0, 1, ...: each has
a process of its own, forked from this one when everything is imported, and the exit codes are
printed. Not a test: the tests start it.
"""

import json
import os
import signal
import sys
import time

import torch

from zoo.fit import main
from zoo.models import InfoGAN
from zoo.training.callbacks import SeedEachBatch

RANK = int(os.environ.get("LOCAL_RANK", 0))


def at_batch(batch, action):
    """Acts before a batch; None stands for every batch."""
    before = SeedEachBatch.on_train_batch_start

    def hook(self, trainer, module, *rest):
        if batch in (None, trainer.fit_loop.total_batch_idx):
            action(trainer)
        before(self, trainer, module, *rest)

    SeedEachBatch.on_train_batch_start = hook


def send(signum):
    os.kill(os.getpid(), signum)


def tear_checkpoint(which):
    """Dies when half of a checkpoint is on the disk."""
    save, count = torch.save, 0

    def torn(value, file):
        nonlocal count
        count += 1
        save(value, file)
        if count == which:
            file.flush()
            file.truncate(file.tell() // 2)
            send(signal.SIGKILL)

    torch.save = torn


def spoil_term(batch):
    terms = InfoGAN.generator_terms

    def bad_terms(self, *args):
        found = terms(self, *args)
        if self.trainer.fit_loop.total_batch_idx == batch:
            found["generator_loss"] = found["generator_loss"] * float("nan")
        return found

    InfoGAN.generator_terms = bad_terms


def write_final_state(path):
    """Every process writes what it holds in the end."""

    def write(self, trainer, module):
        images = trainer.train_dataloader.sampler.batches()
        seen = torch.cat(list(images)) if images else torch.empty(0)
        torch.save({"state": module.state_dict(), "seen": seen}, f"{path}.{trainer.global_rank}")

    SeedEachBatch.on_train_end = write


def arrange(plan):
    if RANK in plan.get("ranks", [0]):
        if "kill_at" in plan:
            at_batch(plan["kill_at"], lambda _: send(signal.SIGKILL))
        if "signal_at" in plan:
            at_batch(plan["signal_at"], lambda _: send(plan["signal"]))
        if "tear" in plan:
            tear_checkpoint(plan["tear"])
        if "nan_at" in plan:
            spoil_term(plan["nan_at"])
    if "final_state" in plan:
        write_final_state(plan["final_state"])
    if "wait" in plan:
        at_batch(None, lambda _: time.sleep(plan["wait"]))
    if RANK == 0 and "say" in plan:
        at_batch(plan["say"], lambda _: print("ready", os.getpid(), flush=True))


def run_each(plans, arguments):
    codes = []
    for index, plan in enumerate(plans):
        child = os.fork()
        if child == 0:
            arrange(plan)
            os._exit(main([argument.replace("NAME", str(index)) for argument in arguments]))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(codes))


if __name__ == "__main__":
    if "ZOO_TEST_PLAN" not in os.environ:  # processes that this one starts have it from here
        os.environ["ZOO_TEST_PLAN"] = sys.argv.pop(1)
    todo = json.loads(os.environ["ZOO_TEST_PLAN"])
    if isinstance(todo, list):
        run_each(todo, sys.argv[1:])
    else:
        arrange(todo)
        sys.exit(main())
