"""The figures of a run: metrics.csv, and what W&B has recorded, read back from its own files."""

import csv
import http.server
import json
import os
import struct
import sys
import threading

import pytest
import torch

import zoo.training.loggers
from zoo.core.errors import UserError
from zoo.training.loggers import MetricsFile, Tracker, logged_in, start_tracker

# ---------------------------------------------------------------- metrics.csv


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_figures_of_one_step_share_a_row(tmp_path):
    log = MetricsFile(tmp_path / "metrics.csv")
    log.log_metrics({"train/loss": 1.5, "epoch": 0}, 9)
    log.log_metrics({"train/loss": 1.25, "epoch": 0}, 19)
    log.log_metrics({"val/error": 0.5, "epoch": 0}, 19)
    log.log_metrics({"train/loss": 1.25, "epoch": 0}, 19)  # told twice, written once
    log.flush()
    assert rows(log.path) == [
        {"step": "10", "epoch": "0", "train/loss": "1.5", "val/error": ""},
        {"step": "20", "epoch": "0", "train/loss": "1.25", "val/error": "0.5"},
    ]


def test_the_file_is_there_from_the_start_and_never_old(tmp_path, monkeypatch):
    log = MetricsFile(tmp_path / "metrics.csv")
    assert log.path.is_file()
    log.log_metrics({"loss": 1.0}, 0)
    log.save()
    assert rows(log.path) == []  # the last time was just now
    monkeypatch.setattr(zoo.training.loggers, "FLUSH_SECONDS", 0.0)
    log.save()
    assert len(rows(log.path)) == 1
    log.log_metrics({"loss": 0.5}, 1)
    log.finalize("failed")
    assert len(rows(log.path)) == 2


def test_a_continued_file_forgets_what_comes_again(tmp_path):
    first = MetricsFile(tmp_path / "metrics.csv")
    for step in (9, 19, 29):
        first.log_metrics({"loss": 1 / (step + 1), "epoch": step // 20}, step)
    first.flush()
    before = first.path.read_text()

    second = MetricsFile(first.path, keep=19)
    assert [row["step"] for row in rows(second.path)] == ["10", "20"]
    second.log_metrics({"loss": 1 / 30, "epoch": 1}, 29)
    second.flush()
    assert second.path.read_text() == before  # floats survive the way through the file


def test_a_new_run_forgets_all(tmp_path):
    MetricsFile(tmp_path / "metrics.csv").log_metrics({"loss": 1.0}, 0)
    assert rows(MetricsFile(tmp_path / "metrics.csv").path) == []


@pytest.mark.parametrize("text", ["step,epoch\nx,0\n", "a,b\n1,2\n", "step,loss\n1,high\n"])
def test_a_damaged_file_is_refused_not_emptied(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="cannot be read; move it away"):
        MetricsFile(path, keep=10)
    assert path.read_text() == text


# ---------------------------------------------------------------- online, offline or off


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No key, no wish about W&B in the environment."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path


def test_a_key_is_found_where_wandb_login_puts_it(alone, monkeypatch):
    assert not logged_in()
    (alone / "netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    assert logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not logged_in()
    (alone / "netrc").write_text("this is not a netrc")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert logged_in()


@pytest.mark.parametrize(
    "wanted, environment, key, mode",
    [
        ("auto", "", False, "offline"),
        ("auto", "", True, "online"),
        ("online", "", True, "online"),
        ("online", "", False, "offline"),
        ("offline", "", True, "offline"),
        ("off", "", True, "off"),
        ("off", "online", True, "off"),
        ("auto", "disabled", True, "off"),
        ("online", "disabled", True, "off"),
        ("online", "offline", True, "offline"),
        ("auto", "online", False, "offline"),
        ("offline", "online", True, "online"),
    ],
)
def test_who_decides(alone, monkeypatch, capsys, wanted, environment, key, mode):
    monkeypatch.setenv("WANDB_MODE", environment)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert zoo.training.loggers._mode(wanted) == mode
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_trouble_with_wandb_is_one_line(alone, monkeypatch, capsys):
    monkeypatch.setattr(zoo.training.loggers, "_start", _fail)
    assert start_tracker(alone, "group", "offline", {}) is None
    assert capsys.readouterr().err == (
        "zoo.fit: W&B did not start (no backend); figures go to metrics.csv only.\n"
    )


def test_without_wandb_runs_go_on(alone, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it fails
    assert start_tracker(alone, "group", "offline", {}) is None
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_without_network_a_run_is_recorded_offline(alone, monkeypatch, capsys):
    modes = []

    def start(folder, group, mode, config, suffix=""):
        modes.append(mode)
        return _fail() if mode == "online" else "run"

    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setattr(zoo.training.loggers, "_start", start)
    assert isinstance(start_tracker(alone, "group", "auto", {}), Tracker)
    assert modes == ["online", "offline"]
    assert "cannot be reached (no backend); the run is recorded offline" in capsys.readouterr().err


def test_a_backend_that_dies_does_not_stop_a_run(capsys):
    class Dead:
        id = name = "dead"
        log = finish = lambda *_, **__: _fail()

    tracker = Tracker(Dead())
    tracker.log_metrics({"loss": 1.0}, 0)
    tracker.log_metrics({"loss": 1.0}, 1)
    assert len(capsys.readouterr().err.splitlines()) == 1
    tracker.finish(0)


def _fail(*_, **__):
    raise OSError("no backend\nand more")


# ---------------------------------------------------------------- what W&B has recorded


def records(path):
    """Reads a .wandb file: records in the log format of LevelDB, after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, position, body = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while position < len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        body += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # full, or last
            record = wandb_internal_pb2.Record()
            record.ParseFromString(body)
            body = b""
            yield record.WhichOneof("record_type"), record


def items(message):
    """Returns keys and values of a record's items; nested keys are joined by dots."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in message}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """An offline run of two epochs: its folder, and W&B's records by kind."""
    import zoo.fit

    root = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_MODE", "WANDB_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(root))
        patch.setenv("NETRC", str(root / "netrc"))
        code = zoo.fit.main([
            "infogan_digits", f"--run_root={root}", "--trainer.max_epochs=2", "--evaluate=false",
            "--trainer.log_every_n_steps=5", "--model.width=4", "--log_checkpoints=true",
            "--pictures_every=1", "--trainer.accelerator=cpu",
        ])  # fmt: skip
    assert code == 0
    (folder,) = (root / "infogan_digits").iterdir()
    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    found = {}
    for kind, record in records(path):
        found.setdefault(kind, []).append(getattr(record, kind))
    return folder, found, path.parent


def test_wandb_has_the_whole_recipe(recorded):
    folder, found, _ = recorded
    import yaml

    config = items(found["run"][0].config.update)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert {key: config[key] for key in recipe} == recipe
    assert config["model"]["init_args"]["width"] == 4
    assert config["precision"]
    assert found["run"][0].project == "zoo"


def test_wandb_has_the_figures_against_batches(recorded):
    folder, found, _ = recorded
    history = [items(entry.item) for entry in found["history"]]
    steps = [entry["_step"] for entry in history]
    assert steps == [5, 10, 15, 19, 20, 25, 30, 35, 38]
    for row in rows(folder / "metrics.csv"):
        entry = history[steps.index(int(row["step"]))]
        figures = {key: value for key, value in row.items() if value and key != "step"}
        assert len(figures) >= 4
        for name, value in figures.items():
            assert entry[name] == pytest.approx(float(value))


def test_wandb_has_pictures_that_change(recorded):
    folder, found, place = recorded
    history = [items(entry.item) for entry in found["history"]]
    paths = [
        entry["pictures/samples.path"] for entry in history if "pictures/samples.path" in entry
    ]
    assert len(paths) == 2
    sheets = [(place / "files" / path).read_bytes() for path in paths]
    assert sheets[0] != sheets[1]
    from PIL import Image

    with Image.open(place / "files" / paths[1]) as a:
        with Image.open(folder / "pictures" / "samples-epoch0002.png") as b:
            assert a.convert("RGB").tobytes() == b.convert("RGB").tobytes()


def test_wandb_has_the_checkpoints_if_asked(recorded):
    _, found, _ = recorded
    (artifact,) = found["artifact"]
    assert artifact.type == "model"
    assert [entry.path for entry in artifact.manifest.contents] == ["last.ckpt"]


def test_the_record_is_complete(recorded):
    """Its process has ended by itself: the record's last word is how the run ended."""
    _, found, _ = recorded
    assert found["exit"][0].exit_code == 0
    import wandb

    assert wandb.run is None


def test_pictures_arrive_as_bytes(monkeypatch):
    """Floats would be cut to 0 and 1."""
    sent = {}
    tracker = Tracker(type("Run", (), {"log": lambda _, data, step: sent.update(data)})())
    tracker.log_picture("sheet", torch.full((3, 2, 2), 0.5), 0)
    assert sent["sheet"].image.tobytes() == bytes([128] * 12)


# ---------------------------------------------------------------- W&B's own variables


@pytest.fixture
def asked(alone, monkeypatch):
    """Starts a tracker without W&B's help; returns the run's settings as it would resolve them."""
    import wandb

    def start(folder=alone, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(wandb, "init", lambda **given: given)
        given = zoo.training.loggers._start(folder, "group", "offline", {})
        settings = wandb.Settings()
        settings.update_from_env_vars(dict(os.environ))
        settings.update_from_settings(given["settings"])
        found = {
            "project": settings.project, "group": settings.run_group, "name": settings.run_name,
            "id": settings.run_id, "dir": settings.wandb_dir, "quiet": settings.quiet,
            "console": settings.console, "init_timeout": settings.init_timeout,
            "resume": settings.resume,
        }  # fmt: skip
        return {**found, **{k: v for k, v in given.items() if k in found and v is not None}}

    return start


def test_without_them_the_run_is_named_after_its_folder(asked, alone):
    found = asked()
    name = f"group-{alone.name}"
    assert (found["project"], found["group"], found["name"]) == ("zoo", "group", name)
    assert (found["id"], found["dir"]) == (name, str(alone))
    assert (found["console"], found["init_timeout"], found["quiet"]) == ("off", 20, True)


@pytest.mark.parametrize(
    "variable, value, key, wanted",
    [
        ("WANDB_PROJECT", "other", "project", "other"),
        ("WANDB_RUN_GROUP", "mine", "group", "mine"),
        ("WANDB_NAME", "a name", "name", "a name"),
        ("WANDB_RUN_ID", "abc123", "id", "abc123"),
        ("WANDB_RESUME", "must", "resume", "must"),
        ("WANDB_QUIET", "false", "quiet", False),
        ("WANDB_CONSOLE", "wrap", "console", "wrap"),
        ("WANDB_INIT_TIMEOUT", "77", "init_timeout", 77),
    ],
)
def test_wandbs_own_variables_win(asked, variable, value, key, wanted):
    assert asked(**{variable: value})[key] == wanted


def test_wandb_writes_where_its_variable_says(alone, monkeypatch):
    place = alone / "place"
    place.mkdir()
    monkeypatch.setenv("WANDB_DIR", str(place))
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    folder = alone / "run"
    folder.mkdir()
    tracker = start_tracker(folder, "group", "offline", {})
    assert tracker is not None and tracker.version == "abc123"
    tracker.finish(0)
    assert list(place.glob("wandb/offline-run-*-abc123/run-abc123.wandb"))
    assert not list(folder.iterdir())


# ---------------------------------------------------------------- a server that fails later on


class Failing:
    """A run whose start went well."""

    id = name = "failing"

    def __init__(self, logs):
        self.logs = logs

    def log(self, *_, **__):
        return None if self.logs else _fail()

    finish = log_artifact = lambda *_, **__: _fail()


@pytest.mark.parametrize("logs", [True, False], ids=["at the end", "in between"])
def test_a_server_that_fails_leaves_a_record_that_can_be_sent(alone, monkeypatch, capsys, logs):
    start = zoo.training.loggers._start
    monkeypatch.setattr(
        zoo.training.loggers,
        "_start",
        lambda *a, **k: Failing(logs) if a[2] == "online" else start(*a, **k),
    )
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    folder = alone / "run"
    (folder / "pictures").mkdir(parents=True)
    file = MetricsFile(folder / "metrics.csv")
    tracker = start_tracker(folder, "group", "auto", {"model": "VAE"})
    for step, epoch in ((4, 0), (9, 0), (14, 1)):
        for logger in (file, tracker):
            logger.log_metrics({"loss": 1 / (step + 1), "epoch": epoch}, step)
    file.flush()
    from zoo.show.pictures import save_png

    save_png(torch.full((3, 4, 4), 0.5), folder / "pictures" / "samples-epoch0002.png")
    tracker.finish(0, folder / "metrics.csv")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == (1 if logs else 2)
    assert "W&B's server failed after the start (no backend)" in said[-1]
    (place,) = (folder / "wandb").glob("offline-run-*")
    assert said[-1].endswith(f"wandb sync {place}")
    found = {}
    for kind, record in records(next(place.glob("*.wandb"))):
        found.setdefault(kind, []).append(getattr(record, kind))
    history = [items(entry.item) for entry in found["history"]]
    assert [(entry["_step"], entry["loss"]) for entry in history] == [
        (5, 1 / 5), (10, 1 / 10), (15, 1 / 15),
    ]  # fmt: skip
    assert "pictures/samples.path" in history[2] and "pictures/samples.path" not in history[1]
    assert items(found["run"][0].config.update)["model"] == "VAE"
    assert found["exit"][0].exit_code == 0


def test_a_record_that_cannot_be_kept_is_one_line(alone, monkeypatch, capsys):
    tracker = Tracker(Failing(True), again=_fail, folder=alone)
    tracker.finish(0)
    said = capsys.readouterr().err
    assert said == "zoo.fit: W&B did not end well (no backend); metrics.csv has all figures.\n"


class Server(http.server.BaseHTTPRequestHandler):
    """Answers W&B until its run has begun, and then in one of the ways in which servers fail."""

    protocol_version = "HTTP/1.1"
    way: str
    begun: bool
    ended: threading.Event

    def log_message(self, *_):
        """Says nothing."""

    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(
            "utf8", "replace"
        )
        if type(self).begun:
            return getattr(self, self.way)()
        if "UpsertBucket" not in asked:
            return self.send(200, {"data": {}})
        type(self).begun = True
        project = {"id": "p", "name": "zoo", "entity": {"id": "e", "name": "me"}}
        bucket = {
            "id": "b", "name": "n", "displayName": "n", "description": "", "config": "{}",
            "sweepName": None, "historyLineCount": 0, "project": project,
        }  # fmt: skip
        return self.send(200, {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})

    do_PUT = do_GET = do_POST

    def send(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fails(self):
        self.send(500, {"error": "no"})

    def stalls(self):
        self.ended.wait()

    def hangs_up(self):
        self.connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fails", "stalls", "hangs_up"])
def test_a_real_server_that_fails_later_on(alone, monkeypatch, capsys, way):
    handler = type("Own", (Server,), {"way": way, "begun": False, "ended": threading.Event()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(zoo.training.loggers, "FINISH_SECONDS", 8.0)
    monkeypatch.setattr(zoo.training.loggers, "PATIENCE", 2.0)
    folder = alone / "run"
    folder.mkdir()
    file = MetricsFile(folder / "metrics.csv")
    tracker = start_tracker(folder, "group", "online", {"model": "VAE"})
    assert handler.begun and tracker.name == "n"
    for logger in (file, tracker):
        logger.log_metrics({"loss": 0.5, "epoch": 0}, 4)
    file.flush()
    tracker.finish(0)
    handler.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()
    waits, failed = capsys.readouterr().err.splitlines()
    assert waits == "zoo.fit: W&B is sending what is left (at most 8 s)."
    assert "W&B's server failed after the start" in failed
    (place,) = (folder / "wandb").glob("offline-run-*")
    assert failed.endswith(f"wandb sync {place}")
    (row,) = (
        r.history.item for kind, r in records(next(place.glob("*.wandb"))) if kind == "history"
    )
    assert items(row)["loss"] == 0.5
