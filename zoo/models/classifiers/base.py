"""What classifiers answer alike: features that the judge compares, and class probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, in_chunks
from zoo.contract.model import Model
from zoo.contract.spec import Batch
from zoo.nets.conv import ConvEncoder
from zoo.optim.schedules import follow_one_cycle
from zoo.optim.steps import adamw

__all__ = ["Features"]


class Features(Model):
    """An encoder of images and a linear head that reads it; what it learned, features keep.

    A model sets ``encoder``, ``head``, ``lr`` and ``weight_decay``, and has its `training_step`.
    """

    prefers_bf16 = True
    encoder: ConvEncoder
    head: nn.Linear
    lr: float
    weight_decay: float

    @answers
    def features(self, x: Tensor) -> Tensor:
        """Maps images in [0, 1], shape (B, C, H, W), to features, shape (B, feature_width)."""
        return in_chunks(self.encoder, x)

    @answers
    def probabilities(self, x: Tensor) -> Tensor:
        """Returns the softmax over the head's outputs, shape (B, outputs), of images in [0, 1]."""
        return self.head(self.features(x)).softmax(dim=1)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate rise for a tenth of the training, then fall to zero."""
        follow_one_cycle(self, self.lr, warm=0.1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW."""
        return adamw(self, self.lr, self.weight_decay)
