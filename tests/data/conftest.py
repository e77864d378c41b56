"""Small data sets and a world without network, for all tests of the data room."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch

from zoo.contract.spec import ImageSpec
from zoo.data.images import FileImages, MemoryImages
from zoo.data.module import ImageData

COUNTS = {"train": 50, "test": 11, "val": 7}
PARTS = {"train": 0, "test": 1, "val": 2}


def toy_pixels(part: str) -> torch.Tensor:
    """uint8 (N, 2, 6, 4), random but always the same; no two images are equal."""
    generator = torch.Generator().manual_seed(PARTS[part])
    return torch.randint(
        256, (COUNTS[part], 2, 6, 4), dtype=torch.uint8, generator=generator
    )  # fmt: skip


class Memory(ImageData):
    native = ImageSpec(2, 6, 4, classes=3)
    default_val_size = 10

    def read(self, part):
        pixels = toy_pixels(part)
        return MemoryImages(pixels, torch.arange(len(pixels)) % 3)


class _Slow(FileImages):
    def __init__(self, pixels):
        self.pixels, self.labels = pixels, torch.arange(len(pixels)) % 3

    def __getitem__(self, index):
        return self.pixels[index]


class Streaming(Memory):
    def read(self, part):
        return _Slow(toy_pixels(part))


class OwnValidation(Memory):
    own_val = True
    default_val_size = None


@pytest.fixture
def memory():
    return Memory


@pytest.fixture
def streaming():
    return Streaming


@pytest.fixture
def own_validation():
    return OwnValidation


@pytest.fixture
def no_network(monkeypatch):
    def unreachable(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data sets; tests that need it are skipped only where there is none."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    root = Path(os.environ.get("ZOO_DATA") or beside)
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {root}: set ZOO_DATA to a folder that has it")
    return root
