"""What the engine costs: an epoch through it against an epoch of a bare loop, side by side.

Run with ``pytest tests/benchmarks/test_engine_speed.py --benchmark-only -m "slow or not slow"``
on a quiet machine. The bare loop has the same networks, precision, optimisers and images in
memory, and neither log, bar, seed, check nor checkpoint; all of these are on in the engine. Both
alternate, epoch by epoch, within one process; the shortest epochs are compared, because whatever
else the machine does only makes epochs longer.
"""

import contextlib
import inspect
import io
import time
import warnings

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.data.loader import MemoryImages
from zoo.data.module import ImageData
from zoo.data.spec import ImageSpec
from zoo.engine import Options, build_trainer, choose, train
from zoo.logs import MetricsFile
from zoo.models import InfoGAN
from zoo.precision import has_fast_bf16
from zoo.runs import RunFolder
from zoo.training import record, update_ema

SPEC = ImageSpec(channels=1, height=28, width=28, classes=10)
BATCH = 128
MOST = 1.15  # times a bare loop

pytestmark = pytest.mark.slow


class Noise(ImageData):
    """Random bytes in the shape of MNIST, in memory."""

    native = SPEC

    def __init__(self, batches):
        super().__init__(batch_size=BATCH, val_size=0)
        pixels = torch.randint(256, (batches * BATCH, 1, 28, 28), dtype=torch.uint8)
        self._images = {"train": MemoryImages(pixels, torch.zeros(len(pixels), dtype=torch.int64))}
        self._images["val"] = MemoryImages(pixels[:0], torch.zeros(0, dtype=torch.int64))


class PlainVAE(L.LightningModule):
    """784-400-20 with Bernoulli pixels (Kingma & Welling 2014), automatic optimisation."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))
        self.decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))

    def terms(self, x):
        x = x.flatten(1)
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        rate = 0.5 * (log_var.exp() + mean.square() - 1 - log_var).sum()
        return {"distortion_nats": distortion / len(x), "rate_nats": rate / len(x)}

    def training_step(self, batch, batch_idx):
        terms = self.terms(batch.image)
        record(self, terms)
        return terms["distortion_nats"] + terms["rate_nats"]

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3, fused=True)


def batches_of(pixels):
    for indices in torch.randperm(len(pixels)).view(-1, BATCH):
        yield pixels[indices].to(torch.float32).div_(255)


def bare_vae(pixels, precision):
    model = PlainVAE()
    optimizer = model.configure_optimizers()

    def epoch():
        for x in batches_of(pixels):
            optimizer.zero_grad(set_to_none=True)
            sum(model.terms(x).values()).backward()
            optimizer.step()

    return epoch


def bare_infogan(pixels, precision):
    model = InfoGAN(SPEC, width=32).to(memory_format=torch.channels_last)
    first, second = model.configure_optimizers()
    judges = [model.trunk, model.discriminator_head, model.code_head]

    def epoch():
        for x in batches_of(pixels):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                z, c, u = model._latents(len(x), None)
                fake = model.generator(model._join(z, c, u)).float().sigmoid()
                terms = model.discriminator_terms(x, fake.detach(), c, u)
                first.zero_grad(set_to_none=True)
                model._objective(terms, "discriminator_loss").backward()
                first.step()
                for judge in judges:
                    judge.requires_grad_(False)
                terms = model.generator_terms(fake, c, u)
                second.zero_grad(set_to_none=True)
                model._objective(terms, "generator_loss").backward()
                for judge in judges:
                    judge.requires_grad_(True)
                second.step()
                update_ema(model.generator_ema, model.generator)

    return epoch


class Alternate(L.Callback):
    """Runs another epoch before each of the trainer's, and times both."""

    def __init__(self, other, rounds):
        self.other, self.rounds = other, rounds
        self.ours, self.theirs = [], []
        self._start = None

    def on_train_epoch_start(self, trainer, pl_module):
        now = time.perf_counter()
        if self._start is not None:
            self.ours.append(now - self._start)
        trainer.should_stop = len(self.ours) == self.rounds
        start = time.perf_counter()
        self.other()
        self._start = time.perf_counter()
        self.theirs.append(self._start - start)


def alternate(path, model, data, precision, other, rounds):
    """Trains through the engine as a person at a terminal would; returns both lists of seconds."""
    defaults = {name: p.default for name, p in inspect.signature(L.Trainer).parameters.items()}
    watch = Alternate(other, rounds)
    settings = {
        **defaults, "accelerator": "cpu", "devices": 1, "max_epochs": 10_000,
        "log_every_n_steps": 50, "precision": precision, "callbacks": [watch],
    }  # fmt: skip
    choose(settings, model)
    path.mkdir(exist_ok=True)
    folder = RunFolder(path)
    options = Options(0, 1000, 1000, None, "min", evaluate=False, terminal=True)
    trainer = build_trainer(settings, folder, options)
    trainer.loggers = [MetricsFile(folder.metrics)]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        train(trainer, model, data, None)
    return watch.ours[1:], watch.theirs[1:]  # the first epochs warm up, and draw pictures


def report(benchmark, ours, theirs, most=None):
    ratio = min(ours) / min(theirs)
    benchmark.extra_info.update(
        engine_seconds=min(ours), bare_seconds=min(theirs), ratio=round(ratio, 3)
    )
    benchmark.pedantic(lambda: None)
    print(f"\nengine {min(ours):.3f} s, other {min(theirs):.3f} s, ratio {ratio:.3f}")
    assert most is None or ratio <= most


def test_mlp(benchmark, tmp_path):
    data = Noise(469)
    other = bare_vae(data.images("train").pixels, "32-true")
    report(benchmark, *alternate(tmp_path, PlainVAE(), data, "32-true", other, 9), MOST)


@pytest.mark.parametrize(
    "precision",
    [
        "32-true",
        pytest.param(
            "bf16-mixed",
            marks=pytest.mark.skipif(not has_fast_bf16("cpu"), reason="no units for bfloat16"),
        ),
    ],
)
def test_infogan(benchmark, tmp_path, precision):
    data = Noise(30)
    other = bare_infogan(data.images("train").pixels, precision)
    model = InfoGAN(SPEC, width=32)
    report(benchmark, *alternate(tmp_path, model, data, precision, other, 4), MOST)


@pytest.mark.skipif(not has_fast_bf16("cpu"), reason="no units for bfloat16")
def test_infogan_in_bfloat16_against_float32(benchmark, tmp_path):
    data = Noise(20)
    pixels = data.images("train").pixels
    half, full = bare_infogan(pixels, "bf16-mixed"), bare_infogan(pixels, "32-true")
    times = {half: [], full: []}
    for _ in range(3):
        for epoch, seconds in times.items():
            start = time.perf_counter()
            epoch()
            seconds.append(time.perf_counter() - start)
    report(benchmark, times[half][1:], times[full][1:], 1.0)
