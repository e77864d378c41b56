"""What a model learns about its data: shapes and kinds, never names.

A batch has named fields, and every field holds a kind of thing. A data set states which kinds its
batches hold (``kinds``), a model which ones it needs (``needs``); `check_kinds` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zoo.core.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["FIELDS", "Batch", "ImageSpec", "Kind", "Needs", "check_kinds", "held", "lacking"]

Kind = Literal[
    "image", "points", "label", "caption", "attributes", "target", "unpaired", "mask", "frames",
    "pose", "unlabelled",
]  # fmt: skip
Needs = tuple[tuple[Kind, ...], ...]
"""All of these, each of them by any one of its kinds: ``(("image",), ("caption", "label"))``."""

FIELDS: dict[Kind, str] = {
    "image": "image",
    "points": "image",
    "label": "label",
    "caption": "caption",
    "attributes": "attributes",
    "target": "target",
    "unpaired": "target",
    "mask": "mask",
    "frames": "frames",
    "pose": "pose",
    "unlabelled": "unlabelled",
}
"""The field of `Batch` in which each kind is found."""

WORDS: dict[Kind, str] = {
    "image": "images",
    "points": "points of the plane",
    "label": "labels",
    "caption": "captions",
    "attributes": "attributes",
    "target": "target images",
    "unpaired": "images of a second kind",
    "mask": "masks",
    "frames": "frames",
    "pose": "poses",
    "unlabelled": "images without labels beside labelled ones",
}


@dataclass(frozen=True)
class ImageSpec:
    """The shape of a data set's images and the number of its classes.

    Args:
        channels: 1 for grey, 3 for colour.
        height: Rows of pixels.
        width: Columns of pixels.
        classes: Number of labels, 0 where there are none.
        words: Vocabulary of the captions, token 1 first (0 is padding); empty without captions.
        attributes: Name of each attribute that is known of every image, and how many values it
            can take.
        kind: What the images are: ``image``, or ``points`` of the plane, whose two coordinates are
            the channels of one pixel. Empty, as in old records: points where the shape is theirs.
        target: Shape of target images; empty where there are none, or they are shaped as images.
        frames: Images of a sequence, 0 where there are none.
        pose: Numbers that say from where an image is seen, 0 where there are none.
    """

    channels: int
    height: int
    width: int
    classes: int = 0
    words: tuple[str, ...] = ()
    attributes: tuple[tuple[str, int], ...] = ()
    kind: Literal["", "image", "points"] = ""
    target: tuple[int, ...] = ()
    frames: int = 0
    pose: int = 0

    def __post_init__(self) -> None:
        """Refuses impossible shapes."""
        if min(self.channels, self.height, self.width) < 1 or self.classes < 0:
            raise UserError(f"an image needs at least one pixel and no negative classes: {self}.")
        if min(self.frames, self.pose) < 0 or len(self.target) not in (0, 3):
            raise UserError(f"frames and poses are counted, targets have three sides: {self}.")
        # A specification that comes back from JSON has lists in the place of tuples.
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "target", tuple(self.target))
        pairs = tuple((str(name), int(values)) for name, values in self.attributes)
        object.__setattr__(self, "attributes", pairs)
        planar = self.shape == (2, 1, 1)
        if self.kind not in ("", "image", "points") or (self.kind == "points" and not planar):
            raise UserError(
                f"kind must be image, or points where the shape is (2, 1, 1), got {self.kind!r} of "
                f"shape {self.shape}."
            )
        object.__setattr__(self, "kind", self.kind or ("points" if planar else "image"))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def points(self) -> bool:
        """Whether the images are points of the plane."""
        return self.kind == "points"

    @property
    def size(self) -> int:
        """Numbers per image."""
        return self.channels * self.height * self.width


class Batch(NamedTuple):
    """What a loader yields; fields of kinds that the data set has not are None.

    Args:
        image: Images in [0, 1], shape (B, C, H, W), float32.
        label: Labels, shape (B,), int64; all 0 where the data set has none.
        caption: A caption of each image as tokens of `ImageSpec.words`, shape (B, T), int64, 0
            for padding.
        attributes: Value of each of `ImageSpec.attributes`, shape (B, A), int64.
        target: Images in [0, 1] that belong to the images (``target``), or of a second kind that
            belong to none (``unpaired``), shape (B, C', H', W').
        mask: Which pixels are known, shape (B, 1, H, W), bool.
        frames: Images of a sequence in [0, 1], shape (B, F, C, H, W); ``image`` is the first.
        pose: From where each image is seen, shape (B, P), or each frame, (B, F, P).
        unlabelled: Images in [0, 1] whose labels are not known, shape (B', C, H, W), where those of
            ``image`` are.
    """

    image: Tensor
    label: Tensor
    caption: Tensor | None = None
    attributes: Tensor | None = None
    target: Tensor | None = None
    mask: Tensor | None = None
    frames: Tensor | None = None
    pose: Tensor | None = None
    unlabelled: Tensor | None = None

    def to(self, device: Any, non_blocking: bool = False) -> Batch:
        """Moves all fields to a device."""
        moved = [None if x is None else x.to(device, non_blocking=non_blocking) for x in self]
        return Batch(*moved)  # type: ignore[arg-type]

    def pin_memory(self, device: torch.device | str | None = None) -> Batch:
        """Moves all fields to pinned memory; torch's loaders ask for it."""
        return Batch(*[None if x is None else x.pin_memory() for x in self])  # type: ignore[arg-type]


def held(kinds: Collection[Kind], spec: ImageSpec) -> tuple[Kind, ...]:
    """Returns those kinds of a class of data sets that one with this specification has.

    Example:
        >>> held(("image", "label"), ImageSpec(1, 8, 8, classes=0))
        ('image',)
    """
    there = {
        "image": not spec.points,
        "points": spec.points,
        "label": spec.classes > 0,
        "caption": bool(spec.words),
        "attributes": bool(spec.attributes),
    }
    return tuple(kind for kind in kinds if there.get(kind, True))


def lacking(needs: Needs, kinds: Collection[str]) -> tuple[Kind, ...]:
    """Returns the first need that none of some kinds meets; empty if there is none.

    Example:
        >>> lacking((("image",), ("caption", "label")), ("image", "attributes"))
        ('caption', 'label')
    """
    return next((need for need in needs if not any(kind in kinds for kind in need)), ())


def told(need: Collection[Kind]) -> str:
    """Puts a need into words."""
    return " or ".join(WORDS[kind] for kind in need)


def check_kinds(
    model: str,
    needs: Needs,
    data: str,
    kinds: Collection[Kind],
    others: Callable[[], Mapping[str, Collection[Kind]]],
) -> None:
    """Refuses data that lack what a model needs.

    Args:
        model: What the message calls the model.
        needs: What the model needs.
        data: What the message calls the data set.
        kinds: What its batches hold.
        others: Returns the kinds of all data sets that there are; called only to refuse.

    Raises:
        UserError: naming the data sets which have all that the model needs.
    """
    missing = lacking(needs, kinds)
    if not missing:
        return
    able = [name for name, their in others().items() if not lacking(needs, their)]
    lost = f"which {data} does not have"
    if data in able:  # with other images or other words it would
        able.remove(data)
        lost = f"and {data} has none of them here: give it some"
        advice = f", or choose {_either(able)}" if able else ""
    else:
        advice = f": choose {_either(able)}" if able else ", nor has any data set of the zoo"
    raise UserError(f"{model} needs {told(missing)}, {lost}{advice}.")


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
