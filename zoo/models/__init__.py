"""The models, one family per file; no model knows another.

Each is imported when it is asked for: ``zoo.models.VAE``, or ``MODELS["VAE"]``.
"""

from typing import TYPE_CHECKING

from zoo.core.lazy import lazily
from zoo.models.registry import MODELS

if TYPE_CHECKING:
    from zoo.models.adversarial.gan import GAN
    from zoo.models.adversarial.infogan import InfoGAN
    from zoo.models.adversarial.stackgan import StackGAN
    from zoo.models.adversarial.wgan_gp import WGANGP
    from zoo.models.autoregressive.made import MADE
    from zoo.models.autoregressive.nade import NADE
    from zoo.models.autoregressive.pixelcnn import PixelCNN
    from zoo.models.classifiers.attributes import AttributeClassifier
    from zoo.models.classifiers.classifier import Classifier
    from zoo.models.energy.gsn import GSN
    from zoo.models.energy.rbm import RBM
    from zoo.models.flows.nice import NICE
    from zoo.models.flows.real_nvp import RealNVP
    from zoo.models.variational.autoencoder import Autoencoder
    from zoo.models.variational.beta_tcvae import BetaTCVAE
    from zoo.models.variational.beta_vae import BetaVAE
    from zoo.models.variational.factor_vae import FactorVAE
    from zoo.models.variational.gmvae import GMVAE
    from zoo.models.variational.vae import VAE

__all__ = [
    "GAN",
    "GMVAE",
    "GSN",
    "MADE",
    "MODELS",
    "NADE",
    "NICE",
    "RBM",
    "VAE",
    "WGANGP",
    "AttributeClassifier",
    "Autoencoder",
    "BetaTCVAE",
    "BetaVAE",
    "Classifier",
    "FactorVAE",
    "InfoGAN",
    "PixelCNN",
    "RealNVP",
    "StackGAN",
]

__getattr__, __dir__ = lazily(__name__, MODELS.homes, ["MODELS"])
