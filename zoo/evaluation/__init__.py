"""Floor 3: the judge: asks a model for its capabilities and scores it by named protocols."""

from zoo.evaluation.protocols import PROTOCOLS, Protocol, evaluate, fitting
from zoo.evaluation.score import Features, Score, Task

__all__ = ["PROTOCOLS", "Features", "Protocol", "Score", "Task", "evaluate", "fitting"]
