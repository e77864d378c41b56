"""What is said of a batch that several processes share."""

import pytest

from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.training.sharing import about_sharing

SPEC = ImageSpec(1, 8, 8, 10)
SHARE = "2 processes take 32 images each of every batch"
NORMS = "the moments of batch normalisation"
CASES = [
    ("VAE", {}, False, ""),
    ("InfoGAN", {}, False, NORMS),
    ("InfoGAN", {}, True, ""),  # synchronised
    ("GAN", {"packing": 2}, True, "packs of 2 images"),
    ("GMVAE", {}, False, "the balance of its components"),
    ("BetaVAE", {"capacity": 5.0}, False, "the distance of the rate from its capacity"),
    ("RealNVP", {"norm": "batch"}, True, NORMS),  # a flow's own, which torch does not know
]


@pytest.mark.parametrize(("name", "arguments", "synchronised", "words"), CASES)
def test_what_each_process_takes_over_its_own_images_is_told(name, arguments, synchronised, words):
    told = about_sharing(MODELS[name](SPEC, **arguments), 64, 2, synchronised)
    end = f"; each takes {words} over its own images" if words else ""
    assert told == SHARE + end
