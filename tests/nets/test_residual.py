"""Residual networks: shapes at every size, identity at the start, no batch statistics."""

import pytest
import torch

from zoo.core.errors import UserError
from zoo.nets.residual import Block, ResidualDecoder, ResidualEncoder

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    encoder, decoder = ResidualEncoder(*shape, 4, 10), ResidualDecoder(6, *shape, 4, depth=2)
    assert encoder(torch.rand(2, *shape)).shape == (2, 10)
    assert decoder(torch.rand(2, 6)).shape == (2, *shape)


def test_a_block_starts_as_the_identity_and_can_leave_it():
    block, x = Block(4), torch.rand(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x)
    block(x).square().sum().backward()
    assert block.layers[-1].weight.grad.abs().sum() > 0


def test_examples_do_not_see_one_another():
    encoder, decoder = ResidualEncoder(1, 8, 8, 4, 6), ResidualDecoder(6, 1, 8, 8, 4)
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(decoder(encoder(x))[1:2], decoder(encoder(x[1:2])))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="25x25"):
        ResidualEncoder(1, 25, 25, 4, 6)
