"""Draws from a model: ``python -m zoo.sample infogan_plus_mnist --n 64 --out grid.png``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.contract.capabilities import can, capabilities, conditions
from zoo.core.arguments import SEEDS, Parser
from zoo.core.command import command
from zoo.core.errors import UserError, check_choice, check_interval
from zoo.core.outline import outline_of
from zoo.core.text import print_line, say
from zoo.core.threads import settle
from zoo.models.registry import MODELS
from zoo.recipe.checking import class_name
from zoo.recipe.reading import read_recipe
from zoo.shelf.find import check_model, read_card
from zoo.show.views import MOST, UNASKED, VIEWS, Option, View

__all__ = ["main"]

EXAMPLES = Path()  # stands for test images, where a picture begins with images and none is named
SEVERAL = 4


def _parser() -> Parser:
    parser = Parser(
        "zoo.sample",
        "Draws images from a published model or a run, and writes them as one PNG.",
        epilog="With a model's name, --help also shows its conditions, such as --label. Where no "
        "IMAGE is named, a few test images are taken.",
        add_help=False,
    )
    parser.add_argument(
        "model",
        metavar="NAME_OR_RUN",
        nargs="?",
        help="see python -m zoo.list; hf://owner/name works, too",
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this and stop")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default 0)")
    parser.add_argument("--out", type=Path, default=Path("grid.png"), help="default: grid.png")
    for view in VIEWS.values():
        if view.flag:
            parser.add_argument(f"--{view.flag}", dest=view.flag, help=view.help, **_takes(view))
    for option in _options():
        parser.add_argument(
            f"--{option.name}",
            dest=option.name,
            type=option.kind,
            metavar=option.metavar,
            help=option.help,
        )
    return parser


def _takes(view: View) -> dict[str, Any]:
    """Says what stands after the flag of a picture: an image, perhaps a part, or nothing."""
    if view.images:
        return {"type": Path, "metavar": "IMAGE", "nargs": "?", "const": EXAMPLES}
    if view.part:
        return {"nargs": "?", "const": "", "metavar": view.part.upper()}
    return {"action": "store_const", "const": True}


def _options() -> list[Option]:
    """Lists the options of all pictures, each once."""
    return list({o.name: o for view in VIEWS.values() for o in view.options}.values())


def _add_conditions(parser: Parser, keywords: Mapping[str, str]) -> None:
    """Adds an option for every condition that a model's sample method declares, by its type."""
    for name, annotation in keywords.items():
        if name != "seed":
            kind = next((kind for kind in (int, float) if kind.__name__ in annotation), str)
            kind = str if name == "label" else kind  # a class may be named, see `_number`
            parser.add_argument(f"--{name}", type=kind, help="condition of this model")


def _check_conditions(arguments: Sequence[str], model: str, own: Mapping[str, str]) -> None:
    """Refuses conditions that samples of other families have, among words that no option took.

    Raises:
        UserError: naming those that this model has.
    """
    words = (word.partition("=")[0] for word in arguments if word.startswith("--"))
    names = [word.removeprefix("--") for word in words]
    strange = [name for name in names if name not in own]
    if not strange:
        return
    methods = (outline_of(MODELS, name).methods.get("sample", {}) for name in MODELS)
    others = {name for keywords in methods for name in keywords} - {"seed"}
    for name in strange:
        if name in others:
            has = " and ".join(f"--{one}" for one in own if one != "seed")
            advice = f"takes {has}" if has else "draws without conditions"
            raise UserError(f"{model} takes no --{name}: it {advice}.")


def _number(label: str, name_or_run: str) -> int:
    """Reads the number of a class, or the name that its folder had among somebody's own images.

    Raises:
        UserError: if it is neither.
    """
    try:
        return int(label)
    except ValueError:
        names = _class_names(name_or_run)
    if not names:
        raise UserError(f"--label must be a whole number, got {label!r}.")
    check_choice("--label", label, names)
    return names.index(label)


def _class_names(name_or_run: str) -> list[str]:
    """Names the class folders that a model learnt from, if it was told the classes of images."""
    recipe, learnt_from = _record(name_or_run)
    model = recipe.get("model")
    arguments = model.get("init_args") or {} if isinstance(model, dict) else {}
    return list(learnt_from.get("classes", [])) if arguments.get("conditional") else []


def _record(name_or_run: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Returns the recipe of a model, empty if it is unknown, and the files it learnt from."""
    from zoo.shelf.run_folder import RunFolder

    run = RunFolder(Path(name_or_run))
    if run.recipe.is_file():
        return read_recipe(run.recipe), run.learnt_from()
    card = read_card(name_or_run)[0]
    return card.get("recipe") or {}, (card.get("training") or {}).get("data") or {}


def _family(name_or_run: str) -> str:
    """Returns the name of a model's family, from its card or its run's recipe."""
    path = Path(name_or_run) / "recipe.yaml"
    if path.is_file():
        return class_name("model", read_recipe(path)["model"])
    return read_card(name_or_run)[0]["model"]


def _asked(options: argparse.Namespace) -> View:
    """Returns which picture is asked for.

    Raises:
        UserError: if there are several.
    """
    asked = [v for v in VIEWS.values() if v.flag and getattr(options, v.flag) is not None]
    if len(asked) > 1:
        flags = " and ".join(f"--{view.flag}" for view in asked)
        raise UserError(f"{flags} are different pictures; ask for one at a time.")
    return asked[0] if asked else VIEWS[UNASKED]


def _check(options: argparse.Namespace) -> None:
    """Refuses what no model could draw.

    Raises:
        UserError: naming the option.
    """
    view = _asked(options)
    for option in _options():
        value = getattr(options, option.name)
        if value is None:
            continue
        if option.name not in {own.name for own in view.options}:
            owners = [v.flag for v in VIEWS.values() if v.flag and option in v.options]
            text = " or ".join(f"--{flag}" for flag in owners)
            raise UserError(f"--{option.name} belongs to {text}.")
        if option.interval:
            check_interval(f"--{option.name}", value, option.interval)
    given = _given(view, options)
    if view.in_rows and given["n"] * given["steps"] > MOST:
        raise UserError(f"--n times --steps must be at most {MOST}: they share one picture.")
    check_interval("--seed", options.seed, SEEDS)
    if options.out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {options.out}.")


def _given(view: View, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the values of a picture's options, given ones and defaults."""
    values = {option.name: (getattr(options, option.name), option.default)
              for option in view.options}  # fmt: skip
    return {name: default if value is None else value for name, (value, default) in values.items()}


def _draw(model: Any, options: argparse.Namespace) -> Any:
    """Draws the picture that is asked for.

    Raises:
        UserError: if it cannot be drawn of this model.
    """
    view = _asked(options)
    if not view.can(model):
        can = ", ".join(capabilities(model)) or "nothing"
        raise UserError(f"this model cannot {view.capability}; it can {can}.")
    if view.lacks and (reason := view.lacks(model)):
        raise UserError(f"--{view.flag} has nothing to show of this model: {reason}.")
    known = conditions(model) if VIEWS[UNASKED].can(model) else ()
    asked = {name: getattr(options, name) for name in known if getattr(options, name) is not None}
    if asked and not view.conditions:
        raise UserError(f"--{next(iter(asked))} is a condition of samples, not of this picture.")
    begin: dict[str, Any] = {}
    if view.images:
        from zoo.show.drawing import read_picture

        path = getattr(options, view.flag)
        if path is EXAMPLES:
            begin = {"images": _examples(view, options.model, model)}
        else:
            begin = {"images": read_picture(path, model.spec, model.spec.channels)}
    part = _part(view, model, getattr(options, view.flag)) if view.part else ""
    arguments = {**_given(view, options), **asked, **begin}
    return view.picture(model, part, seed=options.seed, **arguments).explained()


def _examples(view: View, name: str, model: Any) -> Any:
    """Returns a few test images of the data set that a model learnt from.

    Raises:
        UserError: if the data set is not known or not there.
    """
    from zoo.judge.subject import Subject, data_for
    from zoo.show.drawing import unseen

    recipe, learnt_from = _record(name)
    advice = f"name an image of your own: --{view.flag} IMAGE"
    if "data" not in recipe:
        raise UserError(f"nobody knows what data {name} learnt from; {advice}.")
    subject = Subject(name, model, recipe["data"], "", None, Path(), learnt_from)
    try:
        images = unseen(data_for(subject, None, None), "test")
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}; or {advice}.") from None
    if images is None:
        raise UserError(f"there are no test images of {name}; {advice}.")
    return images[:: max(1, len(images) // SEVERAL)][:SEVERAL]


def _part(view: View, model: Any, asked: str) -> str:
    """Returns the part that is asked for, or the first one."""
    parts = view.parts_of(model)
    part = asked or next(iter(parts), "")
    check_choice(view.part, part, parts)
    return part


def run(arguments: Sequence[str]) -> None:
    """Draws and writes the picture.

    Raises:
        UserError: if anything in the request is wrong.
    """
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    if known.model is None:
        if not known.help:
            raise UserError("which model? Name one; python -m zoo.list shows them.")
        parser.print_help()
        return
    check_model(known.model)
    if not known.help:
        _check(known)
    methods = outline_of(MODELS, _family(known.model)).methods
    _check_conditions(rest, known.model, methods.get("sample", {}))
    _add_conditions(parser, methods.get("sample", {}))
    if known.help:
        parser.print_help()
        return
    options = parser.read(arguments)
    if getattr(options, "label", None) is not None:
        options.label = _number(options.label, options.model)
    # Only from here on is torch needed: help and refusals need not wait for it.
    from zoo.shelf.run_weights import load_any
    from zoo.show.pictures import save_png

    settle()
    model = load_any(options.model)
    save_png(_draw(model, options), options.out)
    if getattr(options, "label", None) is not None and can(model, "classify"):
        say(f"zoo.sample: {_code_in_words(model, options)}")
    print_line(options.out)


def _code_in_words(model: Any, options: argparse.Namespace) -> str:
    """Says what a code that was found without labels stands for: what a classifier sees mostly."""
    from zoo.show.codes import seen_mostly

    data = _record(options.model)[0].get("data")
    name = class_name("data", data) if data else ""
    try:
        seen = seen_mostly(model, name, options.label, options.seed)
    except UserError:  # a feature network that cannot be loaded is no reason to refuse
        seen = None
    return f"code {options.label}{'' if seen is None else f' (mostly {seen})'}"


main = command("zoo.sample", run)


if __name__ == "__main__":
    sys.exit(main(None))
