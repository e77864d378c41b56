"""Where a run's numbers go: always to ``metrics.csv``, and to Weights & Biases unless told not to."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from zoo.runs import RunFolder

__all__ = ["WandbMode", "csv_logger", "logged_in", "wandb_logger"]

WandbMode = Literal["auto", "online", "offline", "off"]


def csv_logger(folder: RunFolder, resume_step: int | None = None) -> CSVLogger:
    """Returns the logger of ``metrics.csv``.

    Args:
        folder: The run's folder.
        resume_step: When continuing a run, the batches its checkpoint has seen: rows up to there
            stay, later ones are written again.
    """
    rows: list[dict[str, Any]] = []
    if resume_step is not None and folder.metrics.is_file():
        with folder.metrics.open(newline="") as file:
            rows = [
                {key: float(value) for key, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    logger = CSVLogger(folder.path.parent, name="", version=folder.path.name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory .* exists")
        experiment = logger.experiment  # Lightning empties the file here; the rows come back below
    if rows:
        kept = [{**row, "step": int(row["step"])} for row in rows if row["step"] < (resume_step or 0)]
        experiment.metrics.extend(kept)
        experiment.save()
    return logger


def logged_in() -> bool:
    """Says whether W&B would find a key, without asking anybody or opening a connection."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc
    from urllib.parse import urlparse

    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        path = os.environ.get("NETRC") or Path("~/.netrc").expanduser()
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def wandb_logger(
    folder: RunFolder, name: str, mode: WandbMode, recipe: dict[str, Any], artifacts: bool
) -> Logger | None:
    """Returns the W&B logger, or None where it is off.

    Online if the user is logged in, else offline: the run can be sent later with ``wandb sync``.
    It never asks for anything.

    Args:
        folder: The run's folder, where W&B keeps its files.
        name: The recipe's name, W&B's group of runs.
        mode: What the user wants; ``auto`` decides as above. ``$WANDB_MODE`` has the last word.
        recipe: The resolved recipe, stored as the run's configuration.
        artifacts: Whether to send checkpoints; only online.
    """
    mode = {"disabled": "off", "offline": "offline", "online": "online"}.get(
        os.environ.get("WANDB_MODE", ""), mode
    )  # type: ignore[assignment]
    if mode == "off":
        return None
    offline = mode == "offline" or (mode == "auto" and not logged_in())
    os.environ.setdefault("WANDB_SILENT", "true")
    logger = WandbLogger(
        project="zoo",
        group=name,
        name=f"{name}-{folder.path.name}",
        id=f"{name}-{folder.path.name}".replace("_", "-"),
        save_dir=str(folder.path),
        offline=offline,
        log_model="all" if artifacts and not offline else False,
        resume="allow",
    )
    logger.experiment.config.update(recipe, allow_val_change=True)
    return logger
