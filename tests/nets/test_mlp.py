"""Fully connected networks: shapes, and that examples do not see one another."""

import pytest
import torch
from torch import nn

from zoo.nets.mlp import MLP, init_he


def test_images_in_images_out():
    net = MLP(12, (5, 7), (3, 2, 2), nn.ReLU)
    assert net(torch.rand(4, 3, 2, 2)).shape == (4, 3, 2, 2)
    widths = [layer.out_features for layer in net.layers if isinstance(layer, nn.Linear)]
    assert widths == [5, 7, 12]
    assert sum(isinstance(layer, nn.ReLU) for layer in net.layers) == 2


def test_without_hidden_layers_it_is_linear():
    net, x, y = MLP(6, (), 4).double(), torch.rand(6).double(), torch.rand(6).double()
    zero = net(torch.zeros(1, 6).double())
    both = net((x + y)[None]) - zero
    torch.testing.assert_close(both, net(x[None]) + net(y[None]) - 2 * zero)


def test_examples_do_not_see_one_another():
    net, x = MLP(6, (8,), 4), torch.rand(3, 6)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]))


def test_normalised_layers_have_no_bias_of_their_own_and_unit_variance():
    net = MLP(3, (16, 16), 2, nn.ReLU, norm=True)
    kinds = [type(layer).__name__ for layer in net.layers[1:]]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
    assert [layer.bias is None for layer in net.layers if isinstance(layer, nn.Linear)] == [
        True, True, False,
    ]  # fmt: skip
    inside = net.layers[:3](5 + 10 * torch.randn(1000, 3))
    torch.testing.assert_close(inside.var(dim=0), torch.ones(16), atol=0.02, rtol=0)


def test_he_keeps_the_size_of_signals_through_rectifiers():
    torch.manual_seed(0)
    net, x = MLP(256, (256, 256, 256), 256, nn.ReLU), torch.randn(2000, 256)
    init_he(net)
    biases = [layer.bias for layer in net.layers if isinstance(layer, nn.Linear)]
    assert all(0.4 < bias.abs().max() <= 0.5 for bias in biases)
    with torch.no_grad():
        for bias in biases:
            bias.zero_()
    # the second moment of what a rectifier lets through is half of what enters it, times 2
    assert net(x).square().mean().item() == pytest.approx(2, rel=0.4)  # torch's own: 0.0015
