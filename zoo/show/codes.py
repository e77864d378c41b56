"""What a code means that a model found without labels."""

from __future__ import annotations

from typing import Any

from zoo.shelf.find import available
from zoo.shelf.weights import load

__all__ = ["seen_mostly"]

COUNT = 64  # images that are looked at


def seen_mostly(model: Any, data: str, label: int, seed: int) -> str | None:
    """Says what the feature network of a data set sees in most samples of a code.

    Args:
        model: A model whose samples take a code as ``label``.
        data: The data set that it learnt from.
        label: The code.
        seed: Of the samples.

    Returns:
        A class, or two where none is seen in half of the samples; None where the shelf has no
        network for these images.
    """
    name = f"features_{data.lower()}"
    if name not in available():
        return None
    network = load(name)
    if network.spec.shape != model.spec.shape:
        return None
    seen = network.probabilities(model.sample(COUNT, seed=seed, label=label)).argmax(dim=1)
    counts = seen.bincount(minlength=2)
    first, second = counts.argsort(descending=True, stable=True)[:2].tolist()
    clear = 2 * int(counts[first]) >= COUNT or int(counts[second]) == 0
    return str(first) if clear else f"{first} and {second}"
