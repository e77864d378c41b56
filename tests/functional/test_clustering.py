"""Counts of codes and classes: matching by brute force, agreement by scikit-learn."""

from itertools import permutations

import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from zoo.functional.clustering import (
    adjusted_rand_index,
    contingency,
    match_majority,
    match_one_to_one,
    matched_accuracy,
    normalised_mutual_information,
)


def draw(num, num_codes, num_classes, seed=0, agree=0.6):
    """Codes that equal the label (modulo K) with probability ``agree``, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_classes, (num,), generator=generator)
    noise = torch.randint(num_codes, (num,), generator=generator)
    keep = torch.rand(num, generator=generator) < agree
    return torch.where(keep, labels % num_codes, noise), labels


def table(num_codes, num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 20, (num_codes, num_classes), generator=generator)


def test_contingency_is_scikit_learns_table():
    """Catches a transposed table (K and C differ) and dropped duplicates (index_put)."""
    codes, labels = draw(500, 7, 4)
    counts = contingency(codes, labels, 7, 4)
    assert counts.dtype == torch.int64
    assert counts.tolist() == contingency_matrix(codes, labels).tolist()


def test_contingency_keeps_room_for_unused_codes():
    """Catches a table sized by the codes that occur."""
    counts = contingency(torch.tensor([1], dtype=torch.int32), torch.tensor([0]), 3, 2)
    assert counts.tolist() == [[0, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize("shape", [(5, 5), (3, 5), (5, 3), (1, 4), (4, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_one_to_one_is_best_of_all_permutations(shape, seed):
    """Catches greedy matching, minimising for maximising, and codes sharing a class."""
    num_codes, num_classes = shape
    counts = table(*shape, seed=seed)
    slots = [*range(num_classes), *[-1] * max(0, num_codes - num_classes)]
    best = max(
        sum(int(counts[k, c]) for k, c in enumerate(choice) if c >= 0)
        for choice in permutations(slots, num_codes)
    )
    mapping = match_one_to_one(counts)
    used = mapping[mapping >= 0]
    assert int(counts[mapping >= 0, used].sum()) == best
    assert len(used) == len(used.unique()) == min(shape)
    assert mapping.dtype == torch.int64


def test_one_to_one_is_not_greedy():
    """Greedy takes the 10 and is left with 0; the best matching has 18."""
    assert match_one_to_one(torch.tensor([[10, 9], [9, 0]])).tolist() == [1, 0]


def test_majority_shares_classes_breaks_ties_low_and_leaves_unused_codes_out():
    """Catches last-of-ties, one-to-one in disguise, and an unused code named class 0."""
    counts = torch.tensor([[0, 7, 1], [0, 9, 9], [3, 3, 3], [0, 0, 0], [0, 5, 6]])
    assert match_majority(counts).tolist() == [1, 1, 0, -1, 2]


def test_majority_is_never_below_one_to_one_on_its_own_table():
    for seed in range(5):
        counts = table(6, 4, seed)
        accuracy = [matched_accuracy(counts, m(counts)) for m in (match_majority, match_one_to_one)]
        assert accuracy[0] >= accuracy[1]


def test_unmatched_codes_are_errors():
    """Catches -1 read as the last class (which would give 1), and -1 left out of N (also 1)."""
    counts = torch.tensor([[6, 0], [0, 4]])
    assert matched_accuracy(counts, torch.tensor([0, -1])).item() == 0.6


def test_accuracy_applies_a_foreign_mapping():
    """Catches a mapping that is learned anew on the table to be scored."""
    train, test = torch.tensor([[5, 1], [1, 5]]), torch.tensor([[1, 3], [4, 2]])
    assert matched_accuracy(test, match_one_to_one(train)).item() == 0.3


TABLES = [
    *[(500, k, c, agree) for k, c in ((10, 10), (16, 10), (3, 10)) for agree in (0.0, 0.6, 1.0)],
    (50, 1, 1, 0.0),
    (50, 1, 5, 0.0),
    (50, 5, 1, 0.0),
    (1, 3, 3, 0.0),
    (200_000, 10, 10, 0.6),
]


@pytest.mark.parametrize(("num", "num_codes", "num_classes", "agree"), TABLES)
def test_agreement_is_scikit_learns(num, num_codes, num_classes, agree):
    """Catches another normaliser, wrong degenerate cases, and 64-bit overflow (last table)."""
    codes, labels = draw(num, num_codes, num_classes, agree=agree)
    counts = contingency(codes, labels, num_codes, num_classes)
    information = normalised_mutual_information(counts).item()
    assert information == pytest.approx(normalized_mutual_info_score(labels, codes), abs=1e-12)
    index = adjusted_rand_index(counts).item()
    assert index == pytest.approx(adjusted_rand_score(labels, codes), abs=1e-12)


def test_all_singletons_agree():
    counts = torch.eye(5, dtype=torch.int64)
    assert adjusted_rand_index(counts).item() == 1


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        ([0, 1], [0], r"shapes \(2,\) and \(1,\)"),
        ([], [], "0 examples"),
        ([0, 3], [0, 1], r"codes must lie in \[0, 2\], got values from 0 to 3"),
        ([0, -1], [0, 1], "from -1 to 0"),
        ([0, 1], [0, 2], r"labels must lie in \[0, 1\]"),
        ([0.0, 1.0], [0, 1], "float32"),
    ],
)
def test_contingency_refuses(codes, labels, message):
    with pytest.raises(ValueError, match=message):
        contingency(torch.tensor(codes), torch.tensor(labels), 3, 2)


@pytest.mark.parametrize(
    "function",
    [match_one_to_one, match_majority, normalised_mutual_information, adjusted_rand_index],
)
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.int64), "sum to 0"),
        (torch.ones(3, dtype=torch.int64), r"\(3,\)"),
        (torch.tensor([[1, -2]]), "minimum of -2"),
        (torch.ones(2, 2), "float32"),
    ],
)
def test_tables_refused(function, counts, message):
    with pytest.raises(ValueError, match=message):
        function(counts)


def test_accuracy_refuses_a_mapping_that_does_not_fit():
    counts = torch.ones(3, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"3 codes, got shape \(2,\)"):
        matched_accuracy(counts, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"\[-1, 1\], got values from 0 to 2"):
        matched_accuracy(counts, torch.tensor([0, 1, 2]))
