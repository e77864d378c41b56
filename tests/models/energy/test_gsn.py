"""GSN: its chain on a toy of three bits, its walk against finite differences."""

import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import GSN

THREE = ImageSpec(1, 1, 3)
STATES = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
LAW = torch.tensor([0.3, 0.02, 0.08, 0.1, 0.05, 0.15, 0.2, 0.1])
SHARE = 0.4


def small(**options):
    torch.manual_seed(0)
    return GSN(ImageSpec(1, 2, 3), **{"hidden": (5, 4), **options})


def places(x):
    return (x.flatten(1) @ torch.tensor([4.0, 2.0, 1.0])).long()


def corruption():
    """C(corrupted | image) of salt and pepper on three bits, (8, 8), in closed form."""
    same = (STATES[:, None] == STATES[None]).float()
    return (same * (1 - SHARE / 2) + (1 - same) * SHARE / 2).prod(2)


def exact_update(self, v, hidden, generator, noisy=True):
    """Draws an image by what three bits say of a corrupted one: a denoiser that knows all."""
    posterior = LAW[:, None] * corruption()
    drawn = torch.multinomial(posterior.T[places(v)], 1, generator=generator)[:, 0]
    return (2 * STATES[drawn] - 1) * 100, hidden


def test_the_chain_of_a_known_denoiser_has_the_law_of_the_data(monkeypatch):
    """Rejects a corrupted state taken for a sample: that is the reverse order's stationary law."""
    forward = corruption() @ (LAW[:, None] * corruption() / (LAW @ corruption())).T
    law = torch.full((8,), 1 / 8)
    for _ in range(200):  # by powers of the transition: image, corrupted, image
        law = law @ forward
    torch.testing.assert_close(law, LAW, atol=1e-5, rtol=0)
    reverse = LAW @ corruption()
    assert (reverse - LAW).abs().max() > 0.05

    monkeypatch.setattr(GSN, "_update", exact_update)
    model = GSN(THREE, hidden=(4,), corruption=SHARE, burn_in=20)
    for images in (model.sample(20_000, seed=0), model.chain(rows=10_000, steps=2)[:, 1]):
        found = torch.bincount(places(images.round()), minlength=8) / len(images)
        assert (found - LAW).abs().max() < 0.015


def test_samples_are_read_after_the_chain_has_burnt_in(monkeypatch):
    steps, update = [], GSN._update
    monkeypatch.setattr(GSN, "_update", lambda *given, **named: steps.append(1) or update(
        *given, **named))  # fmt: skip
    model = small(burn_in=7)
    images = model.sample(3, seed=1)
    assert len(steps) == 7
    states = model.chain(rows=3, steps=4, seed=1)
    assert len(steps) == 7 + 10 and states.shape == (3, 4, 1, 2, 3)
    torch.testing.assert_close(states[:, 0], images)  # the same chain from the same seed
    assert not torch.equal(states[:, 1], states[:, 0])


def test_the_gradient_flows_through_all_steps_of_the_walk():
    """By finite differences: rejects layers cut off between steps, and half of a tied weight."""
    model = small(walkback=3, noise=0.5).double()
    x = torch.rand(4, 1, 2, 3, generator=torch.Generator().manual_seed(1)).double()

    def loss():
        torch.manual_seed(5)
        return torch.stack(model.terms(x)).sum()

    loss().backward()
    for weight in model.parameters():
        place = tuple(int(i) for i in torch.tensor(weight.shape) // 2)
        slopes = []
        for away in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] += away
            slopes.append(loss().item())
            with torch.no_grad():
                weight[place] -= away
        wanted = (slopes[0] - slopes[1]) / 2e-6
        assert weight.grad[place] == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_the_loss_is_the_sum_over_the_walk():
    """Rejects the last step's alone, and a mean: it grows with the walk, and begins alike."""
    x = torch.rand(4, 1, 2, 3)
    found = []
    for walkback in (1, 3):
        model = small(walkback=walkback)
        torch.manual_seed(5)
        found.append(model.terms(x))
    assert len(found[0]) == 1 and len(found[1]) == 3 and found[0][0] == found[1][0]
    assert len({float(term.detach()) for term in found[1]}) == 3


def test_there_is_noise_in_the_chain_and_none_in_a_reconstruction():
    """Rejects noise on the first layer, before the nonlinearity alone, and in reconstructions."""
    model = small()
    v = torch.rand(2000, 6)
    hidden = model._still(v)
    one, two = (model._update(v, hidden, None)[1] for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert (one[1] - two[1]).std() > 2 * 1.4  # two draws of noise after tanh, and more before
    quiet = model._update(v, hidden, None, noisy=False)[1]
    assert quiet[1].abs().max() <= 1 < one[1].abs().max()
    x = torch.rand(3, 1, 2, 3)
    assert torch.equal(model.reconstruct(x), model.reconstruct(x))


def test_known_pixels_stay():
    model, x = small(), torch.rand(5, 1, 2, 3)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    done = model.complete(x, mask, seed=1)
    assert torch.equal(done[:, 0, ~mask], x[:, 0, ~mask])
    assert not torch.equal(done[:, 0, mask], model.complete(x, mask, seed=2)[:, 0, mask])


@pytest.mark.parametrize(
    "wrong", [{"hidden": (0,)}, {"walkback": 0}, {"corruption": 1.5}, {"noise": -1.0},
              {"burn_in": 0}],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        GSN(THREE, **wrong)
