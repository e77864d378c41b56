"""The GAN: whose gradients flow where, packs, classes, and what its answers mean."""

import warnings

import lightning as L
import pytest
import torch

from zoo.contract.priors import PRIORS
from zoo.core.errors import UserError
from zoo.data import DATASETS, GaussianGrid, ImageSpec
from zoo.models import GAN

SPEC = ImageSpec(1, 8, 8, 10)


def make(**arguments):
    torch.manual_seed(0)
    return GAN(arguments.pop("spec", SPEC), latent_dim=6, width=8, **arguments)


def quiet_trainer(path, **arguments):
    return L.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=path,
        use_distributed_sampler=False, **arguments,
    )  # fmt: skip


def fit(model, data, path, batches=4):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quiet_trainer(path, limit_train_batches=batches).fit(model, data)


def gradients(network):
    return [p.grad for p in network.parameters()]


def test_discriminators_step_leaves_the_generator_alone():
    model, x, y = make(), torch.rand(8, 1, 8, 8), torch.zeros(8, dtype=torch.int64)
    fake = model.generator(model._latents(8, 0)[0])
    assert fake.requires_grad
    model.discriminator_terms(x, fake.detach(), y)["discriminator_loss"].backward()
    assert all(g is None for g in gradients(model.generator))
    assert all(g is not None for g in gradients(model.discriminator))


def test_discriminator_gets_the_batch_as_real_and_detached_images_as_generated(tmp_path):
    model, seen = make(), []
    terms, generator = model.discriminator_terms, model.generator.forward

    def generated(z):
        raw = generator(z)
        seen.append(raw.detach().sigmoid())
        return raw

    def spy(x, fake, y):
        seen.extend((x, fake))
        return terms(x, fake, y)

    model.generator.forward, model.discriminator_terms = generated, spy
    model.on_train_batch_start = lambda batch, batch_idx: seen.append(batch.image)
    fit(model, DATASETS["Digits"](batch_size=16), tmp_path, batches=1)
    images, raw, x, fake = seen
    assert not fake.requires_grad
    torch.testing.assert_close(x, images, rtol=0, atol=0)
    torch.testing.assert_close(fake, raw)


def test_one_step_moves_both_players_and_frozen_weights_collect_nothing(tmp_path):
    model = make()
    before = {name: p.clone() for name, p in model.named_parameters()}
    seen = []
    terms = model.generator_terms

    def spy(fake, y):
        # the loss of G must reach G through D, and not D itself
        seen.append(
            (fake.requires_grad, [p.requires_grad for p in model.discriminator.parameters()])
        )
        return terms(fake, y)

    model.generator_terms = spy
    fit(model, DATASETS["Digits"](batch_size=16), tmp_path, batches=1)
    assert seen == [(True, [False] * len(list(model.discriminator.parameters())))]
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.partition(".")[0] for name in moved} == {
        "generator", "generator_ema", "discriminator", "head",
    }  # fmt: skip


def test_the_loss_is_the_one_that_was_asked_for():
    x, y = torch.rand(8, 1, 8, 8), torch.zeros(8, dtype=torch.int64)
    d = make().logits(x, y).sigmoid()
    torch.testing.assert_close(make().generator_terms(x, y)["generator_loss"], -d.log().mean())
    found = make(loss="minimax").generator_terms(x, y)["generator_loss"]
    torch.testing.assert_close(found, (1 - d).log().mean())
    fake = torch.rand(8, 1, 8, 8) * 0.5
    other = make().logits(fake, y).sigmoid()
    found = make().discriminator_terms(x, fake, y)["discriminator_loss"]
    torch.testing.assert_close(found, -d.log().mean() - (1 - other).log().mean())


@pytest.mark.parametrize("data", [DATASETS["Digits"], GaussianGrid])
def test_a_discriminator_of_packs_sees_them_as_one(data):
    spec = data.native
    model, x = make(packing=3, spec=spec), torch.rand(12, *spec.shape)
    y = torch.zeros(12, dtype=torch.int64)
    model.eval()  # batch normalisation would let packs see one another
    logits = model.logits(x, y)
    assert logits.shape == (4,)
    other = x.clone()
    other[4] += 0.5  # in the second pack
    assert (model.logits(other, y) != logits).tolist() == [False, True, False, False]


@pytest.mark.parametrize("packing", [1, 2, 4])
def test_each_point_of_a_pack_is_seen_as_sharply_as_a_lone_one(packing):
    """He's law of two inputs has a standard deviation of 1; that of 2 m inputs blurs a pack's."""
    model = GAN(GaussianGrid.native, width=4000, depth=2, packing=packing)
    weight = model.discriminator[0].layers[1].weight.detach()
    assert weight.shape == (4000, 2 * packing)
    assert float(weight.std()) == pytest.approx(1, abs=0.05)


def test_an_incomplete_pack_is_left_out(tmp_path):
    model, sizes = make(packing=3), []
    logits = model.logits
    model.logits = lambda x, y: sizes.append((len(x), len(y))) or logits(x, y)
    fit(model, DATASETS["Digits"](batch_size=16), tmp_path, batches=1)
    assert sizes == [(15, 15)] * 3
    with pytest.raises(UserError, match="packing 20 is more than the 16 images"):
        fit(make(packing=20), DATASETS["Digits"](batch_size=16), tmp_path)


def test_classes_reach_both_players():
    model, x = make(conditional=True, packing=2).eval(), torch.rand(4, 1, 8, 8)
    y = torch.tensor([1, 2, 3, 4])
    logits = model.logits(x, y)
    changed = model.logits(x, torch.tensor([1, 2, 3, 5])) != logits
    assert changed.tolist() == [False, True]
    z, _ = model._latents(3, 5)
    for label in (0, 7):
        expected = model.decode(torch.cat([z, torch.eye(10)[[label] * 3]], dim=1))
        torch.testing.assert_close(model.sample(3, seed=5, label=label), expected)
    assert not torch.equal(model.sample(3, seed=5, label=0), model.sample(3, seed=5, label=7))


def test_classes_of_the_batch_are_the_classes_of_both_kinds_of_images(tmp_path):
    # D compares real and generated images of one class; classes drawn anew would let it win by
    # their frequencies alone.
    model, seen = make(conditional=True), []
    terms, join = model.discriminator_terms, model._join
    model._join = lambda z, y: seen.append(y) or join(z, y)
    model.discriminator_terms = lambda x, fake, y: seen.append(y) or terms(x, fake, y)
    fit(model, DATASETS["Digits"](batch_size=16), tmp_path, batches=1)
    drawn, judged = seen
    assert torch.equal(drawn, judged) and len(drawn.unique()) > 3


def test_unconditional_models_take_no_label():
    with pytest.raises(UserError, match="without classes"):
        make().sample(2, label=3)
    with pytest.raises(UserError, match=r"must lie in 0\.\.9, got 10"):
        make(conditional=True).sample(2, label=10)


def test_samples_use_the_average_and_the_prior():
    model = make(prior="uniform")
    z = PRIORS["uniform"].sample(4, 6, torch.Generator().manual_seed(3))
    torch.testing.assert_close(model.sample(4, seed=3), model.decode(z))
    before = model.sample(4, seed=0)
    with torch.no_grad():
        for p in model.generator.parameters():
            p.add_(1.0)
    torch.testing.assert_close(model.sample(4, seed=0), before, rtol=0, atol=0)


@pytest.mark.parametrize(("prior", "middle"), [("normal", 0.5**0.5), ("uniform", 0.5)])
def test_walks_keep_the_length_of_normal_codes(prior, middle):
    model, seen = make(prior=prior, conditional=True), []
    model.decode = lambda z: seen.append(z) or torch.zeros(len(z), *SPEC.shape)
    assert model.interpolate(rows=2, steps=3, seed=1).shape == (2, 3, *SPEC.shape)
    z, y = model._latents(4, 1)
    walk = seen[0].unflatten(0, (2, 3))
    torch.testing.assert_close(walk[:, 0, :6], z[:2])
    torch.testing.assert_close(walk[:, 1, :6], middle * (z[:2] + z[2:]))
    torch.testing.assert_close(walk[:, 2, :6], z[2:], atol=1e-6, rtol=1e-5)
    start, middle, end = walk[:, :, 6:].unbind(dim=1)
    assert start.argmax(1).tolist() == y[:2].tolist() and (start.argmax(1) != end.argmax(1)).all()
    torch.testing.assert_close(middle, (start + end) / 2)


def test_points_may_lie_outside_in_training_but_not_in_samples():
    model = make(spec=GaussianGrid.native)
    with torch.no_grad():
        model.generator_ema.module.layers[-2].bias.fill_(100.0)
    points = model.sample(5, seed=0)
    assert points.shape == (5, 2, 1, 1) and points.max() == 1
    assert not model.prefers_bf16 and make().prefers_bf16


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_rates_fall_over_the_last_part(decay, tmp_path):
    model, rates = make(decay=decay, lr_discriminator=1e-3), []
    terms = model.generator_terms

    def spy(fake, y):
        rates.append([o.param_groups[0]["lr"] for o in model.optimizers()])
        return terms(fake, y)

    model.generator_terms = spy
    fit(model, DATASETS["Digits"](batch_size=16), tmp_path, batches=10)
    falling = [min(1.0, (1 - i / 10) / decay) if decay else 1.0 for i in range(10)]
    assert [d for d, _ in rates] == pytest.approx([1e-3 * f for f in falling])
    assert [g for _, g in rates] == pytest.approx([2e-4 * f for f in falling])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"packing": 0}, "packing must be at least 1"),
        ({"loss": "minmax"}, "Did you mean minimax"),
        ({"prior": "normale"}, "unknown prior 'normale'. Did you mean normal"),
        ({"decay": 1.5}, "decay must lie in"),
        ({"conditional": True, "spec": ImageSpec(1, 8, 8, 0)}, "at least two classes"),
    ],
)
def test_impossible_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        make(**arguments)
