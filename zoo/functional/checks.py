"""What functions of feature sets refuse, in one sentence that names the argument."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from torch import Tensor

__all__ = ["check_matrix", "check_one_of", "check_pair"]


def check_one_of(what: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError unless a name is among the choices; it then names the nearest."""
    if value not in choices:
        near = get_close_matches(str(value), choices, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown {what} {value!r}; did you mean {near!r}? Choices: {', '.join(choices)}."
        )


def check_matrix(**sets: Tensor) -> None:
    """Raises ValueError unless every set, by its argument's name, is (N, D) floats, not empty."""
    for name, features in sets.items():
        if features.ndim != 2 or features.numel() == 0 or not features.is_floating_point():
            shape = tuple(features.shape)
            raise ValueError(f"{name} must be floats (N, D), not empty, got {shape}")


def check_pair(**sets: Tensor) -> None:
    """Raises ValueError unless the sets are finite matrices of one width, too."""
    check_matrix(**sets)
    if len({features.shape[1] for features in sets.values()}) > 1:
        widths = (f"{name} has {features.shape[1]}" for name, features in sets.items())
        raise ValueError(f"widths differ: {', '.join(widths)}")
    for name, features in sets.items():
        if not features.isfinite().all():
            bad = int((~features.isfinite()).any(1).sum())
            raise ValueError(f"{name} has {bad} rows with non-finite values of {len(features)}")
