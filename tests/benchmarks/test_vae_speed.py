"""An epoch of the VAE through the engine, against a bare loop and against pythae's trainer.

Run with ``pytest tests/benchmarks/test_vae_speed.py --benchmark-only -m "slow or not slow" -s`` on
a quiet machine. All three train the network 784-[200, 200]-50 in float32 with Adam on the same
images in memory, batch 128. pythae is optional: ``pip install pythae``. Epochs are timed by the
processor's time of this process, and the shortest are compared.
"""

import contextlib
import inspect
import io
import time
import warnings

import lightning as L
import pytest
import torch
from torch import nn

from zoo.data.loader import MemoryImages
from zoo.data.module import ImageData
from zoo.data.spec import ImageSpec
from zoo.engine import Options, build_trainer, choose, train
from zoo.logs import MetricsFile
from zoo.models import VAE
from zoo.nets.mlp import MLP
from zoo.runs import RunFolder

SPEC = ImageSpec(channels=1, height=28, width=28, classes=10)
BATCH, BATCHES, EPOCHS = 128, 200, 5
MOST = 1.15  # times a bare loop

pytestmark = pytest.mark.slow


class Noise(ImageData):
    """Random bytes in the shape of MNIST, in memory."""

    native = SPEC

    def __init__(self):
        super().__init__(batch_size=BATCH, val_size=0)
        pixels = torch.randint(256, (BATCHES * BATCH, 1, 28, 28), dtype=torch.uint8)
        labels = torch.zeros(len(pixels), dtype=torch.int64)
        self._images = {"train": MemoryImages(pixels, labels)}
        self._images["val"] = MemoryImages(pixels[:0], labels[:0])


class Stopwatch(L.Callback):
    def __init__(self):
        self.seconds = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.start = time.process_time()

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds.append(time.process_time() - self.start)


def engine_epochs(path, data):
    defaults = {name: p.default for name, p in inspect.signature(L.Trainer).parameters.items()}
    watch, model = Stopwatch(), VAE(SPEC, activation="relu")
    settings = {
        **defaults, "accelerator": "cpu", "devices": 1, "max_epochs": EPOCHS,
        "log_every_n_steps": 50, "callbacks": [watch],
    }  # fmt: skip
    choose(settings, model)
    path.mkdir(exist_ok=True)
    folder = RunFolder(path)
    trainer = build_trainer(
        settings, folder, Options(0, 1000, 1000, None, "min", evaluate=False, terminal=False)
    )
    trainer.loggers = [MetricsFile(folder.metrics)]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        train(trainer, model, data, None)
    return watch.seconds


def bare_epochs(data):
    model = VAE(SPEC, activation="relu")
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    pixels, seconds = data.images("train").pixels, []
    for _ in range(EPOCHS):
        start = time.process_time()
        for indices in torch.randperm(len(pixels)).view(-1, BATCH):
            x = pixels[indices].to(torch.float32).div_(255)
            code = model._read(x)
            terms = model.elbo_terms(x, code, torch.randn(1, BATCH, 50))
            optimizer.zero_grad(set_to_none=True)
            sum(terms.values()).backward()
            optimizer.step()
        seconds.append(time.process_time() - start)
    return seconds


def pythae_epochs(path, data):
    pytest.importorskip("pythae")
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as Theirs
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.net = MLP(784, (200, 200), 100, nn.ReLU)

        def forward(self, x):
            mean, log_var = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.net = MLP(50, (200, 200), (1, 28, 28), nn.ReLU)

        def forward(self, z):
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    class Watch(TrainingCallback):
        seconds = []

        def on_epoch_begin(self, training_config, **kwargs):
            self.start = time.process_time()

        def on_train_step_end(self, training_config, **kwargs):
            self.last = time.process_time()

        def on_epoch_end(self, training_config, **kwargs):
            self.seconds.append(self.last - self.start)

    settings = VAEConfig(input_dim=(1, 28, 28), latent_dim=50, reconstruction_loss="bce")
    config = BaseTrainerConfig(
        output_dir=str(path), num_epochs=EPOCHS, per_device_train_batch_size=BATCH,
        learning_rate=1e-3, no_cuda=True,
    )  # fmt: skip
    images = data.images("train").pixels.float() / 255
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        BaseTrainer(
            Theirs(settings, encoder=Encoder(), decoder=Decoder()),
            train_dataset=BaseDataset(images, torch.zeros(len(images))),
            training_config=config,
            callbacks=[Watch()],
        ).train()
    return Watch.seconds


def compare(benchmark, ours, theirs, most):
    ratio = min(ours[1:]) / min(theirs[1:])
    benchmark.extra_info.update(ratio=round(ratio, 3))
    benchmark.pedantic(lambda: None)
    print(f"\nengine {min(ours[1:]):.3f} s, other {min(theirs[1:]):.3f} s, ratio {ratio:.3f}")
    assert ratio <= most


def test_against_a_bare_loop(benchmark, tmp_path):
    data = Noise()
    compare(benchmark, engine_epochs(tmp_path / "run", data), bare_epochs(data), MOST)


def test_against_pythaes_trainer(benchmark, tmp_path):
    data = Noise()
    theirs = pythae_epochs(tmp_path / "theirs", data)
    compare(benchmark, engine_epochs(tmp_path / "run", data), theirs, 1.0)
