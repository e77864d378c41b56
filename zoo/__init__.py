"""The classic deep generative models under one contract.

Example:
    >>> import zoo
    >>> zoo.load("infogan_digits").sample(4, seed=0).shape
    torch.Size([4, 1, 8, 8])
"""

from typing import TYPE_CHECKING

from zoo.core.lazy import lazily

if TYPE_CHECKING:
    from zoo.shelf.find import available
    from zoo.shelf.run_weights import load_run
    from zoo.shelf.weights import load

__version__ = "0.1.0"
__all__ = ["available", "load", "load_run"]

_HOMES = {
    "available": "zoo.shelf.find",
    "load": "zoo.shelf.weights",
    "load_run": "zoo.shelf.run_weights",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
