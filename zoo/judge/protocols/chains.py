"""Models that are Markov chains: how well they mix, and the figure of their time."""

from __future__ import annotations

import torch

from zoo.contract.capabilities import can
from zoo.functional.parzen import parzen_log_density, parzen_width
from zoo.judge.banks import as_sampled, control_split, sample_chunks
from zoo.judge.protocols.likelihood import OverImages, details_of
from zoo.judge.protocols.registry import protocol
from zoo.judge.protocols.samples import knows_classes
from zoo.judge.score import SEED, Score, Task, measure, scored

__all__ = ["fits_chains", "fits_parzen", "mixing", "score_chains", "score_parzen"]

ROWS, STATES = 10, 10_000  # chains, and images of all of them together
VALIDATION = 1000  # images that choose the width of the bumps


def fits_chains(task: Task) -> bool:
    """Models that are chains, on data whose classes the feature network names."""
    return can(task.model, "chain") and knows_classes(task)


def mixing(labels: torch.Tensor) -> tuple[float, float]:
    """Measures how chains move among classes.

    Args:
        labels: Class of each state, shape (rows, steps).

    Returns:
        Steps for each change of class, and classes that a chain comes by on average.

    Raises:
        ValueError: if no chain ever changes its class.

    Example:
        >>> mixing(torch.tensor([[0, 0, 1, 1, 2]]))
        (2.0, 3.0)
    """
    changes = int((labels[:, 1:] != labels[:, :-1]).sum())
    if not changes:
        raise ValueError("no chain ever changes its class")
    visited = [len(row.unique()) for row in labels]
    return labels[:, 1:].numel() / changes, sum(visited) / len(visited)


@protocol("chains", fits_chains, ["chain_lag", "chain_classes"])
def score_chains(task: Task) -> list[Score]:
    """How soon a chain leaves a class for another, and how many it comes by."""
    look, steps = task.features, max(2, min(STATES, task.limit) // ROWS)
    assert look is not None

    def compute() -> tuple[float, float]:
        states = task.model.chain(rows=ROWS, steps=steps, seed=SEED).flatten(0, 1)
        seen = torch.cat([look(part)[1].cpu() for part in states.split(500)])
        if not seen.isfinite().all():
            raise ValueError("the chain's images are no numbers")
        return mixing(seen.argmax(dim=1).view(ROWS, steps))

    return measure(["chain_lag", "chain_classes"], compute, **look.protocol, rows=ROWS, steps=steps)


def fits_parzen(task: Task) -> bool:
    """Chains without a likelihood, on unseen images; of bits and points it says nothing at all."""
    able = can(task.model, "chain") and not can(task.model, "log_prob")
    return able and task.split == "test"


@protocol("parzen", fits_parzen, ["parzen"])
def score_parzen(task: Task) -> list[Score]:
    """Log-density of the split under bumps around samples, as wide as validation images like best.

    For comparison with papers that have nothing else; see `zoo.functional.parzen` for what is wrong
    with it.
    """
    task = as_sampled(task.alone())
    samples = torch.cat([part.flatten(1).cpu() for _, part in sample_chunks(task)])
    kept = {"samples": len(samples), "count": task.count, "split": task.split}
    if not samples.isfinite().all():
        return [scored("parzen", None, {"status": "samples are no numbers"}, **kept)]
    chosen = task.batches(control_split(task), "width of the bumps", limit=VALIDATION)
    width = parzen_width(torch.cat([batch.image.flatten(1) for _, batch in chosen]), samples)
    found = OverImages()
    for _, batch in task.batches(task.split, "Parzen estimate"):
        found.update(parzen_log_density(batch.image.flatten(1), samples, width))
    nats, error = found.compute(task.count)
    return [scored("parzen", nats, {**details_of(error), "width": width}, **kept)]
