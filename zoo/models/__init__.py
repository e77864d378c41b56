"""Floor 2: the models, one family per file; no model knows another."""

from zoo.models.attributes import AttributeClassifier
from zoo.models.beta_vae import BetaVAE
from zoo.models.classifier import Classifier
from zoo.models.gan import GAN
from zoo.models.gmvae import GMVAE
from zoo.models.infogan import InfoGAN
from zoo.models.made import MADE
from zoo.models.nade import NADE
from zoo.models.nice import NICE
from zoo.models.pixelcnn import PixelCNN
from zoo.models.real_nvp import RealNVP
from zoo.models.registry import MODELS
from zoo.models.stackgan import StackGAN
from zoo.models.vae import VAE
from zoo.models.wgan_gp import WGANGP

__all__ = [
    "GAN",
    "GMVAE",
    "MADE",
    "MODELS",
    "NADE",
    "NICE",
    "VAE",
    "WGANGP",
    "AttributeClassifier",
    "BetaVAE",
    "Classifier",
    "InfoGAN",
    "PixelCNN",
    "RealNVP",
    "StackGAN",
]
