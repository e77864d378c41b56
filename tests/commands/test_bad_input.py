"""Whatever is wrong with a request: one clear message, exit code 2, and nothing half-written."""

import hashlib
import importlib
import json
import os
import pickle
import shutil
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import zoo.shelf.run_folder
from zoo.__main__ import main as zoo_main
from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.shelf.writing import write_entry

MODEL = "model: {class_path: InfoGAN, init_args: {noise_dim: 4, width: 4, features: 8}}\n"
DATA = "data: {class_path: Digits}\n"
SMALL = (
    "--model.width 4 --model.features 8 --data.batch_size 600 --trainer.max_epochs 1 "
    "--trainer.accelerator cpu --evaluate false --pictures_every 100"
)


# ------------------------------------------------------------------------- the place


class Place:
    """A folder with a run, a shelf, and a module that leaves a mark when it is imported."""

    def __init__(self, here):
        self.here = here
        self.runs, self.shelf = here / "runs", here / "shelf"
        self.marker = here / "MARK"
        self.run = next((self.runs / "small").iterdir()) if self.runs.exists() else None

    def write(self, name, content):
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def fill(self, text):
        """Splits a command line; ~ is a space, {name} a path of this place."""
        paths = {"here": self.here, "runs": self.runs, "shelf": self.shelf, "run": self.run}
        for name, path in paths.items():
            text = text.replace(f"{{{name}}}", str(path))
        return [word.replace("~", " ") for word in text.split()]

    def content(self):
        """Everything that lies here, as hashes by path."""
        return {
            str(path.relative_to(self.here)): path.is_file()
            and hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.here.rglob("*"))
            if "__pycache__" not in path.parts
        }


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A run that has trained one epoch, and a shelf with one model; copied for each case."""
    here = tmp_path_factory.mktemp("template")
    recipe = here / "small.yaml"
    recipe.write_text(MODEL + DATA)
    place = Place(here)
    line = f"{recipe} --run_root {place.runs} {SMALL}"
    assert importlib.import_module("zoo.fit").main(line.split()) == 0
    torch.manual_seed(0)
    model = MODELS["InfoGAN"](ImageSpec(1, 8, 8, 10), noise_dim=4, width=4, features=8)
    write_entry("small", model, {}, shelf=place.shelf)
    return here


@pytest.fixture
def place(template, tmp_path, monkeypatch):
    here = tmp_path / "place"
    shutil.copytree(template, here)
    made = Place(here)
    made.write("modules/evil_module.py", f"open({str(made.marker)!r}, 'w')\nclass Evil: ...\n")
    monkeypatch.syspath_prepend(here / "modules")
    monkeypatch.setenv("ZOO_SHELF", str(made.shelf))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.chdir(Path(__file__).resolve().parent.parent.parent)

    def unreachable(*_, **__):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    yield made
    assert "evil_module" not in sys.modules


# ------------------------------------------------------------------------- what spoils it


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def recipe(text, name="bad.yaml"):
    """Writes a recipe before the command runs."""
    return lambda place: place.write(name, text)


def checkpoint(change):
    """Changes the run's last checkpoint before the command runs."""

    def setup(place):
        path = place.run / "checkpoints" / "last.ckpt"
        change(path, place)

    return setup


def record(change):
    """Changes what the run wrote down about itself before the command runs."""

    def setup(place):
        path = place.run / "environment.json"
        ran_on = json.loads(path.read_text())
        change(ran_on)
        path.write_text(json.dumps(ran_on))

    return setup


def truncate(path, place=None):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_code(path, place):
    torch.save({"state_dict": {}, "callbacks": Evil(str(place.marker))}, path)


def with_old_code(path, place):
    path.write_bytes(pickle.dumps(Evil(str(place.marker)), protocol=2))


def with_newer_pickle(path, place):
    torch.save({"state_dict": {}, "more": Evil(str(place.marker))}, path, pickle_protocol=4)


def with_sparse_tensors(path, place):
    saved = torch.load(path, weights_only=True)
    saved["optimizer_states"][0]["more"] = torch.zeros(2, 2).to_sparse()  # torch warns of these
    torch.save(saved, path)


def optimizer(change):
    """Changes the state of the first optimiser."""

    def spoil(path, place):
        saved = torch.load(path, weights_only=True)
        change(saved["optimizer_states"][0])
        torch.save(saved, path)

    return spoil


def average(value, key="exp_avg"):
    return optimizer(lambda state: state["state"][0].update({key: value}))


def setting(key, value):
    return optimizer(lambda state: state["param_groups"][0].update({key: value}))


def with_schedules(path, place):
    torch.save({**torch.load(path, weights_only=True), "lr_schedulers": [{"x": 1}]}, path)


def without_training_state(path, place):
    torch.save({"state_dict": torch.load(path, weights_only=True)["state_dict"]}, path)


def weights(place):
    return next((place.shelf / "small").glob("*.safetensors"))


def tamper_card(place):
    path = place.shelf / "small" / "card.json"
    path.write_text(path.read_text().replace('"noise_dim": 4', '"noise_dim": 5'))


def forge_card(change):
    """Changes the card and its hash in the index, as somebody with bad intentions would."""

    def setup(place):
        path = place.shelf / "small" / "card.json"
        card = json.loads(path.read_text())
        change(card)
        path.write_text(json.dumps(card))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        index = {"format": 1, "cards": {"small": [digest]}}
        (place.shelf / "index.json").write_text(json.dumps(index))

    return setup


def other_architecture(place):
    content = weights(place).read_bytes()
    forge_card(lambda card: card["arguments"].update(width=5))(place)
    assert weights(place).read_bytes() == content


def tamper_weights(place):
    content = bytearray(weights(place).read_bytes())
    content[-1] ^= 1
    weights(place).write_bytes(content)


# ------------------------------------------------------------------------- the table


class Case(NamedTuple):
    """A command line, what its message must say, and what to do before."""

    verb: str
    line: str
    words: str
    setup: object = None


def fit(line, words, setup=None):
    return Case("fit", f"{line} --run_root {{runs}}", words, setup)


def digits(line, words):
    """An override of the embedded recipe; it would train for a moment if it were not refused."""
    return fit(f"infogan_digits {SMALL} {line}", words)


def bad(text, words):
    return fit("{here}/bad.yaml", words, recipe(text))


def resume(words, change):
    return fit(f"{{here}}/small.yaml {SMALL} --ckpt_path last", words, checkpoint(change))


def sample(line, words, setup=None):
    return Case("sample", f"{line} --out {{here}}/x.png", words, setup)


EVIL = "evil_module.Evil"
CASES = {
    # recipes
    "recipe missing": fit("{here}/none.yaml", "does not exist"),
    "recipe misspelt": fit("infogan_digist", "Did you mean infogan_digits?"),
    "recipe a folder": fit("{here}", "is a folder"),
    "recipe binary": fit("{here}/bad.yaml", "not a text file", recipe(b"\xff\xfe\x00\x01")),
    "recipe no YAML": bad(MODEL + "data: [\n", "line 3 is not valid YAML"),
    "recipe no mapping": bad("- model\n- data\n", "must be a mapping"),
    "recipe empty": bad("", "must be a mapping"),
    "recipe with a key twice": bad(MODEL + DATA + DATA, "the key 'data' is given twice"),
    "recipe with Python in it": bad("model: !!python/name:os.system\n", "not valid YAML"),
    "recipe without data": bad(MODEL, "has no data"),
    "recipe with an unknown key": bad(MODEL + DATA + "trianer: {}\n", "Did you mean trainer?"),
    "no recipe": fit("--model.width 3", "the recipe comes first"),
    "model misspelt": bad(MODEL.replace("InfoGAN", "InfoGNA") + DATA, "Did you mean InfoGAN?"),
    "data misspelt": bad(MODEL + DATA.replace("Digits", "Digitz"), "Did you mean Digits?"),
    "argument misspelt in the recipe": bad(
        MODEL.replace("width", "widht") + DATA,
        "InfoGAN has no argument 'widht'. Did you mean width?",
    ),
    "trainer key misspelt in the recipe": bad(
        MODEL + DATA + "trainer: {max_epoch: 3}\n", "Did you mean max_epochs?"
    ),
    # overrides
    "argument misspelt": digits("--model.widht 3", "Did you mean width?"),
    "trainer key misspelt": digits("--trainer.max_epoch 3", "Did you mean max_epochs?"),
    "option misspelt": digits("--wand off", "Did you mean wandb?"),
    "option without a value": digits("--model.width", "--model.width needs a value"),
    "no option": digits("foo", "unexpected argument 'foo'"),
    "another recipe": digits("--config {here}/small.yaml", "unknown option --config"),
    "text for a whole number": digits(
        "--data.batch_size foo", "--data.batch_size must be a whole number, got 'foo'."
    ),
    "text for a trainer's number": digits(
        "--trainer.max_epochs many", "--trainer.max_epochs must be a whole number, got 'many'."
    ),
    "fraction for a whole number": digits(
        "--model.width 1.5", "--model.width must be a whole number, got 1.5."
    ),
    "one number for two": digits("--model.betas [0.5]", "--model.betas must be a list of 2"),
    "text for a switch": digits("--evaluate maybe", "--evaluate must be true or false"),
    "unknown choice": digits("--wandb maybe", "--wandb must be one of auto, online, offline, off"),
    "wrong type in the recipe": bad(
        MODEL.replace("width: 4", "width: wide") + DATA, "--model.width must be a whole number"
    ),
    # values that make no sense
    "batch of 0": digits("--data.batch_size 0", "--data.batch_size must be at least 1"),
    "width of 0": digits("--model.width 0", "--model.width must be at least 1, got 0."),
    "negative width": digits("--model.width -3", "--model.width must be at least 1, got -3."),
    "one category": digits("--model.categories 1", "--model.categories must be at least 2"),
    "negative epochs": digits("--trainer.max_epochs -5", "--trainer.max_epochs must be"),
    "no devices": digits("--trainer.devices 0", "--trainer.devices must be"),
    "devices in words": digits("--trainer.devices two", "--trainer.devices must be a number"),
    "beta of 1": digits("--model.betas [0.5,1.0]", "--model.betas must lie in [0, 1), got 1.0."),
    "negative beta": digits("--model.betas [-0.5,0.9]", "--model.betas must lie in [0, 1)"),
    "negative learning rate": digits(
        "--model.lr_generator -1e-3", "--model.lr_generator must be at least 0, got -0.001."
    ),
    "learning rate that is not a number": digits(
        "--model.lr_generator .nan", "--model.lr_generator must be at least 0, got nan."
    ),
    "negative weight": digits("--model.continuous_weight -1", "must be at least 0"),
    "average of more than all": digits("--model.ema_decay 1.5", "--model.ema_decay must lie in"),
    "image that does not fit": digits("--data.resize 25", "image size 25x25 does not fit"),
    "image of no size": digits("--data.resize 0", "--data.resize must be a positive"),
    "padding that would cut": digits("--data.pad 4", "--data.pad 4 is smaller than the 8x8"),
    "all images for validation": digits("--data.val_size 1437", "leaves no training images"),
    "negative validation": digits("--data.val_size -1", "--data.val_size must not be negative"),
    "negative workers": digits("--data.workers -1", "--data.workers must not be negative"),
    "unknown binarisation": digits("--data.binarize some", "one of none, dynamic, static"),
    "negative seed": digits("--seed_everything -1", "--seed_everything must lie in"),
    "checkpoints never": digits("--save_every 0", "--save_every must be at least 1"),
    "pictures of null": bad(MODEL + DATA + "pictures_every: null\n", "--pictures_every must not"),
    "batches of null": bad(
        MODEL + "data: {class_path: Digits, init_args: {batch_size: null}}\n",
        "--data.batch_size must be a whole number, got null.",
    ),
    "width of null": bad(
        "model: {class_path: InfoGAN, init_args: {width: null}}\n" + DATA,
        "--model.width must be a whole number, got null.",
    ),
    "trainer of zero": bad(MODEL + DATA + "trainer: -0.0\n", "trainer must be a mapping"),
    "trainer of no list": bad(MODEL + DATA + "trainer: []\n", "trainer must be a mapping"),
    "name of null": bad(MODEL + DATA + "name: null\n", "--name must not be null"),
    "scores of null": bad(MODEL + DATA + "evaluate: ~\n", "--evaluate must not be null"),
    "a model for no memory": digits("--model.hidden 1000000000000", "not enough memory"),
    "pictures never": digits("--pictures_every 0", "--pictures_every must be at least 1"),
    "unknown precision": digits("--trainer.precision 17", "--trainer.precision must be one of"),
    "unknown accelerator": digits("--trainer.accelerator warp", "accelerator='warp'"),
    "unknown strategy": digits("--trainer.strategy warp", "strategy='warp'"),
    "impossible limit": digits("--trainer.limit_train_batches -3", "limit_train_batches"),
    "accumulation by the trainer": digits(
        "--trainer.accumulate_grad_batches 2", "--trainer.accumulate_grad_batches does not reach"
    ),
    "validation that never comes": digits(
        "--trainer.val_check_interval 100000", "val_check_interval"
    ),
    # code from elsewhere
    "foreign model": bad(MODEL.replace("InfoGAN", EVIL) + DATA, f"unknown model '{EVIL}'"),
    "foreign data": bad(MODEL + DATA.replace("Digits", "os.system"), "unknown data set"),
    "foreign model on the line": digits(f"--model {EVIL}", "unknown model"),
    "foreign class_path on the line": digits(f"--model.class_path {EVIL}", "unknown model"),
    "foreign callback": bad(
        MODEL + DATA + f"trainer: {{callbacks: [{{class_path: {EVIL}}}]}}\n", "is refused"
    ),
    "foreign callback in short": bad(
        MODEL + DATA + f"trainer: {{callbacks: [{EVIL}]}}\n", "is refused"
    ),
    "foreign logger": bad(
        MODEL + DATA + "trainer: {logger: subprocess.Popen}\n",
        "there is no logger 'subprocess.Popen'",
    ),
    "foreign strategy": bad(
        MODEL + DATA + f"trainer: {{strategy: {{class_path: {EVIL}}}}}\n", "is refused"
    ),
    "foreign callback on the line": digits(f"--trainer.callbacks {EVIL}", "is refused"),
    "foreign callback appended": digits(f"--trainer.callbacks+ {EVIL}", "is refused"),
    "foreign callback as JSON": digits(
        f'--trainer.callbacks=[{{"class_path":"{EVIL}"}}]', "is refused"
    ),
    "foreign callback's help": digits(f"--trainer.callbacks.help {EVIL}", ""),
    "foreign code inside a trusted class": digits(
        "--trainer.callbacks="
        f'[{{"class_path":"LambdaCallback","init_args":{{"on_fit_start":"{EVIL}"}}}}]',
        "is refused",
    ),
    "foreign code through a trusted module": digits(
        "--trainer.callbacks=[{class_path:~LambdaCallback,~init_args:~"
        "{on_fit_start:~lightning.pytorch.trainer.trainer.os.getcwd}}]",
        "trainer.callbacks",
    ),
    "foreign callback in a file": fit(
        f"infogan_digits {SMALL} --trainer.callbacks {{here}}/bad.yaml",
        "trainer.callbacks",
        recipe(f"class_path: {EVIL}\n"),
    ),
    "unknown callback": digits("--trainer.callbacks EarlyStoping", "no class 'EarlyStoping'"),
    # runs and checkpoints
    "nothing to resume": fit("infogan_digits --ckpt_path last", "no run with a checkpoint"),
    "checkpoint missing": digits("--ckpt_path {here}/none.ckpt", "does not exist"),
    "checkpoint truncated": resume("not a readable checkpoint", truncate),
    "checkpoint with code": resume("foreign code", with_code),
    "checkpoint that is an old pickle": resume("foreign code", with_old_code),
    "checkpoint of a newer pickle": resume("foreign code", with_newer_pickle),
    "checkpoint with sparse tensors": resume("is not a plain tensor", with_sparse_tensors),
    "average of another shape": resume("exp_avg must be a tensor", average(torch.zeros(3, 3))),
    "average of one number": resume("exp_avg must be a tensor", average(torch.zeros(()))),
    "average in words": resume("exp_avg must be a tensor", average("x")),
    "average that is missing": resume(
        "different averages", optimizer(lambda state: state["state"][0].pop("exp_avg"))
    ),
    "average of a foreign parameter": resume(
        "belongs to no parameter",
        optimizer(lambda state: state["state"].update({10**6: state["state"][0]})),
    ),
    "steps in words": resume("state[0].step must be a tensor", average("x", "step")),
    "rate in words": resume("lr must be a number", setting("lr", "x")),
    "rate that is none": resume("lr must be a number", setting("lr", float("nan"))),
    "switch in words": resume("amsgrad must be true or false", setting("amsgrad", "x")),
    "other parameters": resume("do not have the model's parameters", setting("params", [0])),
    "betas in words": resume("betas must be a list of 2 numbers", setting("betas", "xy")),
    "schedules that the model lacks": resume("lr_schedulers must be empty", with_schedules),
    "another group": resume(
        "do not have the model's parameters",
        optimizer(lambda state: state["param_groups"].append(state["param_groups"][0])),
    ),
    "checkpoint without its training": resume("no state of training", without_training_state),
    "checkpoint of another seed": fit(
        f"{{here}}/small.yaml {SMALL} --ckpt_path last --seed_everything 5",
        "began with seed_everything 0, not 5",
    ),
    "checkpoint of another rate": fit(
        f"{{here}}/small.yaml {SMALL} --ckpt_path last --model.lr_generator 0.5",
        "began with model.init_args.lr_generator",
    ),
    "checkpoint of another model": fit(
        "infogan_digits --ckpt_path {run}/checkpoints/last.ckpt", "another architecture"
    ),
    "name with a path": digits("--name ../x", "--name must be a plain name"),
    "name with a path to resume": digits("--name .. --ckpt_path last", "--name must be"),
    "run root below a file": Case(
        "fit", f"infogan_digits {SMALL} --run_root {{here}}/small.yaml/x", "Not a directory"
    ),
    "data set that is not there": fit(
        "infogan_digits --data MNIST --data.root {here}/nothing",
        "recipes/infogan_digits.yaml needs no download",
    ),
    # the shelf
    "unknown model": sample("smal", "Did you mean small?"),
    "model by a path": sample("../small", "without a path"),
    "card tampered with": sample("small", "card of small is damaged", tamper_card),
    "card of another format": sample(
        "small", "format 9", forge_card(lambda card: card.update(format=9))
    ),
    "card naming other weights": sample(
        "small", "outside its folder", forge_card(lambda card: card["weights"].update(file="../w"))
    ),
    "weights tampered with": sample("small", "weights of small are damaged", tamper_weights),
    "weights truncated": sample(
        "small", "weights of small are damaged", lambda place: truncate(weights(place))
    ),
    "weights missing": sample("small", "cannot be read", lambda place: weights(place).unlink()),
    "weights of another architecture": sample("small", "another architecture", other_architecture),
    "index missing": sample(
        "small", "not in", lambda place: (place.shelf / "index.json").unlink()
    ),
    # models elsewhere
    "address without a pin": sample("https://host/card.json", "needs the hash of the card"),
    "address by plain http": sample(f"http://host/card.json#sha256={'0' * 64}", "hf:// and https"),
    "address of a file": sample("file:///etc/passwd", "hf:// and https"),
    "address that does not answer": sample(
        f"https://host/card.json#sha256={'0' * 64}", "Is there a network?"
    ),
    "no address of the hub": Case("evaluate", "hf://owner", "looks like hf://owner/name"),
    "half a pin": Case("verify", "hf://owner/name#sha256=12", "64 hexadecimal digits"),
    "comparing with an address of no kind": Case(
        "compare", "ftp://host/x small --out {here}/x.png", "hf:// and https"
    ),
    "diagnosing a pickle's address": Case(
        "diagnose", "https://host/model.ckpt --out {here}/x.html", "needs the hash of the card"
    ),
    "judging what says nothing of its data": Case("evaluate", "small", "does not say what data"),
    "sending to no repository": Case("publish", "small --hub small", "looks like owner/name"),
    "run without a checkpoint": sample(
        "{run}", "no checkpoint yet",
        checkpoint(lambda path, place: path.unlink()),
    ),
    "run with code": sample("{run}", "foreign code", checkpoint(with_code)),
    "no run": sample("{here}", "is not a run"),
    # sampling
    "no model": sample("", "which model?"),
    "no samples": sample("small --n 0", "--n must lie in [1, 10000], got 0."),
    "negative samples": sample("small --n -3", "--n must lie in [1, 10000], got -3."),
    "samples in words": sample("small --n many", "--n must be a whole number, got 'many'."),
    "negative seed to sample": sample("small --seed -1", "--seed must lie in"),
    "label too large": sample("small --label 10", "--label must lie in 0..9, got 10."),
    "negative label": sample("small --label -1", "--label must lie in 0..9, got -1."),
    "unknown option to sample": sample("small --lable 3", "Did you mean --label?"),
    "two models": sample("small small", "unexpected argument 'small'"),
    "no PNG": Case("sample", "small --out {here}/x.jpg", "--out must end in .png"),
    "picture below a file": Case("sample", "small --out {here}/small.yaml/x.png", "cannot write"),
    "unknown code": sample("small --traverse colour", "unknown code 'colour'"),
    "code misspelt": sample("small --traverse continous1", "Did you mean continuous1?"),
    "two pictures": sample("small --traverse --interpolate", "one at a time"),
    "steps without a walk": sample("small --steps 3", "--steps belongs to"),
    "no steps": sample("small --traverse continuous1 --steps 0", "--steps must lie in"),
    "picture for a wall": sample("small --interpolate --n 1000 --steps 11", "at most 10000"),
    "label of a walk": sample("small --interpolate --label 3", "--label is a condition"),
    # the other commands
    "recipe of a name that is too long": fit("x" * 300, "File name too long"),
    "model of a name that is too long": sample("X" * 300, "File name too long"),
    "unknown verb": Case("", "fitt", "Did you mean fit?"),
    "unknown option to list": Case("list", "--all", "unknown option --all"),
    "argument to list": Case("list", "models", "there is nothing of that kind"),
    "publishing nothing": Case("publish", "", "RUN_OR_NAME"),
    "publishing no run": Case("publish", "{here} --name x", "is not a run"),
    "publishing under a path": Case("publish", "{run} --name ../x", "is not a valid name"),
    "publishing a run that goes on": Case(
        "publish", "{run} --name x", "has not ended", record(lambda ran_on: ran_on.pop("batches"))
    ),
    "publishing a run that was continued": Case(
        "publish", "{run} --name x", "has not ended",
        record(lambda ran_on: ran_on.update(batches=1)),
    ),
    "publishing a spread without scores": Case(
        "publish", "{run} --name x --seeds {run}", "has no evaluation.json"
    ),
    "evaluating nothing": Case("evaluate", "", "required"),
    "evaluating an unknown model": Case("evaluate", "smal", "Did you mean small?"),
    "evaluating by an unknown protocol": Case("evaluate", "small --protocol quik", "quik"),
    "a probe of nothing": Case("probe", "numerositi", "Did you mean numerosity"),
    "a probe of a model on other data": Case(
        "probe", "numerosity --model vae_digits", "needs a recipe on Dots, but vae_digits is on"
    ),
    "a probe with no seeds": Case("probe", "size --seeds 0", "--seeds must"),
    "a probe with few samples": Case("probe", "size --samples 1", "--samples must lie in [10, "),
    "a probe into a file": Case(
        "probe", "numerosity --out {here}/small.yaml", "--out must be a folder"
    ),
    "a tour of no recipe": Case("tour", "--only infogan_digit --out {here}/tour", "Did you mean"),
    "a tour of a feature network": Case(
        "tour", "--only features_digits --out {here}/tour", "is not a recipe of the tour"
    ),
    "a tour of no epochs": Case("tour", "--epochs 0 --out {here}/t", "--epochs must be at least"),
    "a tour into a file": Case("tour", "--out {here}/small.yaml", "--out must be a folder"),
    "a tour with an argument": Case("tour", "made_digits", "unexpected argument"),
    "verifying nothing": Case("verify", "", "which model?"),
    "verifying what has no figures": Case("verify", "small", "has no evaluation"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_request_ends_in_one_message_and_leaves_nothing(case, place, capsys):
    verb, line, words, setup = CASES[case]
    if setup is not None:
        setup(place)
    before = place.content()
    arguments = place.fill(line)
    try:
        if verb:
            code = importlib.import_module(f"zoo.{verb}").main(arguments)
        else:
            code = zoo_main(arguments)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err
    assert code == 2, said
    assert said.startswith(f"zoo.{verb}: " if verb else "zoo: ")
    assert said.count("\n") == 1 and said.endswith("\n"), said
    assert words in said
    assert len(said.replace(str(place.here), "here")) < 420, said
    assert "usage" not in said and "Traceback" not in said
    assert place.content() == before
    assert not place.marker.exists(), "foreign code was run"


def test_the_table_is_long_enough():
    assert len(CASES) >= 100


# ------------------------------------------------------------------------- what needs more room


@pytest.mark.parametrize("what", ["checkpoint", "figures"])
def test_a_full_disk_leaves_the_previous_checkpoint(what, place, capsys, monkeypatch):
    last = place.run / "checkpoints" / "last.ckpt"
    before = last.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    line = (
        f"{{here}}/small.yaml {SMALL} --trainer.max_epochs 2 --run_root {{runs}} --ckpt_path last"
    )
    if what == "checkpoint":
        monkeypatch.setattr(torch, "save", full)
    else:
        monkeypatch.setattr(os, "replace", full)
    code = importlib.import_module("zoo.fit").main(place.fill(line))
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert code == 2 and "No space left on device" in said and said.count("\n") == 1
    assert last.read_bytes() == before
    assert not list(place.run.rglob(".*")), "a temporary file is left"


def test_two_runs_in_one_second_have_folders_of_their_own(place, monkeypatch):
    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2030, 1, 2, 3, 4, 5)

    monkeypatch.setattr(zoo.shelf.run_folder, "datetime", Frozen)
    line = place.fill(f"{{here}}/small.yaml {SMALL} --run_root {{runs}} --name twice")
    fit = importlib.import_module("zoo.fit")
    assert fit.main(line) == 0 and fit.main(line) == 0
    names = sorted(path.name for path in (place.runs / "twice").iterdir())
    assert names == ["2030-01-02_03-04-05", "2030-01-02_03-04-05_2"]
    for name in names:
        assert (place.runs / "twice" / name / "checkpoints" / "last.ckpt").is_file()


def test_missing_data_are_named_with_their_place(place, capsys):
    root = place.here / "nothing"
    line = f"infogan_digits --data MNIST --data.root {root} --run_root {place.runs}"
    assert importlib.import_module("zoo.fit").main(line.split()) == 2
    said = capsys.readouterr().err
    for words in ("MNIST", "train-images-idx3-ubyte", str(root), "ZOO_DATA", "--data.root"):
        assert words in said
    assert not root.exists()
