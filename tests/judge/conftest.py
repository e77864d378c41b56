"""The embedded digits, and the feature network that the shelf has for them."""

import pytest
import torch

from zoo.data import DATASETS
from zoo.judge.subject import features_for


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits():
    return DATASETS["Digits"]()


@pytest.fixture(scope="session")
def features(digits):
    return features_for(digits)


class Toy:
    """What the judge needs of any model."""

    device = torch.device("cpu")

    def __init__(self, spec=None):
        self.spec = spec

    def to(self, device):
        return self


class Replay(Toy):
    """A 'model' that shows images of a pool: all of them before any comes twice."""

    def __init__(self, pool, spec=None):
        super().__init__(spec)
        self.pool, self.drawn = pool, 0

    def sample(self, n, *, seed=None):
        self.drawn += n
        generator = torch.Generator().manual_seed(seed)
        rounds = -(-n // len(self.pool))
        orders = [torch.randperm(len(self.pool), generator=generator) for _ in range(rounds)]
        return self.pool[torch.cat(orders)[:n]]


@pytest.fixture(scope="session")
def toy():
    return Toy


@pytest.fixture(scope="session")
def replay():
    return Replay


@pytest.fixture(scope="session")
def images(digits):
    """Returns a split in [0, 1], and its labels."""

    def of(split, without=()):
        labels = digits.images(split).labels
        kept = torch.tensor([int(label) not in without for label in labels]).nonzero().flatten()
        return digits.images(split).fetch(kept).float() / 255, labels[kept]

    return of
