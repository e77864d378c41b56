"""Scores of codes against the factors that images were rendered from."""

from __future__ import annotations

import torch

from zoo.contract.capabilities import Encodes
from zoo.judge.score import Score, Task, short
from zoo.metrics.disentanglement import beta_vae, factor_vae, mig

__all__ = ["fits_factors", "score_factors"]

WHOLE = 10_000  # images and votes of the published protocol; half as many votes are scored
FEW = 100
BINS, GROUP = 20, 64


def fits_factors(task: Task) -> bool:
    """Models that encode, on data that can be rendered from known factors."""
    known = hasattr(task.data, "render") and hasattr(task.data, "factor_sizes")
    return known and isinstance(task.model, Encodes) and task.data.binarize == "none"


def score_factors(task: Task) -> list[Score]:
    """Mutual information gap, FactorVAE score and beta-VAE score of the codes.

    Images are drawn from all that the data set can render, as in Locatello et al. 2019,
    arXiv:1811.12359. Votes are expensive, 64 images or 64 pairs each: there are twice as many as
    importance samples, so 10,000 in a full evaluation, but 100 at least. The names say how many.
    """
    data, encode = task.data, task.model.encode
    images = min(task.limit, WHOLE)
    train = min(WHOLE, max(FEW, 2 * task.importance_samples))
    test = train // 2

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    votes = {"num_train": train, "num_eval": test, "group_size": GROUP}
    tag = f"{short(train)}->{short(test)}-votes"
    steps = (
        (f"mig[{BINS}-bins,{short(images)}]",
         lambda: mig(encode, data, generator(), num_samples=images, num_bins=BINS)),  # type: ignore[arg-type]
        (f"factor_vae_score[{tag}]",
         lambda: factor_vae(encode, data, generator(), num_variance=images, **votes)),  # type: ignore[arg-type]
        (f"beta_vae_score[{tag}]",
         lambda: beta_vae(encode, data, generator(), **votes)),  # type: ignore[arg-type]
    )  # fmt: skip
    return [
        Score(name, compute(), "", "higher") for name, compute in task.progress(steps, "factors")
    ]
