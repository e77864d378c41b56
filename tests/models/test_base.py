"""What families answer alike: NADE and MADE by enumeration of all images; the flows' average."""

import itertools
import warnings

import lightning as L
import pytest
import torch

from zoo.contract.spec import Batch
from zoo.data import ImageSpec, TwoMoons
from zoo.functional.augmentation import shift_code
from zoo.functional.likelihood import bernoulli_log_prob
from zoo.models import MADE, NADE, NICE, RealNVP

TINY = ImageSpec(1, 2, 3, 0)
ALL = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).view(64, 1, 2, 3)
VARIANTS = {
    "belief network": (MADE, {"hidden": ()}),
    "one layer": (MADE, {"hidden": (20,)}),
    "two layers, direct": (MADE, {"hidden": (20, 15), "direct": True}),
    "several masks": (MADE, {"hidden": (20, 15), "masks": 3}),
    "moved by MADE": (MADE, {"hidden": (20,), "augment": 1, "direct": True}),
    "sigmoid": (NADE, {"hidden": 12}),
    "rectified": (NADE, {"hidden": 12, "activation": "relu"}),
    "several orders": (NADE, {"hidden": 12, "orders": 3}),
    "moved by NADE": (NADE, {"hidden": 12, "augment": 1}),
}
several = pytest.mark.parametrize("variant", ["several masks", "several orders"])
single = pytest.mark.parametrize("variant", ["two layers, direct", "rectified"])


def model_of(variant, spec=TINY):
    torch.manual_seed(1)
    family, arguments = VARIANTS[variant]
    model = family(spec, **arguments).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.8)
    return model


def logits_of(model, x, context=None):
    """Computes the logits of all pixels in raster order, in one pass, shape (B, D)."""
    context = shift_code(x, model.augment) if context is None else context
    if isinstance(model, MADE):
        return model._in_order(model.average.module, 0).eval()(x, context)[..., 0]
    return model.average(x, None, context, model.activation)


@pytest.mark.parametrize("variant", VARIANTS)
def test_probabilities_of_all_images_sum_to_one(variant):
    model = model_of(variant)
    log_p = model.log_prob(ALL.double())
    assert log_p.shape == (64,) and log_p.std() > 0.5
    assert float(log_p.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    ensemble = model.ensemble_log_prob(ALL.double())
    assert float(ensemble.logsumexp(0)) == pytest.approx(0, abs=1e-10)


@several
def test_an_ensemble_averages_probabilities_of_orders_that_differ(variant):
    model, x = model_of(variant), ALL.double()
    each = torch.stack([model._log_prob(x, k) for k in range(3)])
    assert (each[0] - each[1]).abs().max() > 0.1 and (each[1] - each[2]).abs().max() > 0.1
    torch.testing.assert_close(model.ensemble_log_prob(x), each.exp().mean(0).log())
    torch.testing.assert_close(model.log_prob(x), each[0])  # whatever order was asked for last


@single
def test_one_order_needs_no_ensemble(variant):
    model = model_of(variant)
    torch.testing.assert_close(model.ensemble_log_prob(ALL.double()), model.log_prob(ALL.double()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_have_the_model_s_frequencies(variant):
    model = model_of(variant)
    counts = torch.zeros(64)
    weights = 2 ** torch.arange(5, -1, -1)
    codes = (model.sample(20_000, seed=0).flatten(1).long() * weights).sum(1)
    counts = torch.bincount(codes, minlength=64) / 20_000
    p = model.log_prob(ALL.double()).exp()
    assert ((counts - p).abs() < 4.5 * (p * (1 - p) / 20_000).sqrt() + 1e-4).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_sampler_is_the_plain_loop(variant):
    spec = ImageSpec(1, 4, 5, 0)
    model = model_of(variant, spec)
    u = torch.rand(7, 20, generator=torch.Generator().manual_seed(3)).double()
    x = torch.zeros(7, 20, dtype=torch.float64)
    for d in range(20):
        x[:, d] = (u[:, d] < logits_of(model, x)[:, d].sigmoid()).double()
    assert torch.equal(model.sample(7, seed=3).flatten(1).double(), x)


@single
def test_a_completion_keeps_what_is_known_and_draws_the_rest_from_it(variant):
    """Given the first two pixels, the third has its conditional probability."""
    model = model_of(variant)
    x = torch.zeros(20_000, 1, 2, 3)
    x[:, 0, 0, 1] = 1
    mask = torch.ones(1, 1, 2, 3, dtype=torch.bool)
    mask[..., 0, :2] = False
    done = model.complete(x, mask, seed=0)
    assert torch.equal(done[:, :, 0, :2], x[:, :, 0, :2])
    p = model.log_prob(ALL.double()).exp()
    given = (ALL[:, 0, 0, 0] == 0) & (ALL[:, 0, 0, 1] == 1)
    expected = p[given & (ALL[:, 0, 0, 2] == 1)].sum() / p[given].sum()
    assert float(done[:, 0, 0, 2].mean()) == pytest.approx(float(expected), abs=0.015)


@single
def test_grey_pixels_count_as_the_nearer_end(variant):
    model = model_of(variant)
    torch.testing.assert_close(
        model.log_prob(ALL.double() * 0.6 + 0.2), model.log_prob(ALL.double())
    )


@pytest.mark.parametrize("variant", ["moved by MADE", "moved by NADE"])
def test_moved_images_are_learned_as_such_and_do_not_disturb_the_answer(variant):
    """The context of an image that was not moved is the one that `log_prob` uses."""
    model = model_of(variant)
    x = ALL.double().flatten(1)
    still = shift_code(x, model.augment)
    assert still.shape == (64, 6) and torch.equal(
        still[0], torch.tensor([0.0, 1, 0, 0, 1, 0]).double()
    )
    moved = shift_code(x, model.augment, torch.tensor([[1, -1]]).expand(64, 2))
    assert torch.equal(moved[0], torch.tensor([0.0, 0, 1, 1, 0, 0]).double())
    answer = bernoulli_log_prob(x, logits_of(model, x, still)).sum(dim=1)
    torch.testing.assert_close(model.log_prob(ALL.double()), answer)
    assert not torch.allclose(logits_of(model, x, moved), logits_of(model, x, still))


@several
def test_a_training_step_takes_the_orders_in_turn(variant, monkeypatch):
    model, seen = model_of(variant).float(), []
    if isinstance(model, MADE):
        monkeypatch.setattr(MADE, "_in_order", lambda self, net, k: seen.append(k) or net)
    else:
        monkeypatch.setattr(NADE, "_order", lambda self, k: seen.append(k))
    for name in ("follow_cosine", "record"):
        monkeypatch.setattr(f"{type(model).__module__}.{name}", lambda *_: None)
    for step in range(4):
        monkeypatch.setattr(type(model), "global_step", step)
        loss = model.training_step(Batch(ALL[:8], torch.zeros(8)), step)
        assert loss.isfinite()
    assert seen == [0, 1, 2, 0]


class Weights(L.Callback):
    """Notes a flow's weights after every batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, model, *_):
        network = getattr(model, model.averaged)
        self.seen.append({name: w.detach().clone() for name, w in network.named_parameters()})


@pytest.mark.parametrize("family", [NICE, RealNVP])
def test_flows_answer_with_the_average_of_the_weights_after_every_step(family, tmp_path):
    """The first step's weights, then moved by 1 - (1 + n) / (10 + n) towards the n-th ones."""
    torch.manual_seed(0)
    model, weights = family(TwoMoons().spec, ema_decay=0.9), Weights()
    trainer = L.Trainer(
        max_steps=3, logger=False, accelerator="cpu", callbacks=weights,
        default_root_dir=tmp_path, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, TwoMoons(batch_size=64))
    wanted = weights.seen[0]
    for n in (1, 2):
        keep = (1 + n) / (10 + n)
        for name, weight in weights.seen[n].items():
            wanted[name] = keep * wanted[name] + (1 - keep) * weight
    for name, weight in model._average.named_parameters():
        torch.testing.assert_close(weight, wanted[name])
    assert any((weights.seen[2][name] - wanted[name]).abs().max() > 1e-5 for name in wanted)
