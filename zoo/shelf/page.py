"""The page that a model has on the hub, written from its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from zoo.core.figures import shown
from zoo.core.markdown import code, fenced, plain
from zoo.recipe.checking import class_name

__all__ = ["model_card"]

HEADER = {
    "license": "mit",
    "library_name": "zoo-generative",
    "tags": ["zoo-generative", "pytorch", "lightning", "generative-model"],
}


def model_card(card: Mapping[str, Any], repository: str, sha256: str) -> str:
    """Returns the page in Markdown, with the header that the hub reads.

    Args:
        card: The model's card.
        repository: ``owner/name``.
        sha256: The card's hash.
    """
    return "\n".join(_lines(card, repository, sha256)) + "\n"


def _lines(card: Mapping[str, Any], repository: str, sha256: str) -> Iterator[str]:
    recipe = card.get("recipe") or {}
    yield "---"
    yield yaml.safe_dump(HEADER, sort_keys=False).rstrip()
    yield "---"
    yield f"# {plain(card['name'])}"
    yield ""
    model, data = plain(card["model"]), _data(recipe)
    yield f"{model}, {data}published by the zoo: safetensors and a JSON card."
    yield ""
    yield "```python"
    yield 'import zoo  # pip install "zoo-generative[hub]"'
    yield ""
    yield f'model = zoo.load("hf://{repository}#sha256={sha256}")'
    yield "images = model.sample(64, seed=0)"
    yield "```"
    yield ""
    yield "The hash is that of `card.json`, which holds the hash of the weights: what was changed"
    yield "is refused. Without it the repository is trusted. Nothing is unpickled either way."
    if card.get("scores"):
        yield ""
        yield "| score | value | unit |"
        yield "|---|---:|---|"
        for score in card["scores"]:
            unit = plain(score.get("unit", ""))
            yield f"| {code(score['name'])} | {plain(shown(score))} | {unit} |"
    if recipe:
        yield ""
        yield "Trained by this recipe:"
        yield ""
        yield fenced(yaml.safe_dump(dict(recipe), sort_keys=False), "yaml")


def _data(recipe: Mapping[str, Any]) -> str:
    name = class_name("data", recipe["data"]).rpartition(".")[2] if recipe.get("data") else ""
    return f"trained on {plain(name)}, " if name else ""
