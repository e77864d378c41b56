"""What the engine costs: an epoch through it against an epoch of a bare loop, side by side.

Run with ``pytest tests/benchmarks/test_engine_speed.py --benchmark-only -m "slow or not slow" -s``
on a quiet machine. The bare loop has the same networks, precision, optimisers and images in
memory, and neither log, bar, seed, check nor checkpoint; all of these are on in the engine. Two
families have a loop written by hand; the others', from their recipes, calls the model's own
training step with all that belongs to the engine taken out of it.
"""

import sys
import time
from contextlib import ExitStack
from types import SimpleNamespace
from unittest import mock

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.contract.spec import Batch, ImageSpec
from zoo.core.precision import automatic_precision, has_fast_bf16
from zoo.models import InfoGAN
from zoo.optim.ema import update_ema
from zoo.optim.steps import record
from zoo.recipe.building import build
from zoo.recipe.reading import find_recipe, read_recipe

SPEC = ImageSpec(channels=1, height=28, width=28, classes=10)
BATCH = 128
MOST = 1.15  # times a bare loop
SECONDS = 1.0  # about how long an epoch of a recipe takes here, at least ten batches

pytestmark = pytest.mark.slow


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


def bare_vae(pixels):
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
                (terms["discriminator_loss"] - model._weighted_information(terms)).backward()
                first.step()
                for judge in judges:
                    judge.requires_grad_(False)
                terms = model.generator_terms(fake, c, u)
                second.zero_grad(set_to_none=True)
                (terms["generator_loss"] - model._weighted_information(terms)).backward()
                for judge in judges:
                    judge.requires_grad_(True)
                second.step()
                update_ema(model.generator_ema, model.generator)

    return epoch


def bare_step(module, optimizer, loss, *, counted=True, clip_norm=None):
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(
            [weight for group in optimizer.param_groups for weight in group["params"]], clip_norm
        )
    optimizer.step()


def bare_recipe(model, data, batches, precision, clip):
    """Returns one epoch of a recipe's training steps over images in memory."""
    model = model.to(memory_format=torch.channels_last).train()
    images = data.images("train")
    pixels, labels = images.pixels[: batches * data.batch_size], images.labels
    loop = SimpleNamespace(total_batch_idx=0)
    model.trainer = SimpleNamespace(
        fit_loop=loop, global_step=0, estimated_stepping_batches=10_000, max_epochs=1,
        max_steps=10_000, accumulate_grad_batches=1, num_training_batches=10_000, optimizers=[],
    )  # fmt: skip
    chosen = model.configure_optimizers()
    if isinstance(chosen, dict):
        chosen = chosen["optimizer"]
    optimizers = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
    model.trainer.optimizers = optimizers
    model.optimizers = lambda: optimizers if len(optimizers) > 1 else optimizers[0]
    home = sys.modules[type(model).__module__]
    without = {"record": lambda *_, **__: None, "minimise": bare_step}

    def epoch():
        with ExitStack() as stack:
            for name, instead in without.items():
                if hasattr(home, name):
                    stack.enter_context(mock.patch.object(home, name, instead))
            for indices in torch.randperm(len(pixels)).view(-1, data.batch_size):
                x = pixels[indices].to(torch.float32).div_(255)
                if data.binarize == "dynamic":
                    x = torch.bernoulli(x)
                batch = Batch(x, labels[indices])
                model.on_train_batch_start(batch, loop.total_batch_idx)  # its schedules
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                    loss = model.training_step(batch, loop.total_batch_idx)
                    if model.automatic_optimization:
                        bare_step(model, optimizers[0], loss, clip_norm=clip)
                loop.total_batch_idx += 1
                model.trainer.global_step += 1

    return epoch


def test_mlp(noise, alternate, report):
    data = noise(469)
    other = bare_vae(data.images("train").pixels)
    report(*alternate(PlainVAE(), data, other, 9, precision="32-true"), MOST)


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
def test_infogan(noise, alternate, report, precision):
    data = noise(30)
    other = bare_infogan(data.images("train").pixels, precision)
    model = InfoGAN(SPEC, width=32)
    report(*alternate(model, data, other, 4, precision=precision), MOST)


@pytest.mark.parametrize(
    ("name", "milliseconds"),  # of a batch, roughly: decides how many make an epoch
    [
        ("vae_plus_mnist", 6), ("iwae_plus_mnist", 35), ("iaf_vae_mnist", 14),
        ("conv_vae_mnist", 72), ("gmvae_mnist", 16), ("nade_plus_mnist", 30),
        ("made_plus_mnist", 21), ("pixelcnn_plus_mnist", 390), ("nice_plus_mnist", 30),
        ("real_nvp_mnist", 400), ("gan_mnist", 65), ("wgan_gp_mnist", 50),
    ],
)  # fmt: skip
def test_recipe(alternate, report, name, milliseconds):
    recipe = read_recipe(find_recipe(name))
    trainer = recipe["trainer"]
    data = build("data", recipe["data"])
    data.prepare_data()
    data.setup("fit")
    ours, bare = (build("model", recipe["model"], spec=data.spec) for _ in range(2))
    precision = trainer.get("precision") or automatic_precision(ours.prefers_bf16, "cpu")[0]
    clip = trainer.get("gradient_clip_val")
    whole = len(data.images("train")) // data.batch_size
    batches = min(whole, max(10, round(SECONDS * 1000 / milliseconds)))
    other = bare_recipe(bare, data, batches, precision, clip)
    settings = {
        "precision": precision, "gradient_clip_val": clip, "limit_train_batches": batches,
    }  # fmt: skip
    rounds = 24 if batches > 10 else 6  # the least of many short epochs: a machine has moods
    report(*alternate(ours, data, other, rounds, **settings), MOST)


@pytest.mark.skipif(not has_fast_bf16("cpu"), reason="no units for bfloat16")
def test_infogan_in_bfloat16_against_float32(noise, report):
    data = noise(20)
    pixels = data.images("train").pixels
    half, full = bare_infogan(pixels, "bf16-mixed"), bare_infogan(pixels, "32-true")
    times = {half: [], full: []}
    for _ in range(3):
        for epoch, seconds in times.items():
            start = time.perf_counter()
            epoch()
            seconds.append(time.perf_counter() - start)
    report(times[half][1:], times[full][1:], 1.0)
