"""How much a judgement looks at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """How much a judgement looks at.

    Args:
        limit: Images and samples.
        importance_samples: Samples of importance-weighted bounds.
        temperatures: Steps of annealed importance sampling.
    """

    limit: int
    importance_samples: int
    temperatures: int


PRESETS = {"quick": Preset(2_000, 100, 1_000), "full": Preset(10_000, 5_000, 10_000)}
