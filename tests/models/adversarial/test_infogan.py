"""InfoGAN: which gradients flow where, and what its answers mean."""

import warnings

import lightning as L
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.models import InfoGAN

SPEC = ImageSpec(1, 8, 8, 10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return InfoGAN(SPEC, noise_dim=6, categories=5, continuous=2, width=4, features=8, jitter=0.1)


def draw(model, n=16):
    z, c, u = model._latents(n, 0)
    return torch.rand(n, 1, 8, 8), model._join(z, c, u), c, u


def test_discriminator_step_leaves_the_generator_alone(model):
    x, latent, c, u = draw(model)
    fake = model.generator(latent).sigmoid()
    terms = model.discriminator_terms(x, fake.detach(), c, u)
    model._objective(terms, "discriminator_loss").backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.trunk.parameters())


def test_information_in_the_discriminator_step_trains_the_code_head_only(model):
    # Without the detach, G and Q would agree on a code of their own through the shared layers.
    x, latent, c, u = draw(model)
    terms = model.discriminator_terms(x, model.generator(latent).sigmoid().detach(), c, u)
    terms["categorical_information_nats"].backward()
    assert all(p.grad is None for p in model.trunk.parameters())
    assert all(p.grad is None for p in model.discriminator_head.parameters())
    assert any(p.grad is not None for p in model.code_head.parameters())


def test_agreement_asks_q_to_repeat_its_sure_answers_on_moved_copies(model, monkeypatch):
    x, latent, c, u = draw(model)
    fake = model.generator(latent).sigmoid().detach()
    assert "disagreement_nats" not in model.discriminator_terms(x, fake, c, u)
    model.jitter = 0.0  # so that the moved copies are the images themselves
    answers = model.encode(x)[:, :5]
    half = float(answers.max(dim=1).values.median())
    monkeypatch.setattr("zoo.models.adversarial.infogan.SURE", half)
    sure = answers.max(dim=1).values > half
    model.eval()  # one mode for both sides
    terms = model.discriminator_terms(x, fake, c, u, agree=True)
    expected = -(answers.max(dim=1).values.log() * sure).mean()
    torch.testing.assert_close(terms["disagreement_nats"], expected)
    assert model._objective(terms, "discriminator_loss") > model._objective(
        {**terms, "disagreement_nats": torch.tensor(0.0)}, "discriminator_loss"
    )


def test_agreement_trains_the_code_head_only(model, monkeypatch):
    monkeypatch.setattr("zoo.models.adversarial.infogan.SURE", 0.0)
    x, latent, c, u = draw(model)
    fake = model.generator(latent).sigmoid().detach()
    model.discriminator_terms(x, fake, c, u, agree=True)["disagreement_nats"].backward()
    assert all(p.grad is None for p in model.trunk.parameters())
    assert any(p.grad is not None for p in model.code_head.parameters())


def test_information_reaches_the_generator(model):
    _, latent, c, u = draw(model)
    terms = model.generator_terms(model.generator(latent).sigmoid(), c, u)
    terms["categorical_information_nats"].backward()
    assert model.generator.project[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("code", ["categorical", "continuous"])
def test_each_weight_scales_its_own_term(model, code):
    _, latent, c, u = draw(model)
    terms = model.generator_terms(model.generator(latent).sigmoid(), c, u)
    before = model._objective(terms, "generator_loss")
    setattr(model, f"{code}_weight", getattr(model, f"{code}_weight") + 1.0)
    change = model._objective(terms, "generator_loss") - before
    torch.testing.assert_close(change, -terms[f"{code}_information_nats"])


def test_more_information_lowers_the_objective(model):
    # A flipped sign would make G hide its codes.
    base = {"generator_loss": torch.tensor(1.0), "continuous_information_nats": torch.tensor(0.0)}
    less = model._objective(
        {**base, "categorical_information_nats": torch.tensor(0.1)}, "generator_loss"
    )
    more = model._objective(
        {**base, "categorical_information_nats": torch.tensor(0.2)}, "generator_loss"
    )
    assert more < less


def test_samples_use_the_average_not_the_raw_generator(model):
    before = model.sample(4, seed=0)
    with torch.no_grad():
        for p in model.generator.parameters():
            p.add_(1.0)
    torch.testing.assert_close(model.sample(4, seed=0), before, rtol=0, atol=0)


def test_label_fixes_the_category(model):
    z, _, u = model._latents(3, 5)
    expected = model.decode(model._join(z, torch.full((3,), 2), u))
    torch.testing.assert_close(model.sample(3, seed=5, label=2), expected)


def test_traversal_changes_only_its_code(model):
    seen = []
    model.decode = lambda latent: seen.append(latent) or torch.zeros(len(latent), *SPEC.shape)
    model.traverse("category", rows=2)
    model.traverse("continuous2", rows=2, steps=7)
    category, continuous = seen
    category = category.unflatten(0, (2, 5))
    assert torch.equal(category[0, :, 6:11], torch.eye(5))  # every value once, in order
    assert category[:, :, :6].std(dim=1).max() == 0  # the noise stays
    continuous = continuous.unflatten(0, (2, 7))
    changing = continuous.std(dim=1).amax(dim=0) > 0
    assert changing.nonzero().flatten().tolist() == [6 + 5 + 1]
    assert continuous[0, [0, -1], -1].tolist() == [-2, 2]


def test_interpolation_starts_and_ends_at_samples_of_one_category(model):
    path = model.interpolate(rows=2, steps=5, seed=3)
    z, c, u = model._latents(4, 3)
    torch.testing.assert_close(path[:, 0], model.decode(model._join(z[:2], c[:2], u[:2])))
    torch.testing.assert_close(path[:, -1], model.decode(model._join(z[2:], c[:2], u[2:])))


def test_posterior_is_a_posterior(model):
    q = model.encode(torch.rand(6, *SPEC.shape))
    torch.testing.assert_close(q[:, :5].sum(1), torch.ones(6))
    x = torch.rand(6, *SPEC.shape)
    assert torch.equal(model.classify(x), model.encode(x)[:, :5].argmax(1))


def test_an_answer_does_not_depend_on_its_neighbours(model):
    x = torch.rand(6, *SPEC.shape)
    torch.testing.assert_close(model.encode(x)[:1], model.encode(x[:1]))


def test_without_continuous_codes(model):
    plain = InfoGAN(SPEC, categories=3, continuous=0, width=4, features=8)
    assert plain.codes() == ("category",)
    terms = plain.generator_terms(
        torch.rand(4, *SPEC.shape), torch.tensor([0, 1, 2, 0]), torch.zeros(4, 0)
    )
    assert "continuous_information_nats" not in terms
    assert torch.isfinite(plain._objective(terms, "generator_loss"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"categories": 1}, "categories must be at least 2"),
        ({"continuous": -1}, "continuous must be at least 0"),
        ({"width": 0}, "width must be at least 1"),
        ({"ema_decay": 1.0}, "ema_decay must lie in"),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        InfoGAN(SPEC, **arguments)


def test_annealing_and_rates_follow_the_plan(model, tmp_path):
    # 10 batches: the information's share grows geometrically from anneal_from to 1 at 60 %, and
    # the rates fall linearly to zero over the second half.
    shares, rates = [], []
    objective = model._objective

    def spy(terms, loss, share=1.0):
        if loss == "generator_loss":
            shares.append(share)
            rates.append([o.param_groups[0]["lr"] for o in model.optimizers()])
        return objective(terms, loss, share)

    model._objective = spy
    trainer = L.Trainer(
        max_epochs=1, limit_train_batches=10, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        default_root_dir=tmp_path, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, DATASETS["Digits"](batch_size=32))
    start = model.anneal_from
    expected = [start ** max(0, 1 - i / 6) for i in range(10)]
    assert shares == pytest.approx(expected) and shares[0] == start and shares[6:] == [1.0] * 4
    falling = [min(1.0, 2 * (1 - i / 10)) for i in range(10)]
    assert [d for d, _ in rates] == pytest.approx([model.lr_discriminator * f for f in falling])
    assert [g for _, g in rates] == pytest.approx([model.lr_generator * f for f in falling])


def test_code_prior_lifts_the_code_that_real_images_use_too_little(model):
    # After a step down the gradient the neglected code has gained; a flipped sign would starve it.
    features = torch.randn(64, 8)
    model.code_share.copy_(torch.tensor([0.4, 0.15, 0.15, 0.25, 0.05]))

    def shares():
        return model.code_head(features)[:, :5].softmax(1).mean(0)

    before = shares().detach()
    last = model.code_head[-1].bias
    (slope,) = torch.autograd.grad(model._prior(model.code_head(features)[:, :5]), last)
    with torch.no_grad():
        last -= slope
    change = shares().detach() - before
    assert change[4] > 0 > change[0]


def test_code_prior_is_silent_where_the_codes_are_balanced(model):
    model.code_share.fill_(0.2)
    with torch.no_grad():
        model.code_head[-1].weight.zero_()
        model.code_head[-1].bias.zero_()
    value = model._prior(model.code_head(torch.randn(16, 8))[:, :5])
    assert value.abs().item() < 1e-6


def test_code_prior_trains_the_code_head_only(model):
    x, latent, c, u = draw(model)
    model.code_share.copy_(torch.tensor([0.4, 0.15, 0.15, 0.25, 0.05]))
    terms = model.discriminator_terms(x, model.generator(latent).sigmoid().detach(), c, u)
    terms["code_prior_nats"].backward()
    assert all(p.grad is None for p in model.trunk.parameters())
    assert model.code_head[-1].weight.grad.abs().sum() > 0


def test_running_share_follows_real_images(model):
    with torch.no_grad():
        model.code_head[-1].weight.zero_()
        model.code_head[-1].bias.copy_(torch.tensor([9.0, 0, 0, 0, 0, 0, 0]))
    before = model.code_share[0].item()
    model._prior(model.code_head(torch.randn(16, 8))[:, :5])
    assert model.code_share[0].item() == pytest.approx(before + 0.01 * (1 - before), rel=2e-3)
    assert model.code_share.sum().item() == pytest.approx(1, abs=1e-5)
