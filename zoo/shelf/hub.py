"""Published models on the Hugging Face Hub: ``hf://owner/name@revision#sha256=...``.

Revision and hash may be left out. What is trusted then is the repository: whoever may write to it
decides what is loaded, and its card vouches for its weights. With the card's hash in the address,
nobody can change the model unnoticed; after a download the zoo says how to write that address.
Nothing runs code from the repository either way.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo import __version__
from zoo.core.errors import UserError
from zoo.core.files import read_regular
from zoo.core.waiting import at_a_pace
from zoo.shelf.card import CARD, digest, split_pin
from zoo.shelf.web import cache_folder, tell

__all__ = ["Hub", "check_repository", "push", "who_pushes"]

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
ADDRESS = re.compile(rf"hf://({REPOSITORY.pattern})(?:@([\w.][\w./-]*))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
MISSING = "hf:// addresses need the package huggingface_hub: pip install 'zoo-generative[hub]'."


def _library() -> ModuleType:
    """Imports huggingface_hub, which only those need who use the hub."""
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(MISSING) from None
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")  # read now; the library reads it when it is imported


def check_repository(name: str) -> str:
    """Returns the name of a repository.

    Raises:
        UserError: if it is none.
    """
    if not REPOSITORY.fullmatch(name) or ".." in name or "--" in name:
        raise UserError(f"{name!r} is not a valid name of a repository; it looks like owner/name.")
    return name


@dataclass
class Hub:
    """A published model in a repository of the hub.

    Args:
        repository: ``owner/name``.
        revision: Branch, tag or commit; once a file has been read, the commit it came from.
        hashes: SHA-256 that the card may have; empty where the repository is trusted.
        label: What messages call it.
    """

    repository: str
    revision: str | None
    hashes: Sequence[str]
    label: str
    folder: Path = field(default_factory=lambda: cache_folder() / "hub")
    _card: str = ""

    @classmethod
    def at(cls, address: str) -> Hub:
        """Reads an address.

        Raises:
            UserError: if it is none.
        """
        rest, pin = split_pin(address)
        found = ADDRESS.fullmatch(rest)
        if not found or ".." in rest:
            raise UserError(
                f"{rest!r} is not an address of a model: it looks like hf://owner/name or "
                "hf://owner/name@revision."
            )
        return cls(check_repository(found[1]), found[2], (pin,) if pin else (), rest)

    def read(self, file: str, hashes: Sequence[str], limit: int) -> bytes:
        """Returns a file from the library's cache, else from the hub.

        Raises:
            UserError: if it cannot be fetched or is larger than it may be.
        """
        content, fetched = self._fetch(file, limit)
        if hashes and digest(content) not in hashes and not fetched:
            content, fetched = self._fetch(file, limit, again=True)  # the copy was damaged
        if file == CARD:
            self._card = digest(content)
        elif fetched and digest(content) in hashes:
            pinned = f"hf://{self.repository}@{self.revision}#sha256={self._card}"
            tell(f"fetched the weights of {self.label}, {len(content):,} bytes; pinned: {pinned}")
        return content

    def _fetch(self, file: str, limit: int, again: bool = False) -> tuple[bytes, bool]:
        """Returns a file, and whether it came over the network."""
        hub = _library()
        request = {
            "repo_id": self.repository, "filename": file, "cache_dir": cache_folder() / "hub",
            "endpoint": _endpoint(), "library_name": "zoo", "library_version": __version__,
        }  # fmt: skip
        with _in_a_sentence(f"{file} of {self.label}"):
            about = at_a_pace(
                lambda: hub.hf_hub_download(**request, revision=self.revision, dry_run=True),
                lambda: 0,
            )
            if not COMMIT.fullmatch(str(about.commit_hash)):  # the library's cache has it in paths
                raise UserError(f"{file} of {self.label}: the hub names a commit that is not one.")
            if about.file_size is None or about.file_size > limit:
                raise UserError(
                    f"{file} of {self.label} is larger than the {limit:,} bytes that it may have; "
                    "refused."
                )
            bar = _silent()
            path = at_a_pace(
                lambda: hub.hf_hub_download(
                    **request, revision=self.revision, force_download=again, tqdm_class=bar
                ),
                _incomplete,
            )
            content = read_regular(Path(path), limit)
        self.folder = Path(path).parent
        self.revision = self.folder.name  # the commit: the weights are of the card's, too
        return content, again or not about.is_cached

    def wrong_hash(self, file: str) -> str:
        """Says which hash is not whose, and what may be done about it."""
        whose = "the address's" if file == CARD else "the card's"
        return f"the hash of {file} in the repository is not {whose}; refused."


def _incomplete() -> int:
    """Says how many bytes have come of what the library is fetching."""
    found = 0
    for path in (cache_folder() / "hub").rglob("*.incomplete"):
        with suppress(OSError):  # complete in the meantime
            found += path.stat().st_size
    return found


def _silent() -> Any:
    """Returns the library's progress bar, switched off: files are small and errors one sentence."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent


@contextmanager
def _in_a_sentence(what: str) -> Iterator[None]:
    """Retells what went wrong between the library and the hub.

    Raises:
        UserError: for whatever the library raises about network, rights and files.
    """
    from huggingface_hub import errors

    network = getattr(errors, "HTTPError", OSError)  # of whichever client the library uses
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it tells of every attempt, and the last one is told below
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError:
        raise UserError(
            f"{what}: the repository needs a login: use 'hf auth login', or set HF_TOKEN."
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{what}: there is no such repository, or it is private.") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{what}: the repository has no such revision.") from None
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"{what} cannot be fetched: the hub does not answer, and the cache has no copy. Is "
            "there a network?"
        ) from None
    except errors.EntryNotFoundError:
        raise UserError(f"{what}: the repository has no such file.") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "nothing")
        raise UserError(f"{what}: the hub answered {status}.") from None
    except (network, OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:150].rstrip(". ") or type(error).__name__
        raise UserError(f"{what}: the hub cannot be used: {said}.") from None
    finally:
        log.setLevel(level)


# ---------------------------------------------------------------- publishing


def who_pushes() -> str:
    """Returns the name of the account that would push.

    Raises:
        UserError: if nobody is logged in, or the hub does not know them.
    """
    hub = _library()
    if not hub.get_token():
        raise UserError("to push to the hub, log in first with 'hf auth login', or set HF_TOKEN.")
    with _in_a_sentence("your login"):
        return str(hub.HfApi(endpoint=_endpoint()).whoami()["name"])


def push(repository: str, files: Mapping[str, Path | bytes], old: Iterable[str] = ()) -> str:
    """Puts files into a repository in one commit, so that readers see all of them or none.

    Args:
        repository: ``owner/name``; it is made if there is none.
        files: Content, or where it lies, by name.
        old: Patterns of files that go in the same commit unless they are among the new ones.

    Returns:
        The commit.

    Raises:
        UserError: if the hub refuses.
    """
    hub = _library()
    check_repository(repository)
    api = hub.HfApi(endpoint=_endpoint(), library_name="zoo", library_version=__version__)
    with _in_a_sentence(f"pushing to {repository}"):
        api.create_repo(repository, exist_ok=True)
        there = set(api.list_repo_files(repository))
        gone = {name for name in there for pattern in old if Path(name).match(pattern)}
        commit = api.create_commit(
            repository,
            [
                *(hub.CommitOperationDelete(name) for name in sorted(gone - files.keys())),
                *(hub.CommitOperationAdd(name, file) for name, file in files.items()),
            ],
            commit_message=f"{repository.partition('/')[2]}, by zoo {__version__}",
        )
    return str(commit.oid)
