"""NICE: its density, its inverse, and what its knobs do."""

import math

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import Batch, ImageSpec
from zoo.functional.augmentation import moved
from zoo.functional.density import dequantise
from zoo.models import NICE

SMALL = ImageSpec(1, 2, 3)
POINTS = ImageSpec(2, 1, 1)


def scrambled(spec=SMALL, **arguments):
    """Makes a model in float64 with random weights everywhere, in training and in the average."""
    torch.manual_seed(0)
    model = NICE(spec, hidden=16, layers=2, **arguments).double()
    with torch.no_grad():
        for parameter in model.flow.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    model.flow_ema.module.load_state_dict(model.flow.state_dict())
    return model.eval()


def levels(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, shape, generator=generator).double() / 255


@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_log_density_is_the_change_of_variables(prior):
    model = scrambled(prior=prior)
    y = dequantise(levels(4, *SMALL.shape), 0.5)
    law = torch.distributions.Normal(0, 1)
    for one, found in zip(y, model._log_density(model.flow, y)[0], strict=True):
        z, _ = model.flow(model._vector(one[None]))
        jacobian = torch.autograd.functional.jacobian(
            lambda v: model.flow(model._vector(v[None]))[0], one
        )
        base = law.log_prob(z) if prior == "normal" else (z.sigmoid() * (-z).sigmoid()).log()
        log_det = torch.linalg.slogdet(jacobian.reshape(6, 6)).logabsdet
        assert found.item() == pytest.approx((base.sum() + log_det).item(), abs=1e-10)


@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_a_density_of_the_plane_integrates_to_one(prior):
    model = scrambled(POINTS, couplings=3, prior=prior)
    with torch.no_grad():
        model.flow_ema.module.layers[-1].log_scale.fill_(3.0)
    sides = torch.linspace(-3, 2, 1001), torch.linspace(1.5, 6.5, 1001)  # where its mass lies
    grid = torch.cartesian_prod(*sides).double()[:, :, None, None]
    mass = model.log_prob(grid).exp().sum() * 0.005**2
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_log_prob_of_pixels_is_that_of_dequantised_ones():
    model, x = scrambled(), levels(3, *SMALL.shape)
    torch.manual_seed(3)
    found = model.log_prob(x)
    torch.manual_seed(3)
    y = (255 * x + torch.rand(x.shape).double()) / 256
    torch.testing.assert_close(found, model._log_density(model.flow, y)[0], rtol=0, atol=1e-12)
    assert not torch.equal(model.log_prob(x), found)  # another draw
    points, model = levels(3, *POINTS.shape), scrambled(POINTS)
    assert torch.equal(model.log_prob(points), model._log_density(model.flow, points)[0])


@pytest.mark.parametrize("spec", [SMALL, ImageSpec(1, 3, 3), POINTS], ids=str)
def test_decode_undoes_encode(spec):
    model, x = scrambled(spec), levels(5, *spec.shape)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=1e-10)
    z = model.encode(x)
    torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=0, atol=1e-8)


def test_couplings_move_even_and_odd_pixels_in_turn():
    model = scrambled(ImageSpec(1, 2, 4), couplings=2)
    x = torch.arange(8.0, dtype=torch.float64).view(1, 1, 2, 4)
    vector = model._vector(x)
    assert vector.tolist() == [[0, 2, 4, 6, 1, 3, 5, 7]]
    assert torch.equal(model._image(vector), x)
    first, _ = model.flow.layers[0](vector)
    assert torch.equal(first[:, :4], vector[:, :4]) and (first[:, 4:] != vector[:, 4:]).all()
    second, _ = model.flow.layers[1](first)
    assert (second[:, :4] != first[:, :4]).all() and torch.equal(second[:, 4:], first[:, 4:])


@pytest.mark.parametrize("prior", ["logistic", "normal"])
def test_temperature_narrows_samples_down_to_the_mode(prior):
    model = scrambled(prior=prior).float()
    mode = model.sample(3, seed=0, temperature=0)
    torch.testing.assert_close(mode, model.decode(torch.zeros(3, 6)), rtol=0, atol=0)
    warm, seen = model._latents(4000, 0), {"normal": 1.0, "logistic": math.pi**2 / 3}
    assert warm.var().item() == pytest.approx(seen[prior], rel=0.05)
    half = model.sample(2, seed=4, temperature=0.5)
    torch.testing.assert_close(half, model.decode(0.5 * model._latents(2, 4)), rtol=0, atol=0)
    with pytest.raises(UserError, match="--temperature"):
        model.sample(1, temperature=-1)


def test_bad_arguments_are_refused():
    for arguments, words in (
        ({"prior": "logstic"}, "Did you mean logistic"),
        ({"couplings": 1}, "couplings"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"lr": 0.0}, "lr"),
    ):
        with pytest.raises(UserError, match=words):
            NICE(SMALL, **arguments)
    with pytest.raises(UserError, match="two numbers"):
        NICE(ImageSpec(1, 1, 1))


def test_moved_images_enter_the_loss(monkeypatch):
    """With `augment` the density is that of moved images: shifting them back gives it again."""
    torch.manual_seed(0)
    model = NICE(ImageSpec(1, 8, 8, 10), hidden=8, layers=1, augment=2)
    x = torch.rand(5, 1, 8, 8)
    seen = []
    monkeypatch.setattr(model, "_dequantised", lambda x: seen.append(x) or x)
    monkeypatch.setattr("zoo.models.flows.nice.record", lambda *_: None)
    model.training_step(Batch(x, torch.zeros(5, dtype=torch.int64)), 0)
    shifts = [
        moved(image[None], torch.tensor([[down, right]]))[0]
        for image in x for down in range(-2, 3) for right in range(-2, 3)
    ]  # fmt: skip
    for number, image in enumerate(seen[0]):
        own = shifts[25 * number : 25 * number + 25]
        assert any(torch.equal(image, shift) for shift in own)
    assert not torch.equal(seen[0], x)
