"""What a model can do: the capabilities that every tool asks for, instead of asking for a class.

A model has a capability when it has the method, whoever wrote it, and does not say that it lacks it
(``lacks``): see `can`. Shapes, units and ranges are part of the promise:
images lie in [0, 1], shape (B, C, H, W); likelihoods are nats per example, shape (B,). Answers have
the number format of the model's weights, float32 unless a user changed it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # so that whoever asks what there is to ask for need not wait for torch
    from torch import Tensor

__all__ = [
    "CAPABILITIES",
    "Anneals",
    "Chains",
    "Classifies",
    "Completes",
    "Compresses",
    "Decodes",
    "DrawsCodes",
    "Encodes",
    "HasElbo",
    "HasEnsemble",
    "HasFeatures",
    "HasLogProb",
    "Illustrates",
    "InfersAttributes",
    "Interpolates",
    "Reconstructs",
    "Samples",
    "Traverses",
    "can",
    "capabilities",
    "capabilities_of",
    "conditions",
]


@runtime_checkable
class Samples(Protocol):
    """Draws images."""

    def sample(self, n: int, *, seed: int | None = None) -> Tensor:
        """Returns n images in [0, 1], shape (n, C, H, W); further keywords are conditions."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """Has an exact likelihood."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Returns log p(x) in nats, shape (B,); the docstring states the measure."""
        ...


@runtime_checkable
class Anneals(Protocol):
    """Has a likelihood up to a constant, which chains estimate from both sides."""

    def log_unnormalised(self, x: Tensor) -> Tensor:
        """Returns log p(x) + log Z in nats, shape (B,)."""
        ...

    def anneal(
        self, *, chains: int = 100, temperatures: int = 1000, seed: int = 0, reverse: bool = False
    ) -> Tensor:
        """Returns logs of estimates of Z, shape (chains,).

        The mean of Z's estimates is unbiased; with ``reverse``, that of their inverses is, if the
        model's own samples are.
        """
        ...


@runtime_checkable
class HasEnsemble(Protocol):
    """Holds several models with exact likelihoods, whose average is a model, too."""

    ensemble_size: int

    def ensemble_log_prob(self, x: Tensor) -> Tensor:
        """Returns the log of the average of all p(x) in nats, shape (B,)."""
        ...


@runtime_checkable
class HasElbo(Protocol):
    """Has a lower bound on the likelihood.

    A model whose attribute ``expects_bits`` is true takes grey values for expected bits: for them
    its bound is one on a cross-entropy.
    """

    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """Returns a lower bound of log p(x) in nats, shape (B,), to be maximised."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Draws the unknown part of an image from what is known."""

    def complete(self, x: Tensor, mask: Tensor, *, seed: int | None = None) -> Tensor:
        """Returns images of the shape of x; pixels are drawn where mask, which broadcasts, is True.

        Further keywords are the conditions of `sample`.
        """
        ...


@runtime_checkable
class Encodes(Protocol):
    """Infers a latent code."""

    def encode(self, x: Tensor) -> Tensor:
        """Returns the code of each image, shape (B, latent)."""
        ...


@runtime_checkable
class Compresses(Encodes, Protocol):
    """Infers a code of a length of its own, shorter than an image or longer."""

    latent_dim: int


@runtime_checkable
class Decodes(Protocol):
    """Maps a latent code to an image."""

    def decode(self, z: Tensor) -> Tensor:
        """Returns images in [0, 1], shape (B, C, H, W), of codes of shape (B, latent)."""
        ...


@runtime_checkable
class DrawsCodes(Protocol):
    """Decodes codes that it draws from a prior of `zoo.contract.priors`."""

    prior: str
    latent_dim: int

    def decode(self, z: Tensor) -> Tensor:
        """Returns images in [0, 1], shape (B, C, H, W), of codes of shape (B, latent_dim)."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Passes an image through its code and back."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns images in [0, 1] of the shape of x."""
        ...


@runtime_checkable
class Traverses(Protocol):
    """Varies one latent code at a time."""

    def traverse(self, code: str, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Returns images (rows, steps, C, H, W); along a row only the code changes."""
        ...

    def codes(self) -> tuple[str, ...]:
        """Returns the names that `traverse` accepts."""
        ...


@runtime_checkable
class Interpolates(Protocol):
    """Walks between two latent codes."""

    def interpolate(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Returns images (rows, steps, C, H, W); each row walks from one sample to another."""
        ...


@runtime_checkable
class Chains(Protocol):
    """Is a Markov chain that draws one image after the other."""

    def chain(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Returns successive states of chains that have burnt in, (rows, steps, C, H, W)."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """Infers a discrete class; unsupervised models number their classes as they like."""

    num_codes: int

    def classify(self, x: Tensor) -> Tensor:
        """Returns the inferred class of each image, shape (B,), int64 in [0, num_codes)."""
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """Gives images features and class probabilities that scores can be computed on."""

    def features(self, x: Tensor) -> Tensor:
        """Returns features, shape (B, F), of images in [0, 1]."""
        ...

    def probabilities(self, x: Tensor) -> Tensor:
        """Returns class probabilities, shape (B, K), of images in [0, 1]."""
        ...


@runtime_checkable
class Illustrates(Protocol):
    """Draws an image for each caption."""

    words: tuple[str, ...]
    known_captions: Tensor
    """Captions that training has seen, (K, T) tokens, all 0 where there are none yet."""

    def illustrate(self, captions: Tensor, *, seed: int | None = None, stage: int = 2) -> Tensor:
        """Returns images in [0, 1] of captions, (B, T) tokens of `words`, 0 for padding.

        Stage 1 is what the model draws first, enlarged to the full size; 2 is its last word.
        """
        ...


@runtime_checkable
class InfersAttributes(Protocol):
    """Reads attributes off an image."""

    def attributes(self, x: Tensor) -> Tensor:
        """Returns the value of each attribute of images in [0, 1], shape (B, A), int64."""
        ...


CAPABILITIES: dict[str, type] = {
    "sample": Samples,
    "complete": Completes,
    "log_prob": HasLogProb,
    "anneal": Anneals,
    "ensemble_log_prob": HasEnsemble,
    "elbo": HasElbo,
    "encode": Encodes,
    "decode": Decodes,
    "reconstruct": Reconstructs,
    "traverse": Traverses,
    "interpolate": Interpolates,
    "chain": Chains,
    "classify": Classifies,
    "features": HasFeatures,
    "illustrate": Illustrates,
    "attributes": InfersAttributes,
}


def capabilities_of(methods: Iterable[str]) -> tuple[str, ...]:
    """Names what a model with these methods can do, in the order of the contract."""
    there = set(methods)
    return tuple(name for name in CAPABILITIES if name in there)


def can(model: Any, name: str) -> bool:
    """Says whether a model has a capability: all that its protocol names, and it does not deny it.

    Args:
        model: A model, of the zoo or of anybody's making, or a model class. A class is asked for
            methods only, since numbers such as ``num_codes`` are for its objects to know.
        name: A name in `CAPABILITIES`, which is that of the method.

    Example:
        >>> class Coin:
        ...     def sample(self, n, *, seed=None): ...
        >>> can(Coin(), "sample"), can(Coin(), "encode")
        (True, False)
    """
    if name in getattr(model, "lacks", ()):  # strangers may say it, too, and need not
        return False
    if not callable(getattr(model, name, None)):
        return False
    return isinstance(model, type) or isinstance(model, CAPABILITIES[name])


def capabilities(model: Any) -> tuple[str, ...]:
    """Names what a model can do, in the order of the contract.

    Args:
        model: A model, or a model class.

    Example:
        >>> class Coin:
        ...     def sample(self, n, *, seed=None): ...
        >>> capabilities(Coin())
        ('sample',)
    """
    return tuple(name for name in CAPABILITIES if can(model, name))


def conditions(model: Any) -> tuple[str, ...]:
    """Names the keyword-only conditions of ``model.sample``, such as ``label``; seed is none."""
    parameters = inspect.signature(model.sample).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("seed",))
