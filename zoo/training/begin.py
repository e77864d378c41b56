"""Fine-tuning: a training that begins with weights from somewhere else."""

from __future__ import annotations

from typing import Any

import torch

from zoo.core.errors import UserError
from zoo.shelf.run_weights import is_run, load_any

__all__ = ["begin_with"]

AVERAGE = "_ema.module."  # a network's moving average, whose weights are what is published


def begin_with(model: Any, source: str) -> tuple[int, list[str]]:
    """Fills a model with the weights of another one, tensor by tensor, where name and shape agree.

    Published weights lack the networks that only their moving averages were made from: those begin
    with the average.

    Args:
        model: The model that is about to be trained.
        source: A published model's name, a run's folder or an address; checked as always.

    Returns:
        How many tensors were filled in, and the names of those that were not.

    Raises:
        UserError: if the weights cannot be had, or none of them fits.
    """
    other = load_any(source)
    # The rest of a published model is a random start.
    skipped = () if is_run(source) else tuple(getattr(other, "not_published", ()))
    published = {k: v for k, v in other.state_dict().items() if not k.startswith(skipped)}
    wanted = model.state_dict()
    found = {}
    for name, tensor in wanted.items():
        there = published.get(name)
        if there is None:
            network, dot, rest = name.partition(".")
            there = published.get(f"{network}{AVERAGE}{rest}") if dot else None
        if there is not None and there.shape == tensor.shape:
            found[name] = there.to(tensor.dtype)
    if not found:
        raise UserError(
            f"--from {source}: none of its {len(published)} tensors fits this "
            f"{type(model).__name__}; it is a {type(other).__name__}. Choose the same family with "
            "the same networks."
        )
    with torch.no_grad():
        model.load_state_dict(found, strict=False)
    return len(found), [name for name in wanted if name not in found]
