"""Floor 4: what happens around training: seeds, checkpoints, pictures, scores, progress."""

from zoo.callbacks.checkpoints import Checkpoints, Stopped, atomic_checkpoints
from zoo.callbacks.engine import ClipGradients, EqualBuffers, KeepFinite, SeedEachBatch
from zoo.callbacks.health import Health
from zoo.callbacks.pictures import Pictures
from zoo.callbacks.progress import Bar, EpochLines
from zoo.callbacks.scores import Scores
from zoo.callbacks.together import EndTogether

__all__ = [
    "Bar",
    "Checkpoints",
    "ClipGradients",
    "EndTogether",
    "EpochLines",
    "EqualBuffers",
    "Health",
    "KeepFinite",
    "Pictures",
    "Scores",
    "SeedEachBatch",
    "Stopped",
    "atomic_checkpoints",
]
