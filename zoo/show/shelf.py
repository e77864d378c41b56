"""What ``import zoo`` offers of the shelf: names, cards, models."""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from zoo.contract.capabilities import CAPABILITIES
from zoo.core.errors import UserError, check_choice
from zoo.core.files import read_json
from zoo.data.registry import DATASETS
from zoo.models.registry import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import read_recipe
from zoo.shelf.card import open_entry
from zoo.shelf.find import available as names_of
from zoo.shelf.find import check_model, place_of
from zoo.shelf.run_folder import RunFolder
from zoo.show.gallery.exhibit import Exhibit, exhibit, exhibit_of, exhibits

__all__ = ["available", "card", "check_filters", "chosen", "load"]


def available(
    pattern: str = "*",
    *,
    family: str | None = None,
    data: str | None = None,
    can: str | None = None,
) -> list[str]:
    """Names the published models, all or those that are asked for.

    Args:
        pattern: Of the name, with ``*`` and ``?``.
        family: One of `zoo.models`, such as ``"VAE"``.
        data: One of `zoo.datasets`, such as ``"MNIST"``.
        can: Something that it can do, such as ``"traverse"``.

    Raises:
        UserError: if there is no such family, data set or capability.

    Example:
        >>> available("*digits", family="VAE")
        ['vae_digits']
    """
    check_filters(family, data, can)
    if family is data is can is None:
        return [name for name in names_of() if fnmatchcase(name, pattern)]
    found = exhibits(unusable=lambda name, error: None)
    return sorted(shown.name for shown in chosen(found, pattern, family, data, can))


def check_filters(family: str | None, data: str | None, can: str | None) -> None:
    """Refuses names of a family, a data set or a capability that there are not."""
    for what, value, choices in (
        ("family", family, MODELS), ("data set", data, DATASETS), ("capability", can, CAPABILITIES),
    ):  # fmt: skip
        if value is not None:
            check_choice(what, value, choices)


def chosen(
    shown: list[Exhibit], pattern: str, family: str | None, data: str | None, can: str | None
) -> list[Exhibit]:
    """Returns those that are asked for, see `available`."""
    return [
        e
        for e in shown
        if fnmatchcase(e.name, pattern)
        and family in (None, e.family)
        and data in (None, e.data.partition(" ")[0])
        and (can is None or can in e.can)
    ]


def card(name: str | Path) -> Exhibit:
    """Reads what is known of a model: of a published one, a saved one, or what a run left.

    Args:
        name: As `load` takes it.

    Returns:
        Its ``name``, ``family``, ``data``, ``figure``, ``scores``, ``training``, ``parameters``,
        ``can`` and more; ``card["scores"]`` is a part as the card's JSON has it.

    Raises:
        UserError: if there is no such model, or its card is damaged.

    Example:
        >>> card("vae_digits").family
        'VAE'
    """
    check_model(str(name))
    run = RunFolder(Path(name))
    return _of_run(run) if run.recipe.is_file() else exhibit(str(name))


def load(name: str | Path, *, device: str = "cpu") -> Any:
    """Loads a model, ready to answer.

    Args:
        name: One of `available()`; the folder of a run, whose last weights are meant, or one that
            ``model.save`` wrote; or an address: ``hf://owner/name``, with ``@revision`` and
            ``#sha256=<hash of the card>`` if you like, or
            ``https://host/path/card.json#sha256=<hash of the card>``.
        device: Where it is to work, such as ``cuda``; ``auto`` for a GPU where there is one.

    Returns:
        The model in evaluation mode, with its `card`.

    Raises:
        UserError: if there is no such model or device, or files are damaged, changed or do not fit.
    """
    from zoo.core.devices import device_for
    from zoo.shelf.run_weights import is_run, load_run
    from zoo.shelf.weights import load_entry

    place, asked = device_for(str(device), "device"), str(name)
    check_model(asked)
    entry = None if is_run(asked) else open_entry(place_of(asked))  # once, if it must be fetched
    model = load_run(asked) if entry is None else load_entry(entry)
    with suppress(UserError):  # a recipe or a record that cannot be read spoils no weights
        run = RunFolder(Path(asked))
        model.card = _of_run(run) if entry is None else exhibit_of(entry.card, entry.place.folder)
    return model.to(place)


def _of_run(run: RunFolder) -> Exhibit:
    """Makes a card of what a run left, as far as it came."""
    recipe = read_recipe(run.recipe)
    try:
        ran_on = read_json(run.environment)
        scores = read_json(run.evaluation)["scores"] if run.evaluation.is_file() else []
        told = {
            "name": str(run.path),
            "model": class_name("model", recipe["model"]),
            "arguments": {},
            "spec": ran_on["spec"],
            "weights": {},
            "recipe_name": recipe.get("name"),
            "recipe": recipe,
            "training": ran_on,
            "scores": scores,
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the run {run.path} has damaged records: {error!r}.") from None
    return exhibit_of(told, run.path)
