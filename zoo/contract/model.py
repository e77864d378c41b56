"""What every model of the zoo says of itself, and how it takes batches from anybody's loader.

`Model` holds no algorithm. Its attributes are what tools ask of a model besides its capabilities;
a family, or an instance, sets those that differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor

from zoo.contract.answering import own_format
from zoo.contract.capabilities import capabilities
from zoo.contract.checks import CHECKS, Given
from zoo.contract.saved import save
from zoo.contract.spec import FIELDS, Batch, ImageSpec, Needs, lacking, told
from zoo.core.errors import UserError
from zoo.core.figures import in_thousands

__all__ = ["Model", "facts"]

# What calling a model does; flows reconstruct, too, but nothing comes of it.
NATURAL = ("attributes", "probabilities", "log_prob", "reconstruct", "illustrate", "decode")


class Model(L.LightningModule):
    """A LightningModule of the zoo: a statement of facts, and the door for batches.

    It trains with any ``lightning.Trainer`` and any loader that yields `Batch`es, pairs of images
    and labels, or images.
    """

    summary: str = ""
    """What the family is, for somebody new: a sentence that begins with a small letter."""

    spec: ImageSpec
    """Shape and kinds of the data that it was made for."""

    needs: Needs = (("image",),)
    """Kinds that its training needs, see `zoo.contract.spec`."""

    lacks: tuple[str, ...] = ()
    """Capabilities that its class has and it has not, as its arguments decide."""

    not_published: tuple[str, ...] = ()
    """Beginnings of the names of weights that only training needs."""

    prefers_bf16: bool = False
    """Whether it trains well in mixed bfloat16, and gains by it."""

    needs_float32: bool = False
    """Whether a coarser number format than float32 spoils its answers."""

    measure: Literal["counting", "lebesgue"] = "lebesgue"
    """What `log_prob` is a density of: grey levels, or pixels in [0, 1]."""

    levels: int = 256
    """Levels of grey that its law knows; it rounds images to them."""

    expects_bits: bool = False
    """Whether it takes grey values for expected bits: its bound is one on a cross-entropy."""

    needs_bits: bool = False
    """Whether it refuses to learn from pixels between 0 and 1."""

    num_labels: int = 0
    """Labels that its latent codes end with, one-hot; 0 for none."""

    feature_network: str | None = None
    """Classifier of the shelf that its loss looks through; `use_feature_network` takes it."""

    over_batches: str = ""
    """What its loss takes over the images of a batch together, in words, besides means."""

    card: Any = None
    """What the shelf says of it, see `zoo.card`; None of a model that came from no shelf or run."""

    _looked: bool = False  # whether a batch's values have been looked at since training began

    def forward(self, *given: Any, **named: Any) -> Any:
        """Does what is natural for its family: the first of `NATURAL` that it can.

        Raises:
            UserError: if it can do none of that; says what to call.
        """
        able = (name for name in NATURAL if callable(getattr(self, name, None)))
        natural = next((name for name in able if name not in self.lacks), None)
        if natural is None:
            ways = [f"model.{name}" for name in capabilities(self)]
            advice = f"call {' or '.join(ways)}" if ways else "it answers nothing"
            raise UserError(f"{type(self).__name__} has nothing that is natural to do: {advice}.")
        return getattr(self, natural)(*given, **named)

    def save(self, folder: str | Path, *, half: bool = False) -> Path:
        """Writes weights and a card into a folder of their own, which `zoo.load` reads.

        What only training needs (``not_published``) is left out.

        Args:
            folder: A new or empty folder, or one that holds a saved model, which is replaced.
            half: Whether to round parameters to float16.

        Returns:
            The folder.

        Raises:
            UserError: if the folder holds something else, or cannot be written.
        """
        save(self, Path(folder), half)
        return Path(folder)

    @property
    def trainer(self) -> Any:
        """The trainer; without one there is no such attribute, and torch.jit can look at all."""
        if self._trainer is None and self._fabric is None:
            raise AttributeError("trainer")
        return L.LightningModule.trainer.fget(self)  # type: ignore[attr-defined]

    @trainer.setter
    def trainer(self, trainer: Any) -> None:
        L.LightningModule.trainer.fset(self, trainer)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        """Says in a line which model it is, and in one for each network how large they are."""
        known = "" if self.card is None else f" {self.card}"
        spec = getattr(self, "spec", None)
        of = "" if spec is None else f"; {_told_of(spec)}"
        asked = [
            p for name, p in self.named_parameters() if not name.startswith(self.not_published)
        ]
        lines = [f"{type(self).__name__}{known}{of}; {_size(asked)} parameters"]
        for name, network in self.named_children():
            only = " (training only)" if f"{name}.".startswith(self.not_published) else ""
            lines.append(f"  {name}: {type(network).__name__}, {_size(network.parameters())}{only}")
        return "\n".join(lines)

    def settle(self) -> None:
        """Computes what its answers need and training leaves open; done before it is published."""

    def use_feature_network(self, network: Any) -> None:
        """Takes the classifier that `feature_network` names.

        Raises:
            UserError: if the model has no use for it, or it does not fit.
        """
        raise UserError(f"{type(self).__name__} has no use for a feature network.")

    def on_fit_start(self) -> None:
        """Leaves evaluation mode, in which the shelf hands out models; Lightning would keep it."""
        self._looked = False
        if not self.training:
            self.train()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Takes a batch as any loader yields it, see `batch_of`."""
        if type(batch) is Batch and self._looked and batch.image.shape[1:] == self.spec.shape:
            return batch  # a loader of batches goes on as it began
        taken = batch_of(batch, self)
        self._looked = taken is batch
        return taken


def _told_of(spec: ImageSpec) -> str:
    if spec.points:
        return "points of the plane"
    colours = {1: "grey ", 3: "colour "}.get(spec.channels, f"{spec.channels}-channel ")
    return f"{colours}images of {spec.height}x{spec.width}"


def _size(parameters: Iterable[Tensor]) -> str:
    return in_thousands(sum(p.numel() for p in parameters))


def batch_of(given: Any, model: Model) -> Batch:
    """Makes a `Batch` for a model in training.

    Args:
        given: A `Batch`; images and labels as a tuple or list; or images alone. Images have the
            shape (B, C, H, W), without C where there is one channel, and points (B, 2); values lie
            in [0, 1], or in 0..255 as uint8. Labels have the shape (B,).
        model: Who is going to learn from it.

    Raises:
        UserError: if it is none of these; says what was expected and what came.
    """
    name = type(model).__name__
    whole = isinstance(given, Batch)
    pair = isinstance(given, (tuple, list)) and not whole
    if pair and not 1 <= len(given) <= 2:
        raise UserError(
            f"{name} expects batches of images, or of images and labels, got {len(given)} things: "
            "have the loader yield zoo.data.Batch, which names them."
        )
    parts = tuple(given) if pair or whole else (given,)
    x = _images(Given(model, f"{name} in training", own_format(model)), parts[0], model.spec)
    if whole:
        same = isinstance(given.image, Tensor) and x.dtype == given.image.dtype
        batch = given if same else given._replace(image=x)
        there = {kind for kind, field in FIELDS.items() if getattr(batch, field) is not None}
        there -= {"image", "points"} - {model.spec.kind}
    else:
        y = _labels(parts[1], len(x)) if len(parts) == 2 else None
        there = {model.spec.kind, *(() if y is None else ("label",))}
        batch = Batch(x, torch.zeros(len(x), dtype=torch.int64) if y is None else y)
    if missing := lacking(model.needs, there):
        raise UserError(
            f"{name} needs {told(missing)}, which its loader does not yield: have it yield "
            f"zoo.data.Batch with the field {' or '.join(FIELDS[kind] for kind in missing)}."
        )
    if any("label" in need for need in model.needs):
        _check_labels(name, batch.label, model.spec.classes)
    return batch


def _images(look: Given, x: Any, spec: ImageSpec) -> Tensor:
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x)
    if isinstance(x, Tensor):
        if x.dim() == 3 and spec.channels == 1:
            x = x[:, None]
        if x.dim() == 2 and spec.points:
            x = x[:, :, None, None]
    return CHECKS["x"](look, "its images", x)


def _labels(y: Any, count: int) -> Tensor | None:
    """Returns labels, if that is what came beside the images."""
    whole = isinstance(y, Tensor) and not (y.is_floating_point() or y.is_complex())
    return y.long() if whole and y.shape == (count,) else None


def _check_labels(name: str, labels: Tensor, classes: int) -> None:
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= max(1, classes):
        raise UserError(
            f"{name} expects labels in 0..{classes - 1}, the classes that it was made for, got "
            f"{low} to {high}: number the classes from 0, or make the model for more of them."
        )


# ---------------------------------------------------------------- what tools ask


class _Stranger:
    """A module of somebody's own: what it does not say is what `Model` says."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name, getattr(Model, name, None))


def facts(model: Any) -> Model:
    """Returns what a model says of itself, complete even if it is none of the zoo's.

    Example:
        >>> facts(torch.nn.Identity()).levels
        256
    """
    return model if isinstance(model, Model) else cast(Model, _Stranger(model))
