"""Whatever a method cannot mean is refused in a sentence; whatever it can mean is converted."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.contract.answering import is_answer
from zoo.contract.capabilities import capabilities
from zoo.contract.checks import CHECKS
from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import MODELS

DIGITS, POINTS = ImageSpec(1, 8, 8, 10), ImageSpec(2, 1, 1)
GOOD = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 255).round() / 255

IN_TRAINING = ("logits", "_maps", "scores", "step", "likelihood")


def with_nan(x):
    return torch.where(torch.arange(x.shape[-1]) == 0, torch.nan, x)


WRONG = {
    "x": [
        (GOOD[0], r"expects x .*\(B, 1, 8, 8\).*got shape \(1, 8, 8\): add the batch .*x\[None\]"),
        (GOOD[:, 0], r"got shape \(3, 8, 8\): add the channel, x\[:, None\]"),
        (GOOD[0, 0], r"got shape \(8, 8\): add the batch and the channel, x\[None, None\]"),
        (GOOD.permute(0, 2, 3, 1), r"put the channels second, x\.permute\(0, 3, 1, 2\)"),
        (GOOD[0].permute(1, 2, 0), r"put the channels first, x\.permute\(2, 0, 1\)\[None\]"),
        (GOOD.flatten(1), r"got shape \(3, 64\): x\.view\(-1, 1, 8, 8\)"),
        (GOOD.repeat(1, 1, 2, 2), r"got shape \(3, 1, 16, 16\): bring them to 8x8 pixels"),
        (GOOD.repeat(1, 3, 1, 1), r"got shape \(3, 3, 8, 8\): this model reads 1 channel\."),
        (GOOD * 255, r"values in \[0, 1\], got values from 0 to 25.: x / 255"),
        (GOOD * 2 - 1, r"got values from -1 to 0\.\d+: \(x \+ 1\) / 2"),
        ((GOOD * 255).long(), r"got values from 0 to 25.: x / 255"),
        (GOOD - 7, r"bring them to that range"),
        (with_nan(GOOD), r"got 24 of 192 numbers that are NaN or infinite"),
        (GOOD / 0, "NaN or infinite"),
        (GOOD.cfloat(), "got a strided complex64 tensor"),
        (GOOD.to_sparse(), "got a sparse_coo float32 tensor"),
        (GOOD.to("meta"), "got a meta tensor"),
        (GOOD.tolist(), "got list .*: give a tensor or an array"),
        ([Image.new("L", (8, 8)), None], "got list .*: give a tensor or an array"),
        ([Image.new("L", (8, 8)), Image.new("L", (9, 8))], "got a PIL image of 9x8 pixels"),
        (None, "got NoneType None"),
        ("image.png", "got str 'image.png'"),
        (np.array(["a"]), "got an array of <U1"),
        (Image.new("L", (9, 8)), r"got a PIL image of 9x8 pixels: image\.resize\(\(8, 8\)\)"),
        (Image.new("I", (8, 8)), "got a PIL image of mode I: give a tensor"),
    ],
    "a": [
        (GOOD[0], r"interpolate expects a .*got shape \(1, 8, 8\): add the batch .*a\[None\]"),
        (GOOD * 255, r"got values from 0 to 25.: a / 255"),
        (with_nan(GOOD), r"got 24 of 192 numbers that are NaN or infinite"),
        (None, r"from images a to images b, and was given b without a\."),
    ],
    "b": [
        (GOOD[:2], r"interpolate expects b to be 3 images, as many as a, got 2\."),
        (GOOD[..., :2], r"b to be images of shape .*got shape \(3, 1, 8, 2\)"),
        (None, r"and was given a without b\."),
    ],
    "z": [
        (torch.zeros(99), r"expects z .*\(B, \d+\).*got shape \(99,\): add the batch .*z\[None\]"),
        (torch.zeros(2, 9999), r"got shape \(2, 9999\)"),
        ("nan", "NaN or infinite"),  # codes of the right length
        ([0.0], r"got list \[0\.0\]"),
    ],
    "mask": [
        (torch.ones(5, 1, 1, 1, dtype=torch.bool), r"broadcasts to \(3, 1, 8, 8\), got shape"),
        (torch.full((3, 1, 8, 8), 0.3), r"got numbers other than 0 and 1: mask > 0\.5"),
        (None, "got NoneType"),
    ],
    "captions": [
        (torch.ones(4, dtype=torch.int64), r"captions .* got shape \(4,\): add the batch"),
        (torch.ones(2, 4), r"got numbers of type float32: captions\.long\(\)"),
        (torch.full((2, 4), 99), r"whole numbers in 0\.\.11, got tokens from 99 to 99"),
        ("a circle", "got str"),
    ],
    "label": [(1.5, "label"), (True, "label"), ("a", "label"), (-1, "label")],
    "n": [(-1, "n must be at least 0"), (True, "n must be a whole number, got True"),
          (2.5, "got 2.5"), ("a", "got 'a'"), (None, "got None"),
          (torch.tensor(True), "whole number"), (np.bool_(True), "whole number")],
    "rows": [(0, "rows must be at least 1"), (1.5, "whole number"), (True, "whole number")],
    "steps": [(0, "steps must be at least 1"), (None, "whole number")],
    "samples": [(0, "samples must be at least 1"), (2.0, r"whole number, got 2\.0")],
    "stage": [(3, "stages 1 and 2"), ("1", "whole number")],
    "seed": [("a", "seed must be a whole number, got 'a'"), (-1, "seed must lie in"),
             (2**64, "seed must lie in"), (1.0, "whole number"), (True, "whole number")],
    "temperature": [(-1, "temperature must be at least 0"), (torch.nan, "got nan"),
                    ("hot", "must be a number, got 'hot'"), (None, "must be a number")],
    "code": [(3, "code must be text, got 3"), ("no such code", "unknown code|code 'no such code'")],
    "caption": [(3, "caption must be text, got 3")],
}  # fmt: skip


def make(name, spec=DIGITS):
    torch.manual_seed(0)
    return MODELS[name](spec).eval()


def sound(model, method):
    """Returns arguments of a method that it takes, by their names."""
    size = getattr(model, "code_size", getattr(model, "latent_dim", 0))
    known = {
        "x": GOOD, "z": torch.zeros(2, size), "mask": GOOD > 0.5, "n": 2, "rows": 1, "steps": 2,
        "samples": 2, "seed": 1, "stage": 1, "captions": torch.ones(2, 4, dtype=torch.int64),
        "code": model.codes()[0] if hasattr(model, "codes") else None, "a": GOOD, "b": GOOD / 2,
        "chains": 2, "temperatures": 2,
    }  # fmt: skip
    takes = inspect.signature(getattr(model, method)).parameters
    return {name: value for name, value in known.items() if name in takes}


def methods(model):
    """Every method that answers a user, whoever wrote it."""
    return [name for name in dir(type(model)) if is_answer(getattr(type(model), name))]


@pytest.mark.parametrize("name", MODELS)
def test_all_that_a_model_can_is_checked_and_so_is_all_that_takes_images_of_a_user(name):
    """Terms of a loss and the like take batches in training, which were checked."""
    model, checked = MODELS[name], set(methods(make(name)))
    assert set(capabilities(make(name))) <= checked
    for method in set(vars(model)) - checked:
        inside = method.startswith("_") or "terms" in method or method.endswith(IN_TRAINING)
        if callable(getattr(model, method)) and not inside:
            assert "x" not in inspect.signature(getattr(model, method)).parameters, method


@pytest.mark.parametrize("name", MODELS)
def test_a_wrong_call_is_told_how_to_call(name):
    model = make(name)
    for method in methods(model):
        with pytest.raises(TypeError, match=rf"^{name} answers {method}\(.*\): got an unexpected "):
            getattr(model, method)(**sound(model, method), colour="red")


def test_every_argument_that_the_contract_knows_has_wrong_values_here():
    assert CHECKS.keys() == WRONG.keys()


@pytest.mark.parametrize("name", MODELS)
def test_wrong_arguments_are_refused_in_a_sentence(name):
    model, tried = make(name), 0
    for method in methods(model):
        arguments, signature = sound(model, method), inspect.signature(getattr(model, method))
        getattr(model, method)(**arguments)
        for argument in WRONG.keys() & signature.parameters.keys():
            for value, said in WRONG[argument]:
                if argument == "label" and method == "log_prob":
                    continue  # one for each image: tried below
                if isinstance(value, str) and value == "nan":
                    value = with_nan(arguments["z"])
                with pytest.raises(UserError, match=said) as error:
                    getattr(model, method)(**{**arguments, argument: value})
                text = str(error.value)
                assert text.endswith(".") and "\n" not in text and len(text) < 250
                tried += 1
    assert tried >= 20


@pytest.mark.parametrize("name", MODELS)
def test_arrays_bytes_and_numbers_of_other_libraries_are_understood(name):
    model = make(name)
    for method in methods(model):
        arguments, ask = sound(model, method), getattr(model, method)
        others = {
            "x": [GOOD.numpy(), GOOD.double().numpy(), (GOOD * 255).round().byte(),
                  (GOOD * 255).round().byte().numpy(), GOOD.clone().requires_grad_()],
            "z": [lambda z: z.numpy(), lambda z: z.double(), lambda z: z.long()],
            "mask": [lambda m: m.numpy(), lambda m: m.float(), lambda m: m.byte()],
            "captions": [lambda t: t.numpy(), lambda t: t.int()],
        }  # fmt: skip
        torch.manual_seed(0)
        wanted = ask(**arguments)
        for argument in others.keys() & arguments.keys():
            for other in others[argument]:
                value = other(arguments[argument]) if callable(other) else other
                torch.manual_seed(0)
                told = ask(**{**arguments, argument: value})
                torch.testing.assert_close(told, wanted, rtol=1e-4, atol=1e-4)
        for argument in {"n", "rows", "steps", "seed", "samples", "stage"} & arguments.keys():
            for kind in (np.int64, np.uint8, torch.tensor):
                torch.manual_seed(0)
                told = ask(**{**arguments, argument: kind(arguments[argument])})
                assert torch.equal(told, wanted), (method, argument)


@pytest.mark.parametrize("name", [n for n in MODELS if hasattr(MODELS[n], "encode")])
def test_one_picture_is_a_batch_of_one(name):
    model = make(name)
    picture = Image.fromarray((GOOD[0, 0] * 255).round().byte().numpy())
    told = model.encode(picture)
    torch.testing.assert_close(told, model.encode(GOOD[:1]), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.encode(picture.convert("RGB")), told)
    assert len(model.encode(GOOD[:0])) == 0


def test_pictures_of_other_libraries_are_batches():
    model = make("VAE")
    pixels = (GOOD * 255).round().byte().numpy()
    pictures = [Image.fromarray(one[0]) for one in pixels]
    wanted = model.encode(GOOD)
    torch.testing.assert_close(model.encode(pictures), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.encode(pixels[0, 0]), wanted[:1], rtol=1e-4, atol=1e-4)
    colour = MODELS["VAE"](ImageSpec(3, 8, 8))
    picture = Image.new("RGB", (8, 8), (255, 0, 51))
    told = colour.encode(np.asarray(picture))
    assert torch.equal(told, colour.encode(picture))
    planes = torch.tensor([1, 0, 0.2]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(told, colour.encode(planes))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no second device")
@pytest.mark.parametrize("name", MODELS)
def test_tensors_come_from_any_device(name):
    model = make(name)
    for device in ("cuda", "cpu"):
        model.to(device)
        for method in methods(model):
            arguments = sound(model, method)
            for other in ("cuda", "cpu"):
                moved = {k: v.to(other) if hasattr(v, "to") else v for k, v in arguments.items()}
                assert getattr(model, method)(**moved).device.type == device


@pytest.mark.parametrize("name", ["NICE", "RealNVP"])
def test_points_may_lie_anywhere_but_nowhere_is_no_place(name):
    model = make(name, POINTS)
    away = torch.full((2, 2, 1, 1), -7.0)
    if name == "NICE":
        assert model.encode(away).isfinite().all() and model.log_prob(away).isfinite().all()
    else:  # whose logits end just beyond the unit square
        assert model.log_prob(away).tolist() == [-torch.inf, -torch.inf]
        with pytest.raises(UserError, match=r"between -0\.0556 and 1\.06: beyond"):
            model.encode(away)
        assert model.encode(torch.full((2, 2, 1, 1), -0.05)).isfinite().all()
    with pytest.raises(
        UserError, match=r"\(B, 2, 1, 1\) with finite coordinates, got 4 of 4 numbers"
    ):
        model.log_prob(torch.full((2, 2, 1, 1), torch.nan))


def test_labels_are_one_for_each_image():
    model = MODELS["PixelCNN"](DIGITS, conditional=True).eval()
    for labels in (torch.tensor([1, 2, 3]), np.array([1, 2, 3], dtype=np.uint8)):
        assert torch.equal(
            model.log_prob(GOOD, labels), model.log_prob(GOOD, torch.tensor([1, 2, 3]))
        )
    for labels, said in (
        (torch.tensor([1.0, 2, 3]), r"label .* 3 whole numbers, .* got numbers of type float32"),
        (torch.tensor([1, 2]), r"got shape \(2,\)"),
        (3, "got int 3"),
        (torch.tensor([1, 2, 10]), r"labels must lie in 0\.\.9"),
    ):
        with pytest.raises(UserError, match=said):
            model.log_prob(GOOD, labels)
    for label in (10, True, 1.5):
        with pytest.raises(UserError, match="label"):
            model.sample(1, label=label)
