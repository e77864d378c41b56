"""What is shown of a published model, read from its card and its recipe; nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.contract.capabilities import capabilities_of
from zoo.core.errors import UserError
from zoo.core.figures import in_thousands
from zoo.core.outline import outline_of
from zoo.judge.catalogue import headline, row_of
from zoo.models.registry import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.paper import Paper, read_paper
from zoo.recipe.reading import Recipes, recipe_folder
from zoo.shelf.card import NAME
from zoo.shelf.find import available, read_card
from zoo.show.gallery.standing import Standing, earns, standings

__all__ = ["Exhibit", "exhibit", "exhibit_of", "exhibits", "precision_of", "seconds_of"]

UNKNOWN = "unknown"
WAITED = 1.25  # times its work, from which on a training's time by the clock is that of others, too


@dataclass(frozen=True)
class Exhibit:
    """A published model.

    Args:
        name: Its name on the shelf.
        card: Its card, checked by `zoo.shelf.find.read_card`.
        folder: Its folder on the shelf.
        recipe: The zoo's recipe that it was trained by; None if there is none of that name, or
            that one describes another model or other data.
        paper: The figure that this recipe is measured against, if it has one.
    """

    name: str
    card: dict[str, Any]
    folder: Path
    recipe: Path | None
    paper: Paper | None

    def __getitem__(self, part: str) -> Any:
        """Returns a part of the card as its JSON has it, such as ``training`` or ``scores``."""
        return self.card[part]

    def __str__(self) -> str:
        """Says in a few words which model it is."""
        of = "" if self.data == UNKNOWN else f" of {self.data}"
        return ", ".join(filter(None, (f"{self.name}{of}", self.figure)))

    def __repr__(self) -> str:
        """Says on a few lines what a person wants to know first."""
        lines = {
            "figure": ", ".join(filter(None, (self.figure, self.over_seeds))),
            "paper": self.theirs,
            "training": self.training,
            "weights": f"{self.parameters} numbers, {self.size}",
            "can": ", ".join(self.can),
        }
        told = [f"  {name:9} {text}" for name, text in lines.items() if text]
        return "\n".join([f"{self.name}: {self.family} of {self.data}", *told])

    @property
    def family(self) -> str:
        """The model's class."""
        return self.card["model"]

    @property
    def can(self) -> tuple[str, ...]:
        """What models of its family can do."""
        return capabilities_of(outline_of(MODELS, self.family).methods)

    @property
    def generative(self) -> bool:
        """Whether the model makes images; a feature network does not."""
        return "sample" in self.can

    @property
    def of_points(self) -> bool:
        """Whether its images are points of the plane."""
        spec = self.card["spec"]
        return (spec["channels"], spec["height"], spec["width"]) == (2, 1, 1)

    @property
    def data(self) -> str:
        """The data set; for a folder of images, the folder's name."""
        section = self.card.get("recipe", {}).get("data")
        if section is None:
            return UNKNOWN
        arguments = section.get("init_args") or {} if isinstance(section, dict) else {}
        name = class_name("data", section)
        return f"{name} {Path(str(arguments['path'])).name}" if "path" in arguments else name

    @property
    def scores(self) -> list[dict[str, Any]]:
        """All scores of the card."""
        return self.card.get("scores") or []

    @property
    def headline(self) -> dict[str, Any] | None:
        """The score that stands for the model: the paper's figure, else the catalogue's choice."""
        for score in self.scores:
            if self.paper and score["name"] == self.paper.figure and score["value"] is not None:
                return score
        return headline(self.scores)

    @property
    def comparison(self) -> Paper | None:
        """The paper's figure, if the headline is the same score."""
        headline, paper = self.headline, self.paper
        return paper if paper and headline and headline["name"] == paper.figure else None

    @cached_property
    def standings(self) -> list[Standing]:
        """The headline beside the paper's figure, and the scores that show what it hides."""
        if self.headline is None:
            return []
        return standings(self.headline, self.scores, self.card.get("seeds") or [], self.comparison)

    @property
    def earned(self) -> bool:
        """Whether the model may be shown as at least as good as the paper's."""
        return earns(self.standings, self.comparison)

    @property
    def ours(self) -> str:
        """The headline's value of the published weights, in its unit; empty if there is none."""
        score = self.headline
        return "" if score is None else row_of(score).brief(score["value"])

    @property
    def figure(self) -> str:
        """The headline with its protocol; empty if there is none."""
        return "" if self.headline is None else f"{self.ours} {self.headline['name']}"

    @property
    def judged(self) -> str:
        """What is compared: the mean over seeds, else `ours`, with its standard error."""
        return self.standings[0].ours if self.standings else ""

    @property
    def over_seeds(self) -> str:
        """Says that it is a mean, and what these weights have; empty with one run."""
        runs = self.standings[0].runs if self.standings else ()
        if not runs:
            return ""
        known = self.card["seeds"]
        seeds, ways = len({run["seed"] for run in known}), len({precision_of(run) for run in known})
        each = f" in each of {ways} precisions" if ways > 1 and len(known) == seeds * ways else ""
        return f"mean of {seeds if each else len(runs)} seeds{each}; these weights {self.ours}"

    @property
    def theirs(self) -> str:
        """The paper's value in the same unit; empty if there is none."""
        return self.standings[0].paper if self.standings else ""

    @property
    def training(self) -> str:
        """How long the training took, and on what."""
        ran_on = self.card.get("training") or {}
        took = seconds_of(ran_on)
        if not took:
            return UNKNOWN
        processes, threads = ran_on.get("processes") or 1, ran_on.get("threads") or 1
        if ran_on.get("device", "cpu").startswith("cpu"):
            what = _count(threads, "thread")
        else:
            what = str(ran_on.get("gpu") or ran_on["device"])
        several = f", {processes} processes" if processes > 1 else ""
        return f"{took}, {what}{several}"

    @property
    def parameters(self) -> str:
        """How many numbers the published weights hold, rounded."""
        count = self.card["weights"].get("numbers")
        return UNKNOWN if count is None else in_thousands(count)

    @property
    def size(self) -> str:
        """Size of the weights."""
        count = self.card["weights"].get("bytes")
        if count is None:
            return UNKNOWN
        return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def seconds_of(run: Mapping[str, Any]) -> str:
    """Writes how long a training took: by the clock, or by its processors where others used them.

    Args:
        run: What a card says of a training, or of one with another seed.

    Example:
        >>> seconds_of({"training_seconds": 52.1, "processor_seconds": 50.0, "threads": 1})
        '52 s'
        >>> seconds_of({"training_seconds": 189.4, "processor_seconds": 50.0, "threads": 1})
        '50 s of processor time'
    """
    seconds, work = run.get("training_seconds"), run.get("processor_seconds")
    if seconds is None:
        return ""
    alone = (work or seconds) / (run.get("threads") or 1)
    waited = seconds > WAITED * alone and str(run.get("device", "cpu")).startswith("cpu")
    return f"{alone:,.0f} s of processor time" if waited else f"{seconds:,.0f} s"


def precision_of(run: Mapping[str, Any]) -> str:
    """Returns the number format that a training computed in; empty where a card does not say.

    Example:
        >>> precision_of({"precision": "bf16-mixed (this cpu multiplies bfloat16 matrices faster)"})
        'bf16-mixed'
    """
    return (run.get("precision") or "").partition(" ")[0]


def exhibits(
    shelf: Path | None = None, unusable: Callable[[str, UserError], None] | None = None
) -> list[Exhibit]:
    """Reads the whole shelf: by family, those that make images first.

    Args:
        shelf: Another shelf than `zoo.shelf.find.shelf_folder()`.
        unusable: Is told the name of a model that cannot be shown, and why; the others go on.

    Raises:
        UserError: if a card is damaged, or not of this zoo, and nobody is there to be told.
    """
    recipes = Recipes()
    found = []
    for name in available(shelf):
        try:
            found.append(exhibit(name, shelf, recipes))
        except UserError as error:
            if unusable is None:
                raise
            unusable(name, error)
    order = list(MODELS)
    return sorted(found, key=lambda e: (not e.generative, order.index(e.family), e.name))


def exhibit(name: str, shelf: Path | None = None, recipes: Recipes | None = None) -> Exhibit:
    """Reads what is shown of one model of the shelf; see `exhibits`."""
    return exhibit_of(*read_card(name, shelf=shelf), recipes)


def exhibit_of(card: dict[str, Any], folder: Path, recipes: Recipes | None = None) -> Exhibit:
    """Returns what is shown of a model with a card that was checked."""
    name = card["name"]
    if card["model"] not in MODELS:
        raise UserError(f"the card of {name} names a model {card['model']!r} that the zoo lacks.")
    path, recipe = _recipe_of(card, recipes)
    section = recipe.get("paper")
    paper = read_paper(section, f"recipe {path}") if section else None
    return Exhibit(name, card, folder, path, paper)


def _recipe_of(
    card: dict[str, Any], recipes: Recipes | None
) -> tuple[Path, dict[str, Any]] | tuple[None, dict[str, Any]]:
    """Finds the recipe, unless one of that name describes another model or other data."""
    name, used = card.get("recipe_name"), card.get("recipe") or {}
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return None, {}
    path = recipe_folder() / f"{name}.yaml"
    if not path.is_file():
        return None, {}
    recipe = (recipes or Recipes())[path]
    try:
        same = class_name("model", recipe["model"]) == card["model"] and (
            class_name("data", recipe["data"]) == class_name("data", used.get("data"))
        )
    except UserError:
        return None, {}
    return (path, recipe) if same else (None, {})
