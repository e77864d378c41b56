r"""Agreement between discrete codes and class labels, from one table of counts.

Every quantity is a function of the contingency table

.. math:: n_{kc} = \#\{i : \text{code}_i = k,\ \text{label}_i = c\},

which has shape (K, C), adds up over batches and processes, and forgets the order of the data.
Codes carry no names, so an accuracy needs a mapping from codes to classes; learn it on one
table and apply it to another, otherwise the labels that are scored also chose the mapping.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

__all__ = [
    "adjusted_rand_index",
    "contingency",
    "match_majority",
    "match_one_to_one",
    "matched_accuracy",
    "normalised_mutual_information",
]


def _check_indices(name: str, values: Tensor, size: int, low: int = 0) -> None:
    """Raise unless ``values`` is an integer tensor with all entries in [low, size)."""
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, got dtype {values.dtype}")
    least, most = int(values.min()), int(values.max())
    if least < low or most >= size:
        raise ValueError(
            f"{name} must lie in [{low}, {size - 1}], got values from {least} to {most}"
        )


def _check_counts(counts: Tensor) -> None:
    """Raise unless ``counts`` is a table of non-negative integers, not all zero."""
    if counts.ndim != 2 or counts.numel() == 0:
        raise ValueError(f"counts must be a table of shape (K, C), got shape {tuple(counts.shape)}")
    if counts.is_floating_point() or counts.is_complex():
        raise ValueError(f"counts must be integers, got dtype {counts.dtype}")
    if int(counts.min()) < 0:
        raise ValueError(f"counts must be non-negative, got a minimum of {int(counts.min())}")
    if int(counts.sum()) == 0:
        raise ValueError(f"counts of shape {tuple(counts.shape)} are empty: they sum to 0")


def contingency(codes: Tensor, labels: Tensor, num_codes: int, num_classes: int) -> Tensor:
    r"""Count how often each code occurs with each class.

    .. math:: n_{kc} = \sum_i [\text{code}_i = k]\,[\text{label}_i = c]

    Args:
        codes: Discrete codes in [0, K), integers, shape (N,).
        labels: Class labels in [0, C), integers, shape (N,).
        num_codes: Number of codes K, used or not.
        num_classes: Number of classes C.

    Returns:
        The table of counts, shape (K, C), int64.

    Raises:
        ValueError: If the lengths differ, are zero, or an entry is out of range.

    Example:
        >>> contingency(torch.tensor([2, 2, 0]), torch.tensor([0, 1, 1]), 3, 2)
        tensor([[0, 1],
                [0, 0],
                [1, 1]])
    """
    if num_codes < 1 or num_classes < 1:
        raise ValueError(
            f"num_codes and num_classes must be at least 1, got {num_codes} and {num_classes}"
        )
    if codes.ndim != 1 or codes.shape != labels.shape:
        raise ValueError(
            "codes and labels must be vectors of one length, got shapes "
            f"{tuple(codes.shape)} and {tuple(labels.shape)}"
        )
    if len(codes) == 0:
        raise ValueError("codes and labels are empty: got 0 examples")
    _check_indices("codes", codes, num_codes)
    _check_indices("labels", labels, num_classes)
    cell = codes.long() * num_classes + labels.long()
    return torch.bincount(cell, minlength=num_codes * num_classes).view(num_codes, num_classes)


def match_one_to_one(counts: Tensor) -> Tensor:
    r"""Match every code to a class of its own, so that the most examples agree.

    .. math:: \max_{m\ \text{injective}} \sum_k n_{k, m(k)}

    With more codes than classes, the K - C codes left over map to -1. With more classes than
    codes, the classes left over are nobody's. A code that agrees with no example may still be
    given a class that was left over.

    Args:
        counts: Table of counts, shape (K, C), integers.

    Returns:
        The class of each code, shape (K,), int64, in [-1, C).

    Raises:
        ValueError: If ``counts`` is not a table, or is empty.

    Reference: Kuhn 1955 (the assignment problem), as solved by
    ``scipy.optimize.linear_sum_assignment``.

    Example:
        >>> match_one_to_one(torch.tensor([[1, 9], [8, 0], [2, 7]]))
        tensor([ 1,  0, -1])
    """
    _check_counts(counts)
    rows, columns = linear_sum_assignment(counts.cpu().numpy(), maximize=True)
    mapping = counts.new_full((counts.shape[0],), -1, dtype=torch.int64)
    mapping[torch.as_tensor(rows, device=counts.device)] = torch.as_tensor(
        columns, device=counts.device
    )
    return mapping


def match_majority(counts: Tensor) -> Tensor:
    r"""Match every code to the class it occurs with most often; several codes may share one.

    .. math:: m(k) = \arg\max_c n_{kc}

    More codes never lower the accuracy on the table that chose the mapping (with one code per
    example it is 1), so state K beside any figure. Ties go to the lowest class; a code that
    never occurs maps to -1, as nothing says what it means.

    Args:
        counts: Table of counts, shape (K, C), integers.

    Returns:
        The class of each code, shape (K,), int64, in [-1, C).

    Raises:
        ValueError: If ``counts`` is not a table, or is empty.

    Example:
        >>> match_majority(torch.tensor([[1, 9], [4, 4], [0, 0]]))
        tensor([ 1,  0, -1])
    """
    _check_counts(counts)
    peak = counts.amax(dim=1, keepdim=True)
    # argmax promises no order among ties on every device; this asks for the lowest by name.
    classes = torch.arange(counts.shape[1], device=counts.device).expand_as(counts)
    first = classes.masked_fill(counts < peak, counts.shape[1]).amin(dim=1)
    return first.masked_fill(peak.squeeze(1) == 0, -1)


def matched_accuracy(counts: Tensor, mapping: Tensor) -> Tensor:
    r"""Share of the examples whose code maps to their label.

    .. math:: \frac{1}{N} \sum_{k : m(k) \ge 0} n_{k, m(k)}

    Args:
        counts: Table of counts to be scored, shape (K, C), integers.
        mapping: Class of each code, shape (K,), -1 where a code has none; all of the examples
            with such a code count as errors.

    Returns:
        The accuracy in [0, 1], a float64 scalar.

    Raises:
        ValueError: If the shapes disagree, a class is out of range, or ``counts`` is empty.

    Example:
        >>> matched_accuracy(torch.tensor([[1, 3], [5, 0], [1, 0]]), torch.tensor([1, 0, -1]))
        tensor(0.8000, dtype=torch.float64)
    """
    _check_counts(counts)
    num_codes, num_classes = counts.shape
    if mapping.shape != (num_codes,):
        raise ValueError(
            f"mapping must have one class for each of {num_codes} codes, "
            f"got shape {tuple(mapping.shape)}"
        )
    _check_indices("mapping", mapping, num_classes, low=-1)
    agreeing = counts.gather(1, mapping.long().clamp(min=0)[:, None]).squeeze(1)
    return agreeing[mapping >= 0].sum().double() / counts.sum()


def normalised_mutual_information(counts: Tensor) -> Tensor:
    r"""Mutual information of code and label, over the mean of their entropies.

    .. math:: \frac{I(K; C)}{\tfrac12\,(H(K) + H(C))}

    Args:
        counts: Table of counts, shape (K, C), integers.

    Returns:
        The score in [0, 1], a float64 scalar: 1 if code and label determine each other (also
        if both are constant), 0 if they are independent.

    Raises:
        ValueError: If ``counts`` is not a table, or is empty.

    Reference: Vinh, Epps & Bailey 2010, JMLR 11 (the arithmetic normaliser, which is also
    scikit-learn's default).

    Example:
        >>> normalised_mutual_information(torch.tensor([[0, 4], [4, 0]]))
        tensor(1., dtype=torch.float64)
    """
    _check_counts(counts)
    joint = counts.double() / counts.sum()

    def entropy(p: Tensor) -> Tensor:
        return -torch.special.xlogy(p, p).sum()

    codes, labels = entropy(joint.sum(1)), entropy(joint.sum(0))
    mean = (codes + labels) / 2
    if mean == 0:
        return torch.ones_like(mean)
    return ((codes + labels - entropy(joint)) / mean).clamp(0, 1)


def adjusted_rand_index(counts: Tensor) -> Tensor:
    r"""Share of the pairs on which two partitions agree, corrected for chance.

    .. math::
        \frac{S - AB/P}{\tfrac12 (A + B) - AB/P}, \quad
        S = \sum_{kc} \binom{n_{kc}}{2},\ A = \sum_k \binom{n_k}{2},\
        B = \sum_c \binom{n_c}{2},\ P = \binom{N}{2}

    The products of pair counts are taken as Python integers, and divided once: beyond 65 000
    examples they need not fit in 64 bits.

    Args:
        counts: Table of counts, shape (K, C), integers.

    Returns:
        The index, at most 1, with expectation 0 for independent partitions, a float64 scalar.

    Raises:
        ValueError: If ``counts`` is not a table, or is empty.

    Reference: Hubert & Arabie 1985, Journal of Classification 2.

    Example:
        >>> adjusted_rand_index(torch.tensor([[1, 1], [1, 1]]))
        tensor(-0.5000, dtype=torch.float64)
    """
    _check_counts(counts)

    def pairs(sizes: Tensor) -> int:
        return int((sizes.long() * (sizes.long() - 1) // 2).sum())

    both, codes, labels = pairs(counts), pairs(counts.sum(1)), pairs(counts.sum(0))
    total = pairs(counts.sum())
    scale = (codes + labels) * total - 2 * codes * labels
    # Both partitions are one block, or all singletons: they are then the same partition.
    index = 1.0 if scale == 0 else 2 * (both * total - codes * labels) / scale
    return torch.tensor(index, dtype=torch.float64, device=counts.device)
