"""Floor 3: the judge: asks a model for its capabilities and scores it by named protocols."""

from zoo.evaluation.protocols import PROTOCOLS, Protocol, Score, evaluate, fitting

__all__ = ["PROTOCOLS", "Protocol", "Score", "evaluate", "fitting"]
