"""What a model's methods take: told by the names of their arguments, converted, or refused.

The contract gives each name one meaning: ``x`` are images, ``z`` latent codes, ``n`` a number of
images, and so on, see `CHECKS`. What cannot be meant is refused in one sentence: what was expected,
what came, what to do.
"""

from __future__ import annotations

import inspect
import operator
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.core.arguments import SEEDS
from zoo.core.errors import UserError, check_interval
from zoo.core.text import clean

__all__ = ["CHECKS", "Given", "checks_of", "whole"]

ROUNDING = 1e-4  # by which resizing and half precision may leave [0, 1]


@dataclass
class Given:
    """What a method was given.

    Args:
        model: The model that is asked.
        method: The method's name.
        like: A tensor with the model's number format and device.
        trusted: Whether values are sound because the zoo computed them; shapes are still told.
        arguments: Arguments that were checked before, by name.
    """

    model: Any
    method: str
    like: Tensor
    trusted: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)

    def refuse(self, name: str, expected: str, came: str, remedy: str = "") -> UserError:
        """Returns the error for an argument."""
        advice = f": {remedy}" if remedy else ""
        return UserError(f"{self.method} expects {name} to be {expected}, got {came}{advice}.")


def _shown(value: Any) -> str:
    return clean(reprlib.repr(value), 40)


Check = Callable[[Given, str, Any], Any]


def checks_of(signature: inspect.Signature) -> Mapping[str, Check]:
    """Returns the check of each argument that the contract knows."""
    found = {name: CHECKS[name] for name in signature.parameters if name in CHECKS}
    label = signature.parameters.get("label")
    if label is not None and "Tensor" in str(label.annotation):
        found["label"] = _labels  # one for each image, not one for all
    return found


# ---------------------------------------------------------------- numbers and words


def whole(name: str, value: Any, interval: str) -> int:
    """Returns a whole number of any kind, NumPy's and torch's included, as Python's.

    Raises:
        UserError: if it is none (True is none), or lies outside the interval.

    Example:
        >>> whole("seed", np.int64(3), SEEDS)
        3
    """
    boolean = isinstance(value, (bool, np.bool_))
    boolean = boolean or (isinstance(value, Tensor) and value.dtype == torch.bool)
    try:
        number = None if boolean else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UserError(f"{name} must be a whole number, got {_shown(value)}.")
    check_interval(name, number, interval)
    return number


def _counted(interval: str, *, optional: bool = False) -> Check:
    def check(given: Given, name: str, value: Any) -> Any:
        return None if optional and value is None else whole(name, value, interval)

    return check


def _number(given: Given, name: str, value: Any) -> float:
    try:
        number = None if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = None
    if number is None:
        raise UserError(f"{name} must be a number, got {_shown(value)}.")
    check_interval(f"--{name}", number, "[0, inf)")
    return number


def _text(given: Given, name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UserError(f"{name} must be text, got {_shown(value)}.")
    return value


# ---------------------------------------------------------------- tensors


def _tensor(given: Given, name: str, value: Any, expected: str) -> Tensor:
    """Returns a tensor or an array as a dense tensor of real numbers."""
    if isinstance(value, np.ndarray):
        try:
            value = torch.from_numpy(np.array(value))  # a copy, since arrays may be read-only
        except TypeError:
            raise given.refuse(name, expected, f"an array of {value.dtype}") from None
    if not isinstance(value, Tensor):
        what = f"{type(value).__name__} {_shown(value)}"
        raise given.refuse(name, expected, what, "give a tensor or an array")
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
        kind = "meta" if value.is_meta else f"{value.layout} {value.dtype}".replace("torch.", "")
        raise given.refuse(name, expected, f"a {kind} tensor", "give a dense tensor of numbers")
    return value


def _finite(given: Given, name: str, x: Tensor, expected: str) -> tuple[float, float]:
    """Returns the least and the largest of some numbers, by one look at them."""
    if x.numel() == 0:
        return 0.0, 0.0
    low, high = torch.stack(x.aminmax()).tolist()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~x.isfinite()).sum())
        came = f"{bad} of {x.numel()} numbers that are NaN or infinite"
        raise given.refuse(name, expected, came, "put a finite number in their place")
    return low, high


def _images(given: Given, name: str, value: Any) -> Tensor:
    spec = getattr(given.model, "spec", None)
    shape = None if spec is None else tuple(spec.shape)
    sides = "C, H, W" if shape is None else ", ".join(map(str, shape))
    points = spec is not None and spec.points
    values = "finite coordinates" if points else "values in [0, 1]"
    expected = f"images of shape (B, {sides}) with {values}"
    if isinstance(value, Image.Image):
        value = _pixels(given, name, value, shape, expected)
    elif isinstance(value, (list, tuple)) and value and _pictures(value):
        value = torch.cat([_pixels(given, name, part, shape, expected) for part in value])
    elif isinstance(value, np.ndarray) and value.dtype == np.uint8 and shape is not None:
        value = _as_batch(value, shape)
    x = _tensor(given, name, value, expected)
    if x.dim() != 4 or (shape is not None and tuple(x.shape[1:]) != shape):
        came = f"shape {tuple(x.shape)}"
        raise given.refuse(name, expected, came, _reshaping(name, tuple(x.shape), shape))
    own = x.to(given.like)
    if x.dtype == torch.uint8 and not points:
        return own / 255
    if not given.trusted:
        low, high = _finite(given, name, own, expected)
        if not points and (low < -ROUNDING or high > 1 + ROUNDING):
            came = f"values from {low:.4g} to {high:.4g}"
            raise given.refuse(name, expected, came, _rescaling(name, low, high))
    return own


def _pictures(value: Any) -> bool:
    return all(isinstance(part, Image.Image) for part in value)


def _as_batch(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns one picture of bytes, (H, W) or (H, W, C) as other libraries have it, as a batch."""
    channels, height, width = shape
    if pixels.shape == (height, width) and channels == 1:
        return pixels[None, None]
    if pixels.shape == (height, width, channels):
        return pixels.transpose(2, 0, 1)[None]
    return pixels


def _pixels(
    given: Given, name: str, image: Image.Image, shape: tuple[int, ...] | None, expected: str
) -> Tensor:
    """Returns a PIL image as a batch of one, uint8, in the model's colours."""
    channels, height, width = shape or (len(image.getbands()), image.height, image.width)
    mode = {1: "L", 3: "RGB"}.get(channels)
    if mode is None or image.mode.startswith(("I", "F")):
        raise given.refuse(name, expected, f"a PIL image of mode {image.mode}", "give a tensor")
    if image.size != (width, height):
        came = f"a PIL image of {image.width}x{image.height} pixels"
        raise given.refuse(name, expected, came, f"image.resize(({width}, {height}))")
    pixels = torch.from_numpy(np.array(image.convert(mode)))
    return pixels.view(1, height, width, channels).permute(0, 3, 1, 2)


def _reshaping(name: str, came: tuple[int, ...], wanted: tuple[int, ...] | None) -> str:
    """Says what makes a tensor of one shape a batch of images of another."""
    if wanted is None:
        return f"add the batch dimension, {name}[None]" if len(came) == 3 else ""
    channels, height, width = wanted
    ways = {
        wanted: f"add the batch dimension, {name}[None]",
        (height, width, channels): f"put the channels first, {name}.permute(2, 0, 1)[None]",
    }
    if channels == 1:
        ways[height, width] = f"add the batch and the channel, {name}[None, None]"
    if came in ways:
        return ways[came]
    rest = came[1:]
    if rest == (height, width) and channels == 1:
        return f"add the channel, {name}[:, None]"
    if rest == (height, width, channels):
        return f"put the channels second, {name}.permute(0, 3, 1, 2)"
    if rest == (channels * height * width,):
        return f"{name}.view(-1, {channels}, {height}, {width})"
    if len(came) == 4 and came[1] == channels:
        return f"bring them to {height}x{width} pixels"
    if len(came) == 4 and came[2:] == (height, width):
        return f"this model reads {channels} channel{'s' if channels > 1 else ''}"
    return ""


def _rescaling(name: str, low: float, high: float) -> str:
    if low >= 0 and 2 < high <= 255:
        return f"{name} / 255"
    return f"({name} + 1) / 2" if low >= -1 and high <= 1 else "bring them to that range"


def _own_image(given: Given, name: str, value: Any) -> Any:
    """Checks one of two images to walk between; both are given, or none."""
    other = given.arguments.get("b" if name == "a" else "a")
    if value is None and other is None:
        return None
    if value is None or other is None:
        lone, lost = ("a", "b") if (value is None) == (name == "b") else ("b", "a")
        raise UserError(
            f"{given.method} walks from images a to images b, and was given {lone} without {lost}."
        )
    images = _images(given, name, value)
    if name == "b" and len(images) != len(other):
        raise given.refuse(name, f"{len(other)} images, as many as a", str(len(images)))
    return images


def _codes(given: Given, name: str, value: Any) -> Tensor:
    size = getattr(given.model, "code_size", getattr(given.model, "latent_dim", None))
    expected = f"latent codes of shape (B, {'D' if size is None else size}), all finite"
    z = _tensor(given, name, value, expected)
    if z.dim() != 2 or (size is not None and z.shape[1] != size):
        remedy = f"add the batch dimension, {name}[None]" if z.dim() == 1 else ""
        raise given.refuse(name, expected, f"shape {tuple(z.shape)}", remedy)
    z = z.to(given.like)
    if not given.trusted:
        _finite(given, name, z, expected)
    return z


def _mask(given: Given, name: str, value: Any) -> Tensor:
    shape = given.arguments["x"].shape
    expected = f"True where pixels are drawn, of a shape that broadcasts to {tuple(shape)}"
    mask = _tensor(given, name, value, expected)
    try:
        mask.expand(shape)
    except RuntimeError:
        raise given.refuse(name, expected, f"shape {tuple(mask.shape)}") from None
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise given.refuse(name, expected, "numbers other than 0 and 1", f"{name} > 0.5")
    return mask.to(given.like.device, torch.bool)


def _captions(given: Given, name: str, value: Any) -> Tensor:
    most = len(given.model.words)
    expected = f"tokens of shape (B, T), whole numbers in 0..{most}"
    tokens = _tensor(given, name, value, expected)
    if tokens.dim() != 2:
        remedy = f"add the batch dimension, {name}[None]" if tokens.dim() == 1 else ""
        raise given.refuse(name, expected, f"shape {tuple(tokens.shape)}", remedy)
    tokens = _integers(given, name, tokens, expected)
    if tokens.numel() and not given.trusted:
        low, high = torch.stack(tokens.aminmax()).tolist()
        if not 0 <= low <= high <= most:
            raise given.refuse(name, expected, f"tokens from {low} to {high}")
    return tokens


def _labels(given: Given, name: str, value: Any) -> Tensor | None:
    if value is None:
        return None
    count = len(given.arguments["x"])
    expected = f"{count} whole numbers, one for each image"
    labels = _integers(given, name, _tensor(given, name, value, expected), expected)
    if labels.shape != (count,):
        raise given.refuse(name, expected, f"shape {tuple(labels.shape)}")
    return labels


def _integers(given: Given, name: str, value: Tensor, expected: str) -> Tensor:
    if value.is_floating_point() or value.dtype == torch.bool:
        came = f"numbers of type {value.dtype}".replace("torch.", "")
        raise given.refuse(name, expected, came, f"{name}.long()")
    return value.to(given.like.device, torch.int64)


CHECKS: dict[str, Check] = {
    "x": _images,
    "a": _own_image,
    "b": _own_image,
    "z": _codes,
    "mask": _mask,
    "captions": _captions,
    "label": _counted("(-inf, inf)", optional=True),  # the model says which there are
    "n": _counted("[0, inf)"),
    "rows": _counted("[1, inf)"),
    "steps": _counted("[1, inf)"),
    "samples": _counted("[1, inf)"),
    "stage": _counted("[1, inf)"),
    "seed": _counted(SEEDS, optional=True),
    "temperature": _number,
    "code": _text,
    "caption": _text,
}
