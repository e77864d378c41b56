"""The page of one published model: what stands on it; what does not fit the model is left out."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

import yaml

from zoo.contract.capabilities import capabilities
from zoo.core.figures import exact
from zoo.judge.catalogue import row_of
from zoo.models import MODELS
from zoo.show.gallery.exhibit import Exhibit, precision_of, seconds_of
from zoo.show.gallery.prose import about, header, without_header
from zoo.show.markup import Figure, render
from zoo.show.scores import ScoreText, score_rows
from zoo.show.views import UNASKED, VIEWS, view_of

__all__ = ["GENERATOR", "caption", "page"]

GENERATOR = "zoo.gallery"  # who has written a page, as the page itself says


def page(exhibit: Exhibit, pictures: Mapping[str, Figure]) -> str:
    """Writes the page.

    Args:
        exhibit: The model.
        pictures: Pictures of its folder by the names of their files, without their ending.
    """
    return render(
        "model.html",
        generator=GENERATOR,
        e=exhibit,
        about=about(exhibit.family),
        facts=_facts(exhibit),
        commands=_commands(exhibit),
        samples=pictures.get(UNASKED),
        pictures=[picture for name, picture in pictures.items() if name != UNASKED],
        scores=_scores(exhibit),
        seeds=_seeds(exhibit),
        recipe=_recipe(exhibit),
        resolved=_plain_yaml(exhibit.card.get("recipe") or {}),
        training=_training(exhibit),
    )


def caption(name: str) -> str:
    """Says what a picture of a model's folder shows.

    Example:
        >>> caption("traverse-category")
        'Along a row only category changes'
    """
    found = view_of(name)
    return name.replace("-", " ").replace("_", " ") if found is None else found[0].says(found[1])


def _facts(e: Exhibit) -> list[tuple[str, str, bool]]:
    """Lists what the head says: name, value, and whether it may be called as good as theirs."""
    facts = [
        (one.name, one.ours, e.earned and number == 0) for number, one in enumerate(e.standings)
    ]
    facts[1:1] = [("over seeds", e.over_seeds, False)] if e.over_seeds else []
    if e.comparison is not None:
        facts.append(("the paper's", f"{e.theirs}, {e.comparison.method}".rstrip(", "), False))
        facts.append(("objective", e.comparison.objective, False))
    facts += [("data", e.data, False), ("parameters", e.parameters, False)]
    return [*facts, ("training", e.training, False), ("weights", e.size, False)]


# ---------------------------------------------------------------- use


def _commands(e: Exhibit) -> list[str]:
    """Lists what to type to load, sample, verify, look into and train the model again."""
    load = ["import zoo", "", f'model = zoo.load("{e.name}")']
    if e.generative:
        load.append("images = model.sample(64, seed=0)")
    lines = [*_draws(e), f"python -m zoo.verify {e.name}"]
    if e.generative:
        lines.append(f"python -m zoo.diagnose {e.name} --out report.html")
    if e.recipe is not None:
        seed = (e.card.get("recipe") or {}).get("seed_everything", 0)
        more = f" --seed_everything {seed}" if seed else ""
        lines.append(f"python -m zoo.fit recipes/{e.recipe.name}{more}")
    return ["\n".join(load), *lines]


def _draws(e: Exhibit) -> list[str]:
    """Lists what to type to draw what can surely be drawn, without anything at hand."""
    can = capabilities(MODELS[e.family])
    lines = []
    for view in VIEWS.values():
        asked = view.flag or view.name == UNASKED
        if asked and view.capability in can and not view.images and view.lacks is None:
            flag = f" --{view.flag}" if view.flag else ""
            lines.append(f"python -m zoo.sample {e.name}{flag} --out {view.name}.png")
    return lines


# ---------------------------------------------------------------- figures


def _scores(e: Exhibit) -> list[ScoreText]:
    paper = e.comparison

    def theirs(score: dict[str, Any]) -> str:
        known = {**paper.beside, paper.figure: paper.value} if paper else {}
        return exact(known[score["name"]]) if score["name"] in known else ""

    return score_rows(e.scores, theirs)


def _seeds(e: Exhibit) -> dict[str, Any] | None:
    """Sets the scores of all seeds side by side; None with one run."""
    runs = e.card.get("seeds") or []
    if len(runs) < 2:
        return None
    of_name = {score["name"]: score for score in e.scores}
    ways = list(dict.fromkeys(map(precision_of, runs)))  # each has a mean of its own
    head = ["Score"]
    for way in ways:
        of = f", {way}" if len(ways) > 1 else ""
        head += [f"Mean{of}", f"Spread{of}"]
    head += [f"Seed {r['seed']}" + (f", {precision_of(r)}" if len(ways) > 1 else "") for r in runs]
    rows = []
    for name in runs[0]["scores"]:
        row, cells = row_of(of_name.get(name, {"name": name})), []
        for way in ways:
            values = [run["scores"].get(name) for run in runs if precision_of(run) == way]
            known = [value for value in values if value is not None]
            cells += [row.brief(mean(known))] if known else ["none"]
            cells += [row.brief(stdev(known))] if len(known) > 1 else ["none"]
        values = [run["scores"].get(name) for run in runs]
        cells += ["none" if value is None else row.brief(value) for value in values]
        rows.append((name, cells))
    return {"head": head, "rows": rows, "took": [*[""] * (2 * len(ways)), *map(seconds_of, runs)]}


# ---------------------------------------------------------------- where it comes from


def _recipe(e: Exhibit) -> dict[str, Any] | None:
    """Takes the recipe apart; None where there is none of the zoo's."""
    if e.recipe is None:
        return None
    return {"notes": header(e.recipe), "source": without_header(e.recipe).strip()}


def _plain_yaml(recipe: dict[str, Any]) -> str:
    return yaml.safe_dump(recipe, sort_keys=False).strip() if recipe else ""


def _training(e: Exhibit) -> dict[str, Any]:
    ran_on, weights = e.card.get("training") or {}, e.card["weights"]
    return {
        "Time": e.training,
        "Precision": ran_on.get("precision"),
        "Seed": ran_on.get("seed"),
        "Epochs": ran_on.get("epochs"),
        "Batches": f"{ran_on['batches']:,}" if ran_on.get("batches") else None,
        "Processor": ran_on.get("gpu") or ran_on.get("processor"),
        "Versions": _versions(ran_on),
        "Commit": ran_on.get("commit"),
        "Weights": f"{weights['file']}, {e.size}, {weights.get('parameters', '')}".rstrip(", "),
        "SHA-256": weights["sha256"],
    }


def _versions(ran_on: dict[str, Any]) -> str | None:
    known = [f"{name} {ran_on[name]}" for name in ("zoo", "python", "torch", "lightning")
             if ran_on.get(name)]  # fmt: skip
    return ", ".join(known) or None
