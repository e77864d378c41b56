"""Answers come from evaluation mode, from a seed, in pieces."""

import inspect
import threading

import numpy as np
import pytest
import torch
from torch import nn

from zoo.contract.answering import answering, answers, generator_for, in_chunks
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


def test_answers_from_several_threads_share_evaluation_mode_until_the_last_has_ended():
    network, modes = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()).train(), []
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with answering(network):
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with answering(network[0]):  # a part, which the other has in evaluation mode already
            second_is_in.set()
            first_is_out.wait(10)
            modes.extend(m.training for m in network.modules())

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert modes == [True, False, True]
    assert [m.training for m in network.modules()] == [True, True, True]


def test_answers_may_be_nested():
    network = nn.Sequential(nn.Dropout()).train()
    with answering(network):
        with answering(network[0], network):
            pass
        assert not network.training and not network[0].training
    assert network.training and network[0].training


def test_a_network_in_evaluation_mode_stays_so():
    network = nn.Sequential(nn.Dropout()).eval()
    with answering(network):
        pass
    assert not network.training


class Coin(nn.Module):
    """Answers with its weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    @answers
    def sample(self, n, *, seed=None, side: str = "head"):
        """Throws."""
        assert not self.training and not torch.is_grad_enabled()
        return self.weight.repeat(n).double()

    @answers
    def sides(self, x):
        """Turns all over."""
        return self.weight - x

    @answers
    def twice(self, n):
        """Throws twice as often."""
        return self.sample(2 * n, seed=np.int64(3))


def test_an_answer_keeps_its_signature_and_has_the_model_s_format():
    coin = Coin()
    assert str(inspect.signature(coin.sample)) == "(n, *, seed=None, side: str = 'head')"
    assert coin.sample.__doc__ == "Throws."
    assert coin.twice(np.int32(2)).dtype == torch.float32 and len(coin.twice(2)) == 4
    assert coin.half().sample(1).dtype == torch.float16 and coin.training
    with pytest.raises(UserError, match=r"^n must be a whole number, got 2\.5\.$"):
        coin.twice(2.5)
    with pytest.raises(TypeError, match="missing a required argument"):
        coin.sample()


class Asked(nn.Module):
    """Calls an answer, as exported modules do."""

    def __init__(self):
        super().__init__()
        self.coin = Coin()

    def forward(self, x):
        return self.coin.sides(x)


def test_an_answer_can_be_exported():
    """Nobody can look at values then."""
    x = torch.rand(2, 1, 3, 3)
    exported = torch.export.export(Asked(), (x,), strict=False).module()
    assert torch.equal(exported(x), 1 - x)


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
