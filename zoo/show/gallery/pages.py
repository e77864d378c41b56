"""The page of one published model, section by section; those that do not fit it are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

import yaml

from zoo.contract.capabilities import capabilities
from zoo.core.figures import exact
from zoo.judge.catalogue import row_of
from zoo.models import MODELS
from zoo.show.gallery.exhibit import Exhibit
from zoo.show.gallery.prose import about, header, without_header
from zoo.show.gallery.style import PAGE
from zoo.show.markup import document, prose, score_table, section, table, text
from zoo.show.views import UNASKED, VIEWS, view_of

__all__ = ["GENERATOR", "Picture", "capital", "linked", "page"]

GENERATOR = '<meta name="generator" content="zoo.gallery">\n'
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
INLINE = re.compile(r"``([^`]+)``|`([^`]+)`")
Picture = tuple[str, int, int]  # address beside the page, width, height


def linked(words: str) -> str:
    """Makes text safe to stand in a page, with papers of arXiv as links and `code` as code.

    Example:
        >>> linked("<b> arXiv:1312.6114")
        '&lt;b&gt; <a href="https://arxiv.org/abs/1312.6114">arXiv:1312.6114</a>'
    """
    safe = ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', prose(words))
    return INLINE.sub(lambda found: f"<code>{found[1] or found[2]}</code>", safe)


def capital(words: str) -> str:
    """Makes the first letter a capital, and leaves the others as they are."""
    return words[:1].upper() + words[1:]


def page(exhibit: Exhibit, pictures: dict[str, Picture]) -> str:
    """Writes the page.

    Args:
        exhibit: The model.
        pictures: Pictures of its folder by name, without their ending.
    """
    parts = (
        _head(exhibit), _first(exhibit, pictures), _others(pictures),
        _scores(exhibit), _seeds(exhibit), _origin(exhibit), _recipe(exhibit), _training(exhibit),
    )  # fmt: skip
    body = "\n".join(part for part in parts if part)
    return document(f"{exhibit.name} - zoo", body, PAGE, GENERATOR)


def _head(e: Exhibit) -> str:
    facts = [] if e.headline is None else [(e.headline["name"], e.ours, e.at_least_as_good)]
    facts += [("over seeds", e.over_seeds, False)] if e.over_seeds else []
    facts += [("the paper's", e.theirs, False)] if e.theirs else []
    facts += [("data", e.data, False), ("parameters", e.parameters, False)]
    facts += [("training", e.training, False), ("weights", e.size, False)]
    rows = "".join(
        f"<div><dt>{text(key)}</dt><dd{' class=met' if met else ''}>{text(value)}</dd></div>"
        for key, value, met in facts
    )
    summary = linked(about(e.family).summary)
    return (
        '<nav><a href="../index.html">All models</a></nav>\n'
        f"<header>\n<h1>{text(e.name)}</h1>\n"
        f'<p class="lead">{text(e.family)}: {summary}</p>\n'
        f'<dl class="headline">{rows}</dl>\n</header>'
    )


# ---------------------------------------------------------------- use


def _commands(e: Exhibit) -> str:
    """Lists what to type to load, sample, verify, look into and train the model again."""
    load = [f'model = zoo.load("{e.name}")']
    if e.generative:
        load.append("images = model.sample(64, seed=0)")
    lines = [f"python -m zoo.verify {e.name}"]
    if e.generative:
        lines.append(f"python -m zoo.diagnose {e.name} --out report.html")
    lines = [*_draws(e), *lines]
    if e.recipe is not None:
        seed = (e.card.get("recipe") or {}).get("seed_everything", 0)
        more = f" --seed_everything {seed}" if seed else ""
        lines.append(f"python -m zoo.fit recipes/{e.recipe.name}{more}")
    blocks = "".join(_copied(block) for block in (["import zoo", "", *load], *([x] for x in lines)))
    return f'<div>{blocks}<p class="soft">A click selects a whole command.</p></div>'


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


def _copied(lines: Sequence[str]) -> str:
    return f'<pre class="copy"><code>{text(chr(10).join(lines))}</code></pre>'


# ---------------------------------------------------------------- pictures


def caption(name: str) -> str:
    """Says what a picture of a model's folder shows.

    Example:
        >>> caption("traverse-category")
        'Along a row only category changes'
    """
    found = view_of(name)
    return name.replace("-", " ").replace("_", " ") if found is None else found[0].says(found[1])


def _figure(name: str, picture: Picture) -> str:
    source, width, height = picture
    words = text(caption(name))
    return (
        f'<figure><img src="{text(source)}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{words}"><figcaption>{words}</figcaption></figure>'
    )


def _first(e: Exhibit, pictures: dict[str, Picture]) -> str:
    """Shows samples, and beside them what to type to get more."""
    drawn = _figure("samples", pictures["samples"]) if "samples" in pictures else ""
    return f'<div class="first">{drawn}{_commands(e)}</div>'


def _others(pictures: dict[str, Picture]) -> str:
    figures = [_figure(n, picture) for n, picture in pictures.items() if n != "samples"]
    drawn = f'<div class="beside">{"".join(figures)}</div>' if figures else ""
    return section("What else it draws", drawn)


# ---------------------------------------------------------------- figures


def _scores(e: Exhibit) -> str:
    if not e.scores:
        return ""
    about_them = (
        "<p>A score's name carries its protocol: everything in brackets that changes the figure. "
        "Scores with other protocols do not compare.</p>"
    )
    paper = e.comparison
    if paper is None:
        return section("Figures", about_them, score_table(e.scores))

    def theirs(score: dict[str, Any]) -> str:
        return exact(paper.value) if score["name"] == paper.figure else ""

    source = f"<p>The paper's figure: {linked(paper.source)}.</p>"
    return section("Figures", about_them, source, score_table(e.scores, "Paper", theirs))


def _seeds(e: Exhibit) -> str:
    runs = e.card.get("seeds") or []
    if len(runs) < 2:
        return ""
    of_name = {score["name"]: score for score in e.scores}
    head = ["Score", "Mean", "Spread", *(f"Seed {run['seed']}" for run in runs)]
    rows = []
    for name in runs[0]["scores"]:
        values = [run["scores"].get(name) for run in runs]
        known = [value for value in values if value is not None]
        row = row_of(of_name.get(name, {"name": name}))
        cells = ["none" if value is None else row.brief(value) for value in values]
        spread = [row.brief(mean(known))] if known else ["none"]
        spread += [row.brief(stdev(known))] if len(known) > 1 else ["none"]
        rows.append([f"<code>{text(name)}</code>", *map(text, (*spread, *cells))])
    seconds = [run.get("training_seconds") for run in runs]
    took = [f"{value:,.0f} s" if value else "" for value in seconds]
    rows.append(["training", "", "", *took])
    about_them = (
        "<p>The same recipe from other seeds, as each run scored its last weights; the spread is "
        "one standard deviation. Published is the first seed, rounded as the weights here are, so "
        "its figures above may differ in the last digits.</p>"
    )
    numbers = range(1, len(head))
    return section("Seeds", about_them, table(head, rows, kind="seeds", numbers=numbers))


# ---------------------------------------------------------------- where it comes from


def _origin(e: Exhibit) -> str:
    family = about(e.family)
    references = f"<p>{linked(family.references)}</p>" if family.references else ""
    items = "".join(f"<li>{linked(item)}</li>" for item in family.deviations)
    listed = (
        f"<h3>How {text(e.family)} differs here</h3>"
        + (f'<ul class="notes">{items}</ul>' if items else "<p>Nothing.</p>")
        if references
        else ""
    )
    return section("Paper and deviations", references, listed)


def _recipe(e: Exhibit) -> str:
    resolved = _plain_yaml(e.card.get("recipe") or {})
    whole = f"<pre><code>{text(resolved)}</code></pre>" if resolved else ""
    if e.recipe is None:
        return section("Recipe", whole)
    notes = "".join(_note(label, words) for label, words in header(e.recipe))
    source = f"<pre><code>{text(without_header(e.recipe).strip())}</code></pre>"
    every = f"<details><summary>Every value, with defaults</summary>{whole}</details>"
    return section(f"Recipe: recipes/{e.recipe.name}", notes, source, every if whole else "")


def _note(label: str, words: str) -> str:
    if label == "code":
        return f"<pre><code>{text(words)}</code></pre>"
    lead = f"<strong>{text(label)}.</strong> " if label else ""
    return f"<p>{lead}{linked(capital(words))}</p>"


def _plain_yaml(recipe: dict[str, Any]) -> str:
    return yaml.safe_dump(recipe, sort_keys=False).strip() if recipe else ""


def _training(e: Exhibit) -> str:
    ran_on, weights = e.card.get("training") or {}, e.card["weights"]
    facts = {
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
    rows = [f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in facts.items() if v is not None]
    return section("Training and weights", f"<dl>{''.join(rows)}</dl>")


def _versions(ran_on: dict[str, Any]) -> str | None:
    known = [f"{name} {ran_on[name]}" for name in ("zoo", "python", "torch", "lightning")
             if ran_on.get(name)]  # fmt: skip
    return ", ".join(known) or None
