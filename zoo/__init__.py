"""The classic deep generative models under one contract.

    zoo.available("vae*", data="MNIST")   names of published models; zoo.card(name) tells more
    model = zoo.load("gan_mnist")         with its weights; the folder of a run does, too
    images = model.sample(64, seed=0)     (64, 1, 28, 28) in [0, 1]; encode, traverse, log_prob, ...
    zoo.grid(images)                      a picture, which a notebook shows
    model.save("my_model")                a folder that zoo.load reads

    zoo.models.VAE, zoo.datasets.MNIST    families and data sets, for a script of your own
    zoo.data(array)                       your own array, tensor or torch Dataset as a data set

Commands: ``python -m zoo`` names them.

Example:
    >>> import zoo
    >>> zoo.load("infogan_digits").sample(4, seed=0).shape
    torch.Size([4, 1, 8, 8])
"""

from typing import TYPE_CHECKING

from zoo.core.lazy import lazily

if TYPE_CHECKING:
    from zoo import data, models
    from zoo import data as datasets
    from zoo.shelf.run_weights import load_run
    from zoo.show.notebook import grid
    from zoo.show.shelf import available, card, load

__version__ = "0.1.0"
__all__ = ["available", "card", "data", "datasets", "grid", "load", "load_run", "models"]

_HOMES = {
    "available": "zoo.show.shelf",
    "card": "zoo.show.shelf",
    "grid": "zoo.show.notebook",
    "load": "zoo.show.shelf",
    "load_run": "zoo.shelf.run_weights",
}
_MODULES = {"data": "zoo.data", "datasets": "zoo.data", "models": "zoo.models"}

__getattr__, __dir__ = lazily(__name__, _HOMES, modules=_MODULES)
