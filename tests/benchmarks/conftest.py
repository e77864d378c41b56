"""Two ways to train one model, epoch by epoch in turn within one process, and their seconds.

The shortest epochs are compared, because whatever else the machine does only makes epochs longer.
"""

import contextlib
import inspect
import io
import time
import warnings

import lightning as L
import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.data.images import MemoryImages
from zoo.data.module import ImageData
from zoo.shelf.run_folder import RunFolder
from zoo.training.choosing import choose
from zoo.training.loggers import MetricsFile
from zoo.training.trainer import Options, build_trainer, train


class Noise(ImageData):
    """Random bytes in the shape of MNIST, in memory."""

    native = ImageSpec(channels=1, height=28, width=28, classes=10)

    def __init__(self, batches, batch_size=128):
        super().__init__(batch_size=batch_size, val_size=0)
        pixels = torch.randint(256, (batches * batch_size, 1, 28, 28), dtype=torch.uint8)
        labels = torch.zeros(len(pixels), dtype=torch.int64)
        self._images = {"train": MemoryImages(pixels, labels)}
        self._images["val"] = MemoryImages(pixels[:0], labels[:0])


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


@pytest.fixture
def noise():
    return Noise


@pytest.fixture
def alternate(tmp_path):
    """Trains through the engine as a person at a terminal would; returns both lists of seconds."""

    def run(model, data, other, rounds, **settings):
        defaults = {name: p.default for name, p in inspect.signature(L.Trainer).parameters.items()}
        watch = Alternate(other, rounds)
        settings = {
            **defaults, "accelerator": "cpu", "devices": 1, "max_epochs": 10_000,
            "log_every_n_steps": 50, "callbacks": [watch], **settings,
        }  # fmt: skip
        choose(settings, model)
        folder = RunFolder(tmp_path)
        options = Options(0, None, 1000, None, "min", evaluate=False, terminal=True)
        trainer = build_trainer(settings, folder, options)
        trainer.loggers = [MetricsFile(folder.metrics)]
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            train(trainer, model, data, None)
        return watch.ours[1:], watch.theirs[1:]  # the first epochs warm up, and draw pictures

    return run


@pytest.fixture
def report(benchmark):
    """Writes down the ratio of the shortest epochs, and asserts a bound on it if there is one."""

    def write(ours, theirs, most=None):
        ratio = min(ours) / min(theirs)
        benchmark.extra_info.update(
            engine_seconds=min(ours), other_seconds=min(theirs), ratio=round(ratio, 3)
        )
        benchmark.pedantic(lambda: None)
        print(f"\nengine {min(ours):.3f} s, other {min(theirs):.3f} s, ratio {ratio:.3f}")
        assert most is None or ratio <= most

    return write
