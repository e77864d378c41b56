"""A folder of images in the place of a model: somebody's own samples, or another project's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError
from zoo.data.decode import Unreadable, quiet_pillow, read_header
from zoo.data.folder import ImageFolder
from zoo.data.images import unit_range
from zoo.data.module import ImageData
from zoo.judge.subject import Subject, section_for
from zoo.recipe.building import build

__all__ = ["FolderSamples", "folder_subject"]

FOLDER: Any = ImageFolder  # the registry hands it out as an ImageData


class FolderSamples:
    """Shows the images of a folder as a model's samples: in order, each once.

    Args:
        folder: The images, in the size and the colours in which they are compared.
    """

    def __init__(self, folder: ImageData) -> None:
        self.images = folder.images("test")
        self.spec: ImageSpec = folder.spec
        self.device = torch.device("cpu")
        self.number = len(self.images)

    def to(self, device: torch.device) -> FolderSamples:
        """Shows the images on a device from now on."""
        self.device = device
        return self

    def at(self, rows: Tensor) -> Tensor:
        """Returns images by their places, in [0, 1], shape (n, C, H, W)."""
        return unit_range(self.images.fetch(rows)).to(self.device)

    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Returns the first n images, shape (n, C, H, W); there is nothing to be drawn."""
        return self.at(torch.arange(min(n, self.number)))


def folder_subject(
    folder: str, name: str | None, root: str | None, path: str | None
) -> tuple[Subject, ImageData]:
    """Puts a folder of samples in the place of a model, and builds what it is compared with.

    Images are compared in the size of the data; another folder takes that of the samples. All of
    it is looked at, unless it has ``test/``.

    Args:
        folder: The samples.
        name: The data set to compare with; ``ImageFolder`` where a path is given.
        root: Folder of data sets.
        path: The other folder.

    Raises:
        UserError: if there are no samples, nothing to compare with, or its images are not square.
    """
    name = name or (path and "ImageFolder")
    if name is None:
        raise UserError(
            f"{folder} is not a run: it has no recipe.yaml. A folder of samples is compared with a "
            "data set, named with --data, or with another folder, named with --data.path."
        )
    try:
        seen = FOLDER(folder, size=1)
        first = seen.listing.train[0].name
        with quiet_pillow():
            header = read_header(seen.decoder.folder / first)
    except Unreadable as error:
        raise UserError(f"{folder}: the first image cannot be read: {error}.") from None
    except UserError as error:
        raise UserError(f"{folder} is not a run: it has no recipe.yaml; {error}") from None
    colour = "colour" if seen.spec.channels == 3 else "auto"
    given = {"size": min(header.width, header.height), "channels": colour}
    data: Any = build("data", section_for(name, given, root, path))
    if hasattr(data, "whole"):
        data = data.whole()
    channels, height, _ = data.spec.shape
    colours = "colour" if channels == 3 else "grey"
    samples = FOLDER(folder, size=height, channels=colours).whole()
    if samples.spec.shape != data.spec.shape:
        raise UserError(
            "a folder of samples is compared in squares of grey or colour, but the images of "
            f"{name} have the shape {data.spec.shape}."
        )
    identity = json.dumps([samples.identity(), data.spec.shape]).encode()
    digest = hashlib.sha256(identity).hexdigest()
    return Subject(folder, FolderSamples(samples), name, digest, None, Path(folder)), data
