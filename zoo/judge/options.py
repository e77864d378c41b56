"""What the judging commands share: their options, and how scores are laid out."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zoo.core.errors import check_choice
from zoo.core.figures import shown
from zoo.core.tables import PlainTable
from zoo.data.registry import DATASETS
from zoo.judge.presets import PRESETS
from zoo.shelf.find import find

__all__ = [
    "add_device_option",
    "add_judging_options",
    "check_judging_options",
    "joined_processes",
    "score_table",
]


def add_judging_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all judging commands share."""
    parser.add_argument("--data", help="another data set than the model's own")
    parser.add_argument(
        "--data.path", dest="path", metavar="FOLDER",
        help="folder of the images, if it has moved, or for --data ImageFolder",
    )  # fmt: skip
    parser.add_argument("--root", help="folder of data sets (default: $ZOO_DATA, else data/)")
    parser.add_argument(
        "--features",
        help="another feature network of the shelf, or inception-legacy or inception-clean",
    )
    parser.add_argument(
        "--protocol", default="quick", choices=sorted(PRESETS),
        help="quick: 2,000 images, a minute; full: 10,000, as published (default quick)",
    )  # fmt: skip
    add_device_option(parser)


def check_judging_options(options: argparse.Namespace) -> None:
    """Refuses names of data sets and feature networks that there are not, before torch is loaded.

    Raises:
        UserError: naming the nearest.
    """
    if options.data is not None:
        check_choice("data set", options.data, DATASETS)
    if options.features is not None and not options.features.startswith("inception-"):
        find(options.features)


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that says where the networks work."""
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, ...; default: a GPU where there is one"
    )


@contextmanager
def joined_processes() -> Iterator[bool]:
    """Joins the processes that torchrun has started, if it has; yields whether this is the first.

    Scores are then computed by all of them together; the first one alone prints and writes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) < 2:
        yield True
        return
    import torch

    cuda = torch.cuda.is_available()
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield torch.distributed.get_rank() == 0
    finally:
        torch.distributed.destroy_process_group()


def score_table(title: str, scores: Sequence[dict[str, Any]]) -> PlainTable:
    """Lays scores out as a table."""
    table = PlainTable(title, "score")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for score in scores:
        arrow = {"lower": "lower is better", "higher": "higher is better"}.get(score["better"], "")
        unit = ", ".join(part for part in (score["unit"], arrow) if part)
        table.add_row(score["name"], shown(score), unit)
    return table
