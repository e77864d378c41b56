"""Batches, and continuing in mid-epoch."""

from itertools import product

import lightning as L
import pytest
import torch

from zoo.core.errors import UserError
from zoo.data.images import FileImages, MappedImages, MemoryImages, subset
from zoo.data.loader import BatchLoader, Order

# Python 3.12 and later warn of every fork of a process that has threads, as torch's workers do.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(params=["memory", "streaming", "workers"])
def data(request, memory, streaming):
    if request.param == "memory":
        return memory(batch_size=8, binarize="dynamic")
    workers = 2 if request.param == "workers" else 0
    return streaming(batch_size=8, binarize="dynamic", workers=workers)


def same(left, right):
    return len(left) == len(right) and all(
        a.image.equal(b.image) and a.label.equal(b.label) for a, b in zip(left, right, strict=True)
    )


def test_batches_are_float_images_in_0_to_1_with_their_own_labels(memory):
    data = memory(batch_size=7)
    images = data.images("train")
    for indices, batch in zip(
        data.train_dataloader().sampler.batches(), data.train_dataloader(), strict=True
    ):
        assert batch.image.dtype == torch.float32
        assert batch.label.dtype == torch.int64
        assert batch.image.equal(images.fetch(indices).float() / 255)
        assert batch.label.equal(images.labels[indices])
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    whole = MemoryImages(pixels, torch.zeros(1, dtype=torch.int64))
    (batch,) = BatchLoader(whole, Order(1, 1, shuffle=False))
    assert batch.image.flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("sizes", [{}, {"resize": 5, "pad": 9}])
def test_streaming_gives_what_memory_gives(memory, streaming, split, workers, sizes):
    options = {"batch_size": 8, "binarize": "dynamic", **sizes}
    here = memory(**options).loader(split, shuffle=split == "train")
    there = streaming(**options, workers=workers).loader(split, shuffle=split == "train")
    for epoch in range(2 if workers == 0 else 1):
        here.sampler.set_epoch(epoch)
        there.sampler.set_epoch(epoch)
        assert same(list(here), list(there))


# Processes take a while to start: with them, the ends and the middle of an epoch will do.
@pytest.mark.parametrize(
    ("data", "stop"),
    [*product(["memory", "streaming"], range(6)), *product(["workers"], [0, 3, 5])],
    indirect=["data"],
)
def test_a_loader_continues_after_any_batch(data, stop):
    whole = data.train_dataloader()
    whole.sampler.set_epoch(2)
    batches = list(whole)
    assert len(batches) == 5

    interrupted = data.train_dataloader()
    interrupted.sampler.set_epoch(2)
    running = iter(interrupted)
    for _ in range(stop):
        next(running)
    state = interrupted.state_dict()
    running.close()

    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(2)  # Lightning does so, too
    rest = list(resumed)
    # after its last batch an epoch is over, and the next one has all its batches
    assert same(rest, batches[stop % 5 :])
    assert resumed.state_dict()["batch"] == 5
    assert same(list(resumed), batches)  # only once


def test_the_next_epoch_starts_at_its_beginning_though_the_last_was_cut_short(memory):
    loader = memory(batch_size=8).train_dataloader()
    running = iter(loader)
    next(running), next(running)
    resumed = memory(batch_size=8).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(list(resumed)) == 5


def test_a_place_in_another_cut_of_the_epoch_is_refused(memory):
    loader = memory(batch_size=8).train_dataloader()
    next(iter(loader))
    other = memory(batch_size=4).train_dataloader()
    with pytest.raises(UserError, match="after batch 1 of 5, but an epoch now has 10"):
        other.load_state_dict(loader.state_dict())
    list(loader)
    other.load_state_dict(loader.state_dict())  # between epochs, nothing would come twice
    assert len(list(other)) == 10


def test_loading_leaves_the_runs_own_randomness_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(data.train_dataloader())
    assert torch.rand(3).equal(expected)


def test_a_wrong_request_in_a_worker_keeps_its_own_words():
    class Broken(FileImages):
        labels = torch.zeros(4, dtype=torch.int64)

        def __getitem__(self, index):
            raise UserError(f"file {index} is damaged.")

    order = Order(4, 2, shuffle=False)
    for workers in (0, 1):
        with pytest.raises(UserError) as caught:
            list(BatchLoader(Broken(), order, workers=workers))
        assert str(caught.value) == "file 0 is damaged."


def test_a_subset_of_a_stream_fetches_the_right_images(streaming):
    whole = streaming().read("train")
    rows = torch.tensor([9, 2, 40])
    part = subset(subset(whole, rows), torch.tensor([2, 0]))
    assert part.fetch(torch.arange(2)).equal(whole.pixels[[40, 9]])
    assert part[1].equal(whole.pixels[9])
    assert part.labels.equal(whole.labels[[40, 9]])
    negative = MappedImages(part, lambda pixels, indices: 255 - pixels)
    assert negative[0].equal(255 - whole.pixels[40])
    assert len(negative) == 2


class Recorder(L.LightningModule):
    """Writes down every training batch; its weights depend on all of them, and on the dice."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(48, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch.image.sum().item()))
        return self.layer(batch.image.flatten(1)).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class StopAfter(L.Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, module, *args):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("data", "step"),
    [*product(["memory", "streaming"], [3, 5, 7]), ("workers", 7)],
    indirect=["data"],
)
@pytest.mark.parametrize("limits", [{"max_epochs": 3}, {"max_steps": 8, "limit_train_batches": 3}])
def test_lightning_resumes_to_the_same_batches_and_weights(data, limits, step, tmp_path):
    def run(callbacks=(), ckpt=None):
        torch.manual_seed(0)
        module = Recorder()
        trainer = L.Trainer(
            accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[*callbacks],
            enable_progress_bar=False, enable_model_summary=False, min_epochs=0, **limits,
        )  # fmt: skip
        trainer.fit(module, type(data)(batch_size=8, binarize="dynamic", workers=data.workers),
                    ckpt_path=ckpt)  # fmt: skip
        return module

    path = tmp_path / "stopped.ckpt"
    whole, first = run(), run([StopAfter(step, path)])
    second = run(ckpt=path)
    assert [*first.seen, *second.seen] == whole.seen
    assert second.layer.weight.equal(whole.layer.weight)
