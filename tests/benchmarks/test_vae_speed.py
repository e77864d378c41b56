"""An epoch of the VAE through the engine, against pythae's trainer.

Run with ``pytest tests/benchmarks/test_vae_speed.py --benchmark-only -m "slow or not slow" -s`` on
a quiet machine, after ``pip install pythae``. Both train the network 784-[200, 200]-50 in float32
with Adam on the same images in memory, batch 128.
"""

import contextlib
import io
import time

import pytest
import torch
from torch import nn

from zoo.models import VAE
from zoo.nets.mlp import MLP

BATCH, BATCHES, EPOCHS = 128, 200, 5

pytestmark = pytest.mark.slow


def pythae_epochs(path, images):
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
            self.start = time.perf_counter()

        def on_train_step_end(self, training_config, **kwargs):
            self.last = time.perf_counter()

        def on_epoch_end(self, training_config, **kwargs):
            self.seconds.append(self.last - self.start)

    settings = VAEConfig(input_dim=(1, 28, 28), latent_dim=50, reconstruction_loss="bce")
    config = BaseTrainerConfig(
        output_dir=str(path), num_epochs=EPOCHS, per_device_train_batch_size=BATCH,
        learning_rate=1e-3, no_cuda=True,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        BaseTrainer(
            Theirs(settings, encoder=Encoder(), decoder=Decoder()),
            train_dataset=BaseDataset(images, torch.zeros(len(images))),
            training_config=config,
            callbacks=[Watch()],
        ).train()
    return Watch.seconds[1:]


def test_against_pythaes_trainer(noise, alternate, report, tmp_path):
    data = noise(BATCHES)
    theirs = pythae_epochs(tmp_path / "theirs", data.images("train").pixels.float() / 255)
    model = VAE(data.spec, activation="relu")
    ours, _ = alternate(model, data, lambda: None, EPOCHS)
    report(ours, theirs, 1.0)
