"""Convolutional networks fit every size that the design promises, and refuse the others."""

import pytest
import torch

from zoo.core.errors import UserError
from zoo.nets.conv import ConvDecoder, ConvEncoder, halvings, init_dcgan


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "size", [(8, 8), (12, 12), (28, 28), (32, 32), (48, 48), (64, 64), (32, 64)]
)
def test_every_promised_size(channels, size):
    decoder = ConvDecoder(10, channels, *size, base=4)
    encoder = ConvEncoder(channels, *size, base=4, features=6)
    x = decoder(torch.randn(2, 10))
    assert x.shape == (2, channels, *size)
    assert encoder(x).shape == (2, 6)


@pytest.mark.parametrize("size", [(7, 7), (25, 25), (28, 30), (100, 100), (1, 64)])
def test_other_sizes_are_refused_in_a_sentence(size):
    if size == (100, 100):  # 100 = 6.25 * 16: halved to 25, which is odd
        assert size[0] % 16
    with pytest.raises(UserError, match=rf"{size[0]}x{size[1]} does not fit .* 28, 32"):
        halvings(*size)


def test_a_critic_has_no_batch_statistics():
    # With them, one image's score would depend on its neighbours and the penalty would be wrong.
    critic = ConvEncoder(1, 8, 8, base=4, features=6, norm=False)
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]))


def test_initial_weights_have_the_papers_spread():
    torch.manual_seed(0)
    decoder = ConvDecoder(100, 1, 32, 32, base=32)
    init_dcgan(decoder)
    weights = torch.cat([p.flatten() for n, p in decoder.named_parameters() if p.ndim > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert decoder.layers[-1].bias.abs().max() == 0
