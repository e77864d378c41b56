"""Running statistics come from the passes that were chosen, and from no others."""

import pytest
import torch
from torch import nn

from zoo.nets.norm import fixed_statistics, measuring_statistics


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.ReLU())


def statistics(network):
    return network[1].running_mean.clone(), network[1].running_var.clone()


def test_fixed_statistics_change_neither_average_nor_output(network):
    x = torch.randn(8, 4)
    before = statistics(network)
    network[2].p = 0.0
    expected = network(x)
    network[1].reset_running_stats()
    with fixed_statistics(network):
        torch.testing.assert_close(network(x), expected, rtol=0, atol=0)
    for now, old in zip(statistics(network), before, strict=True):
        assert torch.equal(now, old)
    assert network[1].momentum == 0.1


def test_measuring_moves_the_average_without_dropout_noise_or_gradient(network):
    x = torch.randn(8, 4)
    state = torch.get_rng_state()
    with measuring_statistics(network):
        out = network(x)
    assert torch.equal(torch.get_rng_state(), state), "dropout drew noise"
    assert not out.requires_grad and network.training and network[2].training
    mean, var = statistics(network)
    hidden = network[0](x)
    torch.testing.assert_close(mean, 0.1 * hidden.mean(0))
    torch.testing.assert_close(var, 0.9 + 0.1 * hidden.var(0))


def test_modes_come_back_also_after_an_error(network):
    network.eval()
    with pytest.raises(RuntimeError), measuring_statistics(network):
        raise RuntimeError
    assert not any(m.training for m in network.modules())
