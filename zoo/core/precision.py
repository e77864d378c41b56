"""Which number format a run should use, asked of the processor and not guessed."""

from __future__ import annotations

import torch

__all__ = ["automatic_precision", "has_fast_bf16"]


def has_fast_bf16(device: str) -> bool:
    """Says whether a device multiplies bfloat16 matrices faster than float32 ones.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
    """
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
    if device != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    asks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, ask, lambda: False)() for ask in asks)


def automatic_precision(prefers_bf16: bool, device: str) -> tuple[str, str]:
    """Chooses a precision for a device.

    Convolutional models prefer bfloat16; densities, log-determinants and penalties stay in float32
    inside them. Others train in float32.

    Returns:
        Lightning's name of the precision, and the reason, for the log.
    """
    if not prefers_bf16:
        return "32-true", "this model trains in float32"
    if has_fast_bf16(device):
        return "bf16-mixed", f"this {device} multiplies bfloat16 matrices faster"
    return "32-true", f"this {device} has no fast bfloat16"
