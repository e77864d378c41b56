"""Shells over tables of counts: splits kept apart, halves that add up, clear refusals."""

import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from zoo.metrics.clustering import ClusterAgreement, CodeError


def draw(num, wrong, seed=0):
    """Permuted labels, wrong in exactly ``wrong`` places, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % 10
    codes = torch.randperm(10, generator=torch.Generator().manual_seed(7))[labels]
    places = torch.randperm(num, generator=generator)[:wrong]
    codes[places] = (codes[places] + 1) % 10
    return codes, labels


@pytest.mark.parametrize("matching", ["one-to-one", "majority"])
def test_error_of_a_permuted_code(matching):
    """5 % of the codes are wrong; catches accuracy for error, and codes compared by name."""
    metric = CodeError(10, 10, matching)
    metric.update(*draw(1000, 100), split="train")
    metric.update(*draw(1000, 50, seed=1), split="test")
    assert metric.compute().item() == pytest.approx(0.05)


def test_mapping_comes_from_the_training_table():
    """Catches matching on the test table (error 0) or on both together (error 0)."""
    metric = CodeError(2, 2)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]), split="train")
    metric.update(torch.tensor([0, 1, 0, 1]), torch.tensor([1, 0, 1, 0]), split="test")
    assert metric.compute().item() == 1


def test_matchings_differ_for_more_codes_than_classes():
    """Catches an argument that is not read."""
    codes, labels = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 1, 1])
    errors = {}
    for matching in ("one-to-one", "majority"):
        metric = CodeError(3, 2, matching)
        for split in ("train", "test"):
            metric.update(codes, labels, split=split)
        errors[matching] = metric.compute().item()
    assert errors == {"one-to-one": 0.25, "majority": 0}


def feed_error(metric, codes, labels):
    metric.update(codes, labels, split="train")
    metric.update(codes.roll(1), labels, split="test")


@pytest.mark.parametrize(
    ("make", "feed"),
    [
        (lambda: CodeError(10, 10), feed_error),
        (lambda: CodeError(10, 10, "majority"), feed_error),
        (lambda: ClusterAgreement(10, 10), lambda metric, *pair: metric.update(*pair)),
    ],
)
def test_halves_add_up(make, feed):
    """Catches a state that is averaged, replaced, or not reduced at all."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(10, (600,), generator=generator)
    codes = torch.where(torch.rand(600, generator=generator) < 0.5, labels, (labels * 3) % 10)
    first, second, whole = make(), make(), make()
    halves = (codes[:200], labels[:200]), (codes[200:], labels[200:])
    feed(first, *halves[0])
    feed(second, *halves[1])
    for half in halves:
        feed(whole, *half)
    first.merge_state(second)
    torch.testing.assert_close(first.compute(), whole.compute(), rtol=0, atol=0)
    assert str(second.compute()) != str(whole.compute())
    assert {reduction.__name__ for reduction in whole._reductions.values()} == {"dim_zero_sum"}


def test_reset_empties_the_tables():
    metric = CodeError(2, 2)
    feed_error(metric, torch.tensor([0, 1]), torch.tensor([0, 1]))
    metric.reset()
    assert not metric.train_counts.any() and not metric.test_counts.any()


@pytest.mark.parametrize(("filled", "empty"), [("train", "test"), ("test", "train")])
def test_an_empty_table_is_refused(filled, empty):
    metric = CodeError(2, 2)
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]), split=filled)
    with pytest.raises(ValueError, match=f"the {empty} table is empty"):
        metric.compute()


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match=r"'one-to-one'.*got 'best'"):
        CodeError(2, 2, "best")  # pyright: ignore[reportArgumentType]
    metric = CodeError(2, 2)
    with pytest.raises(ValueError, match="got 'val'"):
        metric.update(torch.tensor([0]), torch.tensor([0]), split="val")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="from 2 to 2"):
        metric.update(torch.tensor([2]), torch.tensor([0]), split="train")


def test_agreement_is_scikit_learns():
    codes, labels = draw(1000, 300)
    metric = ClusterAgreement(10, 10)
    metric.update(codes[:100], labels[:100])
    metric.update(codes[100:], labels[100:])
    scores = metric.compute()
    assert scores["nmi"].item() == pytest.approx(normalized_mutual_info_score(labels, codes))
    assert scores["ari"].item() == pytest.approx(adjusted_rand_score(labels, codes))
