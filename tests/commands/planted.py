"""Generators whose answers to the lab are known: a plug-in for the tests of `zoo.probe`."""

import torch

from zoo.contract.answering import answers
from zoo.contract.model import Model
from zoo.data import DigitPairs
from zoo.data.dots import AXES, CROPPED, RADIUS, draw_dots, place_dots
from zoo.functional.readers import dots
from zoo.models.registry import MODELS
from zoo.optim.steps import adam, record

KEPT = 2048


class Planted(Model):
    """Learns nothing by gradients."""

    needs = (("image",),)

    def __init__(self, spec):
        super().__init__()
        self.save_hyperparameters(ignore=["spec"])
        self.spec = spec
        self.nothing = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def look(self, image):
        """Remembers something of a batch."""

    def training_step(self, batch, batch_idx):
        """Looks at the batch."""
        self.look(batch.image)
        self.seen += len(batch.image)
        loss = self.nothing.square()
        record(self, {"nothing": loss})
        return loss

    def configure_optimizers(self):
        """Returns what Lightning wants."""
        return adam(self, 1e-3, (0.9, 0.999))


@MODELS.register
class Replay(Planted):
    """Draws training images again."""

    def __init__(self, spec):
        super().__init__(spec)
        self.register_buffer("kept", torch.zeros(KEPT, *spec.shape, dtype=torch.uint8))

    def look(self, image):
        start = int(self.seen) % KEPT
        some = (image[: KEPT - start] * 255).round().to(torch.uint8)
        self.kept[start : start + len(some)] = some

    @answers
    def sample(self, n, *, seed=None):
        """Draws what was kept."""
        generator = torch.Generator().manual_seed(seed or 0)
        have = min(int(self.seen), KEPT)
        return self.kept[torch.randint(have, (n,), generator=generator)].float() / 255


@MODELS.register
class Uniform(Planted):
    """Draws every pair of digits equally often, whatever it was trained on."""

    @answers
    def sample(self, n, *, seed=None):
        """Draws pairs."""
        return DigitPairs(images=n, design_seed=9).images("train").pixels.float() / 255


@MODELS.register
class Additive(Planted):
    """Answers each count by itself, one less or one more, and mixtures by their mean."""

    def __init__(self, spec):
        super().__init__(spec)
        self.register_buffer("counts", torch.zeros(13))

    def look(self, image):
        if int(self.seen) < KEPT:
            found = dots(image)
            self.counts += torch.bincount(found[found >= 0], minlength=13)

    @answers
    def sample(self, n, *, seed=None):
        """Draws counts, and discs for them."""
        import numpy as np

        random = np.random.default_rng(seed)
        shares = (self.counts / self.counts.sum()).double().numpy()
        counts = random.choice(13, n, p=shares / shares.sum())
        counts = counts + random.choice([-1, 0, 1], n, p=[0.25, 0.5, 0.25])
        centres = torch.from_numpy(AXES * place_dots(counts, random) - CROPPED)
        radii = torch.full((n, 12), RADIUS * AXES)
        image = draw_dots(centres, radii, torch.full((n, 12, 3), 0.2))
        return torch.nn.functional.avg_pool2d(image, 64 // self.spec.height)
