"""Real NVP: its density with every Jacobian, its inverse, and what its knobs do."""

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import RealNVP
from zoo.nets.affine import ActNorm, BatchNorm

SMALL = ImageSpec(1, 4, 8)
COLOUR = ImageSpec(3, 4, 4)
POINTS = ImageSpec(2, 1, 1)
TINY = {"width": 4, "blocks": 1, "couplings": 2}


def scrambled(spec=SMALL, scale=0.1, **arguments):
    """Makes a model in float64 with random weights everywhere, in training and in the average."""
    torch.manual_seed(0)
    model = RealNVP(spec, **{**TINY, **arguments}).double().train()
    model._log_density(model.density, levels(64, *spec.shape) * 0.9 + 0.05)
    with torch.no_grad():
        for parameter in model.density.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    model.density_ema.module.load_state_dict(model.density.state_dict())
    return model.eval()


def levels(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, shape, generator=generator).double() / 255


def law_of(density, z):
    """Log-density of latents by their law alone; a learnt one is asked stage by stage."""
    if not hasattr(density, "laws"):
        return density.base.log_prob(z)
    parts, onward, _ = density.flow.split(density.inverse(z))
    triples = zip(density.laws, parts, onward, strict=True)
    return sum(law.log_prob(part, context) for law, part, context in triples)


@pytest.mark.parametrize("prior", ["normal", "mixture"])
@pytest.mark.parametrize("norm", ["activation", "batch"])
@pytest.mark.parametrize("spec", [SMALL, COLOUR, POINTS], ids=str)
def test_log_density_is_the_change_of_variables(spec, norm, prior):
    """From pixels in [0, 1] to latents, preprocessing and both scales included."""
    if spec.points and prior == "mixture":
        with pytest.raises(UserError, match="for images"):
            scrambled(spec, prior=prior)
        return
    model = scrambled(spec, norm=norm, prior=prior)
    y, size = 0.9 * levels(2, *spec.shape) + 0.05, spec.size

    def latents(v):
        return model.density.latents(torch.logit(0.05 + 0.9 * v[None]))[0][0]

    for one, found in zip(y, model._log_density(model.density, y)[0], strict=True):
        jacobian = torch.autograd.functional.jacobian(latents, one).reshape(size, size)
        base = law_of(model.density, latents(one)[None])[0]
        expected = base + torch.linalg.slogdet(jacobian).logabsdet
        assert found.item() == pytest.approx(expected.item(), abs=1e-8)


def test_a_density_of_the_plane_integrates_to_one():
    """Over all that the logit can take, a little beyond [0, 1]; one Jacobian less and it is off."""
    model = scrambled(POINTS)
    with torch.no_grad():
        model.density.standardise.log_scale.add_(1)  # so that its tails end where the grid does
    edges = torch.linspace(-22, 22, 1201, dtype=torch.float64)  # fine cells where y has its ends
    ends, middles = ((v.sigmoid() - 0.05) / 0.9 for v in (edges, (edges[1:] + edges[:-1]) / 2))
    areas = torch.outer(ends.diff(), ends.diff()).flatten()
    grid = torch.cartesian_prod(middles, middles)[:, :, None, None]
    with torch.no_grad():
        mass = (model._log_density(model.density, grid)[0].exp() * areas).sum()
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_log_prob_of_pixels_is_that_of_dequantised_ones():
    model, x = scrambled(), levels(3, *SMALL.shape)
    torch.manual_seed(3)
    found = model.log_prob(x)
    torch.manual_seed(3)
    y = (255 * x + torch.rand(x.shape).double()) / 256
    torch.testing.assert_close(found, model._log_density(model.density, y)[0], rtol=0, atol=1e-12)
    assert not torch.equal(model.log_prob(x), found)  # another draw
    points, model = levels(3, *POINTS.shape), scrambled(POINTS)
    assert torch.equal(model.log_prob(points), model._log_density(model.density, points)[0])


@pytest.mark.parametrize("norm", ["activation", "batch"])
@pytest.mark.parametrize("spec", [SMALL, COLOUR, POINTS], ids=str)
def test_decode_undoes_encode(spec, norm):
    model, x = scrambled(spec, norm=norm), levels(5, *spec.shape)
    z = model.encode(x)
    assert z.shape == (5, spec.size)
    torch.testing.assert_close(model.decode(z), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=0, atol=1e-5)


def test_every_pixel_can_move_every_pixel_of_its_latents_stage():
    """Both masks in turn: no latent depends on its own pixel alone."""
    model = scrambled(COLOUR, couplings=4)
    x = torch.logit(0.8 * levels(*COLOUR.shape) + 0.1)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: model.density.latents(v[None])[0][0], x
    ).reshape(48, 48)
    assert ((jacobian != 0).sum(dim=1) > 24).all()


def test_answers_do_not_depend_on_neighbours_and_leave_statistics_alone():
    model, x = scrambled(norm="batch"), levels(6, *SMALL.shape)
    model.train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.testing.assert_close(model.encode(x)[:1], model.encode(x[:1]), rtol=0, atol=1e-10)
    model.log_prob(x)
    assert model.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_temperature_narrows_samples_and_zero_gives_one_image(prior):
    model = scrambled(prior=prior).float()
    still = model.sample(3, seed=0, temperature=0)
    torch.testing.assert_close(still, model.decode(torch.zeros(3, 32)), rtol=0, atol=0)
    half = model.sample(2, seed=4, temperature=0.5)
    if prior == "normal":
        assert torch.equal(half, model.decode(0.5 * model._latents(2, 4)))
    assert not torch.equal(model.sample(2, seed=4), half)
    assert torch.equal(model.sample(2, seed=4), model.sample(2, seed=4))
    with pytest.raises(UserError, match="--temperature"):
        model.sample(1, temperature=-1)


def test_a_learnt_law_is_drawn_as_it_is_scored():
    """Latents that were drawn, decoded and encoded again are the same, each stage in its place."""
    model = scrambled(COLOUR, prior="mixture")
    z = model._latents(3, 0)
    assert z.shape == (3, 48)
    torch.testing.assert_close(
        model.density_ema.module.latents(model.density_ema.module.inverse(z))[0], z,
        rtol=0, atol=1e-8,
    )  # fmt: skip
    *_, coarse = model.density.flow.part_shapes
    with torch.no_grad():  # the coarsest stage decides the finer ones' law
        model.density_ema.module.laws[1].start.add_(1)
    other = model._latents(3, 0)
    fine = 48 - coarse[0] * coarse[1] * coarse[2]
    assert not torch.equal(other[:, :fine], z[:, :fine])


def test_knobs_choose_their_layers():
    kinds = {"activation": ActNorm, "batch": BatchNorm}
    for norm, kind in kinds.items():
        model = RealNVP(SMALL, **TINY, norm=norm)
        assert sum(isinstance(m, kind) for m in model.density.flow.modules()) == 2 * (1 + 4)
    wide, narrow = (
        sum(p.numel() for p in RealNVP(SMALL, **{**TINY, "width": w}).density.parameters())
        for w in (8, 4)
    )
    assert wide > 2 * narrow


def test_bad_arguments_are_refused():
    for arguments, words in (
        ({"prior": "norml"}, "Did you mean normal"),
        ({"norm": "none"}, "activation, batch"),
        ({"alpha": 0.5}, "alpha"),
        ({"couplings": 1}, "couplings"),
        ({"scales": 3}, "4x8 cannot be halved 3 times"),
    ):
        with pytest.raises(UserError, match=words):
            RealNVP(SMALL, **arguments)
