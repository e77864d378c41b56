"""What a card's arguments come to is known before anything is allocated or fetched."""

import json
import typing
from pathlib import Path

import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.models import MODELS
from zoo.shelf.card import Entry
from zoo.shelf.sketch import largest_file, published, sketch
from zoo.shelf.weights import build_model, load_entry

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"
CARDS = {p.parent.name: json.loads(p.read_text()) for p in CHECKPOINTS.glob("*/card.json")}
DIGITS = ImageSpec(1, 8, 8, 10)


def section(name, **arguments):
    return {"class_path": name, "init_args": arguments}


class Nowhere:
    """A place whose weights nobody may ask for."""

    label, hashes, folder = "x", (), Path("nowhere")

    def read(self, file, hashes, limit):
        raise AssertionError(f"{file} was fetched")

    def wrong_hash(self, file):
        return ""


def card_of(name, arguments, size=1000, **spec):
    return {
        "name": "x", "model": name, "arguments": arguments,
        "spec": {"channels": 1, "height": 8, "width": 8, "classes": 10, **spec},
        "weights": {"file": "w.safetensors", "sha256": "0" * 64, "bytes": size},
    }  # fmt: skip


@pytest.mark.parametrize("family", MODELS)
def test_every_family_can_be_sketched(family):
    drawn = sketch(section(family), DIGITS)
    assert drawn is not None and all(t.is_meta for t in drawn.parameters())
    real = build_model(section(family), DIGITS).state_dict()
    assert {k: (v.shape, v.dtype) for k, v in drawn.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in real.items()
    }


def test_a_sketch_leaves_the_users_random_stream_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    sketch(section("GAN"), DIGITS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_published_files_are_within_what_their_arguments_come_to(name):
    card = CARDS[name]
    drawn = sketch(section(card["model"], **card["arguments"]), ImageSpec(**card["spec"]))
    numbers = sum(tensor.numel() for tensor in published(drawn).values())
    assert numbers == card["weights"]["numbers"]
    assert 2 * numbers < card["weights"]["bytes"] <= largest_file(published(drawn))


@pytest.mark.parametrize("family", MODELS)
def test_no_huge_argument_of_any_family_is_built(family):
    """Takes a second; whatever allocated or looped for it would take minutes, or the memory."""
    hints = typing.get_type_hints(MODELS[family].__init__)
    for argument, kind in hints.items():
        for value in (10**6, 10**9):
            given = {int: value}.get(kind, [value] if "tuple[int" in str(kind) else None)
            if given is None:
                continue
            try:
                sketch(section(family, **{argument: given}), DIGITS)
            except UserError:
                continue
            assert value < 10**9, argument  # a million steps of a schedule are none of our business


HUGE = {
    "hidden": card_of("VAE", {"hidden": [10**9]}),
    "hidden, each moderate": card_of("VAE", {"hidden": [10**6, 10**6]}),
    "latent_dim": card_of("GAN", {"latent_dim": 10**9}),
    "classes": card_of("GAN", {"conditional": True}, classes=10**12),
    "height": card_of("VAE", {}, height=10**9),
    "height and width": card_of("VAE", {}, height=10**6, width=10**6),
    "depth": card_of("NICE", {"layers": 10**6}),
    "weights of a gibibyte": card_of("VAE", {}, 2**30),
    "weights of twice the size": card_of("VAE", {}, 2_000_000),
}


@pytest.mark.parametrize("case", HUGE)
def test_a_card_that_asks_for_too_much_is_refused_before_its_weights_are_fetched(case):
    with pytest.raises(UserError) as refused:
        load_entry(Entry(Nowhere(), HUGE[case], ""))
    said = str(refused.value)
    assert said.isprintable() and len(said) < 400
    assert "does not fit this zoo" in said or "of another architecture" in said


def test_an_honest_card_has_its_weights_fetched():
    with pytest.raises(AssertionError, match=r"w\.safetensors was fetched"):
        load_entry(Entry(Nowhere(), card_of("VAE", {}), ""))


def test_a_model_that_cannot_be_sketched_is_built_within_bounds(monkeypatch):
    class Own(MODELS["VAE"]):
        def __init__(self, spec: ImageSpec, hidden: tuple[int, ...] = (200,)) -> None:
            super().__init__(spec, hidden=hidden)
            float(torch.ones(1).sum())  # needs numbers

    monkeypatch.setitem(MODELS._entries, "Own", Own)
    assert sketch(section("Own"), DIGITS) is None
    assert build_model(section("Own"), DIGITS) is not None
    with pytest.raises(UserError, match="would hold more than 4 GiB"):
        build_model(section("Own", hidden=[40_000, 40_000]), DIGITS)
