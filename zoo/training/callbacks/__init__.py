"""What happens around training: seeds, checkpoints, pictures, scores, progress."""

from zoo.training.callbacks.checkpoints import Checkpoints, Stopped, atomic_checkpoints
from zoo.training.callbacks.health import Health
from zoo.training.callbacks.monitors import Monitors
from zoo.training.callbacks.pace import Pace
from zoo.training.callbacks.page import Page
from zoo.training.callbacks.pictures import Pictures
from zoo.training.callbacks.progress import Bar, EpochLines
from zoo.training.callbacks.repeatable import ClipGradients, EqualBuffers, KeepFinite, SeedEachBatch
from zoo.training.callbacks.scores import Scores
from zoo.training.callbacks.threads import Threads
from zoo.training.callbacks.together import EndTogether, limit_silence

__all__ = [
    "Bar",
    "Checkpoints",
    "ClipGradients",
    "EndTogether",
    "EpochLines",
    "EqualBuffers",
    "Health",
    "KeepFinite",
    "Monitors",
    "Pace",
    "Page",
    "Pictures",
    "Scores",
    "SeedEachBatch",
    "Stopped",
    "Threads",
    "atomic_checkpoints",
    "limit_silence",
]
