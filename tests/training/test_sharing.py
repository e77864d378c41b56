"""What is said of a batch that several processes share."""

from pathlib import Path

import pytest

from zoo.data import ImageSpec
from zoo.models import MODELS
from zoo.recipe.reading import read_recipe
from zoo.training.sharing import about_sharing, most_that_share

SPEC = ImageSpec(1, 8, 8, 10)
SHARE = "2 processes take 32 images each of every batch"
NORMS = "the moments of batch normalisation"
CASES = [
    ("VAE", {}, False, ""),
    ("InfoGAN", {}, False, NORMS),
    ("InfoGAN", {}, True, ""),  # synchronised
    ("GAN", {"packing": 2}, True, "packs of 2 images"),
    ("GMVAE", {}, False, "its free nats"),
    ("GMVAE", {"free_nats": 0.0}, False, ""),
    ("GMVAE", {"balance": 1.0}, False, "the balance of its components"),
    ("BetaVAE", {"capacity": 5.0}, False, "the distance of the rate from its capacity"),
    ("RealNVP", {"norm": "batch"}, True, NORMS),  # a flow's own, which torch does not know
]


@pytest.mark.parametrize(("name", "arguments", "synchronised", "words"), CASES)
def test_what_each_process_takes_over_its_own_images_is_told(name, arguments, synchronised, words):
    told = about_sharing(MODELS[name](SPEC, **arguments), 64, 2, synchronised)
    end = f"; each takes {words} over its own images" if words else ""
    assert told == SHARE + end


ROOT = Path(__file__).resolve().parents[2]
AUTO = [
    ("VAE", {}, 64, 8, 8),
    ("VAE", {}, 60, 8, 6),  # the rest would be uneven
    ("VAE", {}, 7, 2, 1),
    ("InfoGAN", {}, 64, 4, 4),
    ("GAN", {"packing": 2}, 64, 4, 1),
    ("GMVAE", {}, 64, 4, 1),
    ("RealNVP", {"norm": "batch"}, 64, 4, 1),
    ("RealNVP", {"norm": "activation"}, 64, 4, 4),
    ("VAE", {}, 64, 0, 1),
]


@pytest.mark.parametrize(("name", "arguments", "batch", "devices", "taken"), AUTO)
def test_auto_takes_devices_that_share_evenly_and_keep_the_law(
    name, arguments, batch, devices, taken
):
    assert most_that_share(MODELS[name](SPEC, **arguments), batch, devices) == taken


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_takes_the_devices_that_there_are(path):
    assert read_recipe(path)["trainer"]["devices"] == "auto"
