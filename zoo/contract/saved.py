"""A model as two files: its weights as safetensors, and a JSON card that says what they are of.

Nothing in them is code. `zoo.shelf` puts such folders on the shelf and reads them.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.errors import UserError
from zoo.core.files import json_text, replacing, write_text

if TYPE_CHECKING:  # whoever reads cards need not wait for torch
    from torch import Tensor, nn

__all__ = ["CARD", "FORMAT", "described", "digest", "published_state", "save"]

FORMAT = 1
CARD = "card.json"


def digest(content: bytes) -> str:
    """Returns the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def published_state(model: nn.Module, half: bool) -> dict[str, Tensor]:
    """Returns the tensors to publish: without those only training needs, halved if asked.

    Args:
        model: The trained model.
        half: Whether to round parameters to float16; running statistics stay as they are.
    """
    parameters = dict(model.named_parameters())
    skipped = getattr(model, "not_published", ())
    state = {}
    for key, tensor in model.state_dict().items():
        if not key.startswith(skipped):
            small = half and key in parameters and tensor.is_floating_point()
            state[key] = (tensor.half() if small else tensor).contiguous().clone()
    return state


def described(name: str, model: Any, half: bool) -> tuple[dict[str, Any], bytes]:
    """Returns what a card must say of a model, and the content of the file of its weights.

    Args:
        name: What the card calls the model.
        model: A model of the zoo.
        half: Whether to store parameters in float16.
    """
    import safetensors.torch as safetensors

    state = published_state(model, half)
    content = safetensors.save(state)
    sha256 = digest(content)
    arguments = {k: list(v) if isinstance(v, tuple) else v for k, v in model.hparams.items()}
    card = {
        "format": FORMAT,
        "name": name,
        "model": type(model).__name__,
        "arguments": arguments,
        "spec": asdict(model.spec),
        "weights": {
            "file": f"weights-{sha256[:8]}.safetensors",
            "sha256": sha256,
            "bytes": len(content),
            "numbers": sum(tensor.numel() for tensor in state.values()),
            "parameters": "float16" if half else "float32",
        },
    }
    return card, content


def save(model: Any, folder: Path, half: bool) -> None:
    """Writes a model into a folder of its own; a kill at any moment leaves a loadable one.

    Raises:
        UserError: if the folder holds something else, or cannot be written.
    """
    if folder.is_dir() and not (folder / CARD).is_file() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files: name a folder that is new or empty.")
    card, content = described(folder.resolve().name, model, half)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / card["weights"]["file"]) as temporary:
            temporary.write_bytes(content)
        write_text(folder / CARD, json_text(card))
        for old in folder.glob("weights-*.safetensors"):
            if old.name != card["weights"]["file"]:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the model to {folder}: {error.strerror}.") from None
