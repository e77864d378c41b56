"""Convolutional networks fit every size that the design promises, and refuse the others."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.core.errors import UserError
from zoo.nets.conv import ConvDecoder, ConvEncoder, channels_at, halvings, init_dcgan
from zoo.nets.residual import ResidualDecoder, ResidualEncoder


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


@pytest.mark.parametrize("make", [ConvEncoder, ResidualEncoder, ConvDecoder, ResidualDecoder])
def test_large_images_cost_as_much_for_every_doubling(make):
    """With a whole width at the finest map, every doubling would cost four times as much."""

    def flops(side):
        with torch.device("meta"):
            if make in (ConvEncoder, ResidualEncoder):
                network, given = make(3, side, side, 64, 10), torch.empty(1, 3, side, side)
            else:
                network, given = make(10, 3, side, side, 64), torch.empty(1, 10)
            with FlopCounterMode(display=False) as counter:
                network.eval()(given)
        return counter.get_total_flops()

    costs = [flops(side) for side in (32, 64, 128, 256)]
    assert costs[1] > 3 * costs[0]  # DCGAN's own growth, up to its own size
    assert costs[2] < 2 * costs[1] and costs[3] < 2 * costs[1]


def test_maps_up_to_64_pixels_are_as_wide_as_ever():
    for times in range(1, 5):
        levels = [channels_at(16, level, times) for level in range(times)]
        assert levels == [16, 32, 64, 128][:times]
    assert [channels_at(4, level, 6) for level in range(6)] == [4, 4, 4, 8, 16, 32]
    assert [channels_at(32, level, 6, 4) for level in range(6)] == [8, 16, 32, 64, 128, 128]
