r"""Classifier: the feature network that the judge looks through.

.. math:: \min\; E_{x,y}[-\log p(y \mid x)], \quad p = \mathrm{softmax}(W f(x) + b)

It generates nothing. Its features f(x) give distances on small images a meaning, as Inception's
do on photographs, and its probabilities say which class a generated image belongs to. Scores
computed with it carry its name (``fid[mnist-features,10k,test]``), never plain "FID".

Reference: a plain convolutional classifier; using one's features for scores is Heusel et al. 2017,
arXiv:1706.08500, and on MNIST e.g. Binkowski et al. 2018, arXiv:1801.01401.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments
from zoo.functional.augmentation import random_affine
from zoo.models.classifiers.base import Features
from zoo.models.registry import MODELS
from zoo.nets.conv import ConvEncoder
from zoo.optim.steps import record

__all__ = ["Classifier"]


@MODELS.register
class Classifier(Features):
    """A small convolutional classifier for images of any size of the zoo.

    Args:
        spec: Shape of the images; it must have at least two classes.
        width: Channels of the finest feature map.
        feature_width: Length of the feature vector.
        dropout: Share of the coarsest feature map that is dropped in training.
        jitter: Standard deviation of the entries of the random affine maps in training.
        lr: Highest learning rate of AdamW, reached after a tenth of the training, then lowered
            to zero.
        weight_decay: Decay of AdamW.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "tells the class of an image; the judge compares images by its features."
    needs = (("image",), ("label",))

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 32,
        feature_width: int = 64,
        dropout: float = 0.2,
        jitter: float = 0.1,
        lr: float = 3e-3,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__()
        if spec.classes < 2:
            raise UserError("a classifier needs a data set with labels of at least two classes.")
        check_arguments(
            width=(width, "[1, inf)"),
            feature_width=(feature_width, "[1, inf)"),
            dropout=(dropout, "[0, 1)"),
            jitter=(jitter, "[0, inf)"),
            lr=(lr, "(0, inf)"),
            weight_decay=(weight_decay, "[0, inf)"),
        )
        self.save_hyperparameters(ignore=["spec"])
        self.spec = spec
        self.jitter, self.lr, self.weight_decay = jitter, lr, weight_decay
        self.encoder = ConvEncoder(*spec.shape, base=width, features=feature_width, dropout=dropout)
        self.head = nn.Linear(feature_width, spec.classes)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Returns the encoder's maps after each activation; gradients flow through to x.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).

        Returns:
            Maps from fine to coarse, shapes (B, C', H', W'), and at the end features, (B, F).
        """
        maps = []
        for layer in self.encoder.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                maps.append(x)
        return maps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the cross-entropy in nats of images seen through small affine maps."""
        logits = self.head(self.encoder(random_affine(batch.image, self.jitter))).to(
            batch.image.dtype
        )
        loss = F.cross_entropy(logits, batch.label)
        record(self, {"cross_entropy_nats": loss})
        return loss
