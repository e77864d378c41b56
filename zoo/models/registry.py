"""The registry of models: which there are, and where each one stands.

Importing a model registers it; a name is known before, without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.core.registry import Registry

if TYPE_CHECKING:
    import lightning as L

__all__ = ["MODELS"]

MODELS: Registry[type[L.LightningModule]] = Registry(
    "model",
    {
        "GAN": "zoo.models.adversarial.gan",
        "WGANGP": "zoo.models.adversarial.wgan_gp",
        "InfoGAN": "zoo.models.adversarial.infogan",
        "StackGAN": "zoo.models.adversarial.stackgan",
        "VAE": "zoo.models.variational.vae",
        "Autoencoder": "zoo.models.variational.autoencoder",
        "BetaVAE": "zoo.models.variational.beta_vae",
        "FactorVAE": "zoo.models.variational.factor_vae",
        "BetaTCVAE": "zoo.models.variational.beta_tcvae",
        "GMVAE": "zoo.models.variational.gmvae",
        "NADE": "zoo.models.autoregressive.nade",
        "MADE": "zoo.models.autoregressive.made",
        "PixelCNN": "zoo.models.autoregressive.pixelcnn",
        "GSN": "zoo.models.energy.gsn",
        "RBM": "zoo.models.energy.rbm",
        "NICE": "zoo.models.flows.nice",
        "RealNVP": "zoo.models.flows.real_nvp",
        "Classifier": "zoo.models.classifiers.classifier",
        "AttributeClassifier": "zoo.models.classifiers.attributes",
    },
)
