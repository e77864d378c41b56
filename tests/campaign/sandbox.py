"""The folder that a campaign is played in, what is watched in it, and the judgement of a try."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from hostile import EVIL, remove

ROOT = Path(__file__).resolve().parents[2]
SHELF = ("features_digits", "infogan_digits", "vae_digits")
RECIPE = """\
model: {class_path: InfoGAN, init_args: {noise_dim: 4, width: 4, features: 8}}
data: {class_path: Digits, init_args: {batch_size: 600}}
trainer: {max_epochs: 1, accelerator: cpu}
evaluate: false
pictures_every: 100
wandb: "off"
"""
LONGEST_LINE = 1700  # characters: a sentence with the command's name
FETCHED = re.compile(r"^zoo: fetched the weights of .*\n")  # is told beside the answer
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PATIENCE = 10
BELLS = ((signal.SIGPROF, signal.ITIMER_PROF, 1), (signal.SIGALRM, signal.ITIMER_REAL, PATIENCE))
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Places of a command that changes them where nothing else is said.
DEFAULTS = ("grid.png", "report.html", "compare.png", "gallery", "runs", "tour", "probe")


class Enough(BaseException):
    """Everything was accepted, and the hours of work that follow are not the campaign's."""


class TooLong(BaseException):
    """A try took longer than the limit."""


@dataclass
class Try:
    """What one try does.

    Args:
        action: Does it, and returns an exit code.
        about: What was done, for the report of a failure.
        may_write: Folders and files that it may change, besides the runs, the cache and `out`.
        codes: Exit codes that are an answer.
    """

    action: object
    about: str
    may_write: tuple[Path, ...] = ()
    codes: tuple[int, ...] = (0, 2)


@dataclass
class Sandbox:
    """Folders below one root, the same before every try.

    Args:
        root: An empty folder.
    """

    root: Path
    writes: list[str] = field(default_factory=list)  # outside the sandbox, or other commands
    watching: bool = False

    def __post_init__(self):
        self.work = self.root / "a" / "b" / "c" / "work"  # deep: ../../x stays in the sandbox
        self.shelf, self.runs = self.work / "shelf", self.work / "runs"
        self.out, self.given = self.work / "out", self.work / "given"
        self.temporary = self.root / "tmp"
        self.cache, self.mark = self.root / "cache", self.root / "MARK"
        self.template = self.root.parent / f"{self.root.name}-template"
        self.run = self.runs / "small" / "done"

    # ------------------------------------------------------------ the folders

    def prepare(self):
        """Makes the template, in which one run has trained an epoch."""
        modules = self.root.parent / f"{self.root.name}-modules"
        made = (self.template / "shelf", self.template / "runs", modules, self.temporary)
        for folder in made:
            folder.mkdir(parents=True)
        mark = f"open({str(self.mark)!r}, 'w')\nclass Evil: ...\n"
        (modules / f"{EVIL.partition('.')[0]}.py").write_text(mark)
        sys.path.insert(0, str(modules))
        for name in SHELF:
            shutil.copytree(
                ROOT / "checkpoints" / name, self.template / "shelf" / name,
                ignore=shutil.ignore_patterns("trav*", "rec*"),
            )  # fmt: skip
        index = json.loads((ROOT / "checkpoints" / "index.json").read_text())
        index["cards"] = {name: index["cards"][name] for name in SHELF}
        (self.template / "shelf" / "index.json").write_text(json.dumps(index))
        (self.template / "small.yaml").write_text(RECIPE)
        self._environment()
        from zoo.fit import main

        line = [str(self.template / "small.yaml"), f"--run_root={self.template / 'runs'}"]
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(line) == 0
        (made,) = (self.template / "runs" / "small").iterdir()
        made.rename(made.with_name("done"))
        self.reset()

    def _environment(self):
        for name in [n for n in os.environ if n.startswith(("ZOO_", "WANDB_", "HF_"))]:
            del os.environ[name]
        temporary, tempfile.tempdir = str(self.temporary), str(self.temporary)
        os.environ.update(
            ZOO_SHELF=str(self.shelf), ZOO_CACHE=str(self.cache), WANDB_MODE="disabled",
            ZOO_DATA=str(self.root / "data"), HOME=str(self.root / "home"), COLUMNS="200",
            TMPDIR=temporary, MPLCONFIGDIR=temporary, HF_HUB_OFFLINE="1",
        )  # fmt: skip
        sys.argv = ["campaign"]

    def reset(self):
        """Makes everything new."""
        os.chdir(self.root.parent)
        shutil.rmtree(self.root)
        other = (self.root / "home", self.root / "data", self.temporary)
        for folder in (self.work, self.out, self.given, *other):
            folder.mkdir(parents=True)
        for name in ("shelf", "runs", "small.yaml"):
            source = self.template / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.work / name)
        (self.work / "image.png").write_bytes(
            (self.shelf / "vae_digits" / "samples.png").read_bytes()
        )
        os.chdir(self.work)

    def card(self, name):
        return json.loads((self.shelf / name / "card.json").read_text())

    def put_card(self, name, content):
        """Puts a card on the shelf and makes the index agree, as a bad publisher would."""
        (self.shelf / name / "card.json").write_bytes(content)
        index = json.loads((self.shelf / "index.json").read_text())
        index["cards"][name] = [hashlib.sha256(content).hexdigest()]
        (self.shelf / "index.json").write_text(json.dumps(index))

    def content(self):
        """Everything that lies here: kind, size and time by path."""
        found = {}
        stack = [self.root]
        while stack:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    seen = entry.stat(follow_symlinks=False)
                    folder = entry.is_dir(follow_symlinks=False)
                    found[entry.path] = (
                        seen.st_mode,
                        *(() if folder else (seen.st_size, seen.st_mtime_ns)),
                    )
                    if folder:
                        stack.append(entry.path)
        return found

    # ------------------------------------------------------------ what is watched

    def watch(self):
        """Notes files that are opened for writing elsewhere, and every other process."""

        def hook(event, arguments):
            if not self.watching:
                return
            if event == "open":
                path, mode, flags = arguments
                if not isinstance(path, (str, bytes)):
                    return
                if not (flags or 0) & WRITES and not set(mode or "r") & set("wax+"):
                    return
                self._note(path)
            elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"):
                self._note(arguments[0])
            elif event in ("os.rename", "os.symlink", "os.link"):
                self._note(arguments[1])
            elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"):
                if arguments[0] != "git":  # it is asked which commit the zoo is of
                    self.writes.append(f"starts {arguments[:2]!r}"[:200])

        sys.addaudithook(hook)

        def unreachable(*_, **__):
            raise OSError(101, "Network is unreachable")

        socket.socket.connect = socket.create_connection = socket.getaddrinfo = unreachable

    def _note(self, path):
        if not isinstance(path, (str, bytes)):
            return
        full = os.path.abspath(os.fsdecode(path))
        if not full.startswith((f"{self.root}", "/dev/", "/proc/")):
            self.writes.append(full)

    # ------------------------------------------------------------ the judgement

    def judge(self, attempt, limit):
        """Makes a try.

        Args:
            attempt: A `Try`.
            limit: Seconds of computing; of waiting, `PATIENCE` times as many, since other work on
                the machine must not make a failure of a try.

        Returns:
            What is wrong with what came out, or None; the exit code, what was said, and seconds.
        """
        before, out, err = self.content(), io.StringIO(), io.StringIO()
        code, wrong, began = None, None, time.monotonic()
        self.writes.clear()
        self.watching = True
        for bell, clock, seconds in BELLS:
            signal.signal(bell, _ring)
            signal.setitimer(clock, seconds * limit)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = attempt.action()
        except Enough:
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        except TooLong:
            wrong = f"takes longer than {limit:g} s\n{traceback.format_exc(limit=-6)}"
        except BaseException:
            wrong = traceback.format_exc(limit=-6)
        finally:
            for _, clock, _ in BELLS:
                signal.setitimer(clock, 0)
            self.watching = False
        os.chdir(self.work)
        said = err.getvalue()
        wrong = wrong or _answer(code, out.getvalue(), said, attempt.codes)
        wrong = wrong or self._writes(before, attempt)
        if self.mark.exists() or EVIL.partition(".")[0] in sys.modules:
            wrong = "runs code from a file"
            sys.modules.pop(EVIL.partition(".")[0], None)
        return wrong, code, said, time.monotonic() - began

    def _writes(self, before, attempt):
        if self.writes:
            return f"writes elsewhere: {self.writes[:5]}"
        after = self.content()
        changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
        free = (self.runs, self.out, self.cache, self.temporary, *(self.work / n for n in DEFAULTS))
        allowed = [os.path.realpath(path) for path in (*free, *attempt.may_write)]
        for path in changed:
            real = os.path.realpath(path)
            below = any(real == free or real.startswith(f"{free}/") for free in allowed)
            above = os.path.isdir(real) and any(free.startswith(f"{real}/") for free in allowed)
            if not below and not above:
                return f"changes {os.path.relpath(path, self.root)}"
        return None


def _ring(*_):
    raise TooLong


def _answer(code, out, said, codes):
    """Says what is wrong with an answer; None if nothing is."""
    if type(code) is not int or code not in codes:
        return f"exit code {code!r}: {said[-500:]}"
    said = FETCHED.sub("", said)
    if code == 2 and (said.count("\n") != 1 or not said.endswith("\n")):
        return f"not one line: {said[:1500]!r}"
    if code == 2 and len(said) > LONGEST_LINE:
        return f"a line of {len(said):,} characters: {said[:300]!r}"
    if found := CONTROL.search(said) or CONTROL.search(out):
        return f"the control character {found[0]!r} in {(said + out)[:500]!r}"
    if "Traceback" in said:
        return f"a traceback: {said[-1500:]}"
    try:
        (said + out).encode()
    except UnicodeEncodeError as error:
        return f"half a character in what is printed: {error}"
    return None


def clear(folder):
    """Removes what the campaign has made."""
    for path in folder.parent.glob(f"{folder.name}*"):
        remove(path)
