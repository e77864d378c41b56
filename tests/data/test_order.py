"""Which images make which batch."""

from itertools import zip_longest

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data.loader import Order, mix_seed

CASES = [(50, 8, 1), (50, 9, 3), (50, 50, 1), (7, 100, 2), (64, 4, 4), (13, 5, 5)]


def orders(count, batch_size, world, *, shuffle=True, seed=0, epoch=0):
    made = []
    for rank in range(world):
        order = Order(count, batch_size, shuffle=shuffle, seed=seed, rank=rank, world=world)
        order.set_epoch(epoch)
        made.append(order)
    return made


def flat(order):
    return torch.cat(order.batches()).tolist()


@pytest.mark.parametrize(("count", "batch_size", "world"), CASES)
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_training_ranks_are_disjoint_without_repeats_and_equally_long(
    count, batch_size, world, epoch
):
    ranks = orders(count, batch_size, world, epoch=epoch)
    used = [index for order in ranks for index in flat(order)]
    assert len(used) == len(set(used))
    assert set(used) <= set(range(count))
    assert len({len(order.batches()) for order in ranks}) == 1
    assert all(len(order) == len(order.batches()) for order in ranks)
    share = min(batch_size, count) // world
    assert all(len(batch) == share for order in ranks for batch in order.batches())
    # nothing is left out but the incomplete last batch
    assert count - len(used) < share * world


def test_each_epoch_has_its_own_order_and_a_seed_always_the_same():
    def epochs(seed):
        return [flat(*orders(50, 8, 1, seed=seed, epoch=epoch)) for epoch in range(4)]

    first = epochs(3)
    assert first == epochs(3)
    assert len({tuple(order) for order in first}) == 4
    assert all(a != b for a, b in zip(first, epochs(4), strict=True))


def test_over_epochs_every_image_is_trained_with():
    seen = set()
    for epoch in range(20):
        seen.update(flat(*orders(50, 8, 1, epoch=epoch)))
    assert seen == set(range(50))  # the two left-over images must not always be the same ones


@pytest.mark.parametrize("world", [2, 4, 8])
@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_together_see_the_batches_that_one_process_sees(world, epoch, shuffle):
    """A recipe means the same on any number of devices: batch_size is the whole batch."""
    ranks = orders(70, 16, world, epoch=epoch, shuffle=shuffle)
    together = [
        sorted(torch.cat(parts).tolist())
        for parts in zip_longest(
            *(order.batches() for order in ranks), fillvalue=torch.empty(0, dtype=torch.int64)
        )
    ]
    (alone,) = orders(70, 16, 1, epoch=epoch, shuffle=shuffle)
    assert together == [sorted(batch.tolist()) for batch in alone.batches()]
    assert len(together) == (4 if shuffle else 5)


@pytest.mark.parametrize(
    ("batch_size", "world", "words"),
    [(63, 2, "choose 62 or 64"), (100, 8, "choose 96 or 104"), (3, 4, "choose 4, or fewer")],
)
def test_a_batch_that_cannot_be_shared_equally_is_refused(batch_size, world, words):
    with pytest.raises(UserError, match=f"{batch_size} cannot be shared .* {world} processes") as e:
        Order(1000, batch_size, shuffle=True, world=world)
    assert words in str(e.value)


@pytest.mark.parametrize(("count", "batch_size", "world"), CASES)
def test_evaluation_covers_everything_once_even_with_uneven_ranks(count, batch_size, world):
    ranks = orders(count, batch_size, world, shuffle=False)
    assert sorted(index for order in ranks for index in flat(order)) == list(range(count))
    assert all(len(order) == len(order.batches()) for order in ranks)
    assert all(flat(order) == sorted(flat(order)) for order in ranks)


def test_impossible_orders_are_refused():
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        Order(10, 0, shuffle=True)
    with pytest.raises(UserError, match="3 images cannot be shared among 4 processes"):
        Order(3, 4, shuffle=True, world=4)


def test_mixed_seeds_are_all_different_and_fit_a_generator():
    seeds = {mix_seed(a, b, c) for a in range(12) for b in range(12) for c in range(12)}
    assert len(seeds) == 12**3
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({mix_seed(0), mix_seed(0, 0), mix_seed(0, 0, 0), mix_seed(-1)}) == 4
    # neighbours differ in about half of their 63 bits, not in the last few
    flips = [bin(mix_seed(7, n) ^ mix_seed(7, n + 1)).count("1") for n in range(500)]
    assert 30 < sum(flips) / len(flips) < 33
