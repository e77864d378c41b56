"""Inception features of natural images: the only network whose Frechet distance is called FID.

The network and its weights are those of the original FID code, as ported by torch-fidelity, an
optional extra (``pip install torch-fidelity``). How an image gets to 299 x 299 pixels changes the
figure, so it stands in the name of every score.

Reference: Heusel et al. 2017, arXiv:1706.08500; on resizing: Parmar, Zhang, Zhu 2022,
arXiv:2104.11222. Deviations: ``clean`` rounds the resized image to 8 bits.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contract.answering import in_chunks
from zoo.core.errors import UserError
from zoo.core.files import open_regular
from zoo.judge.score import Features

__all__ = ["INCEPTION", "Resize", "inception"]

Resize = Literal["legacy", "clean"]
INCEPTION = tuple(f"inception-{resize}" for resize in get_args(Resize))

SIDE = 299
AT_ONCE = 50  # images that pass the network


@dataclass(frozen=True)
class InceptionFeatures(Features):
    """Features of width 2,048 and ImageNet's class probabilities, of images of any size.

    Args:
        resize: ``legacy``: bilinear without antialiasing, on the grid of the first TensorFlow,
            as in all early papers; ``clean``: bicubic with antialiasing.
    """

    resize: Resize = "legacy"

    @property
    def protocol(self) -> dict[str, Any]:
        """What protocols call the network: its resizing changes every figure."""
        return {"features": "inception", "resize": self.resize}

    @property
    def classes(self) -> int:
        """None of the data's own classes are known."""
        return 0

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images in [0, 1] to features (B, 2048) and probabilities (B, 1008)."""
        device = next(self.network.parameters()).device
        images = images.to(device).clamp(0, 1)
        if images.shape[1] != 3:
            images = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        joined = in_chunks(
            lambda part: torch.cat(self.network(self._pixels(part)), 1), images, AT_ONCE
        )
        return joined[:, :2048], joined[:, 2048:].softmax(dim=1)

    def _pixels(self, images: Tensor) -> Tensor:
        if self.resize == "clean" and images.shape[2:] != (SIDE, SIDE):
            images = F.interpolate(
                images, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False
            ).clamp(0, 1)
        return (images * 255).round().to(torch.uint8)  # the network itself resizes the old way


def inception(resize: Resize, weights: Path | None = None) -> InceptionFeatures:
    """Loads the network.

    Args:
        resize: How images are brought to its size.
        weights: torch-fidelity's file of weights; default ``$ZOO_INCEPTION``, else downloaded.

    Raises:
        UserError: if torch-fidelity is not installed, or the weights are neither there nor to be
            had.
    """
    try:
        module: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError:
        raise UserError(
            "Inception features need torch-fidelity: pip install torch-fidelity."
        ) from None
    state = _weights(weights or os.environ.get("ZOO_INCEPTION"), module.URL_INCEPTION_V3)
    buffer = io.BytesIO()  # torch-fidelity would unpickle whatever a file holds
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        network = module.FeatureExtractorInceptionV3(
            "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=buffer
        )
    except RuntimeError:
        raise UserError("these are no weights of torch-fidelity's Inception network.") from None
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return InceptionFeatures(f"inception,{resize}-resize", network, digest.hexdigest(), resize)


def _weights(path: Path | str | None, url: str) -> dict[str, Tensor]:
    if path is None:
        try:
            return torch.hub.load_state_dict_from_url(
                url, check_hash=True, weights_only=True, progress=False
            )
        except (OSError, RuntimeError):
            raise UserError(
                f"the weights of Inception could not be downloaded from {url}; put the file "
                "anywhere and name it in $ZOO_INCEPTION."
            ) from None
    try:
        with open_regular(Path(path)) as file:
            return torch.load(file, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"$ZOO_INCEPTION: there is no file {path}.") from None
    except Exception:  # whatever unpickling raises on files that are none
        raise UserError(f"$ZOO_INCEPTION: {path} is not a readable file of weights.") from None
