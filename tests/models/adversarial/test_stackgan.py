"""StackGAN's phases, players and captions."""

import math
import warnings

import lightning as L
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data import Batch, CaptionedShapes, Digits, ImageSpec
from zoo.data.captions import tokens_of
from zoo.functional.divergence import standard_normal_kl
from zoo.functional.matching import alike, contrastive_loss
from zoo.models import StackGAN
from zoo.nets.stack import Augmentation, StageTwo, TextEncoder

SPEC = ImageSpec(3, 16, 16, words=("a", "blue", "circle", "red", "square"))
PLUS = {"matching_weight": 1.0, "near_mismatches": True, "corrects": True}
TINY = {"width": 4, "width2": 4, "noise_dim": 5, "text_features": 8, "condition": 6}


def make(spec=SPEC, **more):
    torch.manual_seed(0)
    return StackGAN(spec, **{**TINY, "caption_length": 6, **more})


def texts(*captions):
    return torch.stack([tokens_of(caption, SPEC.words, 6) for caption in captions])


CAPTIONS = ("a red circle", "a blue square", "a blue circle", "red square")


def players(model, stage):
    names = ("discriminator", "generator")
    return tuple(getattr(model, f"{name}{stage}") for name in names)


def gradient(module):
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


# ------------------------------------------------------------------ conditioning augmentation


def test_augmentation_draws_from_the_law_whose_divergence_is_counted():
    """Against Monte-Carlo: a log variance taken for a log deviation, or a lost half, is seen."""
    torch.manual_seed(0)
    augment, count = Augmentation(3, 2).requires_grad_(False), 400_000
    augment.law.bias.copy_(torch.tensor([0.7, -1.2, 0.9, -1.5]))
    condition, mean, log_var = augment(torch.zeros(count, 3), torch.randn(count, 2))
    condition = condition.double()
    drawn = torch.distributions.Normal(condition.mean(dim=0), condition.std(dim=0))
    prior = torch.distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())
    ratio = (drawn.log_prob(condition) - prior.log_prob(condition)).sum(dim=1)
    kl = float(standard_normal_kl(mean[0], log_var[0]).sum())
    assert abs(kl - float(ratio.mean())) < 4 * float(ratio.std()) / count**0.5


# ------------------------------------------------------------------ the players


@pytest.mark.parametrize("stage", [1, 2])
def test_permuting_the_mismatched_captions_moves_only_their_term(stage):
    model = make(**PLUS)
    discriminator, _ = players(model, stage)
    side = 8 * stage
    x, fake = torch.rand(2, 4, 3, side, side).unbind()
    tokens = texts(*CAPTIONS)
    with torch.no_grad():
        text = model.text_encoder(tokens)
        first, other = (
            model.discriminator_terms(discriminator, x, fake, text, tokens, text.roll(by, 0))
            for by in (1, 2)
        )
    assert len(first) == 4
    for name in first:
        assert (float(first[name]) == float(other[name])) == (name != "mismatched_nats"), name


@pytest.mark.parametrize("stage", [1, 2])
def test_the_discriminators_step_leaves_the_generator_alone(stage):
    model = make(**PLUS)
    discriminator, generator = players(model, stage)
    given = torch.randn(4, 5) if stage == 1 else torch.rand(4, 3, 8, 8)
    text = model.text_encoder(texts(*CAPTIONS)).detach()
    fake, *_ = generator(given, text, torch.randn(4, 6))
    x = torch.rand(4, 3, 8 * stage, 8 * stage)
    tokens, wrong = texts(*CAPTIONS), text.roll(1, 0)
    terms = model.discriminator_terms(discriminator, x, fake.detach(), text, tokens, wrong)
    sum(terms.values()).backward()
    assert gradient(generator) == 0 and gradient(model.text_encoder) == 0
    assert gradient(discriminator.trunk) > 0 and gradient(discriminator.head) > 0
    assert gradient(discriminator.embed) > 0


@pytest.mark.parametrize("term", ["generator_loss", "augmentation_nats", "matching_nats"])
def test_every_term_of_the_generator_reaches_its_weights(term):
    model = make(**PLUS)
    text = model.text_encoder(texts(*CAPTIONS)).detach()
    fake, mean, log_var = model.generator1(torch.randn(4, 5), text, torch.randn(4, 6))
    kl = standard_normal_kl(mean, log_var).sum(dim=1)
    terms = model.generator_terms(model.discriminator1, fake, text, kl, texts(*CAPTIONS))
    terms[term].backward()
    assert gradient(model.generator1.augment) > 0
    assert (gradient(model.generator1.network) > 0) == (term != "augmentation_nats")


def test_the_caption_reaches_the_discriminators_answer():
    model = make(**PLUS)
    x = torch.rand(4, 3, 16, 16)
    right, wrong = (model.text_encoder(texts(*c)) for c in (CAPTIONS, CAPTIONS[::-1]))
    model.discriminator2.eval()
    embedded, first, other = model.discriminator2(x, right, wrong)
    assert not torch.equal(first, other)
    assert embedded.shape == right.shape and torch.equal(model.discriminator2(x)[0], embedded)


def test_images_are_told_from_recent_captions_of_other_batches_too():
    model, images = make(**PLUS), torch.randn(4, 8)
    tokens = texts(*CAPTIONS)
    text = model.text_encoder(tokens).detach()
    bare = contrastive_loss(images, text, temperature=0.05)
    torch.testing.assert_close(model.matching(images, text, tokens), bare)  # there are none yet
    others = texts("blue square", "a red square", "a red circle")
    more = model.text_encoder(others).detach()
    model._remember(others, more, 500)
    own = torch.eye(4, 7, dtype=torch.bool)
    own[0, 6] = True  # the first image is no mistake for a caption that is its own as well
    wanted = contrastive_loss(images, torch.cat([text, more]), own, temperature=0.05)
    torch.testing.assert_close(model.matching(images, text, tokens), wanted)
    assert wanted > bare + 1e-3


def test_an_untrained_correction_of_nought_leaves_the_sketch():
    network = StageTwo(3, 6, 4, corrects=True)
    torch.nn.init.zeros_(network.decoder[-1].weight)
    torch.nn.init.zeros_(network.decoder[-1].bias)
    flat = torch.full((2, 3, 8, 8), 0.3)
    torch.testing.assert_close(
        network(flat, torch.randn(2, 6)).sigmoid(), torch.full((2, 3, 16, 16), 0.3)
    )
    network.corrects = False  # the paper's draws anew: nought is grey
    torch.testing.assert_close(
        network(flat, torch.randn(2, 6)).sigmoid(), torch.full((2, 3, 16, 16), 0.5)
    )


def test_padding_is_not_read():
    encoder = TextEncoder(5, 8)
    short, long = torch.tensor([[1, 4, 3]]), torch.tensor([[1, 4, 3, 0, 0, 0]])
    assert encoder(long).shape == (1, 8)
    torch.testing.assert_close(encoder(long), encoder(short))
    encoder.embedding.weight.data[0] += 1
    torch.testing.assert_close(encoder(long), encoder(short))


def test_the_order_of_words_is_read_in_both_directions():
    encoder = TextEncoder(5, 8)
    first, other = torch.tensor([[1, 2, 3]]), torch.tensor([[3, 2, 1]])
    assert not torch.allclose(encoder(first), encoder(other))
    for reader in (encoder.ahead, encoder.back):
        assert reader.hidden_size == 4
    encoder.ahead.load_state_dict(encoder.back.state_dict())
    half = torch.eye(8)  # both readers alike: turning the text round swaps their halves
    encoder.project.weight.data, encoder.project.bias.data = half, torch.zeros(8)
    torch.testing.assert_close(encoder(first).roll(4, 1), encoder(other))


# ------------------------------------------------------------------ phases


class Watch(L.Callback):
    """Notes whose weights every batch changes."""

    PARTS = ("text_encoder", "image_encoder", "generator1", "discriminator1", "generator2",
             "discriminator2", "generator1_ema", "generator2_ema")  # fmt: skip

    def __init__(self):
        self.changed = []

    def weights(self, model):
        return {
            part: torch.cat([p.detach().flatten() for p in getattr(model, part).parameters()])
            for part in self.PARTS
            if list(getattr(model, part).parameters())
        }

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        self.before = self.weights(model)

    def on_train_batch_end(self, trainer, model, outputs, batch, batch_idx):
        after = self.weights(model)
        self.changed.append({p for p in after if not torch.equal(after[p], self.before[p])})


class Images(L.Callback):
    """Notes the images of every batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        self.seen.append(batch.image)


def fit(model, tmp_path, *callbacks, batches=4, epochs=1, data=None):
    trainer = L.Trainer(
        max_epochs=epochs, limit_train_batches=batches, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        callbacks=list(callbacks), default_root_dir=tmp_path, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = CaptionedShapes(scenes=200, val_size=10, batch_size=8, resize=16)
        trainer.fit(model, data or shapes)
    return trainer


SHAPES = CaptionedShapes(scenes=200, val_size=10, resize=16).spec


@pytest.mark.parametrize("more", [{}, PLUS], ids=["paper", "plus"])
def test_each_phase_trains_its_own_part_and_nothing_else(tmp_path, more):
    shares = {"text_share": 0.3, "stage1_share": 0.4}
    watch, model = Watch(), make(SHAPES, caption_length=16, **shares, **more)
    trainer = fit(model, tmp_path, watch)
    stage1 = {"generator1", "discriminator1", "generator1_ema"}
    stage2 = {"generator2", "discriminator2", "generator2_ema"}
    reader = "discriminator1" if more else "image_encoder"
    wanted = [{"text_encoder", reader}] * 2 + [stage1] + [stage2]
    assert watch.changed == wanted
    assert trainer.global_step == 4
    assert (model.known_captions[:16].sum(dim=1) > 0).all()
    if not more:
        assert len(model.recent_captions) == 0
        return
    held = model.recent_captions[16:32]
    embedded = model.text_encoder(held).detach()
    torch.testing.assert_close(model.recent_texts[16:32], embedded)  # of the two later batches
    assert (held.sum(dim=1) > 0).all() and model.recent_captions[32:].sum() == 0
    assert model.recent_captions[:16].sum() == 0


def test_captions_go_to_their_own_images_and_mismatched_ones_to_others(tmp_path, monkeypatch):
    model = make(SHAPES, caption_length=16, text_share=0.3, stage1_share=0.4)
    terms, tokens, seen = model.discriminator_terms, model.tokens, []

    def noted(batch):
        seen.append(model.text_encoder(tokens(batch)).detach())
        return tokens(batch)

    def checked(discriminator, x, fake, text, tokens, wrong, differs):
        torch.testing.assert_close(text, seen[-1])
        assert differs.tolist() == [not torch.equal(a, b) for a, b in zip(wrong, text, strict=True)]
        rows = torch.cdist(wrong.double(), text.double()).min(dim=1)
        assert rows.values.max() == 0 and (rows.indices != torch.arange(8)).all()
        judged.append((x, differs))
        return terms(discriminator, x, fake, text, tokens, wrong, differs)

    monkeypatch.setattr(model, "tokens", noted)
    monkeypatch.setattr(model, "discriminator_terms", checked)
    images, judged = Images(), []
    fit(model, tmp_path, images)
    assert len(seen) == 4
    small = [torch.nn.functional.avg_pool2d(x, 2) for x in images.seen]
    torch.testing.assert_close(judged[0][0], small[2], rtol=0, atol=0)
    torch.testing.assert_close(judged[1][0], images.seen[3], rtol=0, atol=0)


@pytest.mark.parametrize("near", [False, True])
def test_mismatched_captions_are_drawn_evenly_unless_told(tmp_path, near, monkeypatch):
    model = make(SHAPES, caption_length=16, text_share=0.3, stage1_share=0.4, near_mismatches=near)
    found = []

    def noted(texts, same, temperature):
        found.append(temperature)
        return alike(texts, same, temperature)

    monkeypatch.setattr("zoo.models.adversarial.stackgan.alike", noted)
    fit(model, tmp_path)
    assert found == [0.1 if near else math.inf] * 2


@pytest.mark.parametrize("classes", [1, 3])
def test_a_caption_that_is_right_after_all_is_no_mistake(tmp_path, classes, monkeypatch):
    """Among few captions another one is found; where there is one alone, none is mismatched."""
    model = make(Digits(pad=16).spec, text_share=0.3, stage1_share=0.4)
    terms, tokens, found = model.discriminator_terms, model.tokens, []

    def noted(discriminator, x, fake, text, tokens, wrong, differs):
        found.append((differs, (wrong - text).abs().sum(dim=1) > 0))
        return terms(discriminator, x, fake, text, tokens, wrong, differs)

    few = lambda batch: tokens(Batch(batch.image, batch.label % classes))  # noqa: E731
    monkeypatch.setattr(model, "tokens", few)
    monkeypatch.setattr(model, "discriminator_terms", noted)
    fit(model, tmp_path, data=Digits(batch_size=64, pad=16))
    assert len(found) == 2
    for differs, wanted in found:
        assert torch.equal(differs, wanted)
        assert differs.all() if classes > 1 else not differs.any()


def test_players_have_the_terms_of_the_paper_unless_told():
    model = make()
    tokens = texts(*CAPTIONS)
    text = model.text_encoder(tokens).detach()
    x, fake = torch.rand(2, 4, 3, 16, 16).unbind()
    terms = model.discriminator_terms(model.discriminator2, x, fake, text, tokens, text.roll(1, 0))
    assert list(terms) == ["real_nats", "mismatched_nats", "generated_nats"]
    sum(terms.values()).backward()
    assert not list(model.discriminator2.embed.parameters())
    assert gradient(model.discriminator2.head) > 0
    terms = model.generator_terms(model.discriminator2, fake, text, torch.zeros(4), tokens)
    assert list(terms) == ["generator_loss", "augmentation_nats"]


def test_losses_are_the_weighted_terms_and_rates_fall_in_each_phase(tmp_path, monkeypatch):
    model = make(SHAPES, caption_length=16, text_share=0.25, stage1_share=0.25,
                 kl_weight=3.0, lr_text=1.0, lr_discriminator=2.0, lr_generator=4.0,
                 **{**PLUS, "matching_weight": 0.5})  # fmt: skip
    recorded, losses, rates = [], [], []

    def minimised(module, optimizer, loss, **_):
        losses.append(float(loss))
        rates.append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(
        "zoo.models.adversarial.stackgan.record", lambda _, terms: recorded.append(terms)
    )
    monkeypatch.setattr("zoo.models.adversarial.stackgan.minimise", minimised)
    fit(model, tmp_path, batches=16)
    for terms, loss in zip(recorded, losses, strict=True):
        value = {name: float(term) for name, term in terms.items()}
        if "real_nats" in value:
            wanted = value["real_nats"] + value["mismatched_nats"] / 2 + value["generated_nats"] / 2
            wanted += 0.5 * value["real_matching_nats"]
        elif "generator_loss" in value:
            wanted = value["generator_loss"] + 3 * value["augmentation_nats"]
            wanted += 0.5 * value["matching_nats"]
        else:
            wanted = value["matching_nats"]
        assert loss == pytest.approx(wanted, rel=1e-5)
    assert rates[:4] == [1.0, 1.0, 1.0, 0.5]
    assert rates[4:12] == [2.0, 4.0] * 3 + [1.0, 2.0]
    assert rates[12:] == [2.0, 4.0] * 5 + [1.5, 3.0, 1.0, 2.0, 0.5, 1.0]


def test_the_second_stage_begins_with_what_the_first_knows_of_captions(tmp_path):
    model = make(SHAPES, caption_length=16, text_share=0.3, stage1_share=0.4, **PLUS)
    fit(model, tmp_path, batches=8)
    first, second = (g.augment.law.weight for g in (model.generator1_ema.module, model.generator2))
    # two steps of Adam later; where they began, they differed by a hundred times as much
    assert 0 < (first - second).abs().max() < 3 * model.lr_generator
    assert (make(SHAPES).generator2.augment.law.weight - first).abs().max() > 0.1


@pytest.mark.parametrize("phase", [0, 1, 2])
def test_a_longer_training_never_goes_back_to_an_earlier_phase(monkeypatch, phase):
    model = make(text_share=0.25, stage1_share=0.25)
    share = (0.1, 0.3, 0.8)[phase]
    monkeypatch.setattr("zoo.models.adversarial.stackgan.progress", lambda _: share)
    assert model._done() == share
    checkpoint = {}
    model.on_save_checkpoint(checkpoint)
    again = make(text_share=0.25, stage1_share=0.25)
    again.on_load_checkpoint(checkpoint)
    monkeypatch.setattr("zoo.models.adversarial.stackgan.progress", lambda _: share / 10)
    assert again._done() == (0.01, 0.25, 0.5)[phase]
    monkeypatch.setattr("zoo.models.adversarial.stackgan.progress", lambda _: 0.9)
    assert again._done() == 0.9


def test_a_training_without_an_end_is_refused(tmp_path):
    with pytest.raises(UserError, match="three phases: say how long"):
        fit(make(SHAPES, caption_length=16), tmp_path, epochs=-1)


def test_captions_are_not_cut_in_silence(tmp_path):
    with pytest.raises(
        UserError, match=r"up to 16 words: raise --model\.caption_length, which is 8"
    ):
        fit(make(SHAPES, caption_length=8), tmp_path)


def test_sizes_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(UserError, match="14x14 does not go"):
        make(ImageSpec(1, 14, 14, 10))


def test_a_plugged_text_encoder_stays_as_it_is(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "text.safetensors"
    encoder = TextEncoder(len(SHAPES.words), 8)
    save_file(encoder.state_dict(), path)
    watch, model = Watch(), make(SHAPES, caption_length=16, text_weights=str(path))
    fit(model, tmp_path, watch)
    assert not any("text_encoder" in changed for changed in watch.changed)
    for name, weight in encoder.state_dict().items():
        assert torch.equal(model.text_encoder.state_dict()[name], weight)
    for wrong in ("gone.safetensors", __file__):
        with pytest.raises(UserError, match="text_weights"):
            make(SHAPES, text_weights=str(tmp_path / wrong)).on_fit_start()


# ------------------------------------------------------------------ captions


def test_free_text_is_drawn_and_unknown_words_are_named():
    model = make()
    one = model.sample(3, seed=1, caption="A red circle!")
    assert one.shape == (3, 3, 16, 16) and not torch.equal(one[0], one[1])
    assert not torch.equal(one, model.sample(3, seed=1, caption="a blue circle"))
    with pytest.raises(UserError, match=r"does not know the word 'rad'\. Did you mean red"):
        model.sample(3, caption="a rad circle")


def test_the_stages_share_the_sketch():
    model = make(**PLUS)
    small = model.illustrate(texts(*CAPTIONS), seed=3, stage=1)
    assert small.shape == (4, 3, 16, 16)
    torch.nn.init.zeros_(model.generator2_ema.module.network.decoder[-1].weight)
    torch.nn.init.zeros_(model.generator2_ema.module.network.decoder[-1].bias)
    large = model.illustrate(texts(*CAPTIONS), seed=3, stage=2)
    torch.testing.assert_close(large, small.clamp(0.01, 0.99), rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="stages 1 and 2"):
        model.illustrate(texts("red"), stage=3)


def test_labels_stand_in_for_captions():
    model = make(ImageSpec(1, 8, 8, 10))
    assert model.words == ("class", *"0123456789")
    seven, one = (model.sample(2, seed=0, caption=f"class {c}") for c in "71")
    batch = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([7, 0]))
    assert torch.equal(model.tokens(batch)[0], tokens_of("class 7", model.words, 6))
    assert not torch.equal(seven, one)
