"""The residual networks of WGAN-GP: shapes, cheaper orders, and critics that see one image."""

import pytest
import torch
import torch.nn.functional as F

from zoo.core.errors import UserError
from zoo.nets.resnet import DownBlock, ResNetCritic, ResNetGenerator, UpBlock

SIZES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 32, 64), (3, 128, 128)]


@pytest.mark.parametrize("shape", SIZES)
def test_shapes(shape):
    generator, critic = ResNetGenerator(5, *shape, base=4), ResNetCritic(*shape, base=4)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert critic(images).shape == (2, 4)


def test_the_networks_of_the_paper_have_its_blocks():
    generator, critic = ResNetGenerator(128, 3, 32, 32, base=8), ResNetCritic(3, 32, 32, base=8)
    assert sum(isinstance(layer, UpBlock) for layer in generator.layers) == 3
    downs = [layer for layer in critic.layers if isinstance(layer, DownBlock)]
    sides, x = [], torch.rand(1, 3, 32, 32)
    for block in downs:
        x = block(x)
        sides.append(x.shape[-1])
    assert sides == [16, 8, 8, 8]


def test_larger_images_have_narrower_blocks_at_the_fine_end():
    generator, critic = ResNetGenerator(2, 3, 256, 256, base=32), ResNetCritic(3, 256, 256, base=32)
    ups = [b.shortcut.out_channels for b in generator.layers if isinstance(b, UpBlock)]
    downs = [b.layers[1].out_channels for b in critic.layers if isinstance(b, DownBlock)]
    assert ups == [32, 32, 32, 32, 16, 8]
    assert downs == [8, 16, 32, 32, 32, 32, 32]
    assert generator.layers[-1].in_channels == 8


def test_a_critic_judges_each_image_by_itself():
    critic, x = ResNetCritic(3, 16, 16, base=4), torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(critic(x)[:1], critic(x[:1]))


def test_shortcuts_in_the_cheaper_order_compute_the_same():
    x = torch.rand(2, 4, 8, 8)
    up, down = UpBlock(4, 4), DownBlock(4, 6, halve=True)
    dear = up.shortcut(F.interpolate(x, scale_factor=2))
    torch.testing.assert_close(up(x) - up.layers(x), dear, atol=1e-5, rtol=0)
    dear = F.avg_pool2d(down.shortcut[1](x), 2)
    torch.testing.assert_close(down(x) - down.layers(x), dear, atol=1e-5, rtol=0)


def test_a_first_block_does_not_rectify_the_image():
    block, x = DownBlock(3, 4, halve=True, first=True), -torch.rand(2, 3, 8, 8)
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(block.layers(x).sum(), x)
    assert slope.abs().sum() > 0


def test_a_size_that_does_not_fit_is_refused():
    for kind in (lambda: ResNetGenerator(2, 1, 25, 25, 4), lambda: ResNetCritic(1, 25, 25, 4)):
        with pytest.raises(UserError, match="25x25"):
            kind()
