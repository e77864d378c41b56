"""The trainer around models with automatic optimisation, and what is chosen for the user."""

import inspect
import warnings
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch import nn

from zoo.core.errors import UserError
from zoo.data import DATASETS
from zoo.optim.steps import NonFinite, record
from zoo.shelf.run_folder import RunFolder
from zoo.training.callbacks import Checkpoints, SeedEachBatch
from zoo.training.choosing import choose, processes
from zoo.training.loggers import MetricsFile
from zoo.training.trainer import (
    Options,
    _refusal,
    build_trainer,
    callback,
    train,
)

DEFAULTS = {name: p.default for name, p in inspect.signature(L.Trainer).parameters.items()}
BATCHES = 19  # per epoch


class Denoiser(L.LightningModule):
    """A small model with dropout, a schedule and validation."""

    def __init__(self, lr=1e-3):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 64)
        )
        self.lr = lr

    def _loss(self, batch):
        x = batch.image.flatten(1)
        noise = torch.randn_like(x) if self.training else 0
        return (self.net((x + noise).view(-1, 1, 8, 8)) - x).square().mean()

    def training_step(self, batch, batch_idx):
        loss = self._loss(batch)
        self.log("train/loss", loss.detach())
        return loss

    def validation_step(self, batch, batch_idx):
        record(self, {"loss": self._loss(batch)}, "val")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.lr, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def settings(**more):
    own = {"accelerator": "cpu", "devices": 1, "max_epochs": 3, "log_every_n_steps": 5}
    return {**DEFAULTS, **own, "enable_progress_bar": False, **more}


def run(path, checkpoint=None, save_every=7, model=None, monitor=None, **more):
    """Trains in a folder; returns the model and the trainer."""
    L.seed_everything(0)
    model = model or Denoiser()
    path.mkdir(exist_ok=True)
    folder = RunFolder(path)
    options = Options(0, save_every, 100, monitor, "min", evaluate=False, terminal=False)
    wanted = settings(**more)
    choose(wanted, model)
    trainer = build_trainer(wanted, folder, options)
    keep = None
    if checkpoint is not None:
        saved = torch.load(checkpoint, weights_only=True)
        keep = saved["callbacks"]["Checkpoints"]["step"]
    trainer.loggers = [MetricsFile(folder.metrics, keep)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(trainer, model, DATASETS["Digits"](batch_size=64), checkpoint)
    return model, trainer


class Accident(Exception):
    pass


@pytest.fixture
def accident_at(monkeypatch):
    """Makes a run fail at the start of a batch."""
    before = SeedEachBatch.on_train_batch_start

    def arrange(batch):
        def hook(self, trainer, module, *rest):
            if trainer.fit_loop.total_batch_idx == batch:
                raise Accident
            before(self, trainer, module, *rest)

        monkeypatch.setattr(SeedEachBatch, "on_train_batch_start", hook)

    yield arrange


@pytest.mark.parametrize("batch", [9, 19, 25, 36, 38])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_automatic_optimisation_continues_exactly(tmp_path, accident_at, batch, accumulate):
    more = {"accumulate_grad_batches": accumulate}
    whole, trainer = run(tmp_path / "whole", **more)
    assert trainer.global_step == 3 * -(-BATCHES // accumulate)

    accident_at(batch)
    with pytest.raises(Accident):
        run(tmp_path / "parts", **more)
    accident_at(-1)
    parts, trainer_ = run(tmp_path / "parts", tmp_path / "parts/checkpoints/last.ckpt", **more)

    for key, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[key]), key
    states = [t.optimizers[0].state_dict()["state"] for t in (trainer, trainer_)]
    for index, state in states[0].items():
        assert all(torch.equal(state[key], states[1][index][key]) for key in state)
    assert trainer_.global_step == trainer.global_step
    assert trainer_.current_epoch == trainer.current_epoch == 3
    a, b = ((tmp_path / name / "metrics.csv").read_text() for name in ("whole", "parts"))
    assert a == b
    steps = [int(line.partition(",")[0]) for line in a.splitlines()[1:]]
    per_epoch = -(-BATCHES // accumulate)  # groups of batches
    assert steps == sorted({*range(5, 3 * per_epoch + 1, 5), *(per_epoch * e for e in (1, 2, 3))})


@pytest.mark.parametrize("accumulate, stop", [(1, 28), (2, 28), (2, 29), (2, 38), (2, 19), (4, 27)])
def test_a_run_that_stops_itself_continues_exactly(tmp_path, accumulate, stop):
    """Gradients that were gathered when it stopped, but not used, are gathered again."""

    class Stop(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.fit_loop.total_batch_idx + 1 == stop

    more = {"accumulate_grad_batches": accumulate}
    whole, trainer = run(tmp_path / "whole", **more)
    _, early = run(tmp_path / "parts", save_every=1000, callbacks=[Stop()], **more)
    assert early.fit_loop.total_batch_idx + 1 == stop
    parts, other = run(tmp_path / "parts", tmp_path / "parts/checkpoints/last.ckpt", **more)

    # Not the buffers: the statistics of batch normalisation have seen such images twice.
    for key, tensor in whole.named_parameters():
        assert torch.equal(tensor, parts.state_dict()[key]), key
    assert other.global_step == trainer.global_step
    assert other.fit_loop.total_batch_idx == trainer.fit_loop.total_batch_idx == 3 * BATCHES - 1
    stepped = [one.fit_loop.epoch_loop._batches_that_stepped for one in (trainer, other)]
    assert stepped[0] == stepped[1]


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path):
    class Bad(Denoiser):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return loss * float("inf") if self.trainer.fit_loop.total_batch_idx == 10 else loss

    model = Bad()
    with pytest.raises(NonFinite, match="the loss became inf in epoch 1, batch 11"):
        run(tmp_path, model=model)
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["callbacks"]["Checkpoints"]["batches"] == 7


def test_the_best_of_a_validation_term_is_kept(tmp_path):
    run(tmp_path, monitor="val/loss")
    import csv

    with (tmp_path / "metrics.csv").open() as file:
        losses = {
            int(r["step"]): float(r["val/loss"]) for r in csv.DictReader(file) if r["val/loss"]
        }
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["callbacks"]["Checkpoints"]["batches"] == min(losses, key=losses.get)


def test_the_time_of_earlier_parts_counts(tmp_path, accident_at):
    accident_at(20)
    with pytest.raises(Accident):
        run(tmp_path)
    path = tmp_path / "checkpoints" / "last.ckpt"
    saved = torch.load(path, weights_only=True)
    before = saved["callbacks"]["Checkpoints"]
    accident_at(-1)
    _, trainer = run(tmp_path, path)
    kept = callback(trainer, Checkpoints)
    assert kept.seconds > before["seconds"] > 0
    assert kept.processor_seconds > before["processor_seconds"] > 0
    del before["processor_seconds"]  # as older versions wrote it: a part would be no sum
    torch.save(saved, path)
    _, trainer = run(tmp_path, path)
    assert callback(trainer, Checkpoints).processor_seconds is None


def test_hooks_of_given_callbacks_are_called(tmp_path):
    calls = []

    class Counts(L.Callback):
        def on_train_batch_end(self, *_):
            calls.append("class")

    given = [
        Counts(),
        L.pytorch.callbacks.LambdaCallback(on_before_backward=lambda *_: calls.append("instance")),
    ]
    run(tmp_path, callbacks=given, max_epochs=1)
    assert calls == ["instance", "class"] * BATCHES


@pytest.mark.parametrize("by", ["norm", "value"])
def test_gradients_are_clipped(tmp_path, by):
    largest = []

    class Watched(Denoiser):
        def on_before_optimizer_step(self, optimizer):
            flat = torch.cat([p.grad.flatten() for p in self.parameters()])
            largest.append(float(flat.norm() if by == "norm" else flat.abs().max()))

    more = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": by, "max_epochs": 1}
    run(tmp_path, model=Watched(), precision="bf16-mixed", **more)
    assert len(largest) == BATCHES
    assert max(largest) <= 0.01 * 1.001


# ---------------------------------------------------------------- choices and refusals


class Manual(Denoiser):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False


@pytest.mark.parametrize(
    "devices, nodes, count",
    [(1, 1, 1), (2, 1, 2), ("2", 1, 2), ([0, 1, 2], 1, 3), ("0,1", 1, 2), ("0,", 1, 1),
     ("auto", 1, 1), (-1, 1, 1), (2, 3, 6)],
)  # fmt: skip
def test_processes_are_counted(devices, nodes, count):
    assert processes(settings(devices=devices, num_nodes=nodes)) == count


@pytest.mark.parametrize(
    "model, devices, strategy",
    [(Denoiser, 1, "auto"), (Denoiser, 2, "ddp"), (Manual, 2, "ddp_find_unused_parameters_true")],
)
def test_the_strategy_follows_from_processes_and_players(model, devices, strategy):
    wanted = settings(devices=devices)
    choose(wanted, model())
    assert wanted["strategy"] == strategy


def test_a_wish_is_respected():
    wanted = settings(precision="64-true", strategy="fsdp", devices=2)
    assert choose(wanted, Denoiser()) == "64-true (as asked)"
    assert wanted["strategy"] == "fsdp"


@pytest.mark.parametrize(
    "model, more, words",
    [
        (Manual, {"accumulate_grad_batches": 2}, "accumulate_grad_batches does not reach Manual"),
        (Manual, {"gradient_clip_val": 1.0, "precision": "16-mixed"}, "scaled gradients"),
        (Denoiser, {"precision": "bf16-true"}, "bf16-true keeps the weights in half precision"),
        (Manual, {"precision": "16-true"}, "use bf16-mixed"),
    ],
)
def test_what_does_not_go_together_is_refused(model, more, words):
    with pytest.raises(UserError, match=words):
        choose(settings(**more), model())


@pytest.mark.parametrize(
    "more", [{"fast_dev_run": -1}, {"strategy": "no_such"}, {"accelerator": "no_such"},
             {"gradient_clip_val": -1.0}, {"enable_checkpointing": False}],
    ids=str,
)  # fmt: skip
def test_what_lightning_refuses_is_a_wrong_request(tmp_path, more):
    with pytest.raises(UserError):
        run(tmp_path, **more)


@pytest.mark.parametrize(
    "count, words",
    [(3, "more images, or a lower --data.val_size"), (300, "raise --data.batch_size")],
)
def test_a_lone_image_is_told_with_what_helps(count, words):
    """A larger batch is no help where all images are in it already."""
    data = SimpleNamespace(batch_size=64, images=lambda split: range(count))
    with pytest.raises(ValueError, match="more than 1 value") as error:
        nn.BatchNorm1d(8)(torch.zeros(1, 8))
    assert words in str(_refusal(error.value, data))


def test_a_trial_leaves_no_checkpoint(tmp_path):
    run(tmp_path, fast_dev_run=True)
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "pictures").exists()
