"""Trains on designed data and reads what comes out: ``python -m zoo.probe numerosity --quick``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import fit
from zoo.core.arguments import Parser
from zoo.core.command import command
from zoo.core.errors import UserError, check_choice, check_interval
from zoo.core.files import read_json, write_json, write_text
from zoo.core.text import clean, print_line, say
from zoo.core.threads import settle
from zoo.judge.lab.experiments import EXPERIMENTS, Experiment, Point
from zoo.recipe.checking import class_name
from zoo.recipe.cost import read_cost
from zoo.recipe.reading import find_recipe, read_recipe, recipe_folder
from zoo.training.several import begun_run

__all__ = ["main"]

ABOUT = """Trains models on data that a designer made, reads the features of what they draw, and
writes what became of those that were put in: a report (report.html) and its figures (probe.json).
If it is interrupted, the same command goes on and keeps what is finished."""
SAMPLES, QUICK_SAMPLES = 10_000, 2_000
SHOWN = 16  # samples of each training in the report
SMALL = "_small"  # end of the names of recipes for a quick look
QUICK_IMAGES, QUICK_SIDE, QUICK_EPOCHS = 2_048, 32, 30


@dataclass(frozen=True)
class Training:
    """One of the trainings of an experiment."""

    model: str
    recipe: Path
    point: Point
    seed: int
    words: tuple[str, ...]
    seconds: float | None

    @property
    def name(self) -> str:
        """Returns the name of its runs."""
        return f"{self.model}-{self.point.name}-seed{self.seed}"


def _parser() -> Parser:
    parser = Parser("zoo.probe", ABOUT)
    known = "; ".join(f"{e.name}: {e.question}" for e in EXPERIMENTS.values())
    parser.add_argument("experiment", metavar="EXPERIMENT", help=known.replace("%", "%%"))
    parser.add_argument(
        "--model", nargs="+", default=["vae"], metavar="NAME",
        help="vae, wgan_gp or pixelcnn, or a recipe on the experiment's data (default vae)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, help="trainings of each (default 3, quick 1)")
    parser.add_argument(
        "--quick", action="store_true",
        help="fewer and smaller images, fewer points, short training: two minutes, for the shape",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=int,
        help=f"images drawn from each model (default {SAMPLES:,}, quick {QUICK_SAMPLES:,})",
    )  # fmt: skip
    parser.add_argument("--root", help="folder of data sets (default: $ZOO_DATA, else data/)")
    parser.add_argument("--out", type=Path, default=Path("probe"), help="folder (default probe)")
    return parser


# ---------------------------------------------------------------- what is to be done


def _recipe(experiment: Experiment, model: str, quick: bool) -> tuple[str, Path]:
    """Finds the recipe of a model for an experiment, by the model's name or its own."""
    own = {path.stem: path for path in recipe_folder().glob("*.yaml")}
    by_name = f"{model}_{experiment.recipes}"
    small = own.get(f"{by_name}{SMALL}") if quick else None
    path = small or own.get(by_name) or find_recipe(model)
    data = class_name("data", read_recipe(path)["data"])
    if data != experiment.data:
        raise UserError(
            f"the experiment {experiment.name} needs a recipe on {experiment.data}, but "
            f"{path.stem} is on {data}."
        )
    return clean(model if path.stem.removesuffix(SMALL) == by_name else path.stem), path


def _words(experiment: Experiment, point: Point, seed: int, recipe: Mapping[str, Any],
           options: Any, small: bool) -> tuple[str, ...]:  # fmt: skip
    """Returns what stands on the training's line beside the recipe.

    A recipe that is not small already gets fewer and smaller images and epochs for a quick look.
    """
    data = {**point.data, "design_seed": seed}
    trainer: dict[str, Any] = {}
    if options.root is not None and experiment.data.startswith("Digit"):
        data["root"] = options.root
    if options.quick and not small:
        data["images"] = QUICK_IMAGES
        if not experiment.data.startswith("Digit"):
            data["side"] = QUICK_SIDE
        asked = (recipe.get("trainer") or {}).get("max_epochs") or QUICK_EPOCHS
        trainer["max_epochs"] = min(QUICK_EPOCHS, asked)
    words = [f"--data.{key}={_written(value)}" for key, value in data.items()]
    words += [f"--trainer.{key}={value}" for key, value in trainer.items()]
    return (*words, f"--seed_everything={seed}")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plan(experiment: Experiment, options: Any) -> list[Training]:
    points = [point for point in experiment.points if point.quick or not options.quick]
    found = []
    for model in dict.fromkeys(options.model):
        name, path = _recipe(experiment, model, options.quick)
        small = path.stem.endswith(SMALL)
        recipe = read_recipe(path)
        cost = recipe.get("cost")
        seconds = read_cost(cost, f"recipe {path}").seconds if cost else None
        for point in points:
            for seed in range(options.seeds):
                words = _words(experiment, point, seed, recipe, options, small)
                told = seconds if small or not options.quick else None
                found.append(Training(name, path, point, seed, words, told))
    return found


def _check(options: Any) -> Experiment:
    check_choice("experiment", options.experiment, EXPERIMENTS)
    options.seeds = (1 if options.quick else 3) if options.seeds is None else options.seeds
    if options.samples is None:
        options.samples = QUICK_SAMPLES if options.quick else SAMPLES
    check_interval("--seeds", options.seeds, "[1, 100]")
    check_interval("--samples", options.samples, "[10, 1000000]")
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"--out must be a folder, but {options.out} is a file.")
    return EXPERIMENTS[options.experiment]


# ---------------------------------------------------------------- doing it


def _train(training: Training, runs: Path) -> Path:
    """Trains what is not finished; returns the run's folder."""
    run, finished = begun_run(runs, training.name)
    if not finished:
        line = [str(training.recipe), *training.words, f"--name={training.name}"]
        line += [f"--run_root={runs}", "--wandb=off", "--evaluate=false"]
        line += [f"--ckpt_path={run.last}"] if run else []
        line += [] if sys.stdout.isatty() else ["--trainer.enable_progress_bar=false"]
        fit.run(line)
        run, _ = begun_run(runs, training.name)
    assert run is not None
    return run.path


def _read(training: Training, folder: Path, samples: int, store: Path) -> dict[str, Any]:
    """Draws samples and reads them; what was read before is kept."""
    from zoo.core.files import sha256
    from zoo.judge.lab.reading import read_features
    from zoo.recipe.building import build
    from zoo.shelf.run_folder import RunFolder
    from zoo.shelf.run_weights import load_run
    from zoo.show.pictures import grid, save_png

    weights = sha256(RunFolder(folder).last)
    file = store / f"{training.name}.json"
    try:
        kept = read_json(file)
        if (kept["weights"], kept["samples"]) == (weights, samples):
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not read yet, or not to the end
    model = load_run(folder)
    data = build("data", read_recipe(RunFolder(folder).recipe)["data"])
    images = model.sample(samples, seed=training.seed).float().cpu()
    read = read_features(data, images)
    picture = store / f"{training.name}.png"
    save_png(grid(images[:SHOWN]), picture)
    found = {
        "weights": weights,
        "samples": samples,
        "features": {
            name: [None if value != value else value for value in values.tolist()]
            for name, values in read.items()
        },
        "whole": {name: not values.is_floating_point() for name, values in read.items()},
        "combinations": data.combinations.tolist(),
    }
    write_json(file, found)
    return found


def _findings(
    experiment: Experiment, plan: Sequence[Training], read: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Works out the findings of each model."""
    import torch

    from zoo.judge.lab.findings import find

    models = []
    for model in dict.fromkeys(training.model for training in plan):
        mine = [training for training in plan if training.model == model]
        readings, combinations = {}, {}
        for training in mine:
            kept = read[training.name]
            readings[training.point.name, training.seed] = {
                name: torch.tensor(values, dtype=torch.int64)
                if kept["whole"][name]
                else torch.tensor([float("nan") if v is None else v for v in values])
                for name, values in kept["features"].items()
            }
            combinations[training.point.name, training.seed] = torch.tensor(kept["combinations"])
        points = list(dict.fromkeys(training.point for training in mine))
        seeds = sorted({training.seed for training in mine})
        found = find(experiment, points, seeds, readings, combinations)
        models.append({"model": model, "recipe": mine[0].recipe.stem, **found})
    return models


def run(arguments: Sequence[str]) -> int:
    """Runs an experiment; returns 0.

    Raises:
        UserError: if anything in the request is wrong.
        Stopped: if the user or the cluster asked for it; what was trained so far is saved.
    """
    options = _parser().read(arguments)
    experiment = _check(options)
    plan = _plan(experiment, options)
    root = options.out / (f"{experiment.name}-quick" if options.quick else experiment.name)
    runs, store = root / "runs", root / "read"
    settle()
    done = {training.name for training in plan if begun_run(runs, training.name)[1]}
    _announce(experiment, plan, done, root)
    read: dict[str, Mapping[str, Any]] = {}
    taken: list[float] = []
    for number, training in enumerate(plan, 1):
        left = [t for t in plan[number - 1 :] if t.name not in done]
        says = "done before" if training.name in done else "begins" + _still(left, taken)
        print_line(clean(f"[{number}/{len(plan)}] {training.name}: {says}"))
        start = time.monotonic()
        folder = _train(training, runs)
        read[training.name] = _read(training, folder, options.samples, store)
        if training.name not in done:
            taken.append(time.monotonic() - start)
    report = _report(experiment, plan, read, options)
    write_json(root / "probe.json", report)
    from zoo.show.lab import page

    write_text(root / "report.html", page(report, store))
    for line in report["sentences"]:
        print_line(line)
    for file in ("probe.json", "report.html"):
        print_line(root / file)
    return 0


def _report(
    experiment: Experiment, plan: Sequence[Training], read: Mapping[str, Mapping[str, Any]],
    options: Any,
) -> dict[str, Any]:  # fmt: skip
    from zoo.shelf.run_folder import environment
    from zoo.show.lab import sentences

    report: dict[str, Any] = {
        "experiment": experiment.name,
        "question": experiment.question,
        "kind": experiment.kind,
        "data": experiment.data,
        "features": list(experiment.features),
        "protocol": {"samples": options.samples, "seeds": options.seeds, "quick": options.quick},
        "trainings": [
            {"name": t.name, "model": t.model, "point": t.point.name, "seed": t.seed,
             "words": list(t.words), "weights": read[t.name]["weights"]}
            for t in plan
        ],
        "models": _findings(experiment, plan, read),
        "environment": {k: v for k, v in environment().items() if k != "command"},
    }  # fmt: skip
    report["sentences"] = sentences(report)
    return report


def _announce(experiment: Experiment, plan: Sequence[Training], done: set[str], root: Path) -> None:
    todo = [training for training in plan if training.name not in done]
    known = [training.seconds for training in todo if training.seconds]
    takes = f", about {max(1, round(sum(known) / 60))} minutes on one core" if known else ""
    print_line(experiment.question)
    print_line(f"{len(todo)} of {len(plan)} trainings to do{takes}, in {root}")


def _still(left: Sequence[Training], taken: Sequence[float]) -> str:
    """Says how long what is left will take, once there is anything to go by."""
    if not taken:
        return ""
    minutes = len(left) * sum(taken) / len(taken) / 60
    return f", about {max(1, round(minutes))} min left"


def _command(arguments: Sequence[str]) -> int:
    options = _parser().read(arguments)  # before torch, for which help and refusals need not wait
    _plan(_check(options), options)
    from zoo.training.callbacks import Stopped

    try:
        return run(arguments)
    except Stopped as stop:
        say("zoo.probe: run the same command again to continue.")
        return 128 + stop.signum


main = command("zoo.probe", _command)


if __name__ == "__main__":
    sys.exit(main(None))
