"""Answers come from evaluation mode, from a seed, in pieces."""

import pytest
import torch
from torch import nn

from zoo.contract.answering import answering, generator_for, in_chunks
from zoo.core.errors import UserError


def test_modes_come_back_as_they_were_even_after_an_error():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).train()
    network[0].eval()  # frozen statistics inside a network in training
    with pytest.raises(RuntimeError), answering(network):
        assert not any(m.training for m in network.modules())
        assert not torch.is_grad_enabled()
        raise RuntimeError
    assert [m.training for m in network.modules()] == [True, False, True]
    assert torch.is_grad_enabled()


def test_a_seed_means_the_same_and_spares_the_global_stream():
    state = torch.get_rng_state()
    first, second = (torch.randn(3, generator=generator_for(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.randn(3, generator=generator_for(8)))
    assert torch.equal(torch.get_rng_state(), state)
    assert generator_for(None) is None


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_an_impossible_seed_is_refused(seed):
    with pytest.raises(UserError, match="seed must lie in"):
        generator_for(seed)


def test_pieces_are_small_and_join_in_order():
    sizes = []

    def network(x):
        sizes.append(len(x))
        return 2 * x

    x = torch.arange(7.0)
    assert torch.equal(in_chunks(network, x, size=3), 2 * x)
    assert sizes == [3, 3, 1]
    assert in_chunks(network, x[:0], size=3).shape == (0,)
