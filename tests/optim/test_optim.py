"""What models need from the engine: one counted step per batch, named terms, averages."""

import warnings
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from zoo.core.errors import UserError
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import fade, follow_cosine, follow_one_cycle, progress, risen
from zoo.optim.steps import NonFinite, frozen, minimise, record


class Duel(L.LightningModule):
    """Two players with an optimiser each."""

    def __init__(self, clip_norm=None, fused=False, second_counts=False):
        super().__init__()
        self.automatic_optimization = False
        self.a, self.b = nn.Linear(4, 1), nn.Linear(4, 1)
        self.clip_norm, self.fused, self.second_counts = clip_norm, fused, second_counts
        self.shares, self.norms, self.terms = [], [], {}

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        self.shares.append(progress(self))
        loss = (self.a(batch) * 100).square().mean()
        record(self, {"a": loss, **self.terms})
        minimise(self, first, loss, clip_norm=self.clip_norm)
        self.norms.append(float(torch.cat([p.grad.flatten() for p in self.a.parameters()]).norm()))
        minimise(self, second, self.b(batch).square().mean(), counted=self.second_counts)

    def configure_optimizers(self):
        return [torch.optim.Adam(p.parameters(), 1e-2, fused=self.fused) for p in (self.a, self.b)]


def fit(model, **settings):
    data = DataLoader(torch.randn(10, 4), batch_size=1)
    settings = {"max_epochs": 1, "log_every_n_steps": 5, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, **settings,
        )  # fmt: skip
        trainer.fit(model, data)
    return trainer


def test_one_step_is_counted_per_batch():
    model = Duel()
    before = {name: p.clone() for name, p in model.named_parameters()}
    trainer = fit(model)
    assert trainer.global_step == 10
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_lightning_would_count_both():
    """If this fails, Lightning has changed, and `counted` may go."""
    assert fit(Duel(second_counts=True)).global_step == 20


def test_max_steps_means_batches():
    trainer = fit(Duel(), max_steps=7, max_epochs=-1)
    assert trainer.fit_loop.total_batch_idx + 1 == 7


@pytest.mark.parametrize("precision, fused", [("32-true", False), ("bf16-mixed", True)])
def test_gradients_are_clipped_to_a_norm(precision, fused):
    free, bound = Duel(fused=fused), Duel(clip_norm=0.5, fused=fused)
    fit(free, precision=precision)
    fit(bound, precision=precision)
    assert min(free.norms) > 0.5
    assert max(bound.norms) <= 0.5 * 1.001


def test_bad_terms_are_named_before_they_reach_the_weights():
    model = Duel()
    model.terms = {"good": torch.tensor(1.0), "bad_nats": torch.tensor(float("nan"))}
    before = model.a.weight.clone()
    with pytest.raises(NonFinite, match="train/bad_nats became nan in epoch 1, batch 1") as error:
        fit(model)
    assert isinstance(error.value, UserError)
    assert torch.equal(model.a.weight, before)


def test_large_terms_are_not_bad():
    model = Duel()
    model.terms = {"log_det": torch.tensor(-3e38)}
    fit(model)


def test_terms_are_logged_when_a_line_is_due(monkeypatch):
    logged = []
    monkeypatch.setattr(
        Duel, "log_dict", lambda self, terms, **_: logged.append((self.global_step, set(terms)))
    )
    fit(Duel())
    assert logged == [(4, {"train/a"}), (9, {"train/a"})]


def test_progress_runs_through_the_plan():
    model = Duel()
    fit(model, max_epochs=2)
    assert model.shares == pytest.approx([batch / 20 for batch in range(20)])
    model = Duel()
    fit(model, max_steps=5, max_epochs=-1)
    assert model.shares == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    for steps, epochs, planned in ((15, 1, 10), (15, 2, 15)):  # whichever comes first ends it
        model = Duel()
        fit(model, max_steps=steps, max_epochs=epochs)
        assert model.shares == pytest.approx([batch / planned for batch in range(planned)])


def test_a_plan_in_steps_needs_no_loader_with_an_end():
    for steps, epochs, expected in ((10, -1, 0.5), (-1, 2, 0.0)):
        trainer = SimpleNamespace(
            num_training_batches=float("inf"), max_steps=steps, max_epochs=epochs,
            accumulate_grad_batches=1, fit_loop=SimpleNamespace(total_batch_idx=5),
        )  # fmt: skip
        assert progress(SimpleNamespace(trainer=trainer)) == expected  # type: ignore[arg-type]


def test_frozen_networks_pass_gradients_on_and_get_none():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    b.bias.requires_grad_(False)
    x = torch.ones(1, 2)
    with frozen(b):
        b(a(x)).sum().backward()
    assert a.weight.grad is not None
    assert b.weight.grad is None
    assert b.weight.requires_grad and not b.bias.requires_grad


def test_frozen_thaws_after_an_error():
    network = nn.Linear(1, 1)
    with pytest.raises(KeyError), frozen(network):
        raise KeyError
    assert network.weight.requires_grad


@pytest.mark.parametrize(
    ("decay", "shares"), [(0.9, [2 / 11, 3 / 12, 4 / 13]), (0.2, [2 / 11, 0.2, 0.2])]
)
def test_ema_begins_short_sighted_and_then_follows_its_decay(decay, shares):
    network = nn.Linear(1, 1, bias=False)
    average = ema_of(network, decay)
    expected = None
    for value, share in zip([1.0, 2.0, -1.0, 5.0], [None, *shares], strict=True):
        network.weight.data.fill_(value)
        update_ema(average, network)
        expected = value if expected is None else share * expected + (1 - share) * value
    assert float(average.module.weight) == pytest.approx(expected)
    assert not any(p.requires_grad for p in average.parameters())


def test_ema_keeps_its_decay_in_the_long_run():
    network = nn.Linear(1, 1, bias=False)
    average = ema_of(network, 0.9)
    average.n_averaged.fill_(1000)
    average.module.weight.data.fill_(1.0)
    network.weight.data.fill_(2.0)
    update_ema(average, network)
    assert float(average.module.weight) == pytest.approx(1.1)


def test_ema_follows_buffers_too():
    network = nn.BatchNorm1d(2)
    average = ema_of(network, decay=0.5)
    for value in (1.0, 12.0):
        network.running_mean.fill_(value)
        update_ema(average, network)
    assert average.module.running_mean.tolist() == [10.0, 10.0]  # 2/11 of the old one


@pytest.mark.parametrize(
    "done, share, expected", [(0.0, 0.0, 1.0), (0.0, 0.25, 0.0), (0.1, 0.25, 0.4), (0.9, 0.25, 1.0)]
)
def test_a_weight_rises_over_a_share_of_the_training(monkeypatch, done, share, expected):
    monkeypatch.setattr("zoo.optim.schedules.progress", lambda module: done)
    assert risen(SimpleNamespace(), share) == pytest.approx(expected)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_ema_refuses_decays_outside_the_interval(decay):
    with pytest.raises(UserError, match=r"\[0, 1\)"):
        ema_of(nn.Linear(1, 1), decay)


@pytest.mark.parametrize(
    "share, warm, expected",
    [(0.0, 0.0, 2.0), (0.5, 0.0, 1.0), (1.0, 0.0, 0.0), (1 / 3, 0.02, 1.5),
     (0.0, 0.02, 0.0), (0.005, 0.02, 0.5)],
)  # fmt: skip
def test_the_rate_rises_for_a_moment_and_follows_a_cosine(monkeypatch, share, warm, expected):
    parameters = [torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.SGD([{"params": [p], "lr": 7.0} for p in parameters])
    monkeypatch.setattr("zoo.optim.schedules.progress", lambda module: share)
    module = SimpleNamespace(trainer=SimpleNamespace(optimizers=[optimizer]))
    follow_cosine(module, 2.0, warm)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([expected] * 2)


@pytest.mark.parametrize(
    "done, share, expected",
    [(0.0, 0.5, 2.0), (0.5, 0.5, 2.0), (0.75, 0.5, 1.0), (1.0, 0.5, 0.0), (0.75, 1.0, 0.5),
     (0.9, 0.0, 2.0)],
)  # fmt: skip
def test_a_rate_stays_and_at_the_end_falls_to_zero(done, share, expected):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=7.0)
    fade(optimizer, 2.0, done, share)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


class Pupil(L.LightningModule):
    """Learns with rates of one cycle, and remembers them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.rates = nn.Linear(4, 1), nn.Linear(4, 1), []

    def on_train_batch_start(self, batch, batch_idx):
        follow_one_cycle(self, 0.5, 5.0, warm=0.3)
        self.rates.append([group["lr"] for group in self.trainer.optimizers[0].param_groups])

    def training_step(self, batch, batch_idx):
        return (self.a(batch) + self.b(batch)).square().mean() * 0

    def configure_optimizers(self):
        return torch.optim.SGD(
            [{"params": part.parameters(), "lr": 9.0} for part in (self.a, self.b)]
        )


@pytest.mark.parametrize(
    "settings, steps",
    [({"max_epochs": 3}, 30), ({"max_steps": 12, "max_epochs": -1}, 12), ({"max_steps": 3}, 3),
     ({"max_steps": 5, "max_epochs": 3, "accumulate_grad_batches": 2}, 10)],
    ids=str,
)  # fmt: skip
def test_one_cycle_is_that_of_torch(settings, steps):
    pupil = Pupil()
    fit(pupil, **settings)
    twin = Pupil()
    optimizer = twin.configure_optimizers()
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [0.5, 5.0], total_steps=steps, pct_start=0.3, cycle_momentum=False
    )
    for batch, rates in enumerate(pupil.rates):
        assert rates == pytest.approx([group["lr"] for group in optimizer.param_groups], rel=1e-6)
        if batch < steps - 1:
            optimizer.step()
            schedule.step()
    assert len(pupil.rates) == steps


def test_without_an_end_the_rates_stay():
    pupil = Pupil()
    fit(pupil, max_epochs=-1, max_time={"seconds": 0.2})
    assert set(map(tuple, pupil.rates)) == {(0.5, 5.0)}
