"""PixelCNN: exact likelihoods by enumeration, and a sampler that is the plain loop, only faster."""

import itertools
import math

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.functional.autoregressive import draw_categorical, draw_logistic_mixture
from zoo.models import PixelCNN

TINY = ImageSpec(1, 2, 3, 3)
ALL = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=torch.float64)
GREY = ALL.view(64, 1, 2, 3)
COLOUR = ALL.view(64, 3, 1, 2)
SMALL = {"width": 12, "layers": 2, "hidden": 12}
VARIANTS = {
    f"{'gated' if gated else 'plain'} {outputs}{' conditional' if conditional else ''}": {
        **SMALL, "gated": gated, "outputs": outputs, "levels": 2, "mixtures": 2,
        "conditional": conditional,
    }
    for gated in (True, False)
    for outputs in ("bernoulli", "categorical", "logistics")
    for conditional in (False, True)
}  # fmt: skip


def model_of(variant, spec=TINY, **more):
    torch.manual_seed(1)
    model = PixelCNN(spec, **{**VARIANTS[variant], **more}).double()
    for name, parameter in model.named_parameters():
        if "place" not in name:
            torch.nn.init.normal_(parameter, std=0.4)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_probabilities_of_all_images_sum_to_one(variant, images):
    model = model_of(variant, ImageSpec(*images.shape[1:], 3))
    log_p = model.log_prob(images)
    assert log_p.shape == (64,) and log_p.std() > 0.3
    assert float(log_p.logsumexp(0)) == pytest.approx(0, abs=1e-9)
    if model.classes:
        each = [model.log_prob(images, torch.full((64,), k)) for k in range(3)]
        for one in each:
            assert float(one.logsumexp(0)) == pytest.approx(0, abs=1e-9)
        assert (each[0] - each[1]).abs().max() > 0.1
        average = torch.stack(each).logsumexp(0) - math.log(3)
        torch.testing.assert_close(log_p, average)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_samples_have_the_model_s_frequencies(variant, images):
    model = model_of(variant, ImageSpec(*images.shape[1:], 3))
    drawn = model.sample(4000, seed=0).flatten(1).long()
    codes = (drawn * 2 ** torch.arange(5, -1, -1)).sum(1)
    share = torch.bincount(codes, minlength=64) / 4000
    p = model.log_prob(images).exp()
    assert ((share - p).abs() < 4.5 * (p * (1 - p) / 4000).sqrt() + 5e-4).all()


def plain_sample(model, n, seed, label=None):
    """Passes the whole image through the network for every pixel and colour."""
    channels, height, width = model.spec.shape
    generator = torch.Generator().manual_seed(seed)
    torch.randint(max(1, model.classes), (n,), generator=generator)
    u = torch.rand(height, width, n, model._uniforms(), generator=generator).double()
    code = None if label is None else model._code(torch.full((n,), label))
    x, net = torch.zeros(n, *model.spec.shape, dtype=torch.float64), model.average.module.eval()
    with torch.no_grad():
        for i, j in itertools.product(range(height), range(width)):
            if model.outputs == "logistics":
                params = net(2 * x - 1, code)[:, :, i, j]
                x[:, :, i, j] = draw_logistic_mixture(params, u[i, j], model.levels)
                continue
            for c in range(channels):
                params = net(2 * x - 1, code)[:, :, i, j].unflatten(1, (channels, -1))[:, c]
                if model.outputs == "bernoulli":
                    x[:, c, i, j] = (u[i, j, :, c] < params[:, 0].sigmoid()).double()
                else:
                    level = draw_categorical(params, u[i, j, :, c])
                    x[:, c, i, j] = level.double() / (model.levels - 1)
    return x


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_sampler_from_memory_is_the_plain_loop(variant, channels):
    dilations = {"dilations": (1, 2)} if "gated" in variant else {}
    model = model_of(variant, ImageSpec(channels, 5, 6, 3), levels=8, **dilations)
    label = 1 if model.classes else None
    expected = plain_sample(model, 3, 7, label)
    assert torch.equal(model.sample(3, seed=7, label=label), expected)
    assert expected.std() > 0.03


@pytest.mark.parametrize("variant", ["gated bernoulli", "plain categorical", "gated logistics"])
def test_a_completion_keeps_what_is_known_and_draws_the_rest_from_it(variant):
    """Given the first two pixels, the third has its conditional probability."""
    model = model_of(variant)
    x = torch.zeros(4000, 1, 2, 3)
    x[:, 0, 0, 1] = 1
    mask = torch.ones(1, 1, 2, 3, dtype=torch.bool)
    mask[..., 0, :2] = False
    done = model.complete(x, mask, seed=0)
    assert torch.equal(done[:, :, 0, :2], x[:, :, 0, :2].double())
    p = model.log_prob(GREY).exp()
    given = (GREY[:, 0, 0, 0] == 0) & (GREY[:, 0, 0, 1] == 1)
    expected = p[given & (GREY[:, 0, 0, 2] == 1)].sum() / p[given].sum()
    assert float(done[:, 0, 0, 2].mean()) == pytest.approx(float(expected), abs=0.035)


def test_labels_are_obeyed_and_drawn_evenly():
    model = model_of("gated bernoulli conditional")
    one = model.sample(500, seed=0, label=1)
    assert not torch.equal(one, model.sample(500, seed=0, label=2))
    mixed = model.sample(500, seed=0)
    assert 20 < (mixed == one).flatten(1).all(1).sum() < 480


def test_wrong_labels_are_refused():
    with pytest.raises(UserError, match=r"0\.\.2"):
        model_of("gated bernoulli conditional").sample(2, label=3)
    with pytest.raises(UserError, match="knows no classes"):
        model_of("gated bernoulli").sample(2, label=0)
    with pytest.raises(UserError, match="conditional"):
        PixelCNN(ImageSpec(1, 8, 8, 0), conditional=True)


@pytest.mark.parametrize(
    "wrong",
    [{"outputs": "bernouli"}, {"levels": 1}, {"width": 0}, {"dropout": 1.0}, {"lr": -1.0}],
)
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        PixelCNN(TINY, **wrong)


def test_colours_must_share_out_the_width():
    with pytest.raises(UserError, match="multiples"):
        PixelCNN(ImageSpec(3, 8, 8, 0), outputs="categorical", width=32)
