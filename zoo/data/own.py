"""A person's own arrays, tensors and torch data sets as a data set of the zoo, from Python.

    data = wrap(pixels, labels=labels)      # a numpy array or a tensor
    data = wrap(train_set, test=test_set)   # torch data sets of images, or of (image, label)

Recipes name no such data, since they could not be read elsewhere: an image folder can be named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.data.images import MemoryImages, subset
from zoo.data.module import SPLIT_SEED, Binarize, ImageData, Split, own_share

__all__ = ["OwnData", "wrap"]

SHARE = 10  # one image of so many tests where nobody says which; `own_share` validates
FEWEST = 3  # images: one each to train, validate and test
ROUNDING = 1e-4  # by which resizing may leave [0, 1]


class OwnData(ImageData):
    """Images that a person holds in memory; made by `wrap`."""

    kinds = ("image", "points", "label")
    default_val_size = None
    needs = "nothing: you hold it"

    def __init__(
        self,
        parts: dict[Split, MemoryImages],
        spec: ImageSpec,
        name: str,
        batch_size: int,
        binarize: Binarize,
        val_size: int | None,
        seed: int,
    ) -> None:
        self.native, self.parts = spec, parts
        self.own_val = "val" in parts  # type: ignore[misc]  # elsewhere a fact of the class
        super().__init__(None, batch_size, binarize=binarize, val_size=val_size, seed=seed)
        self.name = name

    def read(self, part: Split) -> MemoryImages:
        """Returns one part."""
        return self.parts[part]


def wrap(
    data: Any,
    *,
    test: Any = None,
    val: Any = None,
    labels: Any = None,
    classes: int | None = None,
    name: str = "Own",
    batch_size: int = 128,
    binarize: Binarize = "none",
    seed: int = 0,
) -> OwnData:
    """Makes a data set of the zoo of images in memory.

    Args:
        data: Training images: an array or a tensor of shape (N, H, W), (N, C, H, W) or
            (N, H, W, C), uint8, or numbers in [0, 1], which are rounded to 256 levels; points of
            the plane in [0, 1]^2, shape (N, 2), which are not; or a torch ``Dataset`` (anything
            with a length and items) of images, or of pairs of images and labels, where an image is
            an array, a tensor, (H, W), (C, H, W) or (H, W, C), or one of PIL.
        test: Test images of the same kind; default a tenth of the training images, for ever the
            same ones.
        val: Validation images of the same kind; default a tenth of the training images.
        labels: Labels of the training images, whole numbers from 0, shape (N,), where `data` has
            none. The labels of `test` and `val` are taken from pairs (images, labels).
        classes: Number of classes; default one more than the largest label, 0 without labels.
        name: What reports call it.
        batch_size: Images per batch and process.
        binarize: ``none``, ``dynamic`` or ``static``, see `ImageData`; not for points.
        seed: Decides the order of training images.

    Raises:
        UserError: on anything that is no such data; says what was expected and what came.

    Example:
        >>> data = wrap(np.zeros((50, 8, 8), np.uint8))
        >>> data.spec.shape, len(data.images("train")), len(data.images("test"))
        ((1, 8, 8), 41, 5)
    """
    given = {"train": data, "val": val, "test": test}
    read = {
        part: _read(images, labels if part == "train" else None, part)
        for part, images in given.items()
        if images is not None
    }
    shapes = {part: tuple(one.pixels.shape[1:]) for part, one in read.items()}
    for part, shape in shapes.items():
        if shape != shapes["train"]:
            raise UserError(
                f"{part} images have the shape {shape}, training images {shapes['train']}: bring "
                "them to one size."
            )
    channels, height, width = shapes["train"]
    spec = ImageSpec(channels, height, width, classes=_classes(read, classes))
    if spec.points != read["train"].pixels.is_floating_point():
        spec = replace(spec, kind="image")  # bytes that happen to be shaped as points
    if spec.points and binarize != "none":
        raise UserError("points of the plane cannot be binarised: leave binarize out.")
    parts: dict[Any, MemoryImages] = {part: one.images() for part, one in read.items()}
    if "test" not in parts:
        parts["train"], parts["test"] = _cut(parts["train"])
    if len(parts["train"]) < 2:
        raise UserError(
            f"data has too few images ({len(read['train'].pixels)}): {FEWEST} at least."
        )
    val_size = None if "val" in parts else own_share(None, len(parts["train"]))
    return OwnData(parts, spec, name, batch_size, binarize, val_size, seed)


class _Read(NamedTuple):
    """Pixels as the zoo stores them, (N, C, H, W), and labels, (N,), where there are any."""

    pixels: Tensor
    labels: Tensor | None

    def images(self) -> MemoryImages:
        none = torch.zeros(len(self.pixels), dtype=torch.int64)
        return MemoryImages(self.pixels, none if self.labels is None else self.labels)


def _classes(read: Mapping[str, _Read], classes: int | None) -> int:
    """Counts the classes, checking what was said against the labels."""
    largest = max((int(one.labels.max()) for one in read.values() if one.labels is not None),
                  default=-1)  # fmt: skip
    if classes is not None and largest >= classes:
        raise UserError(f"classes is {classes}, but there is a label {largest}: count them from 0.")
    return largest + 1 if classes is None else classes


def _cut(images: MemoryImages) -> tuple[MemoryImages, MemoryImages]:
    """Cuts test images from training images; for ever the same ones."""
    generator = torch.Generator().manual_seed(SPLIT_SEED + 1)  # another draw than validation's
    shuffled = torch.randperm(len(images), generator=generator)
    cut = max(1, len(images) // SHARE)
    train, test = (
        subset(images, shuffled[cut:].sort().values),
        subset(images, shuffled[:cut].sort().values),
    )
    return train, test  # type: ignore[return-value]


# ---------------------------------------------------------------- from anything to pixels


def _read(data: Any, labels: Any, part: str) -> _Read:
    if isinstance(data, tuple) and len(data) == 2 and _is_array(data[0]):
        data, labels = data
    if not _is_array(data):
        data, own = _collected(data, part)
        labels = own if labels is None else labels
    # A copy of an array, since arrays may be read-only, and may change later.
    copied: Any = torch.from_numpy(np.array(data)) if isinstance(data, np.ndarray) else data
    pixels = _pixels(copied, part)
    if len(pixels) == 0:
        raise UserError(f"there are no {part} images.")
    return _Read(pixels, None if labels is None else _labels(labels, len(pixels), part))


def _is_array(data: Any) -> bool:
    return isinstance(data, (Tensor, np.ndarray))


def _collected(data: Any, part: str) -> tuple[Tensor, list[Any] | None]:
    """Takes all items of a torch data set."""
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str):
        raise UserError(
            f"{part} images must be an array, a tensor or a data set with a length and items, got "
            f"{type(data).__name__}."
        )
    images, labels = [], []
    for row in range(len(data)):
        item = data[row]
        if isinstance(item, Mapping):  # as data sets of the Hugging Face Hub have them
            item = tuple(item[key] for key in ("image", "label") if key in item)
        image, *rest = item if isinstance(item, (tuple, list)) else (item,)
        if not isinstance(image, (Tensor, np.ndarray, Image.Image)):
            raise UserError(
                f"items of {part} images must be images, or images and labels, got "
                f"{type(image).__name__}."
            )
        images.append(torch.from_numpy(np.array(image)) if not isinstance(image, Tensor) else image)
        labels += rest[:1]
    sizes = {tuple(image.shape) for image in images}
    if len(sizes) > 1:
        some = " and ".join(map(str, sorted(sizes)[:2]))
        raise UserError(f"{part} images have several shapes, such as {some}: bring them to one.")
    stacked = torch.stack(images) if images else torch.zeros(0, 1, 1, dtype=torch.uint8)
    return stacked, labels if len(labels) == len(images) and labels else None


def _pixels(x: Tensor, part: str) -> Tensor:
    """Brings images to uint8, shape (N, C, H, W), or points to float32, shape (N, 2, 1, 1)."""
    points = x.is_floating_point() and x.shape[1:] in ((2,), (2, 1, 1))
    if points:
        x = x.reshape(len(x), 2, 1, 1)
    elif x.dim() == 3:
        x = x[:, None]
    elif x.dim() == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.movedim(3, 1)
    if x.dim() != 4:
        raise UserError(
            f"{part} images must have the shape (N, H, W), (N, C, H, W) or (N, H, W, C), got "
            f"{tuple(x.shape)}."
        )
    if x.dtype == torch.bool:
        return x.to(torch.uint8) * 255
    if x.dtype == torch.uint8:
        return x.contiguous()
    low, high = (float(v) for v in x.aminmax()) if x.numel() else (0.0, 0.0)
    if not x.is_floating_point() or not (-ROUNDING <= low <= high <= 1 + ROUNDING):
        kind = str(x.dtype).removeprefix("torch.")
        raise UserError(
            f"{part} images must be uint8, or numbers in [0, 1], got {kind} from {low:g} to "
            f"{high:g}: divide them, or convert them to uint8."
        )
    x = x.clamp(0, 1)
    return x.float().contiguous() if points else (x * 255).round().to(torch.uint8).contiguous()


def _labels(labels: Any, count: int, part: str) -> Tensor:
    try:
        found = torch.as_tensor(np.array([int(label) for label in labels]))
        whole = all(int(label) == label for label in labels)
    except (TypeError, ValueError):
        raise UserError(f"labels of {part} images must be whole numbers from 0.") from None
    if not whole or found.shape != (count,) or (count and int(found.min()) < 0):
        raise UserError(
            f"labels of {part} images must be whole numbers from 0, one for each of {count} "
            f"images, got {len(found)}{'' if whole else ' fractions'}."
        )
    return found.long()
