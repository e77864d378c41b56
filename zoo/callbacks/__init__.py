"""Floor 4: what happens around training: seeds, checkpoints, pictures, scores, logs."""

from zoo.callbacks.engine import KeepFinite, SeedEachBatch, atomic_checkpoints
from zoo.callbacks.pictures import Pictures
from zoo.callbacks.scores import Scores

__all__ = ["KeepFinite", "Pictures", "Scores", "SeedEachBatch", "atomic_checkpoints"]
