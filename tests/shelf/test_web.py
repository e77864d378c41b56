"""Models from a web server: what is right loads, everything else ends in one sentence.

The server is a local one that speaks https with a certificate made for the occasion.
"""

import http.server
import json
import shutil
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import zoo
from zoo.core import waiting
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.shelf.card import LARGEST_CARD, digest
from zoo.shelf.find import _web_index, available, read_card, shelf_folder
from zoo.shelf.run_weights import load_any
from zoo.shelf.web import cache_folder, download
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate")


# ------------------------------------------------------------------------- the server


class Answer(NamedTuple):
    """What the server says; `cut` bytes of the body are announced and not sent."""

    body: bytes = b""
    status: int = 200
    location: str = ""
    cut: int = 0
    announce: bool = True
    header: tuple[str, str] | None = None


class Server:
    """Serves what it is told to, and counts what it was asked for."""

    def __init__(self, files):
        self.answers, self.asked = {}, []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.asked.append(self.path)
                answer = owner.answers.get(self.path, Answer(b"none", 404))
                self.send_response(answer.status)
                if answer.location:
                    self.send_header("Location", answer.location)
                if answer.announce:
                    self.send_header("Content-Length", str(len(answer.body) + answer.cut))
                if answer.header:
                    self.send_header(*answer.header)
                self.end_headers()
                try:
                    self.wfile.write(answer.body)
                except OSError:
                    pass  # whoever asked has heard enough
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files / "cert.pem", files / "key.pem")
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.http.handle_error = lambda *_: None  # a client that does not trust us hangs up
        self.root = f"https://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        if self.thread.is_alive():
            self.http.shutdown()
            self.thread.join()
            self.http.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=test",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A shelf with one small model."""
    root = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    model = MODELS["InfoGAN"](ImageSpec(1, 8, 8, 10), noise_dim=4, width=4, features=8)
    write_entry("small", model, {"scores": []}, shelf=root)
    return root


class Place:
    """A server with the model's two files, and how to name them."""

    def __init__(self, server, shelf):
        self.server = server
        self.card = (shelf / "small" / "card.json").read_bytes()
        self.file = json.loads(self.card)["weights"]["file"]
        self.weights = (shelf / "small" / self.file).read_bytes()
        self.serve(self.card, self.weights)

    def serve(self, card=None, weights=None):
        for file, content in (("card.json", card), (self.file, weights)):
            if content is not None:
                answer = content if isinstance(content, Answer) else Answer(content)
                self.server.answers[f"/m/{file}"] = answer

    def forge(self, change):
        """Serves another card, whose hash the address then has."""
        card = json.loads(self.card)
        change(card)
        forged = json.dumps(card).encode()
        self.serve(forged)
        return self.address(forged)

    def address(self, card=None):
        return f"{self.server.root}/m/card.json#sha256={digest(card or self.card)}"


@pytest.fixture
def server(certificate, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    running = Server(certificate)
    _web_index.cache_clear()
    yield running
    running.stop()
    _web_index.cache_clear()


@pytest.fixture
def place(server, published):
    return Place(server, published)


def same(left, right):
    torch.testing.assert_close(left, right, rtol=0, atol=0)


# ------------------------------------------------------------------------- what loads


def test_a_model_comes_over_the_web_once(place, published, capsys):
    expected = load("small", shelf=published).sample(3, seed=1)
    model = zoo.load(place.address())
    assert not model.training
    same(model.sample(3, seed=1), expected)
    assert place.server.asked == ["/m/card.json", f"/m/{place.file}"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{len(place.weights):,} bytes" in said

    place.server.stop()  # from now on the cache must do
    same(load_any(place.address()).sample(3, seed=1), expected)
    assert capsys.readouterr().err == ""
    card, folder = read_card(place.address())
    assert card["name"] == "small" and folder.parent.parent == cache_folder()
    assert {path.name for path in folder.iterdir()} == {"card.json", place.file}


@pytest.mark.parametrize("file", ["card", "weights"])
def test_a_damaged_copy_is_fetched_again(place, file):
    load(place.address())
    _, folder = read_card(place.address())
    copy = folder / (place.file if file == "weights" else "card.json")
    copy.write_bytes(copy.read_bytes()[:-3])
    place.server.asked.clear()
    load(place.address())
    assert place.server.asked == [f"/m/{copy.name}"]
    copy.write_bytes(b"other")
    place.server.stop()
    with pytest.raises(UserError, match="network"):
        load(place.address())


def test_a_server_may_send_elsewhere_by_https(place):
    place.server.answers["/there"] = Answer(place.weights)
    place.serve(weights=Answer(status=302, location="/there"))
    load(place.address())
    assert place.server.asked[-1] == "/there"


def test_the_pin_may_be_written_in_capitals(place):
    address, _, pin = place.address().partition("sha256=")
    load(f"{address}sha256={pin.upper()}")


# ------------------------------------------------------------------------- what is refused


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def names(file):
    return lambda place: place.forge(lambda card: card["weights"].update(file=file))


def serve(**what):
    """Serves something else than the model's files, made from them."""

    def spoil(place):
        place.serve(**{file: make(getattr(place, file)) for file, make in what.items()})

    return spoil


REFUSED = {
    # addresses
    "no pin": (lambda p: p.address().partition("#")[0], "needs the hash of the card"),
    "half a pin": (lambda p: p.address()[:-1], "64 hexadecimal digits"),
    "another hash": (lambda p: p.address().replace("sha256", "md5"), "64 hexadecimal digits"),
    "plain http": (lambda p: p.address().replace("https:", "http:"), "only"),
    "a local file": (lambda p: "file:///etc/passwd#sha256=" + "0" * 64, "only"),
    "ftp": (lambda p: "ftp://127.0.0.1/card.json#sha256=" + "0" * 64, "only"),
    "no host": (lambda p: "https:///card.json#sha256=" + "0" * 64, "only"),
    "a password": (lambda p: p.address().replace("//", "//me:secret@"), "password"),
    "no number for a port": (lambda p: p.address().replace("127.0.0.1:", "127.0.0.1:x"), "not an"),
    "a line break": (lambda p: p.address().replace("/m/", "/m/%0a\n"), "must be escaped"),
    # the server
    "nobody there": (lambda p: p.server.stop(), "Is there a network?"),
    "not found": (serve(card=lambda _: Answer(b"", 404)), "answered 404"),
    "broken server": (serve(weights=lambda _: Answer(b"", 500)), "answered 500"),
    "sent to plain http": (
        serve(card=lambda c: Answer(b"", 302, "http://127.0.0.1/card.json")), "only https",
    ),
    "sent to a local file": (
        serve(weights=lambda c: Answer(b"", 301, "file:///etc/passwd")), "is not allowed",
    ),
    "sent in circles": (serve(card=lambda c: Answer(b"", 302, "/m/card.json")), "answered 302"),
    # the card
    "another card": (serve(card=lambda c: c.replace(b"small", b"smile")), "is not the address's"),
    "a truncated card": (serve(card=lambda c: Answer(c[:-9], cut=9)), "broke off"),
    "a card shorter than it was": (serve(card=lambda c: c[:-9]), "is not the address's"),
    "a huge card": (serve(card=lambda c: b" " * (LARGEST_CARD + 1)), "larger than"),
    "a huge card that is not announced": (
        serve(card=lambda c: Answer(b" " * (LARGEST_CARD + 1), announce=False)), "larger than",
    ),
    "no card": (lambda p: (p.serve(b"[]"), p.address(b"[]"))[1], "not a readable card"),
    "a card of another format": (lambda p: p.forge(lambda c: c.update(format=9)), "format 9"),
    "a card without sizes": (
        lambda p: p.forge(lambda c: c["weights"].pop("bytes")), "not a readable card",
    ),
    "a foreign class": (lambda p: p.forge(lambda c: c.update(model="os.system")), "unknown model"),
    # the weights
    "weights above": (names("../weights.safetensors"), "outside its folder"),
    "weights at a path": (names("/etc/passwd"), "outside its folder"),
    "weights at an address": (names("https://evil/x.safetensors"), "outside its folder"),
    "weights behind a backslash": (names("..\\x.safetensors"), "no safetensors file"),
    "weights with a query": (names("x.safetensors?y"), "no safetensors file"),
    "a pickle": (names("weights.pt"), "no safetensors file"),
    "no name": (names(""), "outside its folder"),
    "weights that are said to be huge": (
        lambda p: p.forge(lambda c: c["weights"].update(bytes=2**40)), "are refused",
    ),
    "weights of less than nothing": (
        lambda p: p.forge(lambda c: c["weights"].update(bytes=-1)), "are refused",
    ),
    "damaged weights": (serve(weights=flipped), "is not the card's"),
    "truncated weights": (serve(weights=lambda w: Answer(w[:99], cut=len(w) - 99)), "broke off"),
    "longer weights": (serve(weights=lambda w: w + b"x"), "larger than"),
    "weights that never end": (
        serve(weights=lambda w: Answer(w + b"x" * 2**21, announce=False)), "larger than",
    ),
    "no weights": (serve(weights=lambda w: Answer(b"", 404)), "answered 404"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_web_refuses(case, place, capsys):
    spoil, words = REFUSED[case]
    address = spoil(place)
    with pytest.raises(UserError) as refused:
        load(address if isinstance(address, str) else place.address())
    said = str(refused.value)
    assert words in said
    assert len(said) < 400 and "secret" not in said
    assert capsys.readouterr().err == ""
    kept = [path for path in cache_folder().rglob("*") if path.is_file()]
    assert all(path.name == "card.json" for path in kept), "something wrong was kept"


def test_a_server_that_nobody_vouches_for_is_refused(place, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UserError, match=r"(?i)certificate"):
        load(place.address())


def test_what_is_too_large_is_not_even_read(place):
    place.serve(weights=Answer(b"", cut=10**15))
    with pytest.raises(UserError, match="larger than"):
        download(f"{place.server.root}/m/{place.file}", 1000)


# ------------------------------------------------------------------------- a shelf on the web


@pytest.fixture
def shelf(server, published, monkeypatch):
    for path in published.rglob("*"):
        if path.is_file():
            name = path.relative_to(published).as_posix()
            server.answers[f"/shelf/{name}"] = Answer(path.read_bytes())
    monkeypatch.setenv("ZOO_SHELF", f"{server.root}/shelf/")
    return server


def test_a_shelf_on_the_web_serves_names(shelf, published):
    assert available() == ["small"]
    same(load("small").sample(2, seed=0), load("small", shelf=published).sample(2, seed=0))
    assert shelf.asked.count("/shelf/index.json") == 1
    with pytest.raises(UserError, match="Did you mean small"):
        load("smal")


def test_a_shelf_on_the_web_is_remembered(shelf):
    load("small")
    shelf.stop()
    _web_index.cache_clear()  # as in another process
    assert available() == ["small"]
    load("small")


def test_a_shelf_on_the_web_that_was_never_seen(shelf):
    shelf.stop()
    with pytest.raises(UserError, match="Is there a network"):
        load("small")


def test_a_card_that_the_index_on_the_web_does_not_know(shelf):
    card = shelf.answers["/shelf/small/card.json"].body
    shelf.answers["/shelf/small/card.json"] = Answer(card.replace(b"small", b"smile"))
    with pytest.raises(UserError, match="is not the index's"):
        load("small")


@pytest.mark.parametrize("index", [b"?", b"[]", b'{"cards": {"small": 3}}', b'{"cards": 1}'])
def test_an_index_on_the_web_that_is_none(shelf, index):
    shelf.answers["/shelf/index.json"] = Answer(index)
    with pytest.raises(UserError, match="not a readable index"):
        available()


HASHES_THAT_ARE_NONE = {
    "absolute": "{outside}/stolen",
    "climbing": "../../../../../../../../../..{outside}/stolen",
    "NUL": "a" * 63 + "\0",
    "too long": "a" * 65,
    "too short": "a" * 63,
    "capital": "A" * 64,
    "Unicode digits": "\u0663" * 64,
    "a line more": "a" * 64 + "\n",
    "number": 3,
    "none": None,
    "list": ["a" * 64],
}


@pytest.mark.parametrize("bad", HASHES_THAT_ARE_NONE.values(), ids=HASHES_THAT_ARE_NONE)
def test_a_servers_index_writes_nowhere(shelf, tmp_path, bad):
    """The hash named the cache's folder, so that a server chose where files were written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    card = shelf.answers["/shelf/small/card.json"].body
    bad = bad.format(outside=outside) if isinstance(bad, str) else bad
    index = {"format": 1, "cards": {"small": [digest(card), bad]}}
    shelf.answers["/shelf/index.json"] = Answer(json.dumps(index).encode())
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        load("small")
    assert not list(outside.iterdir()) and not list(tmp_path.glob("cache/entries/*"))


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "nul\0", "", "a" * 300, "Small", "."])
def test_a_servers_index_names_models_plainly(shelf, name):
    index = {"format": 1, "cards": {name: ["a" * 64]}}
    shelf.answers["/shelf/index.json"] = Answer(json.dumps(index).encode())
    with pytest.raises(UserError, match="must give names"):
        available()


@pytest.mark.parametrize("part", ["file", "sha256"])
@pytest.mark.parametrize(
    "bad",
    [
        "/tmp/x.safetensors", "../x.safetensors", "a\0.safetensors", "", "\u0663" * 64,
        "a" * 300 + ".safetensors", "A.safetensors",
    ],
)  # fmt: skip
def test_a_servers_card_writes_nowhere(place, tmp_path, part, bad):
    card = json.loads(place.card)
    card["weights"][part] = bad
    changed = json.dumps(card).encode()
    place.serve(card=Answer(changed))
    with pytest.raises(UserError, match="refused"):
        load(place.address(changed))
    kept = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept == ["card.json"]


@pytest.mark.parametrize("length", ["\u00b2", "1e3", "-1", "9" * 400])
def test_a_length_that_is_no_number_is_not_believed(place, length):
    place.serve(weights=Answer(place.weights, announce=False, header=("Content-Length", length)))
    assert download(f"{place.server.root}/m/{place.file}", 2**20) == place.weights


@pytest.mark.parametrize("address", ["https://[::1", "https://[::1]:x/", "https://h:99999999/"])
def test_an_address_that_is_none(place, monkeypatch, address):
    with pytest.raises(UserError, match="not an address of the web"):
        load(f"{address}#sha256={'a' * 64}")
    monkeypatch.setenv("ZOO_SHELF", address)
    with pytest.raises(UserError, match="not an address of the web"):
        available()
    place.serve(weights=Answer(b"", 302, address))  # the server sends us there
    with pytest.raises(UserError, match="not an address of the web"):
        download(f"{place.server.root}/m/{place.file}", 1000)


def test_nothing_is_written_to_a_shelf_on_the_web(shelf, published):
    with pytest.raises(UserError, match="cannot be changed from here"):
        write_entry("new", load("small", shelf=published), {})
    with pytest.raises(UserError, match="set ZOO_SHELF"):
        shelf_folder()


# ------------------------------------------------------------------------- the cache


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms have other places")
def test_the_cache_lies_where_the_platform_wants_it(monkeypatch):
    monkeypatch.delenv("ZOO_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/me/.cache/zoo-generative")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert cache_folder() == Path("/var/cache/me/zoo-generative")
    monkeypatch.setenv("ZOO_CACHE", "/tmp/mine")
    assert cache_folder() == Path("/tmp/mine")


# ------------------------------------------------------------------------- servers that dawdle


def dawdle(answer):
    """Serves https, one byte of an answer every tenth of a second; the last one comes for ever."""

    def serve(handler):
        try:
            for byte in answer:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.1)
            while True:
                handler.wfile.write(answer[-1:])
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            handler.close_connection = True  # whoever asked has gone

    return serve


HEAD = b"HTTP/1.1 200 OK\r\n"
DAWDLERS = {
    "status": b"HTTP/1.1 200 O",
    "a header": HEAD + b"X-Long: a",
    "the body": HEAD + b"Content-Length: 100000\r\n\r\nx",
    "a body of unknown length": HEAD + b"\r\nx",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", DAWDLERS)
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(case, place, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 3.0)
    monkeypatch.setattr(place.server.http.RequestHandlerClass, "do_GET", dawdle(DAWDLERS[case]))
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"cannot be fetched: only \d+ bytes came in \d seconds"):
        download(f"{place.server.root}/m/card.json", 2**20)
    assert time.monotonic() - begun < 10
