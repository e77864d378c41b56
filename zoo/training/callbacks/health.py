"""Health while training: names what is going wrong, and the knob to turn.

The decisions are functions of plain numbers; the callback below only feeds them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import lightning as L
import torch
from torch import Tensor

from zoo.contract.capabilities import can, capabilities
from zoo.contract.knobs import turn
from zoo.core.errors import UserError
from zoo.core.figures import digits
from zoo.core.files import write_json
from zoo.core.text import message
from zoo.data.images import unit_range

__all__ = [
    "Health",
    "alike",
    "alike_finding",
    "exploding_log_det",
    "idle_units",
    "idle_units_finding",
    "log_findings",
    "lost_codes",
    "lost_codes_finding",
    "not_falling",
    "saturated",
    "steep",
]

SATURATED = 0.1  # nats; an even game has 1.39
LINES = 3  # epochs in a row that must agree before a word is said
IDLE = 0.01  # variance of a code over images, below which Burda et al. 2016 call a unit inactive
EXPLODED = 100.0  # times the magnitude that was usual
STEEP = 1e3  # magnitude below which no log-determinant is called exploded
LOOKS = 6  # epochs that a judgement of a whole curve needs
IMAGES = 500
ALIKE = 0.3  # share of the data's spread below which samples are called alike
STEEP_CRITIC = 4.0  # penalty (slope - 1)^2 from which on a critic's slope is far from 1


# ---------------------------------------------------------------- decisions


def saturated(losses: Sequence[float], threshold: float = SATURATED) -> bool:
    """Says whether a discriminator has won: its last few losses are all near 0.

    Example:
        >>> saturated([1.2, 0.05, 0.02, 0.01]), saturated([0.05, 0.02, 0.9])
        (True, False)
    """
    return len(losses) >= LINES and all(loss < threshold for loss in losses[-LINES:])


def steep(penalties: Sequence[float]) -> bool:
    """Says whether a critic ignores its penalty: its slope stays at three times 1, or more.

    Example:
        >>> steep([0.1, 9.0, 25.0, 30.0]), steep([9.0, 0.2, 0.1])
        (True, False)
    """
    return len(penalties) >= LINES and all(value > STEEP_CRITIC for value in penalties[-LINES:])


def alike(samples: Tensor, images: Tensor) -> float:
    """Returns the spread of samples as a share of the data's: 0 if all samples are the same.

    Args:
        samples: Generated images, shape (N, C, H, W), N of at least 2.
        images: Real images, shape (M, C, H, W), M of at least 2.

    Example:
        >>> alike(torch.zeros(4, 1, 2, 2), torch.rand(4, 1, 2, 2))
        0.0
    """
    spreads = [x.detach().cpu().flatten(1).var(dim=0).sum().sqrt() for x in (samples, images)]
    return float(spreads[0] / spreads[1].clamp(min=1e-12))


def not_falling(losses: Sequence[float]) -> bool:
    """Says whether the last third of a loss lies no lower than its first third and its start.

    Example:
        >>> not_falling([3.0, 3.1, 2.9, 3.0, 3.1, 3.3]), not_falling([6, 5, 4, 3, 2, 1])
        (True, False)
    """
    third = len(losses) // 3
    if len(losses) < LOOKS:
        return False
    return fmean(losses[-third:]) >= max(fmean(losses[:third]), losses[0])


def exploding_log_det(values: Sequence[float]) -> bool:
    """Says whether a log-determinant grows without bound: it grows still, and is huge already.

    Example:
        >>> exploding_log_det([10, 12, 11, 40, 900, 50_000])
        True
        >>> exploding_log_det([900, 1100, 1200, 1250, 1270, 1280])
        False
    """
    sizes = [abs(value) for value in values]
    if len(sizes) < LOOKS:
        return False
    grows = all(low < high for low, high in zip(sizes[-LINES:], sizes[-LINES + 1 :], strict=False))
    usual = median(sizes[: len(sizes) // 2])
    return grows and sizes[-1] > max(STEEP, EXPLODED * usual)


def lost_codes(counts: Sequence[int]) -> list[int]:
    """Names the classes or codes whose share of the images is below a tenth of an even share.

    Returns:
        Their numbers; none where there are too few images to tell, less than ten for each code.

    Example:
        >>> lost_codes([50, 0, 60, 40]), lost_codes([3, 0])
        ([1], [])
    """
    total, number = sum(counts), len(counts)
    if number < 2 or total < 10 * number:
        return []
    return [code for code, count in enumerate(counts) if count < total / (10 * number)]


def idle_units(codes: Tensor) -> list[int]:
    """Names the latent units that images do not move.

    Args:
        codes: Posterior means, shape (B, latent), B of at least 2.

    Returns:
        Units whose variance over the images is below 0.01.

    Reference: Burda et al. 2016, arXiv:1509.00519, Section 5.2.

    Example:
        >>> idle_units(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        [1]
    """
    spread = codes.detach().float().flatten(1).var(dim=0)
    return (spread < IDLE).nonzero().flatten().tolist()


# ---------------------------------------------------------------- findings in words


def log_findings(
    history: Mapping[str, Sequence[float]], arguments: Mapping[str, Any]
) -> dict[str, str]:
    """Judges what was logged.

    Args:
        history: Logged figures by name, one per epoch, the newest last.
        arguments: The model's constructor arguments.

    Returns:
        One sentence or two for each finding, by a name that stays the same.
    """
    found = {}
    for name, values in history.items():
        short = name.removeprefix("train/")
        if "discriminator_loss" in name and saturated(values):
            found[f"saturation of {short}"] = (
                f"{short} is near 0 ({values[-1]:.3f}): the discriminator always wins, and the "
                "generator learns little from it. "
            ) + _try(
                arguments, ("lower", "lr_discriminator"), ("raise", "dropout"), ("raise", "jitter"),
                otherwise="weaken the discriminator or slow its learning",
            )  # fmt: skip
        if name.endswith("gradient_penalty") and steep(values):
            found[f"steepness of {short}"] = (
                f"{short} stays at {digits(values[-1])}: the critic's slope is far from 1, and its "
                "estimate measures no distance. "
            ) + _try(
                arguments, ("raise", "gp_weight"), ("lower", "lr"),
                otherwise="weigh the penalty more",
            )  # fmt: skip
        if _is_log_det(name) and exploding_log_det(values):
            found[f"explosion of {short}"] = (
                f"{short} has grown to {digits(values[-1])}: the flow stretches space without "
                "bound. "
            ) + _try(
                arguments, ("lower", "lr"), ("raise", "weight_decay"),
                otherwise="lower the learning rate, or set --trainer.gradient_clip_val 1",
            )  # fmt: skip
        if _should_fall(name) and not_falling(values):
            found[f"no progress of {short}"] = (
                f"{short} does not fall: {digits(values[0], 4)} at first, {digits(values[-1], 4)} "
                "now. "
            ) + _try(arguments, ("lower", "lr"), otherwise="lower the learning rate")
    return found


def lost_codes_finding(counts: Sequence[int], arguments: Mapping[str, Any]) -> str | None:
    """Puts `lost_codes` into a sentence; None if none is lost."""
    lost = lost_codes(counts)
    if not lost:
        return None
    which = f"code {lost[0]} is" if len(lost) == 1 else f"codes {_listed(lost)} are"
    advice = _try(
        arguments, ("raise", "categorical_weight"), ("lower", "categories"),
        ("lower", "components"), ("lower", "lr_generator"), otherwise="train with another seed",
    )  # fmt: skip
    return f"{which} hardly used: almost no image of {sum(counts)} is given to them. {advice}"


def idle_units_finding(codes: Tensor, arguments: Mapping[str, Any]) -> str | None:
    """Puts `idle_units` into a sentence; None unless at least half of the units are idle."""
    idle, number = idle_units(codes), codes.flatten(1).shape[1]
    if not idle or 2 * len(idle) < number:
        return None
    advice = _try(
        arguments, ("lower", "beta"), ("lower", "latent_dim"), ("raise", "warmup"),
        ("raise", "continuous_weight"), otherwise="weigh the rate less at first",
    )  # fmt: skip
    return f"{len(idle)} of {number} latent units are idle: images do not move them. {advice}"


def alike_finding(samples: Tensor, images: Tensor, arguments: Mapping[str, Any]) -> str | None:
    """Puts `alike` into a sentence; None unless samples are clearly less varied than the data."""
    share = alike(samples, images)
    if share >= ALIKE:
        return None
    advice = _try(
        arguments, ("raise", "packing"), ("lower", "lr_generator"), ("raise", "n_critic"),
        otherwise="train with another seed",
    )  # fmt: skip
    return f"samples are alike: they vary {share:.0%} as much as the data do. {advice}"


def _try(arguments: Mapping[str, Any], *wishes: tuple[str, str], otherwise: str) -> str:
    return f"Try: {turn(arguments, *wishes) or otherwise}."


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"


def _is_log_det(name: str) -> bool:
    return "log_det" in name or "logdet" in name


def _should_fall(name: str) -> bool:
    """Losses that descend; those of players in a game need not."""
    player = any(word in name for word in ("discriminator", "generator", "critic"))
    descends = any(word in name for word in ("nelbo", "nll", "cross_entropy", "loss", "bits_per"))
    return name.startswith("train/") and descends and not player


# ---------------------------------------------------------------- the callback


class Health(L.Callback):
    """Says each finding once per run, and keeps all of them in ``health.json``.

    Logged figures are looked at after every epoch; at most 500 validation images are looked at
    every few epochs of the second half, when codes should have found their place.

    Args:
        folder: The run's folder.
        every: Epochs between looks at images.

    Raises:
        UserError: if every is not positive.
    """

    def __init__(self, folder: Path, every: int) -> None:
        if every < 1:
            raise UserError(f"--pictures_every must be at least 1 epoch, got {every}.")
        self.file = folder / "health.json"
        self.every = every
        self.history: dict[str, list[float]] = {}
        self.findings: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks, and speaks if there is something new; on the first process only."""
        epoch = trainer.current_epoch + 1
        self._remember(trainer.callback_metrics)
        arguments = dict(pl_module.hparams)
        found: dict[str, str | None] = dict(log_findings(self.history, arguments))
        last = trainer.max_epochs
        half = 10 * self.every if last in (None, -1) else last / 2  # type: ignore[operator]
        late = epoch > max(half, LINES)
        if late and (epoch % self.every == 0 or epoch == last):
            found |= self._look(trainer, pl_module, arguments)
        new = {name: text for name, text in found.items() if text and name not in self.findings}
        if not new:
            return
        self.findings |= {name: {"epoch": epoch, "text": text} for name, text in new.items()}
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            write_json(self.file, self.findings)
            for text in new.values():
                pl_module.print(message(f"health: {text}"))

    def _remember(self, metrics: Mapping[str, Tensor]) -> None:
        """Takes down the figures that were logged since the last look."""
        for name, value in metrics.items():
            fresh = self._seen.get(name) is not value
            if fresh and name.startswith("train/") and math.isfinite(number := float(value)):
                self.history.setdefault(name, []).append(number)
        self._seen = dict(metrics)

    def _look(
        self, trainer: L.Trainer, model: Any, arguments: Mapping[str, Any]
    ) -> dict[str, str | None]:
        """Shows the model validation images; every process sees the same ones."""
        images = trainer.datamodule.images("val")  # type: ignore[attr-defined]
        count = min(IMAGES, len(images))
        device = model.device
        if count < 2 or not {"classify", "encode", "sample"} & set(capabilities(model)):
            return {}
        x = unit_range(images.fetch(torch.arange(count))).to(device)
        found: dict[str, str | None] = {}
        if can(model, "sample"):
            found["samples alike"] = alike_finding(model.sample(100, seed=0), x, arguments)
        if can(model, "classify"):
            counts = torch.bincount(model.classify(x).cpu(), minlength=model.num_codes)
            found["lost codes"] = lost_codes_finding(counts.tolist(), arguments)
        if can(model, "encode") and not can(model, "log_prob"):
            # A flow is invertible: no unit is idle, and certain pixels are meant to stand still.
            found["idle units"] = idle_units_finding(model.encode(x).cpu(), arguments)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Keeps what was seen and said, so that a continued run says nothing twice."""
        return {"history": self.history, "findings": self.findings}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Brings it back."""
        self.history, self.findings = state_dict["history"], state_dict["findings"]
