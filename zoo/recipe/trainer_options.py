"""Options of Lightning's Trainer that a run of the zoo refuses, each with the reason.

All others work. An option that was accepted and then had no effect would leave a person to believe
that it had one; a test holds each of them to one side or the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.core.errors import UserError
from zoo.core.text import quoted

__all__ = ["REFUSED", "VALIDATION", "check_trainer_options", "check_validation_options"]

# Values that say no more than the default, and why any other is refused.
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "barebones": (
        (False,),
        "it forbids all that a run keeps, its checkpoints and figures: leave it out",
    ),
    "default_root_dir": ((None,), "the folder of all runs is --run_root"),
    "enable_checkpointing": (
        (None, True),
        "a run without checkpoints cannot be used or continued; to write few of them, enlarge "
        "--save_every",
    ),
    "limit_predict_batches": ((None, 1.0), "training predicts nothing: leave it out"),
    "limit_test_batches": (
        (None, 1.0),
        "test images are scored by the judge; --evaluate false leaves that out",
    ),
    "model_registry": ((None,), "models are published by python -m zoo.publish: leave it out"),
    "overfit_batches": (
        (0, 0.0),
        "every epoch draws its order anew, so it would not be the same images; for a trial on few "
        "of them use --trainer.limit_train_batches, or a folder that holds no others",
    ),
    "use_distributed_sampler": (
        (None, True),
        "the loaders always share the images out among the processes: leave it out",
    ),
}
# Options of a loop that only a model with a ``validation_step`` has.
VALIDATION: dict[str, tuple[Any, ...]] = {
    "check_val_every_n_epoch": (1,),
    "inference_mode": (True,),
    "limit_val_batches": (None, 1.0),
    "num_sanity_val_steps": (None, 2),
    "val_check_interval": (None, 1.0),
}
CLIP_BY = (None, "norm", "value")


def check_trainer_options(settings: Mapping[str, Any]) -> None:
    """Refuses options that would be ignored, before anything is built.

    Args:
        settings: The trainer's arguments, as plain values.

    Raises:
        UserError: on the first one; says why, and what to use instead.
    """
    for name, (accepted, reason) in REFUSED.items():
        if name in settings and not _among(settings[name], accepted):
            raise UserError(f"--trainer.{name} {quoted(settings[name])} is refused: {reason}.")
    by = settings.get("gradient_clip_algorithm")
    if by not in CLIP_BY:
        raise UserError(
            f"--trainer.gradient_clip_algorithm must be norm or value, got {quoted(by)}."
        )
    if by is not None and not settings.get("gradient_clip_val"):
        raise UserError(
            "--trainer.gradient_clip_algorithm needs --trainer.gradient_clip_val, the largest "
            f"{by} of the gradients."
        )
    for unit in ("epochs", "steps"):
        least, most = settings.get(f"min_{unit}"), settings.get(f"max_{unit}")
        if least is not None and most not in (None, -1) and least > most:
            raise UserError(
                f"--trainer.min_{unit} {least} is more than --trainer.max_{unit} {most}."
            )


def check_validation_options(settings: Mapping[str, Any], name: str) -> None:
    """Refuses options of the validation loop for a model that has none.

    Args:
        settings: The trainer's arguments.
        name: The model's class.

    Raises:
        UserError: on the first one.
    """
    for option, accepted in VALIDATION.items():
        if option in settings and not _among(settings[option], accepted):
            raise UserError(
                f"--trainer.{option} {quoted(settings[option])} does not reach {name}, which has "
                "no validation loop: its scores come every --pictures_every epochs."
            )


def _among(value: Any, accepted: tuple[Any, ...]) -> bool:
    """Says whether a value is one of some; 1 is not True here, nor 1.0, which is a share, 1."""
    return any(value == one and type(value) is type(one) for one in accepted)
