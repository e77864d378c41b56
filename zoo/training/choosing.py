"""What is chosen for the user where a recipe leaves it open: precision, strategy, threads."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden

from zoo.contract.model import facts
from zoo.core.errors import UserError
from zoo.core.precision import automatic_precision
from zoo.core.threads import allowed, asked
from zoo.recipe.trainer_options import check_validation_options
from zoo.training.sharing import normalises_batches

__all__ = ["about_size", "choose", "device_of", "processes", "set_threads"]

TRUE = ("32-true", "64-true")  # weights in one format throughout
LARGE = 64 * 64 * 3  # numbers of an image from which on a layer as long as it is a large one


def processes(settings: dict[str, Any]) -> int:
    """Counts the processes that the trainer's settings ask for."""
    devices = settings["devices"]
    if isinstance(devices, list):
        count = len(devices)
    elif str(devices) in ("auto", "-1"):
        count = torch.cuda.device_count() if device_of(settings) == "cuda" else 1
    elif isinstance(devices, str) and "," in devices:
        count = len([device for device in devices.split(",") if device])
    else:
        count = int(devices)
    return count * settings["num_nodes"]


def device_of(settings: dict[str, Any]) -> str:
    """Returns the kind of device that the trainer's settings lead to, ``cuda`` or ``cpu``."""
    wanted = settings["accelerator"] in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def choose(settings: dict[str, Any], model: L.LightningModule) -> str:
    """Fills in precision and strategy where the user left them open.

    Args:
        settings: The trainer's arguments; changed in place.
        model: The model to train.

    Returns:
        The precision and why, for the log.

    Raises:
        UserError: if the settings do not go together with the model.
    """
    reason = "as asked"
    if not is_overridden("validation_step", model):
        check_validation_options(settings, type(model).__name__)
    if settings["precision"] is None:
        settings["precision"], reason = automatic_precision(
            facts(model).prefers_bf16, device_of(settings)
        )
    if not model.automatic_optimization and settings["accumulate_grad_batches"] != 1:
        raise UserError(
            f"--trainer.accumulate_grad_batches does not reach {type(model).__name__}, which steps "
            "its own optimisers; leave it out, or enlarge --data.batch_size."
        )
    if str(settings["precision"]).endswith("-true") and settings["precision"] not in TRUE:
        raise UserError(
            f"--trainer.precision {settings['precision']} keeps the weights in half precision, "
            "where small steps are lost; use bf16-mixed."
        )
    if settings["gradient_clip_val"] and settings["precision"] == "16-mixed":
        raise UserError(
            "--trainer.gradient_clip_val cannot clip the scaled gradients of 16-mixed precision; "
            "use --trainer.precision bf16-mixed."
        )
    several = processes(settings) > 1
    if several and device_of(settings) == "cuda" and normalises_batches(model):
        settings["sync_batchnorm"] = True  # torch can do it on this device alone
    if settings["strategy"] == "auto" and several:
        # With several optimisers each backward pass leaves the other player's weights unused.
        manual = not model.automatic_optimization
        settings["strategy"] = "ddp_find_unused_parameters_true" if manual else "ddp"
    return f"{settings['precision']} ({reason})"


def set_threads(settings: dict[str, Any]) -> int:
    """Sets the number of torch's threads, as a start.

    Returns:
        Up to how many threads the run may try out; 1 where the number is fixed.
    """
    together = processes(settings) // settings["num_nodes"]
    number = asked() or max(1, allowed() // together)
    torch.set_num_threads(number)
    free = asked() is None and together == 1 and device_of(settings) == "cpu"
    return number if free else 1


def about_size(model: L.LightningModule) -> str:
    """Says of a fully connected model of large images what its convolutions would spare.

    Its first and last layers grow with the number of pixels, those of convolutions do not.

    Returns:
        The advice; an empty text where there is none to give.
    """
    spec = getattr(model, "spec", None)
    if spec is None or spec.size <= LARGE or model.hparams.get("network") != "mlp":
        return ""
    return (
        f"fully connected layers have a weight for each unit and each of the {spec.size:,} numbers "
        "of an image; --model.network conv suits images of this size, and has far fewer"
    )
