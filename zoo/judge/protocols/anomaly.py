"""Likelihoods put to use: telling familiar images from strange ones."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import CatMetric

from zoo.contract.capabilities import can
from zoo.functional.ranking import auroc
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, measure, seed_batch

__all__ = ["fits_anomaly", "score_anomaly"]


def fits_anomaly(task: Task) -> bool:
    """Models of images with an exact likelihood; on test images only, since it is no small work."""
    return can(task.model, "log_prob") and not task.data.spec.points and task.split == "test"


@protocol("anomaly", fits_anomaly, ["anomaly_auroc"])
def score_anomaly(task: Task) -> list[Score]:
    """Ranks images by log p(x), upright ones against the same ones turned upside down.

    Both sets have the same number of white pixels, so that a likelihood cannot succeed by counting
    them; nor can it be perfect, because some things look alike both ways (0, 1 and 8 among digits).
    The details have the figure of each class, upright against upside down. Likelihoods of deep
    models are known to fail on other data, simpler than those they learned (Nalisnick et al. 2019,
    arXiv:1810.09136): this figure speaks of upside-down images and of no others.
    """
    # What is not a number stays: torchmetrics would leave it out, and pairs would not fit.
    upright, turned, label = (CatMetric(nan_strategy=math.nan) for _ in range(3))
    for metric in (upright, turned):
        metric.to(torch.float64)
    for number, batch in task.batches(task.split, "upright and upside down"):
        label.update(batch.label)
        for metric, image in ((upright, batch.image), (turned, batch.image.rot90(2, (2, 3)))):
            seed_batch(number)  # uniform dequantisation draws noise
            metric.update(task.model.log_prob(image).detach().double().cpu())
    high, low, labels = _values(upright), _values(turned), _values(label)

    def compute() -> list[tuple[float, dict[str, Any]]]:
        if lost := int((high.isnan() | low.isnan()).sum()):
            raise ValueError(f"{lost} of {len(high)} images have no log-likelihood")
        classes = {
            str(c): round(float(auroc(high[labels == c], low[labels == c])), 4)
            for c in range(task.data.spec.classes)
            if (labels == c).any()
        }
        return [(float(auroc(high, low)), {"by_class": classes} if classes else {})]

    how = {"against": "upside-down", "by": "log-likelihood"}
    return measure(["anomaly_auroc"], compute, **how, count=task.count, split=task.split)


def _values(metric: CatMetric) -> Tensor:
    return torch.as_tensor(metric.compute()).flatten()
