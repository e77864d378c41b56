"""Laws of pixels sum to 1 and are drawn as they say; NADE's chunks against its plain loop."""

import math

import pytest
import torch

from zoo.functional import autoregressive
from zoo.functional.autoregressive import (
    categorical_log_prob,
    draw_categorical,
    draw_logistic_mixture,
    logistic_mixture_log_prob,
    nade_logits,
    to_levels,
)


def doubles(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def mixture(channels, components=3, seed=0):
    """Parameters whose laws lie partly inside, partly outside [0, 1], some narrower than a bin."""
    weight = doubles(components, seed=seed)
    mean = 0.5 + doubles(channels, components, seed=seed + 1, scale=0.5)
    log_scale = -4 + doubles(channels, components, seed=seed + 2, scale=1.5)
    pairs = doubles(channels * (channels - 1) // 2, components, seed=seed + 3)
    return torch.cat([weight[None], mean, log_scale, pairs]).flatten()


# ------------------------------------------------------------------------- grey levels


def test_levels_are_the_nearest():
    x = torch.tensor([0.0, 0.24, 0.26, 0.74, 0.76, 1.0])
    assert to_levels(x, 3).tolist() == [0, 0, 1, 1, 2, 2]


def test_a_categorical_law_is_that_of_torch():
    logits, level = doubles(5, 4, 256), torch.randint(256, (5, 4))
    expected = torch.distributions.Categorical(logits=logits).log_prob(level)
    torch.testing.assert_close(categorical_log_prob(level, logits), expected)


def test_levels_are_drawn_with_their_probabilities():
    logits = torch.tensor([0.1, 0.0, 0.6, 0.3]).log()
    u = (torch.arange(10_000) + 0.5) / 10_000
    counts = torch.bincount(draw_categorical(logits.expand(10_000, 4), u), minlength=4)
    assert counts.tolist() == pytest.approx([1000, 0, 6000, 3000], abs=1)
    assert int(draw_categorical(logits, torch.tensor(1 - 1e-9))) == 3


# ------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("levels", [2, 16, 256])
@pytest.mark.parametrize("seed", range(4))
def test_a_mixture_sums_to_one_over_the_levels(levels, seed):
    x = torch.linspace(0, 1, levels, dtype=torch.float64)[:, None]
    log_p = logistic_mixture_log_prob(x, mixture(1, seed=10 * seed), levels)
    assert float(log_p.logsumexp(0)) == pytest.approx(0, abs=1e-12)


def test_a_mixture_of_colours_sums_to_one_over_all_of_them():
    """Weights that were multiplied in once per channel, or not at all, would not."""
    grey = torch.linspace(0, 1, 6, dtype=torch.float64)
    x = torch.cartesian_prod(grey, grey, grey)
    log_p = logistic_mixture_log_prob(x, mixture(3), levels=6)
    assert float(log_p.logsumexp(0)) == pytest.approx(0, abs=1e-12)


def test_a_colour_depends_on_those_before_it():
    """Blue's coefficients for red and green must not be mixed up with green's for red."""
    params = mixture(3, components=1, seed=5)
    params[4:7] = torch.tensor([-2.0, -1.5, -1.0])
    parts = params.view(10, 1)
    means, scales, pairs = parts[1:4, 0], parts[4:7, 0], parts[7:, 0].tanh()
    x = torch.tensor([0.2, 0.8, 0.4], dtype=torch.float64)
    expected = 0.0
    centres = [
        means[0],
        means[1] + pairs[0] * (x[0] - 0.5),
        means[2] + pairs[1] * (x[0] - 0.5) + pairs[2] * (x[1] - 0.5),
    ]
    for value, centre, log_scale in zip(x, centres, scales, strict=True):
        below, above = ((value + s / 510 - centre) / log_scale.exp() for s in (-1, 1))
        expected += math.log(above.sigmoid() - below.sigmoid())
    assert float(logistic_mixture_log_prob(x, params)) == pytest.approx(expected, abs=1e-6)


def test_a_mixture_is_drawn_as_it_says():
    params, count = mixture(2, components=2, seed=3), 40_000
    u = torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = to_levels(draw_logistic_mixture(params.expand(count, -1), u, levels=4), 4)
    grey = torch.linspace(0, 1, 4, dtype=torch.float64)
    expected = logistic_mixture_log_prob(torch.cartesian_prod(grey, grey), params, 4).exp()
    share = torch.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16) / count
    error = (expected * (1 - expected) / count).sqrt() + 1e-4
    assert ((share - expected).abs() < 4 * error).all()


# ------------------------------------------------------------------------- NADE


def plain_nade(x, w, v, b, c, activation):
    """Larochelle & Murray, a pixel at a time."""
    inner, logits = c.expand(len(x), -1), []
    for d in range(x.shape[1]):
        h = inner.sigmoid() if activation == "sigmoid" else inner.relu()
        logits.append(b[..., d] + (h * v[d]).sum(1))
        inner = inner + x[:, d : d + 1] * w[d]
    return torch.stack(logits, 1)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
@pytest.mark.parametrize("of_image", [False, True])
def test_chunks_of_nade_are_the_plain_loop_gradients_too(activation, chunk, of_image, monkeypatch):
    monkeypatch.setattr(autoregressive, "CHUNK", chunk)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(5, 18, generator=generator) < 0.4).double()
    x[0], x[1] = 0, 1
    w, v = doubles(18, 6, seed=1), doubles(18, 6, seed=2)
    b, c = (doubles(5, 18, seed=3), doubles(5, 6, seed=4)) if of_image else (
        doubles(18, seed=3), doubles(6, seed=4)
    )  # fmt: skip
    weights = [p.requires_grad_() for p in (w, v, b, c)]
    ours, theirs = nade_logits(x, *weights, activation), plain_nade(x, *weights, activation)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    upstream = doubles(5, 18, seed=9)
    for mine, plain in zip(
        torch.autograd.grad(ours, weights, upstream),
        torch.autograd.grad(theirs, weights, upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, plain, rtol=1e-11, atol=1e-11)
