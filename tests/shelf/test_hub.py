"""Models on the hub: what is right loads, what is sent comes back, all else is one sentence.

The hub is a local stand-in that speaks as much of its protocol as the zoo uses, through the hub's
own library: files by revision with ETag and commit, commits, and the errors' codes.
"""

import base64
import http.server
import json
import re
import sys
import threading
import time

import pytest
import torch
import yaml

import zoo
from zoo.core import waiting
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.publish import main as publish
from zoo.shelf import hub as zoo_hub
from zoo.shelf.card import LARGEST_CARD, digest
from zoo.shelf.find import read_card
from zoo.shelf.hub import Hub, push
from zoo.shelf.page import model_card
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry
from zoo.show.publishing import send

huggingface_hub = pytest.importorskip("huggingface_hub")

MAIN, OLD = "a" * 40, "b" * 40  # commits
DATA = {"class_path": "zoo.data.Digits", "init_args": {"batch_size": 64}}


# ------------------------------------------------------------------------- the stand-in


class StandIn(http.server.BaseHTTPRequestHandler):
    """One request; the state is the server's."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server
        hub.asked.append(f"{self.command} {self.path}")
        if hub.broken:
            return self.answer(500, b"")
        if self.path == "/api/whoami-v2":
            known = self.headers.get("Authorization") == "Bearer good"
            return self.answer(200 if known else 401, json.dumps({"name": "me"}).encode())
        if found := re.fullmatch(r"/api/models/(.+?/.+?)/tree/main\?.*", self.path):
            files = hub.repositories.get(found[1], {}).get(MAIN, {})
            listed = [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in files]
            return self.answer(200, json.dumps(listed).encode())
        found = re.fullmatch(r"/(\w+/[\w-]+)/resolve/([^/]+)/(.+)", self.path)
        if not found or found[1] not in hub.repositories:
            return self.answer(401, b"", **{"X-Error-Code": "RepoNotFound"})
        commit = {"main": hub.main, "v1": OLD}.get(found[2], found[2])
        if commit not in hub.repositories[found[1]]:
            return self.answer(404, b"", **{"X-Error-Code": "RevisionNotFound"})
        content = hub.repositories[found[1]][commit].get(found[3])
        if content is None:
            return self.answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        return self.answer(200, content, etag=f'"{digest(content)}"', **{"X-Repo-Commit": commit})

    def do_POST(self):
        hub = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub.asked.append(f"POST {self.path}")
        if hub.forbidden:
            return self.answer(403, b"{}")
        if self.path == "/api/validate-yaml":
            return self.answer(200, b'{"errors": [], "warnings": []}')
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            hub.repositories.setdefault(name, {MAIN: {}})
            return self.answer(200, json.dumps({"url": f"{hub.address}/{name}"}).encode())
        name = re.match(r"/api/models/(.+?/.+?)/(preupload|commit)/main", self.path)[1]
        files = hub.repositories[name][MAIN]
        if "/preupload/" in self.path:
            modes = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, json.dumps({"files": modes}).encode())
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                hub.commits.append(value["summary"])
        told = {"commitUrl": f"{hub.address}/{name}/commit/{MAIN}", "commitOid": MAIN}
        return self.answer(200, json.dumps(told).encode())

    def answer(self, status, body, **headers):
        announced = len(body) + (self.server.cut if headers.get("X-Repo-Commit") else 0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(announced))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if not self.server.slow or not headers.get("X-Repo-Commit"):
            self.wfile.write(body)
            return
        for place in range(len(body)):  # a byte at a time, as long as anybody wants it
            if self.server.ended.wait(0.05):
                return
            self.wfile.write(body[place : place + 1])
            self.wfile.flush()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A shelf with one small model that has a recipe, a score and a picture."""
    root = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    model = MODELS["InfoGAN"](ImageSpec(1, 8, 8, 10), noise_dim=4, width=4, features=8)
    scores = [{"name": "fid[x,360,test]", "value": 1.25, "unit": "", "better": "lower"}]
    folder = write_entry("small", model, {"recipe": {"data": DATA}, "scores": scores}, shelf=root)
    (folder / "samples.png").write_bytes(b"\x89PNG")
    return root


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    server.asked, server.commits = [], []
    server.broken = server.forbidden = False
    server.cut, server.main = 0, MAIN
    server.slow, server.ended = False, threading.Event()
    files = {p.name: p.read_bytes() for p in (published / "small").iterdir()}
    server.files = dict(files)
    server.repositories = {"me/small": {MAIN: files, OLD: dict(files)}}
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def stop():
        if thread.is_alive():
            server.shutdown()
            thread.join()
            server.server_close()

    server.stop = stop
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "good")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_SHELF", str(published))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the library waits before it tries again
    yield server
    server.ended.set()
    stop()


def pinned(hub, where="hf://me/small"):
    return f"{where}#sha256={digest(hub.files['card.json'])}"


def weights(hub):
    return next(name for name in hub.files if name.endswith(".safetensors"))


def same(left, right):
    torch.testing.assert_close(left, right, rtol=0, atol=0)


# ------------------------------------------------------------------------- what loads


@pytest.mark.parametrize("where", ["", "@main", "@v1", f"@{OLD}"])
@pytest.mark.parametrize("pin", [False, True])
def test_a_model_comes_from_the_hub(hub, where, pin, capsys):
    address = f"hf://me/small{where}"
    model = zoo.load(pinned(hub, address) if pin else address)
    same(model.sample(3, seed=1), load("small").sample(3, seed=1))
    commit = MAIN if where in ("", "@main") else OLD
    exact = f"hf://me/small@{commit}#sha256={digest(hub.files['card.json'])}"
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and exact in said

    hub.asked.clear()
    load(exact)  # all of it is in the cache
    assert not [line for line in hub.asked if line.startswith("GET")]
    assert capsys.readouterr().err == ""


def test_what_was_fetched_loads_without_a_network(hub):
    expected = load("hf://me/small").sample(2, seed=0)
    hub.stop()
    same(load("hf://me/small").sample(2, seed=0), expected)
    card, folder = read_card(pinned(hub))
    assert card["name"] == "small" and (folder / weights(hub)).is_file()


@pytest.mark.parametrize("file", ["card", "weights"])
def test_a_damaged_copy_is_fetched_again(hub, file):
    load("hf://me/small")
    _, folder = read_card("hf://me/small")
    copy = (folder / (weights(hub) if file == "weights" else "card.json")).resolve()
    copy.write_bytes(b"x" + copy.read_bytes()[1:])
    load(pinned(hub))
    assert digest(copy.read_bytes()) == copy.name, "the damaged copy stayed"  # named by its ETag
    copy.write_bytes(b"x" + copy.read_bytes()[1:])
    hub.stop()
    with pytest.raises(UserError, match="hub"):
        load(pinned(hub))


def test_a_new_version_is_found_and_an_old_pin_refuses_it(hub, published, tmp_path):
    load("hf://me/small")
    old = pinned(hub)
    torch.manual_seed(1)
    other = MODELS["InfoGAN"](ImageSpec(1, 8, 8, 10), noise_dim=4, width=4, features=8)
    folder = write_entry("small", other, {}, shelf=tmp_path / "other")
    new = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories["me/small"]["c" * 40] = new
    hub.main = "c" * 40
    same(
        load("hf://me/small").sample(2, seed=0),
        load("small", shelf=tmp_path / "other").sample(2, seed=0),
    )
    with pytest.raises(UserError, match="is not the address's"):
        load(old)
    load(f"hf://me/small@{MAIN}#{old.partition('#')[2]}")


# ------------------------------------------------------------------------- what is refused


def set_file(name, content):
    def spoil(hub):
        file = weights(hub) if name == "weights" else name
        made = content(hub.files[file]) if callable(content) else content
        files = hub.repositories["me/small"][MAIN]
        if made is None:
            del files[file]
        else:
            files[file] = made

    return spoil


def forged(change):
    def forge(content):
        card = json.loads(content)
        change(card)
        return json.dumps(card).encode()

    return set_file("card.json", forge)


def let(**state):
    return lambda hub: vars(hub).update(state)


REFUSED = {
    "no name": (lambda hub: "hf://me", "looks like hf://owner/name"),
    "three names": (lambda hub: "hf://me/small/card.json", "looks like hf://owner/name"),
    "a path": (lambda hub: "hf://me/../small", "looks like hf://owner/name"),
    "a path as revision": (lambda hub: "hf://me/small@../../x", "looks like hf://owner/name"),
    "no revision": (lambda hub: "hf://me/small@", "looks like hf://owner/name"),
    "no pin": (lambda hub: "hf://me/small#", "64 hexadecimal digits"),
    "another hash": (lambda hub: "hf://me/small#md5=1", "64 hexadecimal digits"),
    "another pin": (lambda hub: "hf://me/small#sha256=" + "0" * 64, "is not the address's"),
    "no repository": (lambda hub: "hf://me/large", "no such repository"),
    "no such revision": (lambda hub: "hf://me/small@v2", "no such revision"),
    "no card": (set_file("card.json", None), "no such file"),
    "no weights": (set_file("weights", None), "no such file"),
    "a card that is none": (set_file("card.json", b"{}"), "not a readable card"),
    "a huge card": (set_file("card.json", b" " * (LARGEST_CARD + 1)), "larger than"),
    "a card of another format": (forged(lambda c: c.update(format=9)), "format 9"),
    "a foreign class": (forged(lambda c: c.update(model="os.system")), "unknown model"),
    "weights above": (forged(lambda c: c["weights"].update(file="../x")), "outside its folder"),
    "a pickle": (forged(lambda c: c["weights"].update(file="x.bin")), "no safetensors file"),
    "damaged weights": (
        set_file("weights", lambda w: w[:-1] + bytes([w[-1] ^ 1])), "is not the card's",
    ),
    "longer weights": (set_file("weights", lambda w: w + b"x"), "larger than"),
    "shorter weights": (set_file("weights", lambda w: w[:-1]), "is not the card's"),
    "a card that breaks off": (let(cut=5), "card.json of hf://me/small"),
    "a hub that is ill": (let(broken=True), "Is there a network?"),
    "no hub": (lambda hub: hub.stop(), "Is there a network?"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_the_hub_refuses(case, hub, capsys):
    spoil, words = REFUSED[case]
    address = spoil(hub)
    with pytest.raises(UserError) as refused:
        load(address if isinstance(address, str) else "hf://me/small")
    assert words in str(refused.value)
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)
    assert capsys.readouterr().err == ""


def test_a_byte_at_a_time_is_given_up(hub, monkeypatch):
    """No single silence is long, so that a limit on silence alone would hold for hours."""
    monkeypatch.setattr(waiting, "PATIENCE", 1.0)
    hub.slow = True
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"bytes came in \d+ seconds"):
        load("hf://me/small")
    assert time.monotonic() - begun < 15


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'zoo-generative\[hub\]'"):
        Hub.at("hf://me/small").read("card.json", (), 10)


# ------------------------------------------------------------------------- sending


def test_what_was_sent_comes_back(hub, capsys):
    hub.repositories["me/new"] = {MAIN: {"weights-0.safetensors": b"old", "notes.txt": b"mine"}}
    assert publish(["small", "--hub", "me/new"]) == 0
    sent = hub.repositories["me/new"][MAIN]
    assert sent.keys() == {*hub.files, "README.md", "notes.txt"}
    assert all(sent[name] == content for name, content in hub.files.items())
    assert len(hub.commits) == 1, "readers could see half of it"
    (address,) = re.findall(r"'(hf://.*?)'", capsys.readouterr().out)
    assert address.endswith(digest(hub.files["card.json"]))
    same(load(address).sample(2, seed=0), load("small").sample(2, seed=0))


def test_nothing_is_sent_unless_asked(hub, capsys):
    assert publish(["small"]) == 2
    assert "is not a run" in capsys.readouterr().err
    assert not hub.asked


def test_nothing_is_sent_of_a_damaged_entry(hub, published, tmp_path, monkeypatch):
    import shutil

    root = shutil.copytree(published, tmp_path / "shelf")
    monkeypatch.setenv("ZOO_SHELF", str(root))
    (root / "small" / weights(hub)).write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged"):
        send("small", "me/small")
    assert not hub.asked


REFUSED_TO_SEND = {
    "no repository": ("small --hub small", lambda hub, patch: None, "looks like owner/name"),
    "nobody logged in": (
        "small --hub me/small",
        lambda hub, patch: patch.setattr(huggingface_hub, "get_token", lambda: None), "log in",
    ),
    "an unknown token": (
        "small --hub me/small", lambda hub, patch: patch.setenv("HF_TOKEN", "bad"), "your login",
    ),
    "no right": (
        "small --hub me/small", lambda hub, patch: vars(hub).update(forbidden=True), "answered 403",
    ),
    "no network": ("small --hub me/small", lambda hub, patch: hub.stop(), "your login"),
    "no such model": ("smal --hub me/small", lambda hub, patch: None, "is not a run"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_TO_SEND)
def test_the_hub_refuses_what_is_sent(case, hub, capsys, monkeypatch):
    line, spoil, words = REFUSED_TO_SEND[case]
    spoil(hub, monkeypatch)
    assert publish(line.split()) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and len(said) < 400, said
    assert not hub.commits


def test_a_push_is_one_commit_and_removes_what_is_old(hub):
    commit = push("me/small", {"a.png": b"1", "card.json": b"2"}, old=("*.png", "*.safetensors"))
    assert commit == MAIN and len(hub.commits) == 1
    assert hub.repositories["me/small"][MAIN] == {"a.png": b"1", "card.json": b"2"}


def test_the_page_says_how_to_load_and_what_to_expect(published):
    card, _ = read_card("small", shelf=published)
    page = model_card(card, "me/small", "0" * 64)
    assert page.startswith("---\nlicense: mit\n")
    assert f'zoo.load("hf://me/small#sha256={"0" * 64}")' in page
    assert "| `fid[x,360,test]` | 1.2500 |  |" in page and "trained on Digits" in page
    assert "class_path: zoo.data.Digits" in page
    bare = model_card({"name": "x", "model": "VAE"}, "me/x", "0" * 64)
    assert "| score |" not in bare and "recipe" not in bare


HOSTILE = (
    "`", "```", "a|b", "](https://evil.example)", "<script>", "x\n| y | z |", "x\n```\n# y", "*a*",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_card_becomes_markup_on_the_page(text):
    card = {
        "name": "x",
        "model": text,
        "scores": [{"name": f"fid[{text}]", "value": 1.0, "unit": text}],
        "recipe": {"data": {"class_path": text, "init_args": {"path": f"a {text}"}}},
    }
    lines = model_card(card, "me/x", "0" * 64).splitlines()
    (row,) = [line for line in lines if "1.0000" in line]
    assert row.count("|") - row.count(r"\|") == 4 and len(re.findall(r"(?<!\\)`", row)) == 2
    outside = "".join(re.split(r"(?<!\\)`", row)[::2])
    assert "<script" not in outside and not re.search(r"(?<!\\)\]\(", outside)
    (begin,) = [i for i, line in enumerate(lines) if line.startswith("```") and "yaml" in line]
    assert [line for line in lines[:begin] if line.startswith("#")] == ["# x"]
    fence = lines[begin].removesuffix("yaml")
    assert lines[-1] == fence and not any(fence in line for line in lines[begin + 1 : -1])
    assert yaml.safe_load("\n".join(lines[begin + 1 : -1])) == card["recipe"]


def test_the_endpoint_is_read_when_it_is_needed(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://here")
    assert zoo_hub._endpoint() == "http://here"
