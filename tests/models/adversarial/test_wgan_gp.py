"""WGAN-GP: its algorithm step by step, and which gradients flow where."""

import warnings

import lightning as L
import pytest
import torch
from torch import nn

from zoo.core.errors import UserError
from zoo.data import DATASETS, GaussianGrid, ImageSpec
from zoo.functional.adversarial import gradient_penalty
from zoo.functional.ranges import centred
from zoo.models import WGANGP
from zoo.nets.resnet import ResNetCritic

GREY, COLOUR, PLANE = ImageSpec(1, 8, 8, 10), ImageSpec(3, 16, 16, 0), GaussianGrid.native
SPECS = [GREY, COLOUR, PLANE]


def make(spec=GREY, **arguments):
    torch.manual_seed(0)
    return WGANGP(spec, **{"latent_dim": 6, "width": 8, **arguments})


def fit(model, path, batches=4, epochs=1, data=None):
    trainer = L.Trainer(
        max_epochs=epochs, limit_train_batches=batches, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        default_root_dir=path, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data or DATASETS["Digits"](batch_size=16))
    return trainer


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_score_depends_on_another_image(spec):
    model, x = make(spec), torch.rand(5, *spec.shape)
    assert not any("BatchNorm" in type(m).__name__ for m in model.critic.modules())
    torch.testing.assert_close(model.scores(x)[:1], model.scores(x[:1]), atol=1e-6, rtol=1e-5)


def test_networks_follow_from_the_images():
    assert isinstance(make(COLOUR).critic[0], ResNetCritic)
    assert any(isinstance(m, nn.ConvTranspose2d) for m in make(GREY).generator.modules())
    assert not any(isinstance(m, nn.Conv2d) for m in make(PLANE).critic.modules())
    assert isinstance(make(GREY, network="resnet").critic[0], ResNetCritic)
    assert [make(s).prefers_bf16 for s in SPECS] == [True, True, False]


def test_terms_are_the_estimate_and_the_penalty_on_the_same_images():
    model, x, fake = make(), torch.rand(7, *GREY.shape), torch.rand(7, *GREY.shape)
    torch.manual_seed(4)
    terms = model.critic_terms(x, fake)
    expected = model.scores(x).mean() - model.scores(fake).mean()
    torch.testing.assert_close(terms["wasserstein_estimate"], expected)
    torch.manual_seed(4)
    real, other = centred(x, points=False), centred(fake, points=False)
    penalty = gradient_penalty(model.critic, real, other, torch.rand(7))
    torch.testing.assert_close(terms["gradient_penalty"], penalty)
    assert penalty > 0.1  # a fresh critic is nearly flat


def test_the_penalty_is_computed_in_float32_under_autocast():
    model, x, fake = make(), torch.rand(7, *GREY.shape), torch.rand(7, *GREY.shape)
    torch.manual_seed(4)
    plain = model.critic_terms(x, fake)
    torch.manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.critic_terms(x, fake)
    torch.testing.assert_close(
        mixed["gradient_penalty"], plain["gradient_penalty"], rtol=1e-6, atol=0
    )
    assert mixed["wasserstein_estimate"] != plain["wasserstein_estimate"]  # this one is coarse


def test_the_critic_climbs_and_the_generator_follows(tmp_path):
    """A flipped sign anywhere makes one of the two run away from its aim."""
    model, x = make(gp_weight=1.0), torch.rand(64, *GREY.shape)
    fake = torch.rand(64, *GREY.shape) * 0.5
    optimizer, found = torch.optim.Adam(model.critic.parameters(), 1e-3), []
    for _ in range(30):
        terms = model.critic_terms(x, fake)
        found.append(terms["wasserstein_estimate"].item())
        optimizer.zero_grad()
        (terms["gradient_penalty"] - terms["wasserstein_estimate"]).backward()
        optimizer.step()
    assert found[-1] > found[0] + 0.1
    # along the generator's gradient its images gain in the critic's eyes
    fake.requires_grad_(True)
    (slope,) = torch.autograd.grad(model.generator_loss(fake), fake)
    with torch.no_grad():
        assert model.scores(fake - 10 * slope).mean() > model.scores(fake).mean()


def test_training_takes_the_critic_uphill(tmp_path):
    """The step itself, not a copy of it: the estimate on the very images it saw has grown."""
    model, seen = make(gp_weight=0.0, lr=1e-3), []
    terms = model.critic_terms

    def spy(x, fake):
        found = terms(x, fake)
        seen.append((x, fake, found["wasserstein_estimate"].item()))
        return found

    model.critic_terms = spy
    fit(model, tmp_path, batches=1)
    ((x, fake, before),) = seen
    assert terms(x, fake)["wasserstein_estimate"] > before + 0.01


def spied(model):
    """Lists the turns: c for the critic, g for the generator, with what was trainable."""
    turns = []
    terms, loss = model.critic_terms, model.generator_loss

    def critic_terms(x, fake):
        turns.append("c")
        assert not fake.requires_grad
        return terms(x, fake)

    def generator_loss(fake):
        turns.append("g")
        assert fake.requires_grad and not any(p.requires_grad for p in model.critic.parameters())
        return loss(fake)

    model.critic_terms, model.generator_loss = critic_terms, generator_loss
    return turns


def test_the_generator_moves_after_every_n_th_critic_step_over_the_ends_of_epochs(tmp_path):
    model = make(n_critic=3)
    turns = spied(model)
    trainer = fit(model, tmp_path, batches=4, epochs=2)
    assert "".join(turns) == "cccgcccgcc"
    assert trainer.global_step == 8  # critic steps, one for each batch


def test_between_its_turns_the_generator_stays_as_it_is(tmp_path):
    model = make(n_critic=5)
    before = {name: p.clone() for name, p in model.named_parameters()}
    fit(model, tmp_path, batches=4)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {name.partition(".")[0] for name in moved} == {"critic"}
    fit(model, tmp_path, batches=5)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {name.partition(".")[0] for name in moved} == {"critic", "generator", "generator_ema"}


def test_the_weight_of_the_penalty_is_heeded(tmp_path):
    """A critic that pays nothing for its slope grows steep; one that pays dearly has slope 1."""
    slopes = {}
    for weight in (0.0, 100.0):
        model = make(PLANE, gp_weight=weight, lr=3e-3, width=16)
        fit(model, tmp_path, batches=60, data=GaussianGrid(batch_size=64))
        x = torch.rand(200, *PLANE.shape)
        inside = centred(x, points=True).requires_grad_(True)
        (slope,) = torch.autograd.grad(model.critic(inside).sum(), inside)
        slopes[weight] = slope.flatten(1).norm(dim=1).mean().item()
    assert slopes[0.0] > 2 and 0.5 < slopes[100.0] < 1.2


def test_plain_adam_with_the_betas_of_the_paper():
    critic, generator = make().configure_optimizers()
    assert type(critic) is type(generator) is torch.optim.Adam
    for optimizer in (critic, generator):
        group = optimizer.param_groups[0]
        assert group["betas"] == (0.0, 0.9) and group["lr"] == 1e-4


def test_samples_use_the_average():
    model = make()
    before = model.sample(4, seed=0)
    with torch.no_grad():
        for p in model.generator.parameters():
            p.add_(1.0)
    torch.testing.assert_close(model.sample(4, seed=0), before, rtol=0, atol=0)


def test_a_walk_starts_and_ends_at_samples():
    model = make()
    walk, ends = model.interpolate(rows=2, steps=5, seed=3), model.decode(model._latents(4, 3))
    torch.testing.assert_close(walk[:, 0], ends[:2])
    torch.testing.assert_close(walk[:, -1], ends[2:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_critic": 0}, "n_critic must be at least 1"),
        ({"gp_weight": -1.0}, "gp_weight must be at least 0"),
        ({"network": "resnets"}, "Did you mean resnet"),
        ({"betas": (0.5, 1.0)}, "betas must lie in"),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        make(**arguments)
