"""Floor 2: the models, one family per file; no model knows another."""

from zoo.models.classifier import Classifier
from zoo.models.infogan import InfoGAN
from zoo.models.nice import NICE
from zoo.models.registry import MODELS
from zoo.models.vae import VAE

__all__ = ["MODELS", "NICE", "VAE", "Classifier", "InfoGAN"]
