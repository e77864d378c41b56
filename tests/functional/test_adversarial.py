"""The losses of games at their known values."""

import math

import pytest
import torch

from zoo.functional.adversarial import (
    categorical_information,
    discriminator_loss,
    gaussian_information,
    generator_loss,
    gradient_penalty,
    packed,
    wasserstein_estimate,
)


def test_undecided_discriminator_costs_log_four():
    zeros = torch.zeros(5, dtype=torch.float64)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(math.log(4), abs=1e-12)


def test_best_discriminator_reaches_the_jensen_shannon_divergence():
    # On two discrete laws p, q the best D = p / (p + q) gives value 2 JSD - log 4; a flipped
    # sign on either side, or swapped roles, misses it.
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    logits = (p / q).log()
    n = 1000
    real = torch.repeat_interleave(logits, (p * n).round().long())
    fake = torch.repeat_interleave(logits, (q * n).round().long())
    middle = (p + q) / 2
    jsd = 0.5 * ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum())
    expected = math.log(4) - 2 * jsd.item()
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, abs=1e-12)


def test_generator_losses_are_what_they_are_called():
    logits = torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64)
    d = logits.sigmoid()
    assert generator_loss(logits).item() == pytest.approx(-d.log().mean().item(), abs=1e-12)
    saturating = generator_loss(logits, "minimax").item()
    assert saturating == pytest.approx((1 - d).log().mean().item(), abs=1e-12)


def test_non_saturating_gradient_stays_where_minimax_vanishes():
    logits = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (strong,) = torch.autograd.grad(generator_loss(logits), logits)
    (weak,) = torch.autograd.grad(generator_loss(logits, "minimax"), logits)
    assert strong.item() == pytest.approx(-1, abs=1e-6)
    assert abs(weak.item()) < 1e-8


def test_unknown_generator_loss_is_refused():
    with pytest.raises(ValueError, match="hinge"):
        generator_loss(torch.zeros(1), "hinge")


def test_losses_survive_extreme_logits():
    extreme = torch.tensor([1e4, -1e4])
    for loss in (discriminator_loss(extreme, extreme), generator_loss(extreme)):
        assert torch.isfinite(loss)


def test_categorical_information_equals_enumeration():
    # c uniform on K = 3, the image reveals c through a noisy channel P(x | c); with Q the true
    # posterior the bound is the mutual information itself, computed from the table.
    channel = torch.tensor(
        [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]], dtype=torch.float64
    )  # rows: c, columns: x
    joint = channel / 3
    px = joint.sum(0)
    known = torch.where(joint > 0, joint * (joint / (px / 3)).log(), torch.zeros(())).sum().item()
    posterior = (joint / px).clamp_min(1e-300).log()  # (c, x)
    counts = (joint * 300).round().long()
    codes, xs = [], []
    for c in range(3):
        for x in range(3):
            codes += [c] * int(counts[c, x])
            xs += [x] * int(counts[c, x])
    logits = posterior.T[torch.tensor(xs)]
    found = categorical_information(logits, torch.tensor(codes)).item()
    assert found == pytest.approx(known, abs=1e-12)


def test_information_is_zero_for_the_prior_and_below_the_entropy():
    codes = torch.arange(10)
    flat = torch.zeros(10, 10, dtype=torch.float64)
    assert categorical_information(flat, codes).item() == pytest.approx(0, abs=1e-12)
    sure = 100 * torch.eye(10, dtype=torch.float64)
    assert categorical_information(sure, codes).item() == pytest.approx(math.log(10), abs=1e-9)
    wrong = sure.roll(1, dims=0)
    assert categorical_information(wrong, codes).item() < -90


def test_gaussian_information_agrees_with_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(50, 3, generator=generator, dtype=torch.float64) * 2 - 1
    mean = u + 0.1 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
    for std in (1.0, 0.3):
        density = torch.distributions.Normal(mean, std).log_prob(u).sum(1).mean()
        entropy = 3 * torch.distributions.Uniform(-1.0, 1.0).entropy()
        found = gaussian_information(mean, u, std)
        assert found.item() == pytest.approx((density + entropy).item(), abs=1e-6)


# ------------------------------------------------------------------------ packing


def test_a_pack_joins_neighbours_along_the_channels():
    x = torch.arange(2 * 3 * 2 * 2 * 2.0).view(6, 2, 2, 2)
    packs = packed(x, 3)
    assert packs.shape == (2, 6, 2, 2)
    for number, pack in enumerate(packs):
        assert torch.equal(pack, torch.cat([x[3 * number + i] for i in range(3)]))
    assert torch.equal(packed(x, 1), x)


@pytest.mark.parametrize(("count", "size"), [(5, 2), (1, 2), (4, 0)])
def test_packs_have_no_rest(count, size):
    with pytest.raises(ValueError, match=f"{count} examples"):
        packed(torch.zeros(count, 1), size)


# ------------------------------------------------------------------------ critics


def test_a_constant_added_to_the_critic_changes_nothing():
    # Hinge losses, which pass for Wasserstein ones, fail here.
    real, fake = torch.randn(2, 50, dtype=torch.float64)
    before = wasserstein_estimate(real, fake)
    torch.testing.assert_close(wasserstein_estimate(real + 7, fake + 7), before)
    assert wasserstein_estimate(real + 7, fake) - before == pytest.approx(7)


def test_the_best_critic_of_two_points_estimates_their_distance():
    real, fake = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    critic = torch.tensor([0.6, 0.8])  # slope 1, along the line between the points
    assert wasserstein_estimate(real @ critic, fake @ critic).item() == pytest.approx(5)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_penalty_of_a_linear_critic_is_known(slope, shape):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    weight *= slope / weight.norm()
    real, fake = torch.randn(2, 7, *shape, generator=generator, dtype=torch.float64)
    mix = torch.rand(7, generator=generator, dtype=torch.float64)

    def critic(x):
        return (x * weight).flatten(1).sum(1) + 5

    found = gradient_penalty(critic, real, fake, mix).item()
    assert found == pytest.approx((slope - 1) ** 2, abs=1e-12)


def test_penalty_averages_the_slope_of_each_example():
    # f(x) = |x|^2 / 2 has the slope |x|. The norm of a whole batch's gradient, the slope at the
    # real or generated examples, mixed-up weights and a missing square all give other numbers.
    generator = torch.Generator().manual_seed(2)
    real, fake = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    mix = torch.rand(6, generator=generator, dtype=torch.float64)
    between = mix[:, None] * real + (1 - mix[:, None]) * fake
    expected = (between.norm(dim=1) - 1).square().mean()
    found = gradient_penalty(lambda x: x.square().sum(1) / 2, real, fake, mix)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_penalty_trains_the_critic_and_nothing_else():
    weight = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    real = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    mix = torch.rand(4, dtype=torch.float64)
    gradient_penalty(lambda x: (x * weight).sum(1), real, fake, mix).backward()
    # d (|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(weight.grad, 2 * 4 * torch.tensor([0.6, 0.8]).double())
    # a curved critic's slope depends on where it is taken, and still nothing moves the examples
    gradient_penalty(lambda x: (x.square() * weight).sum(1), real, fake, mix).backward()
    assert real.grad is None and fake.grad is None


def test_penalty_of_a_flat_critic_has_a_finite_gradient():
    weight = torch.zeros(2, requires_grad=True)
    x = torch.randn(3, 2)
    gradient_penalty(lambda x: (x * weight).sum(1), x, -x, torch.rand(3)).backward()
    assert torch.isfinite(weight.grad).all()


def test_penalty_refuses_shapes_that_would_broadcast():
    x = torch.zeros(3, 2)
    for real, fake, mix in ((x, x[:1], x[:, 0]), (x, x, x), (x, x, x[:1, 0])):
        with pytest.raises(ValueError, match="got shapes"):
            gradient_penalty(lambda x: x.sum(1), real, fake, mix)
