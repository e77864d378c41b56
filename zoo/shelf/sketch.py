"""A model without memory: what its arguments come to, before anything is allocated or fetched.

A card may ask for any width. The model is first built on torch's meta device, where tensors have
shapes and no numbers; only what stays within bounds is built in earnest.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from zoo.contract.model import facts
from zoo.contract.spec import ImageSpec
from zoo.core.errors import UserError, out_of_memory
from zoo.core.text import quoted
from zoo.recipe.building import build

__all__ = ["bounded", "largest_file", "published", "sketch"]

MOST_BYTES = 4 * 2**30  # of a whole model, with what only training needs
MOST_TENSORS = 5_000  # the shelf's deepest has 600
LARGEST_NUMBER = 2**20  # no width, depth or number of classes comes near it
HEADER = 512  # bytes that the header of a file of safetensors may spend on a tensor


@contextmanager
def bounded() -> Iterator[None]:
    """Stops the building of a model that grows beyond all reason, before its numbers are touched.

    Raises:
        UserError: saying how large it would be.
    """
    here, found = threading.get_ident(), {"bytes": 0, "tensors": 0}

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is None or threading.get_ident() != here:
            return
        found["bytes"] += tensor.numel() * tensor.element_size()
        found["tensors"] += 1
        if found["bytes"] > MOST_BYTES or found["tensors"] > MOST_TENSORS:
            raise UserError(
                f"the model would hold more than {MOST_BYTES / 2**30:.0f} GiB or "
                f"{MOST_TENSORS:,} tensors; lower its widths or depths"
            )

    hooks = (
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    )
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError) as error:
        if isinstance(error, OverflowError) or out_of_memory(error):
            raise UserError("the model is too large; lower its widths or depths") from None
        raise
    finally:
        for hook in hooks:
            hook.remove()


def sketch(section: dict[str, Any], spec: ImageSpec) -> nn.Module | None:
    """Builds a model on the meta device.

    Returns:
        The model, whose tensors have shapes only; None of a class whose constructor needs numbers,
        as one of a person's own may.

    Raises:
        UserError: if an argument is refused, or the model would be too large.
    """
    _check_numbers(section.get("init_args") or {})
    _check_numbers(asdict(spec))
    with bounded(), torch.random.fork_rng(devices=[]), torch.device("meta"):
        try:
            return build("model", section, spec=spec)
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error):
                raise
            return None


def _check_numbers(value: Any, name: str = "") -> None:
    """Refuses whole numbers that would keep a constructor's loop busy for hours."""
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise UserError(
            f"{name} is {quoted(value)}, and no number of a model is above {LARGEST_NUMBER:,}"
        )
    if isinstance(value, (list, tuple, dict)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            _check_numbers(part, name or str(key))


def published(model: nn.Module) -> dict[str, Tensor]:
    """Returns the tensors of a model that its published weights must have."""
    unpublished = facts(model).not_published
    return {k: v for k, v in model.state_dict().items() if not k.startswith(unpublished)}


def largest_file(wanted: Mapping[str, Tensor]) -> int:
    """Says how many bytes a file of such tensors can have: in full precision, with its header."""
    names = sum(len(name.encode()) + HEADER for name in wanted)
    return sum(t.numel() * t.element_size() for t in wanted.values()) + names + 2 * HEADER
