"""The registry of models, apart from them so that each model can import it."""

from __future__ import annotations

import lightning as L

from zoo.core.registry import Registry

__all__ = ["MODELS"]

MODELS: Registry[type[L.LightningModule]] = Registry("model")
