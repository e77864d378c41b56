"""Where networks work."""

from __future__ import annotations

import os

import torch

from zoo.core.errors import UserError

__all__ = ["device_for"]


def device_for(name: str, what: str = "--device") -> torch.device:
    """Chooses a device: of several processes on a machine, each gets its own GPU.

    Args:
        name: As torch calls it, such as ``cpu`` or ``cuda:1``; ``auto`` for a GPU where there is
            one.
        what: What the message calls the choice.

    Raises:
        UserError: if there is no such device.
    """
    number = int(os.environ.get("LOCAL_RANK", 0))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{number % max(1, torch.cuda.device_count())}"
    try:
        place = torch.zeros(0, device=name).device
    # An AssertionError where torch was built without the device, an ImportError where its package
    # is not installed; "meta" has shapes and no numbers.
    except (RuntimeError, AssertionError, ImportError):
        place = None
    if place is None or place.type == "meta":
        raise UserError(f"{what} {name}: there is no such device here; try cpu.")
    return place
