"""What functions of feature sets refuse, in one sentence that names the argument."""

from __future__ import annotations

from torch import Tensor

__all__ = ["check_matrix", "check_pair"]


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
