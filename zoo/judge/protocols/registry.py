"""The registry of protocols: how each figure is computed, and whom it fits.

A protocol is a function that takes a task and returns scores of the catalogue. Those of the zoo are
imported when something is judged; one of people's own registers as its file is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zoo.core.registry import Registry

if TYPE_CHECKING:
    from zoo.judge.score import Score, Task

__all__ = ["PROTOCOLS", "Protocol", "protocol"]


class Protocol:
    """A way to score a model.

    Args:
        score: Computes the scores; its first line says what they mean.
        fits: Says whether a task can be scored so; asks for capabilities, never for a class.
        scores: Which rows of the catalogue come of it.
        instead_of: Protocols that are not run where this one fits, since it does their work.
    """

    def __init__(
        self,
        score: Callable[[Task], list[Score]],
        fits: Callable[[Task], bool],
        scores: Sequence[str],
        instead_of: Sequence[str] = (),
    ) -> None:
        self.__module__ = score.__module__  # where it is registered from
        self.score, self.fits = score, fits
        self.scores, self.instead_of = tuple(scores), tuple(instead_of)


PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    {  # in the order of their scores
        "classifier": "zoo.judge.protocols.codes",
        "codes": "zoo.judge.protocols.codes",
        "latents": "zoo.judge.protocols.latents",
        "factors": "zoo.judge.protocols.disentanglement",
        "units": "zoo.judge.protocols.disentanglement",
        "readers": "zoo.judge.protocols.disentanglement",
        "log_prob": "zoo.judge.protocols.likelihood",
        "annealed": "zoo.judge.protocols.annealing",
        "ensemble": "zoo.judge.protocols.likelihood",
        "anomaly": "zoo.judge.protocols.anomaly",
        "elbo": "zoo.judge.protocols.likelihood",
        "samples": "zoo.judge.protocols.samples",
        "chains": "zoo.judge.protocols.chains",
        "parzen": "zoo.judge.protocols.chains",
        "centres": "zoo.judge.protocols.modes",
        "stacks": "zoo.judge.protocols.modes",
        "midpoints": "zoo.judge.protocols.midpoints",
        "attributes": "zoo.judge.protocols.captions",
        "captions": "zoo.judge.protocols.captions",
        "places": "zoo.judge.protocols.variety",
    },
)


def protocol(
    name: str,
    fits: Callable[[Task], bool],
    scores: Sequence[str],
    instead_of: Sequence[str] = (),
) -> Callable[[Callable[[Task], list[Score]]], Callable[[Task], list[Score]]]:
    """Registers a function as a protocol, and leaves it as it is; a decorator.

    Args:
        name: Of the protocol, under which reports say how long it took.
        fits: See `Protocol`.
        scores: See `Protocol`.
        instead_of: See `Protocol`.

    Raises:
        ValueError: if the name is taken.
    """

    def add(score: Callable[[Task], list[Score]]) -> Callable[[Task], list[Score]]:
        PROTOCOLS.register_as(name)(Protocol(score, fits, scores, instead_of))
        return score

    return add
