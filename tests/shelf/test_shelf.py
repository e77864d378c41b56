"""The shelf gives back what was put on it, refuses everything else, and survives kills."""

import hashlib
import json
import os
import pickle
import warnings

import pytest
import safetensors.torch
import torch

import zoo
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.shelf import writing
from zoo.shelf.find import available, read_card
from zoo.shelf.run_weights import load_any, load_run, read_checkpoint
from zoo.shelf.weights import load
from zoo.shelf.writing import write_entry

DIGITS = ImageSpec(1, 8, 8, 10)


def small(seed=0, **arguments):
    """An InfoGAN whose generator differs from its average, as after training."""
    torch.manual_seed(seed)
    model = MODELS["InfoGAN"](DIGITS, noise_dim=4, width=4, features=8, **arguments)
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.add_(1.0)
    return model.eval()


def same(left, right):
    torch.testing.assert_close(left, right, rtol=0, atol=0)


@pytest.fixture
def root(tmp_path):
    write_entry("one", small(), {"scores": []}, shelf=tmp_path)
    return tmp_path


def weights_of(root, name="one"):
    (found,) = (root / name).glob("*.safetensors")
    return found


def forge(root, change, name="one"):
    """Changes a card and makes the index agree, as somebody with bad intentions would."""
    path = root / name / "card.json"
    card = json.loads(path.read_text())
    card = change(card) or card
    path.write_text(json.dumps(card))
    bless(root, name)


def bless(root, name="one"):
    path = root / "index.json"
    index = json.loads(path.read_text())
    index["cards"][name] = [hashlib.sha256((root / name / "card.json").read_bytes()).hexdigest()]
    path.write_text(json.dumps(index))


# ------------------------------------------------------------------------- what comes back


def test_float32_comes_back_bit_for_bit(tmp_path):
    model = small()
    write_entry("full", model, {}, half=False, shelf=tmp_path)
    again = load("full", shelf=tmp_path)
    assert not again.training
    published = {k: v for k, v in model.state_dict().items() if not k.startswith("generator.")}
    for key, tensor in published.items():
        same(again.state_dict()[key], tensor)
    same(again.sample(5, seed=3), model.sample(5, seed=3))


def test_half_precision_rounds_parameters_and_nothing_else(tmp_path):
    model = small()
    write_entry("half", model, {}, half=True, shelf=tmp_path)
    again = load("half", shelf=tmp_path).state_dict()
    parameters = dict(model.named_parameters())
    for key, tensor in model.state_dict().items():
        if key.startswith("generator."):
            continue
        rounded = tensor.half().float() if key in parameters else tensor
        same(again[key], rounded)
        assert again[key].dtype == tensor.dtype
    assert read_card("half", shelf=tmp_path)[0]["weights"]["parameters"] == "float16"


def test_what_only_training_needs_is_not_published(root):
    state = safetensors.torch.load_file(weights_of(root))
    assert state and not [key for key in state if key.startswith("generator.")]
    assert any(key.startswith("generator_ema.") for key in state)


@pytest.mark.parametrize("spec", [ImageSpec(1, 28, 28, 10), ImageSpec(3, 32, 64, 0)], ids=str)
def test_other_shapes_and_arguments_come_back(tmp_path, spec):
    model = MODELS["InfoGAN"](
        spec, noise_dim=2, width=2, features=4, continuous=0, betas=(0.4, 0.9)
    )
    write_entry("shape", model.eval(), {}, half=False, shelf=tmp_path)
    again = load("shape", shelf=tmp_path)
    assert again.spec == spec and again.betas == (0.4, 0.9) and again.continuous == 0
    same(again.sample(2, seed=0), model.sample(2, seed=0))


def test_loading_spares_the_users_random_stream(root):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load("one", shelf=root)
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_never_unpickles(root, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    load("one", shelf=root).sample(1, seed=0)


def test_available_is_sorted_and_follows_the_environment(root, monkeypatch):
    for name in ("zebra", "ape"):
        write_entry(name, small(), {}, shelf=root)
    (root / "no_model").mkdir()
    assert available(root) == ["ape", "one", "zebra"]
    monkeypatch.setenv("ZOO_SHELF", str(root))
    assert zoo.available() == ["ape", "one", "zebra"]
    assert type(zoo.load("ape")).__name__ == "InfoGAN"
    assert available(root / "nowhere") == []


def test_an_unknown_attribute_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="lod"):
        zoo.lod  # noqa: B018


# ------------------------------------------------------------------------- what is refused


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def other_architecture(root):
    write_entry("other", small(continuous=1), {}, shelf=root)
    content = weights_of(root, "other").read_bytes()
    weights_of(root).write_bytes(content)
    sha = hashlib.sha256(content).hexdigest()
    forge(root, lambda card: card["weights"].update(sha256=sha, bytes=len(content)))


def reshaped(root):
    write_entry(
        "other", MODELS["InfoGAN"](DIGITS, noise_dim=4, width=5, features=8), {}, shelf=root
    )
    content = weights_of(root, "other").read_bytes()
    weights_of(root).write_bytes(content)
    sha = hashlib.sha256(content).hexdigest()
    forge(root, lambda card: card["weights"].update(sha256=sha, bytes=len(content)))


def no_safetensors(root):
    content = b"\xff" * 100
    weights_of(root).write_bytes(content)
    sha = hashlib.sha256(content).hexdigest()
    forge(root, lambda card: card["weights"].update(sha256=sha, bytes=len(content)))


def edit(root, file, text):
    (root / file).write_text(text)


REFUSED = {
    "unknown name": (lambda root: "on", "Did you mean one?"),
    "path": (lambda root: "../one", "without a path"),
    "absolute path": (lambda root: "/etc", "without a path"),
    "empty name": (lambda root: "", "without a path"),
    "upper case": (lambda root: "One", "lower-case"),
    "flipped bit": (lambda root: flip_a_bit(weights_of(root)), "damaged or were changed"),
    "truncated weights": (
        lambda root: weights_of(root).write_bytes(weights_of(root).read_bytes()[:-10]),
        "damaged or were changed",
    ),
    "no weights": (lambda root: weights_of(root).unlink(), "cannot be read"),
    "weights no safetensors": (no_safetensors, "a readable safetensors"),
    "other architecture": (other_architecture, "another architecture"),
    "other shapes": (reshaped, "another architecture"),
    "edited card": (lambda root: edit(root, "one/card.json", "{}"), "damaged or was changed"),
    "huge card": (lambda root: edit(root, "one/card.json", " " * 5 * 2**20), "was changed"),
    "card no JSON": (
        lambda root: (edit(root, "one/card.json", "{"), bless(root)),
        "not a readable card",
    ),
    "card a list": (lambda root: forge(root, lambda card: [card]), "not a readable card"),
    "card without weights": (
        lambda root: forge(root, lambda card: card.pop("weights") and None),
        "not a readable card",
    ),
    "weights elsewhere": (
        lambda root: forge(root, lambda card: card["weights"].update(file="../x.safetensors")),
        "outside its folder",
    ),
    "weights at an absolute path": (
        lambda root: forge(root, lambda card: card["weights"].update(file="/etc/passwd")),
        "outside its folder",
    ),
    "unknown format": (
        lambda root: forge(root, lambda card: card.update(format=99)),
        "format 99; this zoo reads format 1",
    ),
    "unknown model": (
        lambda root: forge(root, lambda card: card.update(model="Evil")),
        "unknown model 'Evil'",
    ),
    "model by import path": (
        lambda root: forge(root, lambda card: card.update(model="os.system")),
        "unknown model",
    ),
    "unknown argument": (
        lambda root: forge(root, lambda card: card["arguments"].update(depth=3)),
        "does not fit this zoo",
    ),
    "argument of another type": (
        lambda root: forge(root, lambda card: card["arguments"].update(width="wide")),
        "does not fit this zoo",
    ),
    "image of no size": (
        lambda root: forge(root, lambda card: card["spec"].update(height=0)),
        "does not fit this zoo",
    ),
    "no index": (lambda root: (root / "index.json").unlink(), "not in"),
    "index no JSON": (lambda root: edit(root, "index.json", "?"), "not a readable index"),
    "not in the index": (
        lambda root: edit(root, "index.json", json.dumps({"format": 1, "cards": {}})),
        "not in",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_shelf_refuses(case, root):
    spoil, words = REFUSED[case]
    name = spoil(root)
    with pytest.raises(UserError) as refused:
        load(name if isinstance(name, str) else "one", shelf=root)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
@pytest.mark.parametrize("file", ["card", "weights", "index"])
def test_what_is_no_file_is_refused_at_once(what, file, root):
    path = {"card": root / "one/card.json", "index": root / "index.json"}.get(file)
    path = path or weights_of(root)
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(UserError, match="one"):
        load("one", shelf=root)


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "-x", "ü"])
def test_a_name_with_a_path_is_not_written(name, tmp_path):
    with pytest.raises(UserError, match="not a valid name"):
        write_entry(name, small(), {}, shelf=tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_publishing_one_model_does_not_bless_the_changed_card_of_another(root):
    edit(root, "one/card.json", (root / "one/card.json").read_text().replace("10", "11"))
    write_entry("two", small(), {}, shelf=root)
    load("two", shelf=root)
    with pytest.raises(UserError, match="was changed"):
        load("one", shelf=root)


# ------------------------------------------------------------------------- kills and full disks


WRITES = 4  # weights, index with both cards, card, index with the new one


def stop_at(monkeypatch, step, stop):
    """Lets the first files be renamed into place, and calls `stop` instead of the next."""
    names, replace = [], os.replace

    def rename(source, target):
        names.append(target)
        if len(names) > step:
            stop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    return names


@pytest.fixture
def both(root):
    """An entry, the model that shall replace it, and what the two answer."""
    old, new = small(), small(seed=1)
    write_entry("one", old, {}, half=False, shelf=root)
    return new, [model.sample(2, seed=0) for model in (old, new)]


@pytest.mark.parametrize("step", range(WRITES))
def test_a_full_disk_leaves_the_old_entry_and_no_litter(root, both, monkeypatch, step):
    def full():
        raise OSError(28, "No space left on device")

    new, answers = both
    names = stop_at(monkeypatch, step, full)
    with pytest.raises(UserError, match="No space left"):
        write_entry("one", new, {}, half=False, shelf=root)
    monkeypatch.undo()
    assert len(names) == step + 1
    # Only the index's tidying comes after the card, and the new card is valid without it.
    same(load("one", shelf=root).sample(2, seed=0), answers[step == WRITES - 1])
    assert not list(root.rglob(".*")), "a temporary file is left"
    write_entry("one", new, {}, half=False, shelf=root)
    same(load("one", shelf=root).sample(2, seed=0), answers[1])
    assert len(list((root / "one").iterdir())) == 2, "old weights are left"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize("step", range(WRITES))
def test_a_kill_leaves_a_loadable_entry(root, both, monkeypatch, step):
    new, answers = both
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has threads, which the child does not use
        child = os.fork()
    if child == 0:
        stop_at(monkeypatch, step, lambda: os._exit(9))
        write_entry("one", new, {}, half=False, shelf=root)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    same(load("one", shelf=root).sample(2, seed=0), answers[step == WRITES - 1])
    write_entry("one", new, {}, half=False, shelf=root)
    same(load("one", shelf=root).sample(2, seed=0), answers[1])


def test_nothing_is_left_of_a_first_entry_that_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "write_text", fail)
    with pytest.raises(OSError, match="No space"):
        write_entry("one", small(), {}, shelf=tmp_path)
    assert available(tmp_path) == [] and not (tmp_path / "one").exists()


# ------------------------------------------------------------------------- runs and checkpoints


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    marker = tmp_path / "marker"
    torch.save({"state_dict": {}, "x": Evil(str(marker))}, tmp_path / "torch.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Evil(str(marker)), protocol=2))
    for name in ("torch.ckpt", "pickle.ckpt"):
        with pytest.raises(UserError, match="foreign code"):
            read_checkpoint(tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"last\.ckpt"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [[1], {"weights": 1}, {"state_dict": 3}, {"state_dict": {"a": 1}}]
)
def test_a_file_of_other_content_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="not a checkpoint of a run"):
        read_checkpoint(tmp_path / "last.ckpt")


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "2030-01-01_00-00-00"
    (path / "checkpoints").mkdir(parents=True)
    (path / "recipe.yaml").write_text(
        "model: {class_path: InfoGAN, init_args: {noise_dim: 4, width: 4, features: 8}}\n"
        "data: {class_path: Digits}\n"
    )
    spec = {"channels": 1, "height": 8, "width": 8, "classes": 10}
    (path / "environment.json").write_text(json.dumps({"spec": spec}))
    torch.save({"state_dict": small().state_dict()}, path / "checkpoints" / "last.ckpt")
    return path


def test_a_run_loads_with_its_last_weights(run):
    same(load_run(run).sample(3, seed=0), small().sample(3, seed=0))
    same(load_any(str(run)).sample(3, seed=0), small().sample(3, seed=0))


BROKEN_RUNS = {
    "no run": (lambda run: (run / "recipe.yaml").unlink(), "is not a run"),
    "no checkpoint": (lambda run: (run / "checkpoints/last.ckpt").unlink(), "no checkpoint yet"),
    "no shape": (lambda run: edit(run, "environment.json", "{}"), "what images"),
    "another model": (
        lambda run: torch.save({"state_dict": {}}, run / "checkpoints/last.ckpt"),
        "another architecture",
    ),
    "broken recipe": (lambda run: edit(run, "recipe.yaml", "model: ["), "YAML"),
}


@pytest.mark.parametrize("case", BROKEN_RUNS)
def test_a_broken_run_is_refused(case, run):
    spoil, words = BROKEN_RUNS[case]
    spoil(run)
    with pytest.raises(UserError, match=words):
        load_run(run)
