"""InfoGAN: which gradients flow where, and what its answers mean."""

import copy
import warnings

import lightning as L
import pytest
import torch
from torch import nn

from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.models import InfoGAN

SPEC = ImageSpec(1, 8, 8, 10)


PLUS = {
    "own_layers": True, "anneal_from": 0.05, "prior_weight": 0.5, "agreement_weight": 1.0,
    "jitter": 0.1, "dropout": 0.2, "real_statistics": True, "decay": 0.5, "ema_decay": 0.99,
}  # fmt: skip


def make(**options):
    torch.manual_seed(0)
    small = {"noise_dim": 6, "categories": 5, "continuous": 2, "width": 4, "features": 8}
    return InfoGAN(SPEC, **{**small, **options})


@pytest.fixture
def model():
    return make()


@pytest.fixture
def plus():
    return make(**PLUS, continuous_weight=0.1, lr_discriminator=4e-4)


def draw(model, n=16):
    torch.manual_seed(1)
    z, c, u = model._latents(n, 0)
    return torch.rand(n, 1, 8, 8), model._join(z, c, u), c, u


def fit(model, tmp_path, batches=10, **options):
    trainer = L.Trainer(
        max_epochs=1, limit_train_batches=batches, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        default_root_dir=tmp_path, use_distributed_sampler=False, **options,
    )  # fmt: skip
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, DATASETS["Digits"](batch_size=32))
    return model


# ---------------------------------------------------------------- the paper's two steps


def test_the_steps_are_those_of_the_paper(tmp_path):
    # One batch by hand with torch's own losses: rejects information left out of either step, cut
    # from the shared layers, of the wrong sign or weight, a minimax generator, other rates.
    model, seen = make(categorical_weight=0.7, continuous_weight=0.3), []
    start = copy.deepcopy(model).double()
    draws = model._latents
    model._latents = lambda n, seed: seen.append(draws(n, seed)) or seen[-1]
    terms = model.discriminator_terms
    model.discriminator_terms = lambda x, *rest: seen.append(x) or terms(x, *rest)
    fit(model, tmp_path, batches=1, precision="64-true")
    (z, c, u), x = seen

    judges = nn.ModuleList([start.trunk, start.discriminator_head, start.code_head])
    adam_d = torch.optim.Adam(judges.parameters(), 2e-4, (0.5, 0.999))
    adam_g = torch.optim.Adam(start.generator.parameters(), 1e-3, (0.5, 0.999))
    latent = torch.cat([z, nn.functional.one_hot(c, 5), u], dim=1).double()
    fake = start.generator(latent).sigmoid()

    def information(q):
        categorical = torch.distributions.Categorical(logits=q[:, :5]).log_prob(c).mean()
        normal = torch.distributions.Normal(q[:, 5:], 1.0).log_prob(u).sum(dim=1).mean()
        return 0.7 * categorical + 0.3 * normal

    def judge(images):
        features = start.trunk(images)
        return start.discriminator_head(features).sigmoid(), start.code_head(features)

    real, _ = judge(x)
    generated, q = judge(fake.detach())
    loss = -(real.log() + (1 - generated).log()).mean() - information(q)
    loss.backward()
    adam_d.step()
    judges.zero_grad()
    generated, q = judge(fake)
    (-generated.log().mean() - information(q)).backward()
    adam_g.step()
    for (name, ours), by_hand in zip(model.named_parameters(), start.parameters(), strict=True):
        if not name.startswith("generator_ema"):
            torch.testing.assert_close(ours, by_hand, rtol=1e-9, atol=1e-9, msg=name)
    assert (model.trunk.layers[0].weight - make().trunk.layers[0].weight).abs().max() > 1e-4


def test_discriminator_step_leaves_the_generator_alone(model):
    x, latent, c, u = draw(model)
    terms = model.discriminator_terms(x, model.generator(latent).sigmoid().detach(), c, u)
    (terms["discriminator_loss"] - model._weighted_information(terms)).backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(p.grad is not None for p in model.trunk.parameters())


@pytest.mark.parametrize("who", ["discriminator", "generator"])
def test_information_trains_q_the_shared_layers_and_the_generator(model, who):
    # Rejects the cut before Q's head, which is what goes beyond the paper.
    x, latent, c, u = draw(model)
    fake = model.generator(latent).sigmoid()
    ours = who == "generator"
    terms = (
        model.generator_terms(fake, c, u)
        if ours
        else model.discriminator_terms(x, fake.detach(), c, u)
    )
    for name in ("categorical", "continuous"):
        model.zero_grad()
        terms[f"{name}_information_nats"].backward(retain_graph=True)
        assert all(p.grad.abs().sum() > 0 for p in model.trunk.parameters() if p.dim() > 1)
        assert model.code_head[-1].weight.grad.abs().sum() > 0
        assert all(p.grad is None for p in model.discriminator_head.parameters())
        reached = model.generator.project[-1].weight.grad
        assert (reached.abs().sum() > 0) if ours else reached is None


def test_defaults_are_the_papers(model):
    # Each of these, switched on, is more than the paper; rejects a default that was left on.
    assert not model.goes_beyond
    assert (model.lr_discriminator, model.lr_generator) == (2e-4, 1e-3)
    assert model.categorical_weight == model.continuous_weight == 1.0
    assert not any(isinstance(m, nn.Dropout) for m in model.modules())
    for name in PLUS.keys() - {"dropout", "ema_decay"}:
        assert make(**{name: PLUS[name]}).goes_beyond, name


def test_arguments_of_cards_from_before_still_build(model):
    # Every argument that a card could hold before the paper's method became the default.
    old = {
        "noise_dim": 6, "categories": 5, "continuous": 2, "width": 4, "features": 8, "hidden": 512,
        "categorical_weight": 1.0, "continuous_weight": 0.1, "prior_weight": 0.5,
        "agreement_weight": 1.0, "anneal_from": 0.05, "dropout": 0.3, "jitter": 0.15,
        "lr_discriminator": 4e-4, "lr_generator": 1e-3, "betas": [0.5, 0.999], "ema_decay": 0.999,
    }  # fmt: skip
    other = InfoGAN(SPEC, **old)
    assert "code_share" in other.state_dict()
    other.generator_ema.load_state_dict(model.generator_ema.state_dict())
    torch.testing.assert_close(other.sample(3, seed=1), model.sample(3, seed=1), rtol=0, atol=0)


@pytest.mark.parametrize("code", ["categorical", "continuous"])
def test_each_weight_scales_its_own_term(model, code):
    _, latent, c, u = draw(model)
    terms = model.generator_terms(model.generator(latent).sigmoid(), c, u)
    before = model._weighted_information(terms)
    setattr(model, f"{code}_weight", getattr(model, f"{code}_weight") + 1.0)
    change = model._weighted_information(terms) - before
    torch.testing.assert_close(change, terms[f"{code}_information_nats"])


def test_rates_stay_and_without_an_average_samples_are_the_generators(model, tmp_path):
    fit(model, tmp_path, batches=3)
    assert [o.param_groups[0]["lr"] for o in model.trainer.optimizers] == [2e-4, 1e-3]
    raw, average = model.generator.state_dict(), model.generator_ema.module.state_dict()
    for name, value in raw.items():
        torch.testing.assert_close(average[name], value, rtol=0, atol=0, msg=name)


# ---------------------------------------------------------------- what a user calls


def test_samples_use_the_average_not_the_raw_generator(plus):
    model = plus
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


def test_interpolation_starts_and_ends_at_samples_of_two_categories(model):
    path = model.interpolate(rows=30, steps=5, seed=3)
    z, c, u = model._latents(60, 3)
    assert (c[:30] == c[30:]).any()  # chance alone would have some of one category
    end = torch.where(c[:30] == c[30:], (c[30:] + 1) % 5, c[30:])
    torch.testing.assert_close(path[:, 0], model.decode(model._join(z[:30], c[:30], u[:30])))
    torch.testing.assert_close(path[:, -1], model.decode(model._join(z[30:], end, u[30:])))


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
    assert torch.isfinite(plain._weighted_information(terms))


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


# ---------------------------------------------------------------- beyond the paper


def test_with_nothing_asked_for_both_steps_are_one(tmp_path):
    # The longer step must contain the paper's: rejects a drift between the two.
    paper, longer = make(), make()
    type_of = type(longer)
    longer.__class__ = type("Longer", (type_of,), {"goes_beyond": True})
    fit(paper, tmp_path, batches=3)
    fit(longer, tmp_path, batches=3)
    for (name, one), other in zip(
        paper.state_dict().items(), longer.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("switch", sorted(PLUS))
def test_each_switch_changes_what_is_learned(switch, tmp_path, monkeypatch):
    # An argument that nothing reads would leave the same weights.
    monkeypatch.setattr("zoo.models.adversarial.infogan.SURE", 0.0)
    paper, other = make(), make(**{switch: PLUS[switch]})
    one, two = (fit(model, tmp_path).state_dict() for model in (paper, other))
    assert any(not torch.equal(value, two[name]) for name, value in one.items() if name in two)


def test_own_layers_keep_the_information_from_those_shared(plus):
    # Without the cut, G and Q could agree on a code of their own through the shared layers.
    x, latent, c, u = draw(plus)
    fake = plus.generator(latent).sigmoid().detach()
    plus.plus_discriminator_terms(x, fake, c, u)["categorical_information_nats"].backward()
    assert all(p.grad is None for p in plus.trunk.parameters())
    assert all(p.grad is None for p in plus.discriminator_head.parameters())
    assert any(p.grad is not None for p in plus.code_head.parameters())


def test_agreement_asks_q_to_repeat_its_sure_answers_on_moved_copies(plus, monkeypatch):
    x, latent, c, u = draw(plus)
    fake = plus.generator(latent).sigmoid().detach()
    assert "disagreement_nats" not in plus.plus_discriminator_terms(x, fake, c, u)
    plus.jitter = 0.0  # so that the moved copies are the images themselves
    answers = plus.encode(x)[:, :5]
    half = float(answers.max(dim=1).values.median())
    monkeypatch.setattr("zoo.models.adversarial.infogan.SURE", half)
    sure = answers.max(dim=1).values > half
    plus.eval()  # one mode for both sides
    terms = plus.plus_discriminator_terms(x, fake, c, u, agree=True)
    expected = -(answers.max(dim=1).values.log() * sure).mean()
    torch.testing.assert_close(terms["disagreement_nats"], expected)
    assert plus._discriminator_objective(terms) > plus._discriminator_objective(
        {**terms, "disagreement_nats": torch.tensor(0.0)}
    )


def test_agreement_trains_the_code_head_only(plus, monkeypatch):
    monkeypatch.setattr("zoo.models.adversarial.infogan.SURE", 0.0)
    x, latent, c, u = draw(plus)
    fake = plus.generator(latent).sigmoid().detach()
    terms = plus.plus_discriminator_terms(x, fake, c, u, agree=True)
    terms["disagreement_nats"].backward()
    assert all(p.grad is None for p in plus.trunk.parameters())
    assert any(p.grad is not None for p in plus.code_head.parameters())


def test_annealing_and_rates_follow_the_plan(plus, tmp_path):
    # 10 batches: the information's share grows geometrically from anneal_from to 1 at 60 %, and
    # the rates fall linearly to zero over the second half.
    shares, rates = [], []
    weighted, judged = plus._weighted_information, plus.generator_terms

    def spy(terms, share=1.0):
        if "generator_loss" in terms:
            shares.append(share)
        return weighted(terms, share)

    def look(*arguments):
        rates.append([o.param_groups[0]["lr"] for o in plus.optimizers()])
        return judged(*arguments)

    plus._weighted_information, plus.generator_terms = spy, look
    fit(plus, tmp_path)
    start = plus.anneal_from
    expected = [start ** max(0, 1 - i / 6) for i in range(10)]
    assert shares == pytest.approx(expected) and shares[0] == start and shares[6:] == [1.0] * 4
    falling = [min(1.0, 2 * (1 - i / 10)) for i in range(10)]
    assert [d for d, _ in rates] == pytest.approx([plus.lr_discriminator * f for f in falling])
    assert [g for _, g in rates] == pytest.approx([plus.lr_generator * f for f in falling])


def test_code_prior_lifts_the_code_that_real_images_use_too_little(plus):
    # After a step down the gradient the neglected code has gained; a flipped sign would starve it.
    features = torch.randn(64, 8)
    plus.code_share.copy_(torch.tensor([0.4, 0.15, 0.15, 0.25, 0.05]))

    def shares():
        return plus.code_head(features)[:, :5].softmax(1).mean(0)

    before = shares().detach()
    last = plus.code_head[-1].bias
    (slope,) = torch.autograd.grad(plus._prior(plus.code_head(features)[:, :5]), last)
    with torch.no_grad():
        last -= slope
    change = shares().detach() - before
    assert change[4] > 0 > change[0]


def test_code_prior_is_silent_where_the_codes_are_balanced(plus):
    plus.code_share.fill_(0.2)
    with torch.no_grad():
        plus.code_head[-1].weight.zero_()
        plus.code_head[-1].bias.zero_()
    value = plus._prior(plus.code_head(torch.randn(16, 8))[:, :5])
    assert value.abs().item() < 1e-6


def test_code_prior_trains_the_code_head_only(plus):
    x, latent, c, u = draw(plus)
    plus.code_share.copy_(torch.tensor([0.4, 0.15, 0.15, 0.25, 0.05]))
    terms = plus.plus_discriminator_terms(x, plus.generator(latent).sigmoid().detach(), c, u)
    terms["code_prior_nats"].backward()
    assert all(p.grad is None for p in plus.trunk.parameters())
    assert plus.code_head[-1].weight.grad.abs().sum() > 0


def test_running_share_follows_real_images(plus):
    with torch.no_grad():
        plus.code_head[-1].weight.zero_()
        plus.code_head[-1].bias.copy_(torch.tensor([9.0, 0, 0, 0, 0, 0, 0]))
    before = plus.code_share[0].item()
    plus._prior(plus.code_head(torch.randn(16, 8))[:, :5])
    assert plus.code_share[0].item() == pytest.approx(before + 0.01 * (1 - before), rel=2e-3)
    assert plus.code_share.sum().item() == pytest.approx(1, abs=1e-5)
