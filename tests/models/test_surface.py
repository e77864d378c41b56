"""What every model offers to somebody who has it in hand, whatever its family."""

import inspect
import json

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.contract.model import Model
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import MODELS

DIGITS = ImageSpec(1, 8, 8, 10)
OF_WING = {
    "adversarial": "decode", "variational": "reconstruct", "autoregressive": "log_prob",
    "energy": "log_prob", "flows": "log_prob", "classifiers": "probabilities",
}  # fmt: skip
OWN = {"StackGAN": "illustrate", "GSN": "reconstruct", "AttributeClassifier": "attributes"}
NATURAL = {name: OWN.get(name, OF_WING[MODELS.homes[name].split(".")[2]]) for name in MODELS}


def make(name, spec=DIGITS):
    torch.manual_seed(0)
    return MODELS[name](spec).eval()


def images(n=3):
    return (torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).round() / 255


def given(model, method):
    """Returns what a method takes."""
    if method == "decode":
        return torch.zeros(3, getattr(model, "code_size", getattr(model, "latent_dim", 0)))
    return torch.ones(3, 4, dtype=torch.int64) if method == "illustrate" else images()


@pytest.mark.parametrize("name", MODELS)
def test_calling_a_model_does_what_is_natural_for_its_family(name):
    model = make(name)
    x = given(model, NATURAL[name])
    torch.manual_seed(1)
    wanted = getattr(model, NATURAL[name])(x)
    torch.manual_seed(1)
    assert torch.equal(model(x), wanted)


class Silent(Model):
    """Can only draw."""

    def sample(self, n, *, seed=None):
        """Draws."""


def test_a_model_that_does_nothing_by_nature_says_what_to_call():
    with pytest.raises(
        UserError, match=r"Silent has nothing that is natural .*: call model\.sample"
    ):
        Silent()(images())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_shown_in_a_few_lines(name):
    model = make(name)
    head, *layers = repr(model).splitlines()
    assert head.startswith(f"{name}; grey images of 8x8; ") and head.endswith(" parameters")
    assert len(layers) == len(list(model.children()))
    assert not any("training only" in line for line in layers if "_ema" in line)
    of_training = [line for line in layers if line.endswith("(training only)")]
    known = [n for n, _ in model.named_children() if f"{n}.".startswith(model.not_published)]
    assert len(of_training) == len(known)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_saved_into_a_folder_that_load_reads(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = make(name).to(memory_format=torch.channels_last)  # as training leaves it
    x = given(model, NATURAL[name])
    assert model.save("mine") == (tmp_path / "mine").relative_to(tmp_path)
    again = zoo.load("mine")
    torch.manual_seed(1)
    wanted = model(x)
    torch.manual_seed(1)
    assert torch.equal(again(x), wanted)
    assert not again.training and again.card.family == name and again.card.name == "mine"


def test_saving_replaces_a_saved_model_and_nothing_else(tmp_path):
    first, second = make("VAE"), MODELS["VAE"](DIGITS, latent_dim=3)
    first.save(tmp_path / "a")
    second.save(tmp_path / "a", half=True)
    assert len(list((tmp_path / "a").iterdir())) == 2  # the first one's weights are gone
    assert zoo.load(tmp_path / "a").latent_dim == 3
    card = json.loads((tmp_path / "a" / "card.json").read_text())
    assert card["weights"]["parameters"] == "float16"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="holds other files: name a folder that is new or empty"):
        first.save(tmp_path / "b")
    with pytest.raises(UserError, match="cannot write the model to"):
        first.save(tmp_path / "b" / "thesis.txt")
    (weights,) = (tmp_path / "a").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="are damaged or were changed"):
        zoo.load(tmp_path / "a")


WALKERS = [n for n in MODELS if "a" in inspect.signature(
    getattr(MODELS[n], "interpolate", make)).parameters]  # fmt: skip


def test_wherever_there_is_an_encoder_there_is_a_walk():
    assert set(WALKERS) == {name for name in MODELS if hasattr(MODELS[name], "encode")}


@pytest.mark.parametrize("name", WALKERS)
def test_a_walk_between_ones_own_images_leads_from_one_to_the_other(name):
    model, x = make(name), images(4)
    walk = model.interpolate(x[:2], x[2:], steps=5)
    assert walk.shape == (2, 5, 1, 8, 8)
    if name == "InfoGAN":  # which has their codes, and draws the rest
        noise = model._latents(2, 0)[0]
        ends = [model.decode(torch.cat([noise, model.encode(e)], 1)) for e in (x[:2], x[2:])]
    else:
        ends = [model.reconstruct(x[:2]), model.reconstruct(x[2:])]
    torch.testing.assert_close(walk[:, 0], ends[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(walk[:, -1], ends[1], rtol=0, atol=1e-4)
    assert not torch.equal(walk[:, 2], walk[:, 0]) and not torch.equal(walk[:, 2], walk[:, 4])
    still = model.interpolate(x[:1], x[:1], steps=3)  # between alike images nothing happens
    torch.testing.assert_close(still, still[:, :1].expand(still.shape), rtol=0, atol=1e-4)
    pictures = [Image.fromarray((one[0] * 255).round().byte().numpy()) for one in x]
    told = model.interpolate(pictures[0], np.asarray(pictures[2]), steps=5)
    wanted = model.interpolate(x[:1], x[2:3], steps=5)
    torch.testing.assert_close(told, wanted, rtol=0, atol=1e-3)


TRACED = [(n, m) for n in MODELS for m in ("encode", "decode") if hasattr(MODELS[n], m)]


class Asked(torch.nn.Module):
    """Calls one answer, as exported modules do."""

    def __init__(self, model, method):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, x):
        return getattr(self.model, self.method)(x)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)
@pytest.mark.parametrize(("name", "method"), TRACED)
def test_encoders_and_decoders_are_traced_without_a_trainer(name, method, tmp_path):
    model = make(name)
    x = given(model, method)
    wanted = getattr(model, method)(x)
    traced = torch.jit.trace_module(model, {method: x}, check_trace=False)
    torch.jit.save(traced, tmp_path / "model.pt")
    told = getattr(torch.jit.load(tmp_path / "model.pt"), method)(x)
    torch.testing.assert_close(told, wanted, rtol=1e-4, atol=1e-5)
    whole = torch.jit.trace(Asked(model, method), x, check_trace=False)
    torch.testing.assert_close(whole(x), wanted, rtol=1e-4, atol=1e-5)
    exported = torch.export.export(Asked(model, method), (x,), strict=False).module()
    torch.testing.assert_close(exported(x), wanted, rtol=1e-4, atol=1e-5)
