"""The classic deep generative models under one contract.

    zoo.available()                    names of published models
    zoo.load("vae_plus_mnist")         one of them, with its weights: sample, encode, log_prob, ...
    zoo.load_run("runs/...")           what a training left
    zoo.models.VAE, zoo.datasets.MNIST families and data sets, for a script of your own
    zoo.data(array)                    your own array, tensor or torch Dataset as a data set

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
    from zoo.shelf.find import available
    from zoo.shelf.run_weights import load_run
    from zoo.shelf.weights import load

__version__ = "0.1.0"
__all__ = ["available", "data", "datasets", "load", "load_run", "models"]

_HOMES = {
    "available": "zoo.shelf.find",
    "load": "zoo.shelf.weights",
    "load_run": "zoo.shelf.run_weights",
}
_MODULES = {"data": "zoo.data", "datasets": "zoo.data", "models": "zoo.models"}

__getattr__, __dir__ = lazily(__name__, _HOMES, modules=_MODULES)
