"""The folder that a run leaves: ``runs/<recipe>/<time>/``.

It holds the resolved recipe, versions and device, ``metrics.csv``, checkpoints, pictures and, at
the end, the evaluation.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from zoo.core.errors import UserError
from zoo.core.files import read_json, write_json

__all__ = ["RunFolder", "environment", "is_time_of_run"]

LONGEST_NAME = 200  # bytes; file systems take 255, and the zoo adds to it
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "numpy", "scipy", "scikit-learn")


def is_time_of_run(name: str) -> bool:
    """Says whether a folder is called as `RunFolder.create` calls it, after the time.

    Example:
        >>> is_time_of_run("2026-11-23_05-38-38"), is_time_of_run("monday")
        (True, False)
    """
    return re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?", name) is not None


class RunFolder:
    """Names of the files of a run.

    Args:
        path: The run's folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: list[Path] = []  # folders that `create` made, the deepest first
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.csv"
        self.evaluation = path / "evaluation.json"
        self.pictures = path / "pictures"
        self.page = path / "run.html"
        self.curves = path / "curves.png"
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"
        self.best = self.checkpoints / "best.ckpt"

    @classmethod
    def create(cls, root: Path, name: str) -> RunFolder:
        """Makes a new folder, named after the time; a number tells runs of one second apart.

        Raises:
            UserError: if the name would leave the root, or the folder cannot be written.
        """
        _check_name(name)
        stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        for number in range(1, 1000):
            path = root / name / (stamp if number == 1 else f"{stamp}_{number}")
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if path.parent.is_dir():
                    continue
                raise UserError(f"cannot make {path}: {path.parent} is a file.") from None
            except OSError as error:
                reason = error.strerror
                raise UserError(
                    f"cannot make the run's folder {path}: {reason}. Choose another place with "
                    "--run_root."
                ) from error
            run = cls(path)
            run.made = made
            return run
        raise UserError(f"too many runs in one second in {root / name}.")

    def learnt_from(self) -> dict[str, Any]:
        """Returns the record of the files that the run learns from; empty where there is none.

        See `zoo.data.identity.identity_of`.
        """
        try:
            record = read_json(self.environment)["data"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return record if isinstance(record, dict) else {}

    def discard(self) -> None:
        """Removes what `create` made, for a run that never began; else does nothing."""
        for folder in self.made:
            if folder == self.path:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # not empty: another run came in between
                    folder.rmdir()

    @classmethod
    def newest(cls, root: Path, name: str) -> RunFolder:
        """Finds the newest run that has a checkpoint.

        Raises:
            UserError: if there is none.
        """
        _check_name(name)
        folders = [cls(path) for path in (root / name).glob("*") if path.is_dir()]
        saved = [folder for folder in folders if folder.last.is_file()]
        if not saved:
            raise UserError(f"there is no run with a checkpoint to continue in {root / name}.")
        return max(saved, key=lambda folder: folder.last.stat().st_mtime)

    @classmethod
    def of_recipe(cls, recipe: Path) -> RunFolder | None:
        """Returns the run whose own recipe a file is; None of others, or if nothing is saved."""
        folder = cls(recipe.resolve().parent)
        return folder if recipe.name == folder.recipe.name and folder.last.is_file() else None

    @classmethod
    def of_checkpoint(cls, checkpoint: Path) -> RunFolder | None:
        """Returns the run that a checkpoint belongs to, or None if it lies elsewhere."""
        folder = cls(checkpoint.resolve().parent.parent)
        return folder if folder.recipe.is_file() else None


def _check_name(name: str) -> None:
    plain = name.isprintable() and Path(name).name == name and name not in ("", ".", "..")
    if not plain or len(os.fsencode(name)) > LONGEST_NAME:
        raise UserError(
            f"--name must be a plain name without a path, of at most {LONGEST_NAME} bytes, got "
            f"{name[:80]!r}."
        )


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def environment(**more: Any) -> dict[str, Any]:
    """Describes what a run ran on: versions, processor, command; no names of people or places."""
    import torch

    return {
        "zoo": _installed("zoo-generative"),
        "python": platform.python_version(),
        **{package: _installed(package) for package in PACKAGES},
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        **more,
    }


def write_environment(folder: RunFolder, **more: Any) -> None:
    """Writes `environment` into a run's folder."""
    write_json(folder.environment, environment(**more))
