"""Scores of inferred classes: those of feature networks, and the codes of unsupervised models."""

from __future__ import annotations

from torchmetrics.classification import MulticlassAccuracy

from zoo.contract.capabilities import can
from zoo.judge.protocols.registry import protocol
from zoo.judge.score import Score, Task, scored, seed_batch
from zoo.metrics.clustering import ClusterAgreement, CodeError

__all__ = ["fits_classifier", "fits_codes", "score_classifier", "score_codes"]


def fits_classifier(task: Task) -> bool:
    """Feature networks that learned from labels."""
    return can(task.model, "features") and task.data.spec.classes > 1


@protocol("classifier", fits_classifier, ["error"])
def score_classifier(task: Task) -> list[Score]:
    """Error of a supervised classifier."""
    accuracy = MulticlassAccuracy(task.data.spec.classes, average="micro")
    for _, batch in task.batches(task.split, "classes"):
        told = task.model.probabilities(batch.image).cpu()
        if not told.isfinite().all():
            raise ValueError("the network gives probabilities that are no numbers")
        accuracy.update(told, batch.label)
    return [scored("error", 1 - float(accuracy.compute()), **task.scope)]


def fits_codes(task: Task) -> bool:
    """Models that infer a class without labels, on data that has labels."""
    return can(task.model, "classify") and task.data.spec.classes > 1


@protocol("codes", fits_codes, ["code_error", "nmi", "ari"])
def score_codes(task: Task) -> list[Score]:
    """Error of the inferred code after the best matching learned on training data.

    One-to-one matching where there are no more codes than classes, majority vote otherwise; the
    name says which, since the latter flatters models with many codes.
    """
    model, classes = task.model, task.data.spec.classes
    matching = "one-to-one" if model.num_codes <= classes else "majority"
    error = CodeError(model.num_codes, classes, matching)
    agreement = ClusterAgreement(model.num_codes, classes)
    # The matching sees as many training images as there are, or five per scored one.
    for part, role, limit in (("train", "train", 5 * task.limit), (task.split, "test", task.limit)):
        for number, batch in task.batches(part, f"codes of {part} images", limit=limit):  # type: ignore[arg-type]
            seed_batch(number)
            codes, labels = model.classify(batch.image).cpu(), batch.label
            error.update(codes, labels, split=role)  # type: ignore[arg-type]
            if role == "test":
                agreement.update(codes, labels)
    agree = agreement.compute()
    how = {"matching": matching, "codes": None if matching == "one-to-one" else model.num_codes}
    return [
        scored("code_error", float(error.compute()), **how, **task.scope),
        scored("nmi", float(agree["nmi"]), of="codes", **task.scope),
        scored("ari", float(agree["ari"]), of="codes", **task.scope),
    ]
