"""Published models on a web server: ``https://host/path/card.json#sha256=...``.

The hash in the address is what is trusted; who serves the files does not matter. The weights lie
beside the card under the name that the card gives. What was fetched is kept in a cache, by the
card's hash, and used again only while its own hash is right, then without a network.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from platformdirs import user_cache_dir

from zoo import __version__
from zoo.core.errors import UserError
from zoo.core.files import read_regular, replacing
from zoo.core.text import clean, say
from zoo.core.waiting import at_a_pace
from zoo.shelf.card import CARD, digest, split_pin

__all__ = ["Web", "cache_folder", "check_url", "download", "tell"]

TIMEOUT = 30.0  # seconds without a byte after which a server counts as gone
BLOCK = 2**20


def cache_folder() -> Path:
    """Returns where downloads are kept: ``$ZOO_CACHE``, else the platform's place for caches."""
    if chosen := os.environ.get("ZOO_CACHE"):
        return Path(chosen)
    return Path(user_cache_dir("zoo-generative", appauthor=False))


def tell(text: str) -> None:
    """Says what was fetched, beside the output of commands."""
    say(f"zoo: {text}")


@dataclass(frozen=True)
class Web:
    """A published model on a web server.

    Args:
        url: Address of its card.
        hashes: SHA-256 that the card may have; at least one.
        label: What messages call it.
        authority: Who says so: ``the address's``, ``the index's``.
    """

    url: str
    hashes: Sequence[str]
    label: str
    authority: str = "the address's"

    @classmethod
    def at(cls, address: str) -> Web:
        """Reads an address.

        Raises:
            UserError: if it is none, or has no hash.
        """
        url, pin = split_pin(address)
        check_url(url)
        if pin is None:
            raise UserError(
                f"{url} needs the hash of the card, so that nobody on the way can change it: "
                "add #sha256= and its 64 hexadecimal digits."
            )
        return cls(url, (pin,), url)

    @property
    def folder(self) -> Path:
        """The cache's folder for this model."""
        return cache_folder() / "entries" / self.hashes[-1]

    def read(self, file: str, hashes: Sequence[str], limit: int) -> bytes:
        """Returns a file from the cache, else from the server, and keeps it if its hash is right.

        Raises:
            UserError: if it cannot be fetched or is larger than it may be.
        """
        kept = self.folder / file
        try:
            content = read_regular(kept, limit)
            if digest(content) in hashes:
                return content
        except OSError:
            pass  # not there, or unreadable: it is fetched again
        content = download(self.url if file == CARD else urljoin(self.url, file), limit)
        if digest(content) in hashes:
            with replacing(kept) as temporary:
                temporary.write_bytes(content)
            if file != CARD:
                tell(f"fetched the weights of {self.label}, {len(content):,} bytes, to {kept}")
        return content

    def wrong_hash(self, file: str) -> str:
        """Says which hash is not whose, and what may be done about it."""
        whose = self.authority if file == CARD else "the card's"
        return f"the hash of what {urlsplit(self.url).hostname} sent is not {whose}; refused."


def check_url(url: str) -> None:
    """Refuses addresses that are not plain https.

    Raises:
        UserError: saying what is wrong.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises if it is not a number)
    except ValueError:
        raise UserError(f"{url} is not an address of the web.") from None
    if parts.scheme != "https" or not parts.hostname:
        raise UserError(f"{url} is refused: only https://host/path addresses are fetched.")
    if "@" in parts.netloc:
        raise UserError(f"an address of {parts.hostname} holds a name or a password; refused.")
    if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in url):
        raise UserError(f"{url!r} is not an address of the web: some letters must be escaped.")


class _Redirects(HTTPRedirectHandler):
    """Follows a server to another place, but only by https."""

    max_redirections = 5

    def http_error_302(self, req: Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except UserError:
            raise
        except ValueError:  # urllib takes the new address apart before `redirect_request` sees it
            fp.close()
            raise UserError(f"{req.full_url} leads to what is not an address of the web.") from None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Request, fp: Any, *rest: Any) -> Request | None:
        try:
            check_url(rest[-1])
        except UserError:
            fp.close()
            raise
        return super().redirect_request(req, fp, *rest)


def _opener() -> OpenerDirector:
    """Speaks https and nothing else: no files, no ftp, no plain http."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPSHandler(context=ssl.create_default_context()),
        _Redirects(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


def download(url: str, limit: int) -> bytes:
    """Fetches a file by https.

    Args:
        url: Address.
        limit: Bytes; what is larger is refused before all of it has come.

    Raises:
        UserError: if it cannot be fetched whole, or is larger.
    """
    check_url(url)
    request = Request(
        url, headers={"User-Agent": f"zoo/{__version__}", "Accept-Encoding": "identity"}
    )
    content = bytearray()

    def fetch() -> int | None:
        """Returns the size that was announced."""
        with _opener().open(request, timeout=TIMEOUT) as answer:
            announced = answer.headers.get("Content-Length") or ""
            size = int(announced) if re.fullmatch(r"[0-9]{1,18}", announced) else None
            while size is None or len(content) < size <= limit:
                block = answer.read1(BLOCK)
                content.extend(block)
                if not block or len(content) > limit:
                    break
            return size

    try:
        size = at_a_pace(fetch, lambda: len(content))
    except HTTPError as error:
        with error:
            raise UserError(
                f"{url} cannot be fetched: the server answered {error.code} {clean(error.reason)}."
            ) from None
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        said = clean(getattr(reason, "strerror", None) or reason or type(error).__name__)
        raise UserError(
            f"{url} cannot be fetched: {said.rstrip('.')}. Is there a network?"
        ) from None
    if len(content) > limit or (size or 0) > limit:
        raise UserError(f"{url} is larger than the {limit:,} bytes that it may have; refused.")
    if size is not None and len(content) < size:
        raise UserError(f"{url} broke off after {len(content):,} of {size:,} bytes; try again.")
    return bytes(content)
