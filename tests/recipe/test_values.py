"""One check of values against annotations serves cards, records of runs and Python callers."""

import contextlib
from typing import Any, Literal, TypedDict

import numpy as np
import pytest

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.models import MODELS
from zoo.recipe.building import build
from zoo.recipe.checking import arguments_of
from zoo.recipe.values import check_values, misfit

DIGITS = ImageSpec(1, 8, 8, 10)


class Need(TypedDict):
    name: str


class Part(Need, total=False):
    value: float | None
    inner: list[Need]


FITS = [
    (3, int), (np.int64(3), int), (3, float), (2.5, float), (np.float32(1), float), (True, bool),
    ("x", str), (None, None), (None, int | None), (3, int | None), ("a", Literal["a", "b"]),
    (32, Literal[32, 64]), ((1, 2), tuple[int, ...]), ([1, 2], tuple[int, ...]),
    ([0.5, 1], tuple[float, float]), ([], list[int]), ({"a": 1}, dict[str, int]), ({}, dict),
    (..., Any), ({"name": "n"}, Part), ({"name": "n", "value": None, "more": []}, Part),
    (DIGITS, ImageSpec), ("x", int | str), ([1], int | list[int]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wanted"), FITS, ids=str)
def test_what_fits(value, wanted):
    assert misfit(value, wanted, "it") is None


MISFITS = [
    ("3", int, "it must be a whole number, got '3'."),
    (2.5, int, "it must be a whole number, got 2.5."),
    (2.0, int, "it must be a whole number, got 2.0."),
    (True, int, "it must be a whole number, got true."),
    (False, float, "it must be a number, got false."),
    ("1", float, "it must be a number, got '1'."),
    (1, bool, "it must be true or false, got 1."),
    (5, str, "it must be text, got 5."),
    (None, int, "it must be a whole number, got null."),
    (0, type(None), "it must be null, got 0."),
    ("x", int | None, "it must be a whole number, got 'x'."),
    ([], int | str, "it must be a whole number or text, got []."),
    ("c", Literal["a", "b"], "it must be one of a, b, got 'c'."),
    ([], Literal["a", "b"], "it must be one of a, b, got []."),
    (1, Literal["a", 2], "it must be one of a, 2, got 1."),
    (True, Literal[1], "it must be one of 1, got true."),
    ("12", tuple[int, ...], "it must be a list, got '12'."),
    ([1, "x"], tuple[int, ...], "it[1] must be a whole number, got 'x'."),
    ((0.5,), tuple[float, float], "it must be a list of 2, got [0.5]."),
    ([0.5, None], tuple[float, float], "it[1] must be a number, got null."),
    ({"a": "b"}, dict[str, int], "it['a'] must be a whole number, got 'b'."),
    ([], dict[str, int], "it must be a mapping, got []."),
    ([], Part, "it must be a mapping, got []."),
    ({}, Part, "it.name must be text, got nothing."),
    ({"name": 1}, Part, "it.name must be text, got 1."),
    ({"name": "n", "value": "v"}, Part, "it.value must be a number, got 'v'."),
    ({"name": "n", "inner": [{}]}, Part, "it.inner[0].name must be text, got nothing."),
    (10**30, int, "it is a number of too many digits."),
    ([10**300], list[float], "it[0] is a number of too many digits."),
    ({}, ImageSpec, "it must be a ImageSpec, got {}."),
]


@pytest.mark.parametrize(("value", "wanted", "words"), MISFITS, ids=str)
def test_what_does_not_fit_is_said_in_a_sentence(value, wanted, words):
    assert misfit(value, wanted, "it") == words


BUILDS = {
    "activation": ("model", "VAE", {"activation": 5}, "--model.activation must be one of tanh"),
    "network": ("model", "VAE", {"network": []}, "--model.network must be one of mlp, conv"),
    "prior": ("model", "NICE", {"prior": -1}, "--model.prior must be one of logistic, normal"),
    "widths": ("model", "VAE", {"hidden": [200, "x"]}, "--model.hidden[1] must be a whole number"),
    "betas": ("model", "VAE", {"betas": [0.9]}, "--model.betas must be a list of 2, got [0.9]."),
    "text for a number": (
        "model",
        "GAN",
        {"latent_dim": "8"},
        "--model.latent_dim must be a whole",
    ),
    "unknown key": ("model", "GAN", {"latent_dmi": 8}, "Did you mean latent_dim?"),
    "key that is no name": ("model", "GAN", {3: 8}, "GAN has no argument 3."),
    "batch size in words": ("data", "Digits", {"batch_size": "x"}, "--data.batch_size must be a"),
    "half a batch": ("data", "Digits", {"batch_size": 2.5}, "must be a whole number, got 2.5."),
    "root": ("data", "MNIST", {"root": 5}, "--data.root must be text, got 5."),
    "resize": ("data", "Digits", {"resize": "big"}, "--data.resize must be a whole number"),
    "pad": ("data", "Digits", {"pad": [12]}, "--data.pad must be a whole number, got [12]."),
    "huge pad": ("data", "Digits", {"pad": 2**31}, "--data.pad must be at most 8192 pixels"),
    "huge resize": ("data", "Digits", {"resize": 2**31}, "--data.resize must be at most 8192"),
    "no path": ("data", "ImageFolder", {}, "ImageFolder needs --data.path, which is missing."),
}


@pytest.mark.parametrize("case", BUILDS)
def test_building_refuses_in_a_sentence(case):
    kind, name, arguments, words = BUILDS[case]
    linked = {"spec": DIGITS} if kind == "model" else {}
    with pytest.raises(UserError) as refused:
        build(kind, {"class_path": name, "init_args": arguments}, **linked)
    assert words in str(refused.value) and len(str(refused.value)) < 400


STRANGE = ("x", 2.5, -1, [], {}, None, True, [[1]], {"a": [1]}, 10**40, "\x1b[31m" * 1000, ["x", 1])


@pytest.mark.parametrize(
    ("kind", "name"), [("model", n) for n in MODELS] + [("data", n) for n in DATASETS]
)
def test_no_argument_of_any_class_takes_a_strange_value_with_a_traceback(kind, name):
    for argument in arguments_of(kind, name):
        for value in STRANGE:
            linked = {"spec": DIGITS} if kind == "model" else {}
            section = {"class_path": name, "init_args": {"root": "/nowhere", argument: value}}
            if "root" not in arguments_of(kind, name):
                section["init_args"].pop("root", None)
            with contextlib.suppress(UserError):
                build(kind, section, **linked)


def test_a_class_whose_annotations_cannot_be_read_takes_what_it_takes():
    class Own:
        def __init__(self, width: "Nowhere", depth=1):  # noqa: F821
            self.width = width

    check_values(Own, {"width": 3}, "--model.")
    with pytest.raises(UserError, match=r"has no argument 'wdith'\. Did you mean width\?"):
        check_values(Own, {"wdith": 3}, "--model.")
