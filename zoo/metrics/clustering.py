"""Scores of discrete codes against class labels, accumulated over batches and processes.

Shells around :mod:`zoo.functional.clustering`: they hold tables of counts, which are summed
over processes, and leave all of the arithmetic to the pure functions.
"""

from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from zoo.functional.clustering import (
    adjusted_rand_index,
    contingency,
    match_majority,
    match_one_to_one,
    matched_accuracy,
    normalised_mutual_information,
)

__all__ = ["ClusterAgreement", "CodeError"]

_MATCHINGS = {"one-to-one": match_one_to_one, "majority": match_majority}


class CodeError(Metric):
    """Error of a discrete code used as a classifier: matched on training data, scored on test.

    The mapping from codes to classes is chosen on the examples given as ``split="train"``; the
    error is then counted on those given as ``split="test"``. Feed both through ``update``, in
    any order; ``forward`` would score a single batch, for which one of the tables is empty.
    To follow a protocol that matches and scores on the same examples, pass them as both.

    Args:
        num_codes: Number of codes K.
        num_classes: Number of classes C.
        matching: ``"one-to-one"`` for the best injective mapping (unmatched codes are errors),
            ``"majority"`` for each code's most frequent class. Majority matching flatters
            models with many codes: report K with it.

    Raises:
        ValueError: If ``matching`` is neither, or, in ``compute``, if a table is empty.

    Reference: Chen et al. 2016 (InfoGAN), arXiv:1606.03657, Section 7.2 (one-to-one, K = 10);
    Makhzani et al. 2016 (AAE), arXiv:1511.05644, Section 6 (many codes per class; there a
    cluster takes the label of its most confident validation example, here the majority's).

    Example:
        >>> metric = CodeError(num_codes=2, num_classes=2)
        >>> metric.update(torch.tensor([1, 1, 0]), torch.tensor([0, 0, 1]), split="train")
        >>> metric.update(torch.tensor([1, 1, 0, 0]), torch.tensor([0, 1, 1, 1]), split="test")
        >>> metric.compute()
        tensor(0.2500)
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    train_counts: Tensor
    test_counts: Tensor

    def __init__(
        self,
        num_codes: int,
        num_classes: int,
        matching: Literal["one-to-one", "majority"] = "one-to-one",
    ) -> None:
        super().__init__()
        if matching not in _MATCHINGS:
            raise ValueError(f"matching must be one of {sorted(_MATCHINGS)}, got {matching!r}")
        self.num_codes, self.num_classes, self.matching = num_codes, num_classes, matching
        for split in ("train", "test"):
            empty = torch.zeros(num_codes, num_classes, dtype=torch.int64)
            self.add_state(f"{split}_counts", default=empty, dist_reduce_fx="sum")

    def update(self, codes: Tensor, labels: Tensor, split: Literal["train", "test"]) -> None:
        """Add a batch of codes and labels, both integers of shape (B,), to one split's table."""
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        counts = contingency(codes, labels, self.num_codes, self.num_classes)
        if split == "train":
            self.train_counts += counts
        else:
            self.test_counts += counts

    def compute(self) -> Tensor:
        """Error on the test table, in [0, 1], under the mapping learned on the train table."""
        train, test = self.train_counts.cpu(), self.test_counts.cpu()
        for split, counts in (("train", train), ("test", test)):
            if not counts.any():
                raise ValueError(
                    f"the {split} table is empty (0 examples): "
                    f"call update(codes, labels, split={split!r}) before compute()"
                )
        error = 1 - matched_accuracy(test, _MATCHINGS[self.matching](train))
        return error.to(torch.get_default_dtype()).to(self.test_counts.device)


class ClusterAgreement(Metric):
    """Normalised mutual information and adjusted Rand index of codes and labels.

    Neither needs a mapping, so no data is set aside. ``torchmetrics.clustering`` offers both,
    but keeps every code and label until ``compute`` and gathers them from all processes, where
    one (K, C) table is enough; and its Rand index multiplies pair counts in 64-bit integers,
    which overflow without a word (torchmetrics 1.9 gives .97 instead of .36 for 200 000
    examples of 10 classes whose codes are right 6 times in 10 and random otherwise).

    Args:
        num_codes: Number of codes K.
        num_classes: Number of classes C.

    Example:
        >>> metric = ClusterAgreement(num_codes=3, num_classes=2)
        >>> metric.update(torch.tensor([2, 2, 0, 0]), torch.tensor([0, 0, 1, 1]))
        >>> metric.compute()
        {'nmi': tensor(1.), 'ari': tensor(1.)}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    counts: Tensor

    def __init__(self, num_codes: int, num_classes: int) -> None:
        super().__init__()
        self.num_codes, self.num_classes = num_codes, num_classes
        empty = torch.zeros(num_codes, num_classes, dtype=torch.int64)
        self.add_state("counts", default=empty, dist_reduce_fx="sum")

    def update(self, codes: Tensor, labels: Tensor) -> None:
        """Add a batch of codes and labels, both integers of shape (B,)."""
        self.counts += contingency(codes, labels, self.num_codes, self.num_classes)

    def compute(self) -> dict[str, Tensor]:
        """The scores ``nmi``, in [0, 1], and ``ari``, at most 1."""
        counts = self.counts.cpu()
        scores = {"nmi": normalised_mutual_information(counts), "ari": adjusted_rand_index(counts)}
        dtype, device = torch.get_default_dtype(), self.counts.device
        return {name: score.to(dtype).to(device) for name, score in scores.items()}
