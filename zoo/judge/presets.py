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
    """

    limit: int
    importance_samples: int


PRESETS = {"quick": Preset(2_000, 100), "full": Preset(10_000, 5_000)}
