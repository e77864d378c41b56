"""The lab's report: what was put in, what came out, in plain words and drawings.

Figures read off the paper's curves stand beside ours; they were digitised from the authors' draft
of a post, and lie with their source in ``zoo/judge/lab/reference.json``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

import zoo.judge.lab
from zoo.core.figures import digits
from zoo.core.files import read_json
from zoo.show.markup import Figure, render

__all__ = ["Histogram", "page", "sentences"]

REFERENCE = Path(zoo.judge.lab.__file__).with_name("reference.json")
WIDTH, HEIGHT, PAD = 320, 130, 8
GROWS, FLAT = 0.25, 0.15  # exponents from which on spread grows, and up to which it does not
MERGED, APART = 0.9, 0.5  # valleys over peaks
NEAR = 0.2  # of an enhancement from 1 that is called none
UNITS = {"count": "dots", "red": "share of red", "radius": "radius in half-widths"}


class Histogram(NamedTuple):
    """A law as a page draws it, in pixels.

    Args:
        bars: Left, top, width and height of each bar.
        line: Corners of the outline of what was predicted; empty for none.
        marks: Where the trained values lie.
        low: What stands at the left end of the axis.
        high: What stands at its right end.
        alt: What it shows.
        caption: What stands below it.
    """

    bars: list[tuple[float, float, float, float]]
    line: list[tuple[float, float]]
    marks: list[float]
    low: str
    high: str
    alt: str
    caption: str
    width: int = WIDTH
    height: int = HEIGHT


class Cell(NamedTuple):
    """One combination of a grid: how often it came (0 to 1), and whether it was trained on."""

    share: float
    trained: bool


def spread(figure: Mapping[str, Any], places: int = 3) -> str:
    """Writes a mean with the standard deviation over seeds.

    Example:
        >>> spread({"mean": 2.166, "sd": 0.4, "seeds": 3}), spread({"mean": None, "sd": None})
        ('2.17 ± 0.4', 'none')
    """
    if figure["mean"] is None:
        return "none"
    mean = digits(figure["mean"], places)
    return mean if figure["sd"] is None else f"{mean} ± {digits(figure['sd'], 2)}"


def histogram(row: Mapping[str, Any], edges: Sequence[float],
              predicted: Sequence[float] = ()) -> Histogram:  # fmt: skip
    """Draws the law of one training set, and above it the outline of a prediction."""
    law = row["law"]
    used = [k for k, share in enumerate(law) if share > 0.001]
    used += [k for k, share in enumerate(predicted) if share > 0.001]
    centres = [(a + b) / 2 for a, b in pairwise(edges)]
    used += [min(range(len(law)), key=lambda k: abs(centres[k] - v)) for v in row["trained"]]
    first, last = max(0, min(used) - 1), min(len(law), max(used) + 2)
    wide = (WIDTH - 2 * PAD) / (last - first)
    full = max([*law[first:last], *predicted[first:last], 1e-9])
    tall = (HEIGHT - 3 * PAD) / full
    foot = HEIGHT - PAD

    def x(k: float) -> float:
        return PAD + (k - first) * wide

    bars = [
        (x(k) + 0.5, foot - law[k] * tall, max(wide - 1, 0.5), law[k] * tall)
        for k in range(first, last)
    ]
    line = [
        (x(k + side), foot - predicted[k] * tall)
        for k in (range(first, last) if predicted else ())
        for side in (0, 1)
    ]
    step = edges[1] - edges[0]
    marks = [x((value - edges[0]) / step) for value in row["trained"]]
    mean = spread(row["mean"])
    told = f"trained on {row['name'].replace('+', ' and ')}: mean {mean}"
    return Histogram(
        bars, line, marks, digits(centres[first], 3), digits(centres[last - 1], 3), told,
        f"{told}\nunread {spread(row['unread'], 2)}",
    )  # fmt: skip


def cells(run: Mapping[str, Any]) -> list[list[Cell]]:
    """Lays the combinations of two features out, the first one's values below each other."""
    most = max((count for row in run["counts"] for count in row), default=1) or 1
    return [
        [Cell(count / most, trained) for count, trained in zip(*rows, strict=True)]
        for rows in zip(run["counts"], run["trained"], strict=True)
    ]


# ---------------------------------------------------------------- in words


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Says in a sentence each what was found, and whether it is what the paper's talk says."""
    words = {"modes": _of_modes, "combinations": _of_combinations, "joint": _of_joint}
    found = []
    for model in report["models"]:
        found += [f"{model['model']}: {told}" for told in words[report["kind"]](model, report)]
    return found


def _of_modes(model: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    found = []
    feature = report["features"][0]
    exponent = model["exponents"]["sd"]
    if exponent["mean"] is not None:
        power, said = exponent["mean"], spread(exponent, 2)
        if power >= GROWS:
            end = "it grows with the value, as the talk says (Weber's law would be 1)"
        elif power <= FLAT:
            end = "it does not grow with the value, other than the talk says"
        else:
            end = "it hardly grows with the value, which settles nothing"
        found.append(f"the spread of the {feature} goes as the value to the power {said}: {end}.")
    for pair in model["pairs"]:
        low, high = pair["trained"]
        ratio, gap = pair["enhancement"]["mean"], pair["gap_over_sd"]["mean"]
        where = f"trained on {digits(low, 3)} and {digits(high, 3)}"
        if gap is not None:
            where += f", {digits(gap, 2)} standard deviations apart"
        if ratio is None:
            found.append(f"{where}: neither the model nor the prediction has anything between.")
            continue
        if ratio > 1 + NEAR:
            end = "the middle is preferred (prototype enhancement)"
        elif ratio < 1 - NEAR:
            end = "the middle is avoided"
        else:
            end = "the two add up"
        found.append(
            f"{where}: between them {spread(pair['middle'], 2)} of the images where the mixture "
            f"of both alone has {spread(pair['middle_additive'], 2)}, {digits(ratio, 3)} times as "
            f"many: {end}."
        )
    return found


def _of_combinations(model: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    return [
        f"trained on {row['trained'][0]:g} combinations: draws {spread(row['novel'])} new ones, "
        f"which fills {spread(row['filled'], 2)} of the missing, and has lost {spread(row['lost'])}"
        f"; {spread(row['unread'], 2)} of the images could not be read."
        for row in model["points"]
    ]


def _of_joint(model: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    first, second = report["features"]
    return [
        f"trained without the highest {first} together with the highest {second}: "
        f"{spread(row['novel_mass'], 2)} of the images show it; the joint law is "
        f"{spread(row['from_independence'], 2)} (total variation) from independent features."
        for row in model["points"]
    ]


# ---------------------------------------------------------------- the page


def page(report: Mapping[str, Any], pictures: Path) -> str:
    """Writes the report as HTML that needs nothing but itself.

    Args:
        report: As in ``probe.json``.
        pictures: Folder with a picture of samples of each training, ``<training>.png``.
    """
    protocol = report["protocol"]
    return render(
        "lab.html",
        title=report["experiment"],
        question=report["question"],
        sentences=report["sentences"],
        facts={
            "Data": report["data"],
            "Read": ", ".join(UNITS.get(str(name), str(name)) for name in report["features"]),
            "Images drawn": f"{protocol['samples']:,} from each model",
            "Seeds": str(protocol["seeds"]),
            "Length": "quick: for the shape only" if protocol["quick"] else "as in the recipes",
        },
        models=[_model(model, report, pictures) for model in report["models"]],
        reference=_reference(report),
    )


def _model(model: Mapping[str, Any], report: Mapping[str, Any], pictures: Path) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": model["model"], "recipe": model["recipe"]}
    shown["pictures"] = [
        figure
        for training in report["trainings"]
        if training["model"] == model["model"] and training["seed"] == 0
        if (figure := _picture(pictures / f"{training['name']}.png", training["point"]))
    ]
    shown["grids"], shown["histograms"], shown["pairs"] = [], [], []
    if report["kind"] == "modes":
        additive = {pair["name"]: pair["additive"] for pair in model["pairs"]}
        shown["histograms"] = [
            histogram(row, model["edges"], additive.get(row["name"], ())) for row in model["points"]
        ]
        shown["head"] = ["Trained on", "Mean", "SD", "SD of ln", "At the value", "Unread"]
        shown["rows"] = [
            [row["name"].replace("+", " and "),
             *(spread(row[key]) for key in ("mean", "sd", "sd_log", "hit", "unread"))]
            for row in model["points"]
        ]  # fmt: skip
        keys = ("gap_over_sd", "middle", "middle_additive", "enhancement", "distance", "valley",
                "valley_additive")  # fmt: skip
        shown["pairs"] = [
            [pair["name"].replace("+", " and "), *(spread(pair[key]) for key in keys)]
            for pair in model["pairs"]
        ]
        return shown
    shown["grids"] = [(row["name"], cells(row["runs"][0])) for row in model["points"]]
    shown["head"] = ["Trained on", "New", "Missing filled", "Lost", "Mass of new", "Precision",
                     "Unread"]  # fmt: skip
    keys = ("novel", "filled", "lost", "novel_mass", "precision", "unread")
    shown["rows"] = [
        [row["name"].replace("-", " "), *(spread(row[key]) for key in keys)]
        for row in model["points"]
    ]
    return shown


def _picture(path: Path, point: str) -> Figure | None:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
        code = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError:
        return None
    caption = f"trained on {point.replace('+', ' and ').replace('-', ' ')}"
    return Figure(f"data:image/png;base64,{code}", width, height, f"Samples, {caption}", caption)


def _reference(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lays the digitised figures of an experiment out; None where there are none."""
    known = read_json(REFERENCE)
    if report["experiment"] == "numerosity":
        from statistics import fmean, stdev

        counts = known["dots_gan_panels"]["generated_counts"]
        rows = [[k, digits(fmean(c), 3), digits(stdev(c), 3)] for k, c in counts.items()]
        return {
            "about": "WGAN-GP of the paper, six images of each count, counted by us.",
            "head": ["Trained on", "Mean", "SD"],
            "rows": rows,
        }
    if report["experiment"] == "proportion":
        rows = []
        for row in known["pie_two_mode_red_proportion"].values():
            low, high = sorted(row["train"])
            valley = f"{row['valley'][1]:.3f} at {row['valley'][0]:.2f}" if "valley" in row else "-"
            rows.append(
                [f"{low:g} and {high:g}", digits(row["mean"], 3), digits(row["sd"], 3),
                 f"{row['at_mid']:.3f}", valley]
            )  # fmt: skip
        return {
            "about": "Two shares of red, digitised with bins of .02; which model is not stated.",
            "head": ["Trained on", "Mean", "SD", "Share in the middle bin", "Valley"],
            "rows": rows,
        }
    if report["experiment"] == "combinations":
        table = known["two_mnist_combinations"]
        novel = table["novel_generated"]
        rows = [
            [str(size), str(cnn), str(rnn),
             digits(cnn / (100 - size), 2) if size < 100 else "-"]
            for size, cnn, rnn in zip(table["train"], *novel.values(), strict=True)
        ]  # fmt: skip
        return {
            "about": "WGAN-GP of the paper on pairs of MNIST digits; when a pair counts is not "
            "stated.",
            "head": ["Trained on", "New, CNN", "New, RNN", "Missing filled, CNN"],
            "rows": rows,
        }
    return None
