"""Where a run's numbers go: always to ``metrics.csv``, and to Weights & Biases unless told not to.

In both, the step is the number of batches that the run had seen; where gradients of several
batches are gathered, that of their groups.
"""

from __future__ import annotations

import csv
import io
import logging
import netrc
import os
import shlex
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger
from torch import Tensor

from zoo.core.errors import UserError
from zoo.core.files import open_text, write_text
from zoo.core.text import say
from zoo.show.pictures import as_image

__all__ = ["MetricsFile", "Tracker", "WandbMode", "log_step", "logged_in", "start_tracker"]

WandbMode = Literal["auto", "online", "offline", "off"]

# Arguments of wandb.init by the variables that say the same; others are settings.
ARGUMENTS = {
    "project": "project", "run_group": "group", "name": "name", "run_id": "id", "dir": "dir",
    "resume": "resume",
}  # fmt: skip
FINISH_SECONDS = 120.0  # for what is left to be sent, before it is kept to be sent later
PATIENCE = 5.0  # seconds without a word at the end
FLUSH_SECONDS = 10.0  # the file is never older than this, or than the last epoch


def log_step(trainer: Any) -> int:
    """Returns the step under which the trainer will log at this moment; its first one is 0."""
    in_batch = trainer._logger_connector._first_loop_iter is not None
    return trainer.fit_loop.epoch_loop._batches_that_stepped - (0 if in_batch else 1)


class MetricsFile(Logger):
    """``metrics.csv``: one row per step that has something to say, whole at every moment.

    Args:
        path: The file; a new one replaces an older one.
        keep: When continuing a run, the step of its checkpoint, from `log_step`: rows up to
            there stay, later ones will be written again.

    Raises:
        UserError: if rows are to be kept and the file cannot be read.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._rows: dict[int, dict[str, Any]] = {}
        if keep is not None and path.is_file():
            self._rows = {step: row for step, row in _read_rows(path).items() if step <= keep + 1}
        self._dirty = True
        self.flush()

    @property
    def name(self) -> str:
        """Empty, as is the version: what callbacks write beside it lies in the run's folder."""
        return ""

    @property
    def version(self) -> str:
        """Empty: there is one file per run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Nothing: the recipe lies beside the file."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Takes down figures; those of one step share a row.

        Args:
            metrics: Figures by name.
            step: The trainer's count, see `log_step`.
        """
        batches = 0 if step is None else int(step) + 1
        self._rows.setdefault(batches, {}).update(metrics)
        self._dirty = True

    def save(self) -> None:
        """Writes the file if the last time is long ago; the trainer calls this after each row."""
        if time.monotonic() - self._written > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the file, if there is news."""
        if self._dirty:
            columns = sorted({key for row in self._rows.values() for key in row} - {"epoch"})
            text = io.StringIO()
            table = csv.DictWriter(text, ["step", "epoch", *columns], lineterminator="\n")
            table.writeheader()
            table.writerows({"step": step, **row} for step, row in self._rows.items())
            write_text(self.path, text.getvalue())
        self._dirty = False
        self._written = time.monotonic()

    def finalize(self, status: str) -> None:
        """Writes what is left, also when a run fails."""
        self.flush()


def _read_rows(path: Path) -> dict[int, dict[str, Any]]:
    try:
        with open_text(path, newline="") as file:
            return {
                int(row.pop("step")): {
                    key: int(value) if key == "epoch" else float(value)
                    for key, value in row.items()
                    if value
                }
                for row in csv.DictReader(file)
            }
    except (OSError, KeyError, TypeError, ValueError):
        raise UserError(f"{path} cannot be read; move it away to continue without it.") from None


class Tracker(Logger):
    """Weights & Biases.

    Args:
        run: What ``wandb.init`` returned.
        again: Starts a record offline, for a server that fails later on; None where it is one.
        folder: The run's folder, whose figures and pictures that record is then written from.
    """

    def __init__(
        self, run: Any, again: Callable[[], Any] | None = None, folder: Path | None = None
    ) -> None:
        super().__init__()
        self.experiment = run
        self._again, self._folder = again, folder
        self._broken: BaseException | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.experiment.name

    @property
    def version(self) -> str:
        """The run's identity."""
        return self.experiment.id

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Nothing: the run was started with the whole recipe."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Sends figures; ``step`` as in `MetricsFile`."""
        if self._broken:
            return
        try:
            self.experiment.log(dict(metrics), step=None if step is None else int(step) + 1)
        except Exception as error:
            self._broken = error
            _warn(f"W&B has stopped ({_short(error)}); figures go to metrics.csv only.")

    def log_picture(self, name: str, picture: Tensor, step: int) -> None:
        """Sends a picture, shape (3, H, W), in [0, 1] or uint8; ``step`` as in `MetricsFile`."""
        import wandb

        self.log_metrics({name: wandb.Image(as_image(picture))}, step)

    def _send(self, *paths: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"{self.version}-checkpoints", type="model")
        for path in paths:
            if path.is_file():
                artifact.add_file(str(path))
        self.experiment.log_artifact(artifact)

    def finish(self, exit_code: int, *checkpoints: Path) -> None:
        """Ends the run and the process behind it, so that nothing is lost or left over.

        Args:
            exit_code: 0 if the run ended well.
            checkpoints: Files to be sent before, as one artifact.
        """
        try:
            if checkpoints and not self._broken:
                self._send(*checkpoints)
            with _told_after(
                PATIENCE, f"W&B is sending what is left (at most {FINISH_SECONDS:.0f} s)."
            ):
                _finish(self.experiment, exit_code)
        except Exception as error:  # the training is done; nothing here may spoil its end
            self._broken = self._broken or error
        if self._broken is not None:
            self._write_again(self._broken, exit_code)

    def _write_again(self, error: BaseException, exit_code: int) -> None:
        """Makes a record that can be sent later from what lies in the run's folder."""
        why = _short(error)
        try:
            if self._again is None or self._folder is None:
                raise error
            run = self._again()
            for step, row in _recorded(self._folder):
                run.log(row, step=step)
            place = Path(run.dir).parent
            _finish(run, exit_code)
        except Exception:
            _warn(f"W&B did not end well ({why}); metrics.csv has all figures.")
            return
        _warn(
            f"W&B's server failed after the start ({why}); figures and pictures are recorded "
            f"offline. To send them: wandb sync {shlex.quote(str(place))}"
        )


@contextmanager
def _told_after(seconds: float, message: str) -> Iterator[None]:
    """Says what is waited for, if it takes longer than a person likes to wait without a word."""
    timer = threading.Timer(seconds, _warn, (message,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _finish(run: Any, exit_code: int) -> None:
    run.finish(exit_code=exit_code)
    import wandb

    wandb.teardown(exit_code)  # waits until all of it is in the file


def _recorded(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields a run's figures by batch, with the pictures drawn at the ends of their epochs."""
    import wandb

    rows = sorted(_read_rows(folder / "metrics.csv").items())
    ends = {int(row.get("epoch", 0)): step for step, row in rows}
    pictures: dict[int, dict[str, Any]] = {}
    for path in sorted((folder / "pictures").glob("*-epoch*.png")):
        name, _, epoch = path.stem.rpartition("-epoch")
        if epoch.isdigit() and int(epoch) - 1 in ends:
            drawn = pictures.setdefault(ends[int(epoch) - 1], {})
            drawn[f"pictures/{name}"] = wandb.Image(str(path))
    for step, row in rows:
        yield step, {**row, **pictures.get(step, {})}


def logged_in() -> bool:
    """Says whether W&B would find a key, without asking anybody or opening a connection."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    own = os.environ.get("NETRC")
    for path in [Path(own)] if own else [Path("~/.netrc"), Path("~/_netrc")]:
        try:
            if netrc.netrc(str(path.expanduser())).authenticators(host) is not None:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _mode(wanted: WandbMode) -> str:
    """Decides between online, offline and off."""
    told = os.environ.get("WANDB_MODE", "").lower()
    if wanted == "off" or told == "disabled":
        return "off"
    if told in ("offline", "dryrun"):
        return "offline"
    if told in ("online", "run"):
        wanted = "online"
    if wanted == "auto":
        return "online" if logged_in() else "offline"
    if wanted == "online" and not logged_in():
        _warn("W&B finds no key (log in with: wandb login); the run is recorded offline.")
        return "offline"
    return wanted


def start_tracker(
    folder: Path, group: str, wanted: WandbMode, config: dict[str, Any]
) -> Tracker | None:
    """Starts the record of a run in W&B, or returns None where it is off or does not start.

    Online if the user is logged in, else offline: the run can be sent later with ``wandb sync``.
    It never asks for anything, and trouble with it never stops a run.

    Args:
        folder: The run's folder, where W&B keeps its files.
        group: The recipe's name, W&B's group of runs.
        wanted: What the user wants; ``auto`` decides as above, and ``$WANDB_MODE`` has a say.
        config: The resolved recipe and what else describes the run.
    """
    mode = _mode(wanted)
    if mode == "off":
        return None

    def again() -> Any:  # under another name, since the first one is taken by then
        return _start(folder, group, "offline", config, suffix="-offline")

    try:
        run = _start(folder, group, mode, config)
        return Tracker(run, again if mode == "online" else None, folder)
    except Exception as error:
        if mode == "online":
            _warn(f"W&B cannot be reached ({_short(error)}); the run is recorded offline.")
            try:
                return Tracker(again())
            except Exception as other:
                error = other
        _warn(f"W&B did not start ({_short(error)}); figures go to metrics.csv only.")
        return None


def _start(folder: Path, group: str, mode: str, config: dict[str, Any], suffix: str = "") -> Any:
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nobody is called when it fails
    logging.getLogger("wandb").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its warnings speak to its developers
        import wandb

        name = f"{group}-{folder.name}{suffix}"
        ours = {
            "project": "zoo", "run_group": group, "name": name, "run_id": name, "dir": str(folder),
            "resume": "allow" if mode == "online" else None, "silent": True, "quiet": True,
            "console": "off", "init_timeout": 20, "x_disable_machine_info": False,
        }  # fmt: skip
        # What a person has told W&B by its own variables goes first: it reads them by itself.
        ours = {key: v for key, v in ours.items() if f"WANDB_{key.upper()}" not in os.environ}
        arguments = {ARGUMENTS[key]: ours.pop(key) for key in ARGUMENTS if key in ours}
        settings = wandb.Settings(**ours)
        if mode == "online" and "WANDB_FINISH_TIMEOUT" not in os.environ:
            with suppress(AttributeError, ValueError):  # older releases wait without a limit
                settings.finish_timeout, settings.finish_timeout_raises = FINISH_SECONDS, True
        return wandb.init(mode=mode, config=config, settings=settings, **arguments)  # type: ignore[arg-type]


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__


def _warn(message: str) -> None:
    say(f"zoo.fit: {message}")
