"""Networks inside couplings: they start at 0, and every weight learns after that."""

from functools import partial

import torch
from torch import nn

from zoo.nets.conditioners import ConvConditioner, MLPConditioner

MLP = partial(MLPConditioner, hidden=8, layers=2)
CONV = partial(ConvConditioner, width=6, blocks=1, height=2, columns=4)


def test_every_weight_of_a_conditioner_learns_once_it_has_left_zero():
    for network, x in ((MLP(3, 4), torch.randn(5, 3)), (CONV(2, 4), torch.randn(5, 2, 2, 4))):
        assert (network(x) == 0).all()
        nn.init.normal_(list(network.parameters())[-2])
        network(x).square().sum().backward()
        assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
