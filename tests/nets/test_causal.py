"""Masked convolutions and the networks made of them: who sees whom, by autograd, and memory."""

import pytest
import torch

from zoo.nets.causal import CausalConv2d, Memory, colours_of
from zoo.nets.pixelcnn import GatedPixelNet, PixelNet

SIZE = (5, 6)


def sees(net, channels, size=SIZE):
    """Returns sum |d out / d in|, shape (outputs, pixel, C, pixel), pixels in raster order."""
    total = 0
    for seed in range(3):
        torch.manual_seed(seed)
        x = torch.randn(channels, *size, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda x: net(x[None])[0], x)
        total = total + jacobian.abs().flatten(4, 5).flatten(1, 2)
    return total


def places(size=SIZE):
    rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    return rows.flatten(), columns.flatten()


# ------------------------------------------------------------------------- one layer


@pytest.mark.parametrize("kind", ["A", "B", "rows"])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_window_sees_what_its_kind_says_and_all_of_it(kind, colours, dilation, copies):
    """Masks A and B mixed up, or a mask that is moved by a pixel, show up here."""
    torch.manual_seed(0)
    conv = CausalConv2d(6, 12, 1, 2, 1, kind, colours, copies, dilation).double()
    touched = sees(conv, 6) > 0  # (out, P, in, P)
    rows, columns = places()
    up = rows[:, None] - rows  # how far above the seen pixel lies, (P, P)
    left = columns[:, None] - columns
    inside = (up == 0) | (up == dilation)
    inside = inside & ((left % dilation) == 0) & (left <= 2 * dilation) & (left >= -dilation)
    here = (up == 0) & (left == 0)
    before = (up > 0) | ((up == 0) & (left > 0))
    ours, theirs = colours_of(12, colours, copies)[:, None], colours_of(6, colours)
    own = {"A": ours > theirs, "B": ours >= theirs, "rows": torch.ones(12, 6).bool()}[kind]
    allowed = torch.ones_like(before) if kind == "rows" else before
    for o in range(12):
        for i in range(6):
            expected = inside & allowed & ~here | (here & own[o, i])
            assert torch.equal(touched[o, :, i], expected), (o, i)


def test_a_fresh_memory_answers_as_the_convolution():
    torch.manual_seed(0)
    conv = CausalConv2d(3, 4, 2, 1, 3, "B", dilation=2).double()
    x = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    memory, expected = Memory(conv, 2, *SIZE), conv(x)
    for i in range(SIZE[0]):
        for j in range(SIZE[1]):
            memory.put(i, j, x[:, :, i, j])
            torch.testing.assert_close(memory.pixel(i, j), expected[:, :, i, j])
        torch.testing.assert_close(memory.row(i), expected[:, :, i].mT)
        memory.put_row(i, x[:, :, i].mT)
        torch.testing.assert_close(memory.row(i), expected[:, :, i].mT)


# ------------------------------------------------------------------------- networks

NETS = {
    "pixel": lambda c, g: PixelNet(c, SIZE, 2 * c, 12, 2, 6, colours=g),
    "gated": lambda c, g: GatedPixelNet(c, SIZE, 2 * c, 6, 4, 6, colours=g),
    "dilated": lambda c, g: GatedPixelNet(c, SIZE, 2 * c, 6, 3, 6, colours=g, dilations=(1, 2)),
    "labelled": lambda c, g: GatedPixelNet(c, SIZE, 2 * c, 6, 2, 6, classes=3, colours=g),
    "labelled pixel": lambda c, g: PixelNet(c, SIZE, 2 * c, 12, 2, 6, classes=3, colours=g),
}


def net_of(name, channels, colours):
    torch.manual_seed(0)
    net = NETS[name](channels, colours).double().eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("colours", [1, 3])
def test_laws_depend_on_pixels_and_colours_before_and_on_no_others(name, colours, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "relu", torch.Tensor.tanh)  # no unit may sleep
    net = net_of(name, 3, colours)
    label = torch.eye(3, dtype=torch.float64)[:1] if "labelled" in name else None
    touched = sees(lambda x: net(x, label), 3)
    pixels = torch.arange(len(touched[0]))
    before, here = pixels[:, None] > pixels, pixels[:, None] == pixels
    of = colours_of(6, colours)
    rows, columns = places()
    near = (rows[:, None] - rows) + (columns[:, None] - columns).abs() == 1
    for o in range(6):
        for c in range(3):
            own = here & bool(colours > 1 and of[o] > c)
            assert (touched[o, :, c][~(before | own)] == 0).all()
            assert (touched[o, :, c][own | (before & near)] > 1e-9).all()
            if name == "gated":  # no blind spot: with layers enough, all pixels before count
                assert (touched[o, :, c][before] > 1e-12).all()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("colours", [1, 3])
def test_walking_gives_the_parameters_of_the_whole_image(name, colours):
    net = net_of(name, 3, colours)
    x = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    label = torch.eye(3, dtype=torch.float64)[[2, 0]] if "labelled" in name else None
    with torch.no_grad():
        expected, walk = net(x, label), net.walk(2, label)
        for i in range(SIZE[0]):
            walk.start_row(i)
            for j in range(SIZE[1]):
                known = torch.zeros(2, 3, dtype=torch.float64)
                for c in range(colours if colours > 1 else 1):
                    got = walk.pixel(i, j, known)
                    part = slice(2 * c, 2 * c + 2) if colours > 1 else slice(None)
                    torch.testing.assert_close(got[:, part], expected[:, part, i, j])
                    known[:, c] = x[:, c, i, j]
                walk.put(i, j, x[:, :, i, j])


@pytest.mark.parametrize("name", ["labelled", "labelled pixel"])
def test_every_law_depends_on_the_label(name):
    net = net_of(name, 1, 1)
    x = torch.randn(1, 1, *SIZE, dtype=torch.float64)
    one, two = (net(x, torch.eye(3, dtype=torch.float64)[[k]]) for k in (0, 1))
    assert ((one - two).abs() > 1e-6).all()
