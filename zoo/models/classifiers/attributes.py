r"""AttributeClassifier: reads every attribute of a scene off its image; the judge of captions.

.. math:: \min\; E\Big[-\sum_a \log p_a(y_a \mid x)\Big], \quad
          p_a = \mathrm{softmax}(W_a f(x) + b_a)

It generates nothing. It learns on rendered images alone and knows no generative model, so it can
say whether an image that was made for a caption shows what the caption says. On a data set without
attributes the label is the only one.

Reference: a plain convolutional classifier with one softmax per attribute.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.answering import answers
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments
from zoo.functional.augmentation import random_affine
from zoo.models.classifiers.base import Features
from zoo.models.registry import MODELS
from zoo.nets.conv import ConvEncoder
from zoo.optim.steps import record

__all__ = ["AttributeClassifier"]


@MODELS.register
class AttributeClassifier(Features):
    """A small convolutional network with one softmax for each attribute of the data set.

    Args:
        spec: Shape of the images, and their attributes or classes.
        width: Channels of the finest feature map.
        feature_width: Length of the feature vector.
        dropout: Share of the coarsest feature map that is dropped in training.
        jitter: Standard deviation of the entries of the random affine maps in training; small, or
            sizes become ambiguous.
        lr: Highest learning rate of AdamW, reached after a tenth of the training, then lowered
            to zero.
        weight_decay: Decay of AdamW.

    Raises:
        UserError: on values that make no sense, an image size that does not fit, or a data set
            with neither attributes nor classes.
    """

    summary = "reads every attribute of a scene off its image; it judges captions."
    needs = (("image",), ("attributes", "label"))

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 24,
        feature_width: int = 128,
        dropout: float = 0.1,
        jitter: float = 0.02,
        lr: float = 3e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__()
        check_arguments(
            width=(width, "[1, inf)"),
            feature_width=(feature_width, "[1, inf)"),
            dropout=(dropout, "[0, 1)"),
            jitter=(jitter, "[0, inf)"),
            lr=(lr, "(0, inf)"),
            weight_decay=(weight_decay, "[0, inf)"),
        )
        if not spec.attributes and spec.classes < 2:
            raise UserError("an attribute classifier needs a data set with attributes or classes.")
        if spec.attributes:
            self.needs = (("image",), ("attributes",))
        self.save_hyperparameters(ignore=["spec"])
        self.spec = spec
        self.jitter, self.lr, self.weight_decay = jitter, lr, weight_decay
        self.names, self.sizes = zip(
            *(spec.attributes or (("label", spec.classes),)), strict=True
        )  # of each attribute: its name, and how many values it can take
        self.encoder = ConvEncoder(*spec.shape, base=width, features=feature_width, dropout=dropout)
        self.head = nn.Linear(feature_width, sum(self.sizes))

    @answers
    def attributes(self, x: Tensor) -> Tensor:
        """Infers the attributes of images in [0, 1], shape (B, C, H, W).

        Returns:
            The likeliest value of each attribute, shape (B, A), int64.
        """
        parts = self.head(self.features(x)).split(self.sizes, dim=1)
        return torch.stack([part.argmax(dim=1) for part in parts], dim=1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the cross-entropy in nats, summed over the attributes."""
        values = batch.label[:, None] if batch.attributes is None else batch.attributes
        logits = self.head(self.encoder(random_affine(batch.image, self.jitter))).to(
            batch.image.dtype
        )
        parts = logits.split(self.sizes, dim=1)
        loss = sum(
            (F.cross_entropy(part, values[:, index]) for index, part in enumerate(parts)),
            start=logits.new_zeros(()),
        )
        record(self, {"cross_entropy_nats": loss})
        return loss
