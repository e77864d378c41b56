"""What can be shown of a model: one entry for each picture, and every tool goes through them.

An entry says which capability its picture shows, how it is drawn, what stands below it, and how
`zoo.sample` calls it. Whatever shows models, such as cards, the report or the gallery, goes through
`VIEWS` and knows no picture by its name; so a further one, of the zoo or of a plug-in, is one
`VIEWS.register(View(...))`.

Nothing here needs torch: drawing functions are named by the place where they stand, and are
imported when something is drawn.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.contract.capabilities import CAPABILITIES, can
from zoo.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "CARD",
    "COUNT",
    "MOST",
    "REPORT",
    "ROWS",
    "SEED",
    "STEPS",
    "UNASKED",
    "VIEWS",
    "Drawn",
    "Option",
    "Picture",
    "View",
    "fitting",
    "pictures",
    "sheets",
    "view_of",
]

CARD, REPORT = "card", "report"  # where pictures are drawn unasked
UNASKED = "samples"  # what `zoo.sample` draws where it is not told what
RESERVED = ("help", "out", "seed")  # options of the command itself
MOST = 10_000  # images in one PNG; more is not a picture but a way to run out of memory
SEED = 0  # the same latents in every picture, so that a person sees the same digits sharpen


@dataclass(frozen=True)
class Option:
    """An option of `zoo.sample` that belongs to some pictures; it is an argument of their drawing.

    Args:
        name: Without its dashes.
        help: What it is for; without a full stop.
        default: What the command takes where it is not given.
        kind: Makes the value of the word on the command line.
        metavar: What the help calls the value.
        interval: Where it must lie, if it is a number; see `zoo.core.errors.check_interval`.
    """

    name: str
    help: str
    default: Any = field(default=None, compare=False)
    kind: Callable[[str], Any] = str
    metavar: str | None = None
    interval: str = ""


COUNT = Option(
    "n", "images (default 64), or rows (default 8)", 64, kind=int, interval=f"[1, {MOST}]"
)
ROWS = replace(COUNT, default=8)
STEPS = Option("steps", "images along a row (default 10)", 10, kind=int, interval=f"[1, {MOST}]")
MASK = Option(
    "mask", "top, bottom (default), left, right, or a picture that is white where it covers",
    "bottom", metavar="HALF_OR_PNG",
)  # fmt: skip


def _drawing(name: str) -> Callable[..., Any]:
    """Names a function of `zoo.show.drawing`, which is imported when it is called."""

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module("zoo.show.drawing"), name)(*arguments, **named)

    return call


class Drawn(NamedTuple):
    """What a drawing function returns that has words to set around its picture.

    Args:
        sheet: A colour image, shape (3, H, W), in [0, 1] or uint8.
        words: What it found, for the caption.
        rows: What each row is.
        columns: What each column is.
        title: What all of it is.
    """

    sheet: Tensor
    words: str = ""
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    title: str = ""


class Picture(NamedTuple):
    """A picture that was drawn.

    Args:
        name: Of its file, without the ending.
        drawn: The picture, and the words around it.
        caption: What it shows, in a sentence without a full stop.
    """

    name: str
    drawn: Drawn
    caption: str

    @property
    def sheet(self) -> Tensor:
        """The picture alone, a colour image in [0, 1], shape (3, H, W)."""
        return self.drawn.sheet

    def explained(self) -> Tensor:
        """Returns the picture with the words around it, shape (3, H', W')."""
        words = self.drawn.rows, self.drawn.columns, self.drawn.title
        return importlib.import_module("zoo.show.pictures").explained(self.sheet, *words)


@dataclass(frozen=True)
class View:
    """A picture that models of one capability can be shown by.

    Args:
        name: Of its file, without the ending; a part's name follows it, as in ``traverse-u1``.
        capability: The method that the model needs, as in `zoo.contract.capabilities`; a name that
            the contract lacks becomes a capability, too.
        title: Its heading in a report.
        caption: What it shows, in a sentence without a full stop; ``{part}`` stands for the part.
        draw: Called with the model and, by their names, ``seed``, the options that were given, the
            part, and ``images`` in [0, 1], shape (N, C, H, W), if it begins with some. Returns a
            colour image, shape (3, H, W), in [0, 1] or uint8, perhaps with a few words on what it
            found, or `Drawn`, which sets words around it, too.
        flag: What `zoo.sample` calls it, without its dashes; empty for the picture that is drawn
            where none is named, and for one that cannot be asked for.
        help: What the command's help says of the flag; without a full stop.
        options: Options of the command that belong to it.
        images: Whether it begins with images of the data set; the flag then names an image file.
        part: What it is drawn of one by one, such as ``code``; the flag then may name one.
        parts: The model's method that lists them.
        conditions: Whether the conditions of the model's samples apply.
        lacks: Says of a model why it cannot be drawn all the same; an empty text if it can.
        where: Where it is drawn unasked.
    """

    name: str
    capability: str
    title: str
    caption: str
    draw: Callable[..., Tensor | tuple[Tensor, str] | Drawn]
    flag: str = ""
    help: str = ""
    options: tuple[Option, ...] = ()
    images: bool = False
    part: str = ""
    parts: str = ""
    conditions: bool = False
    lacks: Callable[[Any], str] | None = None
    where: tuple[str, ...] = (CARD, REPORT)

    @property
    def in_rows(self) -> bool:
        """Whether it is made of as many rows, of as many images, as one likes."""
        return {"n", "steps"} <= {option.name for option in self.options}

    def can(self, model: Any) -> bool:
        """Says whether a model has the capability."""
        return can(model, self.capability)

    def fits(self, model: Any) -> bool:
        """Says whether it can be drawn of a model."""
        return self.can(model) and not (self.lacks and self.lacks(model))

    def parts_of(self, model: Any) -> tuple[str, ...]:
        """Names what it is drawn of one by one; one empty name if it is drawn as a whole."""
        return tuple(getattr(model, self.parts)()) if self.parts else ("",)

    def stem(self, part: str = "") -> str:
        """Names its file, without the ending."""
        return f"{self.name}-{part}" if part else self.name

    def says(self, part: str = "") -> str:
        """Returns the caption."""
        return self.caption.replace("{part}", part)

    def picture(self, model: Any, part: str = "", **arguments: Any) -> Picture:
        """Draws it.

        Args:
            model: A model that it fits.
            part: One of `parts_of`.
            arguments: What the drawing function is to be called with besides.
        """
        named = {self.part: part} if self.part else {}
        told = self.draw(model, **named, **arguments)
        if isinstance(told, Drawn):
            drawn = told
        else:
            drawn = Drawn(*told) if isinstance(told, tuple) else Drawn(told)
        return Picture(
            self.stem(part), drawn, "; ".join(filter(None, (self.says(part), drawn.words)))
        )


class Views(Registry[View]):
    """The entries, in the order in which they are shown."""

    def register(self, entry: View) -> View:
        """Adds an entry, and its capability to the contract if it is a new one.

        Raises:
            ValueError: if its name, its flag or an option of its own is taken.
        """
        flags = {view.flag for view in self.values() if view.flag}
        options = {option.name: option for view in self.values() for option in view.options}
        taken = [entry.flag] if entry.flag in {*flags, *options, *RESERVED} else []
        for option in entry.options:
            if option.name in {*flags, *RESERVED} or options.get(option.name, option) != option:
                taken.append(option.name)
        if taken:
            raise ValueError(f"view {entry.name!r}: the option --{taken[0]} is taken.")
        self.register_as(entry.name)(entry)
        CAPABILITIES.setdefault(entry.capability, object)
        return entry


VIEWS = Views("view")

VIEWS.register(
    View(
        name=UNASKED, capability="sample", title="Samples", draw=_drawing("samples"),
        caption="Samples, the first ones drawn, none chosen",
        options=(COUNT,), conditions=True,
        where=(CARD,),  # a report shows samples beside the data that they are judged by
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="captions", capability="illustrate", title="Captions", draw=_drawing("captions"),
        caption="Below each caption: four sketches, each beside what was made of it",
        flag="illustrate", help="draw captions that training has seen, each with its sketches",
        lacks=_drawing("lacks_captions"),
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="completions", capability="complete", title="Completions",
        draw=_drawing("completions"),
        caption="An unseen image, the half of it that is kept, and ways to draw what is hatched",
        flag="complete", help="redraw the part of an image that --mask covers",
        options=(replace(COUNT, default=14), MASK), images=True, conditions=True,
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="reconstructions", capability="reconstruct", title="Reconstructions",
        draw=_drawing("reconstructions"),
        caption="Unseen images, and below each its reconstruction from its code",
        flag="reconstruct", help="show an image above its reconstruction", images=True,
        lacks=_drawing("lacks_reconstructions"),
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="traversals", capability="traverse", title="All codes", draw=_drawing("traversals"),
        caption="One image, and what each code makes of it; a row for every code",
        lacks=_drawing("lacks_codes"),
        where=(CARD,),  # a report shows the codes one by one
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="traverse", capability="traverse", title="Traversals", draw=_drawing("traverse"),
        caption="Along a row only {part} changes",
        flag="traverse", help="vary a latent code along each row", part="code", parts="codes",
        options=(ROWS, STEPS),
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="walks", capability="interpolate", title="Walks between samples",
        draw=_drawing("walks"),
        caption="Each row walks from one sample to one that looks clearly different",
        flag="interpolate", help="walk between two samples along each row",
        options=(ROWS, STEPS),
        where=(REPORT,),
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="chains", capability="chain", title="Chains", draw=_drawing("chains"),
        caption="Each row follows a chain, an image for every step",
        flag="chain", help="follow chains, one along each row", options=(ROWS, STEPS),
    )
)  # fmt: skip
VIEWS.register(
    View(
        name="origin", capability="decode", title="Through the origin", draw=_drawing("origin"),
        caption="Each row walks from a latent code through the origin to its opposite",
        flag="origin", help="walk from a latent code through the origin to its opposite",
        options=(ROWS, replace(STEPS, default=11)),
        lacks=_drawing("lacks_origin"),
    )
)  # fmt: skip


def view_of(stem: str) -> tuple[View, str] | None:
    """Finds which view a picture's file is of, by its name without the ending, and which part.

    Example:
        >>> view, part = view_of("traverse-category")
        >>> view.says(part)
        'Along a row only category changes'
    """
    name, _, part = stem.partition("-")
    view = VIEWS.get(name)
    return None if view is None or bool(part) != bool(view.parts) else (view, part)


def sheets(model: Any, images: Tensor | None = None) -> dict[str, Tensor]:
    """Draws what a card shows of a model, and what is shown of it while it learns.

    Args:
        model: A model.
        images: Images in [0, 1] that it has not seen, shape (N, C, H, W), to be completed or
            reconstructed; None leaves such pictures out.

    Returns:
        Pictures by name, each a colour image, shape (3, H, W), in [0, 1] or uint8, with words
        around it.
    """
    return {picture.name: picture.explained() for picture in pictures(model, images)}


def pictures(model: Any, images: Tensor | None = None) -> Iterator[Picture]:
    """Draws the pictures of `sheets`."""
    for view in fitting(model, CARD, images is not None):
        for part in view.parts_of(model):
            yield view.picture(
                model, part, seed=SEED, **({"images": images} if view.images else {})
            )


def fitting(model: Any, where: str, images: bool) -> Iterator[View]:
    """Lists what is drawn of a model unasked.

    Args:
        model: A model.
        where: In which place.
        images: Whether there are images of the data set to begin with.
    """
    for view in VIEWS.values():
        if where in view.where and (images or not view.images) and view.fits(model):
            yield view
