"""Rendered scenes of one or two coloured shapes, with captions of a small English grammar.

A scene is seven attributes: its layout (one object, two beside each other, two above each other),
and size, colour and shape of the first object (the left or upper one) and of the second. Positions,
exact sizes, colours and the ground vary freely. Four pairs of colour and shape are held out: no
scene of the data set shows them, so a model can be asked for what it never saw. A network that is
to judge such a model must know them, and asks for all pairs.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, check_interval
from zoo.data.captions import split_words, tokens_of
from zoo.data.images import MemoryImages, Notes
from zoo.data.loader import mix_seed
from zoo.data.module import Binarize, ImageData, Split
from zoo.data.registry import DATASETS

__all__ = ["CaptionedShapes", "caption", "parse", "render", "scenes"]

SIDE = 64
SIZES, LAYOUTS = ("small", "large"), ("single", "beside", "above")
SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {
    "red": (0.85, 0.15, 0.15),
    "green": (0.15, 0.70, 0.25),
    "blue": (0.20, 0.35, 0.95),
    "yellow": (0.95, 0.85, 0.20),
    "purple": (0.65, 0.25, 0.75),
    "white": (0.95, 0.95, 0.95),
}
HELD_OUT = (("red", "triangle"), ("blue", "circle"), ("green", "cross"), ("yellow", "square"))
SYNONYMS = {
    "small": ("small", "little"),
    "large": ("large", "big"),
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "cross": ("cross", "plus"),
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
ORIGIN = {form.split()[-2] if " of" in form else form: word
          for word, forms in SYNONYMS.items() for form in forms}  # fmt: skip
WORDS = tuple(
    sorted(
        {"a", "an", "image", "of", "there", "is", *SHAPES, *COLOURS}
        | {word for forms in SYNONYMS.values() for form in forms for word in form.split()}
    )
)
ATTRIBUTES = (
    ("layout", 3), ("size1", 2), ("colour1", 6), ("shape1", 4),
    ("size2", 3), ("colour2", 7), ("shape2", 5),
)  # fmt: skip  # the last value of those of the second object: there is none
NONE = (2, 6, 4)
LENGTH = 16  # words of the longest caption
CAPTIONS = 6  # of each scene


def _held_out(colour: Tensor, shape: Tensor) -> Tensor:
    """Says which pairs of colour and shape are held out."""
    pairs = [(list(COLOURS).index(c), SHAPES.index(s)) for c, s in HELD_OUT]
    hits = [(colour == c) & (shape == s) for c, s in pairs]
    return torch.stack(hits).any(dim=0)


def scenes(n: int, generator: torch.Generator, unseen: bool | None = False) -> Tensor:
    """Draws the attributes of scenes; a quarter of them has one object.

    Args:
        n: Number of scenes.
        generator: Source of randomness.
        unseen: Whether each scene shows a pair of colour and shape that is held out, instead of
            none; None for scenes of all pairs.

    Returns:
        Attributes in the order of `ATTRIBUTES`, shape (n, 7), int64.
    """
    rows: list[Tensor] = []
    while sum(map(len, rows)) < n:
        some = torch.stack(
            [torch.randint(k, (2 * n + 64,), generator=generator) for k in (8, 2, 6, 4, 2, 6, 4)],
            dim=1,
        )
        some[:, 0] = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])[some[:, 0]]
        single = some[:, 0] == 0
        some[single, 4:] = torch.tensor(NONE)
        first, second = _held_out(some[:, 2], some[:, 3]), _held_out(some[:, 5], some[:, 6])
        rows.append(some if unseen is None else some[(first | second) == unseen])
    return torch.cat(rows)[:n]


# ------------------------------------------------------------------ pictures


def _distance(shape: int, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """Signed distance in pixels to a shape's outline, negative inside (exact near the outline)."""
    if SHAPES[shape] == "circle":
        return (x.square() + y.square()).sqrt() - r
    if SHAPES[shape] == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.88 * r
    if SHAPES[shape] == "triangle":
        slant = (x.abs() * 1.732 - (y + 1.0 * r)) / 2  # the two upper sides of a pointed roof
        return torch.maximum(slant, y - 0.7 * r)
    upright = torch.maximum(x.abs() - 0.34 * r, y.abs() - r)
    lying = torch.maximum(x.abs() - r, y.abs() - 0.34 * r)
    return torch.minimum(upright, lying)


def render(attributes: Tensor, generator: torch.Generator) -> Tensor:
    """Draws scenes, anti-aliased.

    Args:
        attributes: Shape (N, 7), from `scenes`.
        generator: Decides positions, exact sizes and shades.

    Returns:
        uint8, shape (N, 3, 64, 64).
    """
    parts = [_render(part, generator) for part in attributes.split(256)]
    return torch.cat(parts) if parts else torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8)


def _render(attributes: Tensor, generator: torch.Generator) -> Tensor:
    n = len(attributes)

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1  # in [-1, 1]

    ground = 0.16 + 0.06 * noise(n, 1, 1, 1) + 0.02 * noise(n, 3, 1, 1)
    image = ground.expand(n, 3, SIDE, SIDE).clone()
    axis = torch.arange(SIDE) + 0.5
    palette = torch.tensor(list(COLOURS.values()))
    layout = attributes[:, 0]
    for index in (0, 1):
        size, colour, shape = attributes[:, 1 + 3 * index : 4 + 3 * index].unbind(dim=1)
        along = torch.where(layout == 0, 32 + 12 * noise(n), 16 + 32 * index + 2 * noise(n))
        across = 32 + 12 * noise(n)
        x = torch.where(layout == 2, across, along)
        y = torch.where(layout == 2, along, across)
        radius = torch.where(size == 0, 6.75 + 0.75 * noise(n), 12.25 + 0.75 * noise(n))
        shade = 0.05 * noise(n, 3)
        for kind in range(len(SHAPES)):
            rows = (shape == kind).nonzero().flatten()
            if len(rows) == 0:
                continue
            dx = axis[None, None, :] - x[rows, None, None]
            dy = axis[None, :, None] - y[rows, None, None]
            inside = _distance(kind, dx, dy, radius[rows, None, None])
            cover = (0.5 - inside).clamp(0, 1)[:, None]
            paint = (palette[colour[rows]] + shade[rows]).clamp(0, 1)[:, :, None, None]
            image[rows] = image[rows] * (1 - cover) + paint * cover
    return (image * 255).round().to(torch.uint8)


# ------------------------------------------------------------------ words


def caption(attributes: Iterable[int], rng: random.Random) -> str:
    """Describes a scene in one of many true ways.

    Args:
        attributes: The seven attributes of a scene.
        rng: Chooses words, whether sizes are told, and which object comes first.

    Example:
        >>> caption([1, 1, 0, 0, 0, 2, 1], random.Random(2))
        'a large red circle to the left of a blue square'
    """
    layout, *objects = attributes
    first = _phrase(objects[:3], rng)
    if layout == 0:
        text = first
    else:
        relation, inverse = (("left", "right"), ("above", "below"))[layout - 1]
        second = _phrase(objects[3:], rng)
        if rng.random() < 0.5:
            first, second, relation = second, first, inverse
        text = f"{first} {rng.choice(SYNONYMS[relation])} {second}"
    opening = rng.random()
    return f"there is {text}" if opening < 0.1 else f"an image of {text}" if opening < 0.2 else text


def _phrase(thing: list[int], rng: random.Random) -> str:
    size, colour, shape = SIZES[thing[0]], list(COLOURS)[thing[1]], SHAPES[thing[2]]
    told = [] if rng.random() < 0.15 else [rng.choice(SYNONYMS[size])]
    noun = rng.choice(SYNONYMS.get(shape, (shape,)))
    return " ".join(["a", *told, colour, noun])


def parse(text: str) -> list[int]:
    """Reads what a caption of the grammar says of a scene; words may be left out.

    Returns:
        Seven attributes, -1 for those that the caption leaves open.

    Raises:
        UserError: if it names no object, more than two, or two without their relation.

    Example:
        >>> parse("a blue box below a large circle")
        [2, 1, -1, 0, -1, 2, 1]
    """
    relation = ""
    objects: list[list[int]] = [[-1, -1, -1]]
    for raw in split_words(text):
        word = ORIGIN.get(raw, raw)
        if word in ("left", "right", "above", "below"):
            relation = word
            objects.append([-1, -1, -1])
        for place, values in enumerate((SIZES, tuple(COLOURS), SHAPES)):
            if word in values:
                if objects[-1][place] != -1:
                    raise UserError(f"{text!r} says two things of one object: {word!r} is new.")
                objects[-1][place] = values.index(word)
    if len(objects) > 2 or any(thing[2] == -1 for thing in objects):
        raise UserError(f"{text!r} must name one shape, or two and how they lie to each other.")
    if len(objects) == 1:
        return [0, *objects[0], *NONE]
    if relation in ("right", "below"):
        objects.reverse()
    return [1 if relation in ("left", "right") else 2, *objects[0], *objects[1]]


@DATASETS.register
class CaptionedShapes(ImageData):
    """Rendered scenes of 64x64 pixels, six captions and seven attributes each; no download.

    Args:
        root: Not used: nothing is read.
        batch_size: Images per batch; several devices share it.
        resize: Resize images to a square of this side.
        pad: Pad images with black to a square of this side, after resizing.
        binarize: See `ImageData`.
        val_size: Scenes kept for validation; default 1,000, at most a fifth of the scenes.
        scenes: Scenes of the training data; the test set has a tenth as many, but at least 500.
        held_out: Whether four pairs of colour and shape are never shown.
        workers: Not needed.
        seed: Decides the order of training images, not the scenes.

    Raises:
        UserError: on values that make no sense.
    """

    kinds = ("image", "caption", "attributes")
    native = ImageSpec(3, SIDE, SIDE, words=WORDS, attributes=ATTRIBUTES)
    needs: ClassVar[str] = "nothing: its scenes are rendered"

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 64,
        resize: int | None = None,
        pad: int | None = None,
        binarize: Binarize = "none",
        val_size: int | None = None,
        scenes: int = 20_000,
        held_out: bool = True,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        check_interval("--data.scenes", scenes, "[10, 1000000]")
        if val_size is None:
            val_size = min(1000, scenes // 5)
        super().__init__(root, batch_size, resize, pad, binarize, val_size, workers, seed)
        self.scenes, self.held_out = scenes, held_out

    def read(self, part: Split) -> MemoryImages:
        """Renders one part: the same scenes every time."""
        count = self.scenes if part == "train" else max(500, self.scenes // 10)
        stream = mix_seed(20170912, 0 if part == "train" else 1)
        generator = torch.Generator().manual_seed(stream)
        attributes = scenes(count, generator, False if self.held_out else None)
        rng = random.Random(stream)
        number = {word: index for index, word in enumerate(WORDS, start=1)}
        rows = [
            [number[word] for word in text.split()] + [0] * (LENGTH - len(text.split()))
            for scene in attributes.tolist()
            for text in (caption(scene, rng) for _ in range(CAPTIONS))
        ]
        captions = torch.tensor(rows, dtype=torch.uint8).view(count, CAPTIONS, LENGTH)
        labels = torch.zeros(count, dtype=torch.int64)
        return MemoryImages(render(attributes, generator), labels, Notes(captions, attributes))

    def prompts(self, n: int, seed: int, unseen: bool = False) -> tuple[Tensor, Tensor]:
        """Draws captions of new scenes, and what they say.

        Args:
            n: Number of captions.
            seed: Decides them.
            unseen: Whether they ask for pairs of colour and shape that the data set never shows.

        Returns:
            Tokens, shape (n, T), and attributes, shape (n, 7), -1 for what a caption leaves open.
        """
        generator = torch.Generator().manual_seed(mix_seed(seed, int(unseen)))
        rng = random.Random(mix_seed(seed, int(unseen), 1))
        texts = [caption(scene, rng) for scene in scenes(n, generator, unseen).tolist()]
        tokens = torch.stack([tokens_of(text, WORDS, LENGTH) for text in texts])
        return tokens, torch.tensor([parse(text) for text in texts])

    def alone(self, attributes: Tensor) -> Tensor:
        """Says which scenes show one object, from attributes (N, 7); booleans, shape (N,)."""
        return attributes[:, 0] == LAYOUTS.index("single")
