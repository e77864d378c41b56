"""Codes of a model with a prior: draws, midpoints between them, lines through the origin.

Interpolations leave the prior, see `zoo.contract.priors`; here is where they lead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.contract.capabilities import DrawsCodes, can
from zoo.contract.model import facts
from zoo.contract.priors import PRIORS

__all__ = ["PLACES", "codes_at", "draws_codes", "through_origin"]


def draws_codes(model: Any) -> bool:
    """Says whether a model decodes draws of a named prior, and needs nothing besides."""
    return (
        isinstance(model, DrawsCodes)
        and can(model, "decode")
        and model.prior in PRIORS
        and facts(model).num_labels == 0
    )


def _prior(draw: Callable[[int], Tensor], n: int, generator: torch.Generator) -> Tensor:
    return draw(n)


def _midpoint(draw: Callable[[int], Tensor], n: int, generator: torch.Generator) -> Tensor:
    return (draw(n) + draw(n)) / 2


def _line(draw: Callable[[int], Tensor], n: int, generator: torch.Generator) -> Tensor:
    return draw(n) * (torch.rand(n, 1, generator=generator) * 2 - 1)


PLACES = {"prior": _prior, "midpoint": _midpoint, "line": _line}  # where codes are taken from


def codes_at(place: str, model: Any, n: int, seed: int) -> Tensor:
    """Draws codes.

    Args:
        place: ``prior``: as in training; ``midpoint``: halfway between two independent draws;
            ``line``: anywhere between a draw and its opposite, on the line through the origin.
        model: A model with a prior.
        n: Number of codes.
        seed: Decides them.

    Returns:
        Shape (n, latent_dim).
    """
    generator = torch.Generator().manual_seed(seed)
    law, dim = PRIORS[model.prior], model.latent_dim
    return PLACES[place](lambda count: law.sample(count, dim, generator), n, generator)


def through_origin(model: Any, *, rows: int = 8, steps: int = 11, seed: int = 0) -> Tensor:
    """Draws images along lines from a draw of the prior through the origin to its opposite.

    Args:
        model: A model with a prior.
        rows: Number of lines.
        steps: Images along each; with an odd number, the middle one is the origin's.
        seed: Decides the draws.

    Returns:
        Images in [0, 1], shape (rows, steps, C, H, W).
    """
    z = codes_at("prior", model, rows, seed)
    place = torch.linspace(1, -1, steps)
    codes = place[None, :, None] * z[:, None]
    return model.decode(codes.flatten(0, 1)).unflatten(0, (rows, steps))
