"""Batches from indices.

The order of an epoch is a function of (seed, epoch), so any run can be continued in mid-epoch;
every rank takes its share of each batch without asking the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from zoo.contract.spec import Batch
from zoo.core.errors import UserError
from zoo.data.images import FileImages, Images, unit_range

__all__ = [
    "BatchLoader",
    "Order",
    "check_share",
    "mix_seed",
]


def mix_seed(*parts: int) -> int:
    """Hashes integers to a seed of 63 bits, so that near parts give unrelated streams.

    Example:
        >>> mix_seed(0, 1) == mix_seed(0, 1), mix_seed(0, 1) == mix_seed(1, 0)
        (True, False)
    """
    mask, state = 2**64 - 1, 0x9E3779B97F4A7C15
    for part in parts:  # splitmix64 (Steele et al. 2014) over the running state
        state = (state + (part & mask) * 0xBF58476D1CE4E5B9 + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1


class _Decoder(Dataset["Tensor | str"]):
    """What a worker process does: decodes a whole batch, or returns the words of a wrong request.

    An exception that crosses the border of a process arrives with a traceback in its message;
    a string arrives as it is.
    """

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitem__(self, indices: list[int]) -> Tensor | str:
        try:
            return self.images.fetch(torch.tensor(indices))
        except UserError as error:
            return str(error)


def check_share(batch_size: int, world: int) -> None:
    """Refuses a batch that several processes cannot share equally.

    Raises:
        UserError: naming the nearest sizes that they can.
    """
    if batch_size % world:
        lower = batch_size // world * world
        near = f"{lower} or {lower + world}" if lower else str(world)
        raise UserError(
            f"--data.batch_size {batch_size} cannot be shared equally by {world} processes: "
            f"choose {near}, or fewer devices."
        )


class Order:
    """Which images make which batch, in every epoch and on every rank.

    Training: each epoch is one permutation from (seed, epoch), cut into batches of
    ``batch_size``, of which every rank takes an equal share: all ranks together see the batches
    that one alone would see. The incomplete last batch is left out, so no image comes twice.
    Evaluation: in order, every image once.

    Args:
        count: Number of images.
        batch_size: Images per batch, on all ranks together; fewer if there are not enough images.
        shuffle: True for training.
        seed: Decides the permutations.
        rank: This process, from 0.
        world: Number of processes.
        whole: Deal whole batches to the ranks in turn instead of images, so that the batches are
            the same for any number of processes; a rank may get none. For evaluation.

    Raises:
        UserError: if there is no image for some rank, the batch size is not positive, or a batch
            of training cannot be shared equally.
    """

    def __init__(
        self, count: int, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0,
        world: int = 1, whole: bool = False,
    ) -> None:  # fmt: skip
        if batch_size < 1:
            raise UserError(f"--data.batch_size must be at least 1, got {batch_size}.")
        if count < world and not whole:
            raise UserError(f"{count} images cannot be shared among {world} processes.")
        if shuffle:
            check_share(batch_size, world)
            batch_size = min(batch_size, count // world * world)
        self.count, self.shuffle, self.seed = count, shuffle, seed
        self.rank, self.world, self.whole = rank, world, whole
        self.batch_size = batch_size
        self.share = batch_size if whole else max(1, batch_size // world)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the permutation; Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle:
            return self.count // self.batch_size
        if self.whole:
            return len(range(self.rank, math.ceil(self.count / self.share), self.world))
        return math.ceil(len(range(self.rank, self.count, self.world)) / self.share)

    def batches(self) -> tuple[Tensor, ...]:
        """Returns the indices of this rank's share of each batch of the present epoch."""
        if self.whole:
            return torch.arange(self.count).split(self.share)[self.rank :: self.world]
        if not self.shuffle:
            return torch.arange(self.rank, self.count, self.world).split(self.share)
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
        used = len(self) * self.batch_size
        batches = torch.randperm(self.count, generator=generator)[:used]
        return batches.view(-1, self.world, self.share)[:, self.rank].unbind()


class BatchLoader:
    """Yields `Batch`es in an `Order`; continues where a checkpoint left it.

    Args:
        images: Where the bytes come from.
        order: Which images make which batch.
        binarize: Whether to draw each pixel from a Bernoulli law of its intensity, anew in every
            epoch, from (seed, epoch, batch, rank).
        workers: Processes that decode `FileImages`; images in memory need none.
    """

    def __init__(
        self, images: Images, order: Order, *, binarize: bool = False, workers: int = 0
    ) -> None:
        self.images = images
        self.sampler = order  # the name under which Lightning looks for `set_epoch`
        self.batch_sampler = None  # Lightning asks every loader that has the former for it
        self.binarize = binarize
        self.workers = workers
        self._resume = {"epoch": 0, "batch": 0}
        self._given = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # Only the very epoch that was interrupted starts in its middle: a run that stopped at the
        # end of an epoch shortened by `limit_train_batches` starts the next one at its beginning.
        order = self.sampler
        start = self._resume["batch"] if order.epoch == self._resume["epoch"] else 0
        self._resume = {"epoch": 0, "batch": 0}
        self._given = start
        batches = order.batches()[start:]
        for number, (indices, pixels) in enumerate(self._pixels(batches), start):
            image = unit_range(pixels)
            if self.binarize:
                seed = mix_seed(order.seed, order.epoch, number, order.rank)
                image = torch.bernoulli(image, generator=torch.Generator().manual_seed(seed))
            self._given = number + 1
            yield Batch(image, self.images.labels[indices], *self._noted(indices, number))

    def _noted(self, indices: Tensor, number: int) -> tuple[Tensor | None, Tensor | None]:
        """Returns one caption of each image, in training drawn anew, and the attributes."""
        notes = self.images.notes
        if notes is None:
            return None, None
        values = None if notes.attributes is None else notes.attributes[indices].long()
        if notes.captions is None:
            return None, values
        order, captions = self.sampler, notes.captions[indices]
        chosen = torch.zeros(len(indices), dtype=torch.int64)
        if order.shuffle:
            seed = mix_seed(order.seed, order.epoch, number, order.rank, 1)
            generator = torch.Generator().manual_seed(seed)
            chosen = torch.randint(captions.shape[1], (len(indices),), generator=generator)
        return captions[torch.arange(len(indices)), chosen].long(), values

    def _pixels(self, batches: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, Tensor]]:
        if self.workers == 0 or not isinstance(self.images, FileImages):
            for indices in batches:
                yield indices, self.images.fetch(indices)
            return
        decoded = DataLoader(
            _Decoder(self.images),
            sampler=[indices.tolist() for indices in batches],
            batch_size=None,  # a worker makes the whole batch
            num_workers=self.workers,
            # Seeds of workers, which need none, must not be drawn from the run's own randomness:
            # a resumed run would then differ from one that was never stopped.
            generator=torch.Generator(),
        )
        for indices, pixels in zip(batches, decoded, strict=True):
            if isinstance(pixels, str):
                raise UserError(pixels)
            yield indices, pixels

    def state_dict(self) -> dict[str, int]:
        """Returns the place in the epoch, for a checkpoint."""
        return {"epoch": self.sampler.epoch, "batch": self._given, "batches": len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues at a place from `state_dict`.

        Raises:
            UserError: if that place is in mid-epoch and this loader cuts its batches differently,
                so that images would come twice or never.
        """
        batch = state["batch"] % max(1, state["batches"])
        if batch and state["batches"] != len(self):
            raise UserError(
                f"the checkpoint was written after batch {batch} of {state['batches']}, but an "
                f"epoch now has {len(self)} batches: continue it with the same data and "
                "--data.batch_size."
            )
        self.sampler.set_epoch(state["epoch"])
        self._resume = {"epoch": state["epoch"], "batch": batch}
