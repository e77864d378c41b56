"""The classic deep generative models under one contract.

Example:
    >>> import zoo
    >>> zoo.load("infogan_digits").sample(4, seed=0).shape
    torch.Size([4, 1, 8, 8])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.shelf.shelf import available, load, load_run

__version__ = "0.1.0"
__all__ = ["available", "load", "load_run"]


def __getattr__(name: str) -> Any:
    """Imports the shelf, and torch with it, only when something is asked of it."""
    if name in __all__:
        from zoo.shelf import shelf

        return getattr(shelf, name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
