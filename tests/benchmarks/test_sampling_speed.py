"""What memory saves in sampling: 64 images of MNIST's size, from memory and by the plain loop.

Run with ``pytest tests/benchmarks/test_sampling_speed.py --benchmark-only -m "slow or not slow"``
on a quiet machine. The network is that of `pixelcnn_plus_mnist`, with published weights where there
are some.
The plain loop passes whole images through the network for every pixel; to end in minutes, it is
timed on some pixels, spread over the image, and scaled: all its passes are alike. That it would
give the same samples is checked in one pass: each pixel's law, computed by the whole network from
the pixels before it, gives that very pixel from the same random number. A second test runs the
loop to its end, on two images.
"""

import time

import pytest
import torch

from zoo.data import ImageSpec
from zoo.models import MADE, NADE, PixelCNN
from zoo.shelf.find import available
from zoo.shelf.weights import load

LEAST = 20  # times faster than the plain loop
SPEC = ImageSpec(1, 28, 28, 10)

pytestmark = pytest.mark.slow


def pixelcnn():
    if "pixelcnn_plus_mnist" in available():
        return load("pixelcnn_plus_mnist")
    torch.manual_seed(0)
    return PixelCNN(
        SPEC, outputs="bernoulli", width=32, layers=8, hidden=64, dilations=(1, 2, 4)
    ).eval()


def plain_pixels(model, x, u, places):
    """Draws some pixels by passing whole images through the network for each."""
    net = model.average.module
    with torch.no_grad():
        for i, j in places:
            logits = net(2 * x - 1)[:, 0, i, j]
            x[:, 0, i, j] = (u[i, j, :, 0] < logits.sigmoid()).to(x.dtype)
    return x


def uniforms(model, n, seed):
    generator = torch.Generator().manual_seed(seed)
    torch.randint(1, (n,), generator=generator)
    return torch.rand(28, 28, n, 1, generator=generator)


def test_pixelcnn_from_memory(benchmark):
    model = pixelcnn()
    benchmark.pedantic(lambda: model.sample(64, seed=0), rounds=3, warmup_rounds=1)
    fast = benchmark.stats.stats.min
    u, drawn = uniforms(model, 64, 0), model.sample(64, seed=0)
    with torch.no_grad():
        p = torch.cat([model.average.module(2 * x - 1) for x in drawn.split(16)]).sigmoid()
    assert torch.equal((u.permute(2, 3, 0, 1) < p).float(), drawn)
    x = torch.zeros(64, 1, 28, 28)
    places = [(i, i) for i in range(0, 28, 7)]
    plain_pixels(model, x, u, places[:1])
    start = time.perf_counter()
    plain_pixels(model, x, u, places)
    plain = (time.perf_counter() - start) / len(places) * 784
    benchmark.extra_info.update(plain_seconds=round(plain, 1), ratio=round(plain / fast, 1))
    print(f"\nfrom memory {fast:.2f} s, plain loop {plain:.0f} s, {plain / fast:.0f} times faster")
    assert plain / fast >= LEAST


def test_pixelcnn_s_samples_are_the_plain_loop_s():
    model = pixelcnn().double()
    places = [(i, j) for i in range(28) for j in range(28)]
    x = torch.zeros(2, 1, 28, 28, dtype=torch.float64)
    expected = plain_pixels(model, x, uniforms(model, 2, 5).double(), places)
    assert torch.equal(model.sample(2, seed=5), expected)


@pytest.mark.parametrize("kind", ["NADE", "MADE"])
def test_fully_connected_samplers_are_linear_in_the_pixels(benchmark, kind):
    """Four times the pixels at the same width take about four times as long, not sixteen."""
    seconds = {}
    for side in (28, 56):
        spec = ImageSpec(1, side, side, 0)
        model = NADE(spec, hidden=500) if kind == "NADE" else MADE(spec, hidden=(500,))
        model.sample(16, seed=0)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            model.sample(16, seed=0)
            times.append(time.perf_counter() - start)
        seconds[side] = min(times)
    ratio = seconds[56] / seconds[28]
    benchmark.extra_info.update(seconds=seconds, ratio=round(ratio, 2))
    benchmark.pedantic(lambda: None)
    print(f"\n{kind}: 784 pixels {seconds[28]:.3f} s, 3136 pixels {seconds[56]:.3f} s")
    assert ratio < 8
