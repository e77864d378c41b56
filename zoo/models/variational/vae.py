r"""VAE: a latent variable model trained by a bound on its likelihood.

.. math:: \log p(x) \ge E_{q(z \mid x)}\Big[\log \frac1k \sum_{i=1}^k
          \frac{p(x \mid z_i)\, p(z_i)}{q(z_i \mid x)}\Big], \quad p(z) = N(0, I)

With k = 1 this is the evidence lower bound, -(distortion + rate), whose rate KL(q(z|x) || p(z)) has
a closed form. Larger k is the importance-weighted autoencoder.

References: Kingma & Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082.
Importance weights: Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519. Inverse autoregressive
posterior: Kingma et al. 2016, arXiv:1606.04934. Feature loss: Hou et al. 2017, arXiv:1610.00291.

Deviations:
- Adam's rate falls along a cosine to zero; the papers train several times longer instead.

Beyond the papers, off by default; the recipes vae_plus_mnist and iwae_plus_mnist turn it on:
- With `warmup`, the weight of the rate rises at first, so that fewer units of the code fall silent.
- With `resampled`, the gradient of the importance-weighted bound goes through a few samples drawn
  by their weights instead of all k. Its expectation is the same (Burda et al., Section 3).
- With `growth`, k grows in training: early on few samples teach almost as much, many times faster.
- The feature loss is added to the distortion with a weight, on features of the zoo's classifiers.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.bounds import importance_bound, importance_objective, resampled_objective
from zoo.models.registry import MODELS
from zoo.models.variational.base import (
    MEASURE_EVERY,
    Activation,
    FeatureLoss,
    LatentUnits,
    Likelihood,
    Network,
    encoder_and_decoder,
)
from zoo.nets.iaf import InverseAutoregressiveFlow
from zoo.nets.posteriors import Code, FlowPosterior, NormalPosterior
from zoo.optim.schedules import follow_cosine, risen
from zoo.optim.steps import adam, record

__all__ = ["VAE"]

Posterior = Literal["gaussian", "iaf"]

CONTEXT = 100  # length of what the encoder tells the flow of the posterior
AT_ONCE = {"mlp": 1000, "conv": 100}  # latents that pass a decoder at once and fit a CPU's cache
ON_A_GPU = 10_000


@MODELS.register
class VAE(LatentUnits):
    """Variational autoencoder for images of any size of the zoo.

    Args:
        spec: Shape of the images.
        latent_dim: Length of z.
        network: ``mlp``: fully connected; ``conv``: residual convolutions.
        hidden: Units of the encoder's hidden layers, and in reverse of the decoder's (``mlp``).
        activation: Nonlinearity of ``mlp``.
        width: Channels of the finest feature map (``conv``).
        depth: Residual blocks at each size (``conv``).
        likelihood: ``bernoulli`` for binary images (for grey ones it is a cross-entropy, no
            likelihood); ``gaussian``, a density of grey values, with a learned deviation;
            ``logistic``, the probability of 256 grey levels, with a learned scale.
        posterior: ``gaussian`` with independent units; ``iaf``, which moves its samples by an
            inverse autoregressive flow.
        flow_steps: Steps of the flow (``iaf``).
        flow_hidden: Units of the hidden layers of a step (``iaf``).
        samples: Importance samples k of the training objective; 1 for the ELBO.
        resampled: With k > 1, number of samples that the gradient goes through, drawn by their
            weights; 0 for all.
        growth: Share of the training over which k grows geometrically from 1 to ``samples``.
        warmup: Share of the training over which the weight of the rate rises from 0 to 1.
        feature_network: Classifier of the shelf whose feature maps reconstructions should share,
            such as ``features_mnist``.
        feature_weight: Weight of the distance between feature maps, added to the distortion.
        lr: Adam's rate at the start.
        betas: Adam's decay rates.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "learns a short code of images, and draws new ones from random codes."
    needs = (("image", "points"),)
    reach = 3.0

    def __init__(
        self,
        spec: ImageSpec,
        latent_dim: int = 50,
        network: Network = "mlp",
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "tanh",
        width: int = 32,
        depth: int = 1,
        likelihood: Likelihood = "bernoulli",
        posterior: Posterior = "gaussian",
        flow_steps: int = 4,
        flow_hidden: int = 200,
        samples: int = 1,
        resampled: int = 0,
        growth: float = 0.0,
        warmup: float = 0.0,
        feature_network: str | None = None,
        feature_weight: float = 1.0,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__()
        check_arguments(
            latent_dim=(latent_dim, "[1, inf)"),
            hidden=(hidden, "[1, inf)"),
            width=(width, "[1, inf)"),
            depth=(depth, "[0, inf)"),
            flow_steps=(flow_steps, "[1, inf)"),
            flow_hidden=(flow_hidden, "[1, inf)"),
            samples=(samples, "[1, inf)"),
            resampled=(resampled, f"[0, {samples}]"),
            growth=(growth, "[0, 1]"),
            warmup=(warmup, "[0, 1]"),
            feature_weight=(feature_weight, "[0, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
        )
        check_choice("--model.network", network, get_args(Network))
        check_choice("--model.activation", activation, get_args(Activation))
        check_choice("--model.likelihood", likelihood, get_args(Likelihood))
        if str(posterior) == "none":
            raise UserError(
                "--model.posterior none makes a plain autoencoder of the VAE, which is a model of "
                "its own: Autoencoder."
            )
        check_choice("--model.posterior", posterior, get_args(Posterior))
        if samples > 1 and feature_network:
            raise UserError("--model.samples above 1 goes without feature_network.")
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.latent_dim, self.network = spec, latent_dim, network
        self.likelihood, self.posterior = likelihood, posterior
        self.expects_bits = likelihood == "bernoulli"
        self.measure = "lebesgue" if likelihood == "gaussian" else "counting"
        self.needs_float32 = posterior == "iaf"  # a flow, like the others
        self.samples, self.resampled = samples, resampled
        self.growth, self.warmup = growth, warmup
        self.feature_network, self.feature_weight = feature_network, feature_weight
        self.lr, self.betas = lr, betas
        self.prefers_bf16 = network == "conv"

        said = 2 * latent_dim + (CONTEXT if posterior == "iaf" else 0)
        shape = latent_dim, said, hidden, activation, width, depth
        self.encoder, self.decoder = encoder_and_decoder(spec, network, *shape)
        if posterior == "iaf":
            self.flow = InverseAutoregressiveFlow(latent_dim, flow_hidden, CONTEXT, flow_steps)
        if likelihood != "bernoulli":
            self.log_scale = nn.Parameter(torch.full((spec.channels, 1, 1), -2.0))
        self.follow_codes()
        self.feature_loss = FeatureLoss(feature_network, spec)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Infers latents of images in [0, 1], shape (B, C, H, W).

        Returns:
            Means of q(z | x), shape (B, latent_dim); with a flow, where it moves the mean of
            q(z_0 | x) to.
        """
        return in_chunks(lambda part: self.q.centre(self._read(part)), x)

    @answers
    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """Bounds log p(x) from below with importance samples; the ELBO's estimate with one.

        Args:
            x: Images in [0, 1], shape (B, C, H, W), binary for a Bernoulli likelihood.
            samples: Number k of samples; the bound rises with it, towards log p(x).

        Returns:
            Nats per example, shape (B,). Measure: counting for ``bernoulli`` and ``logistic``,
            Lebesgue on [0, 1] for ``gaussian``.
        """
        code = self._read(x)
        at_once = self._at_once(len(x))
        counts = [min(at_once, samples - done) for done in range(0, samples, at_once)]
        parts = [self._log_parts(x, code, self._noise(code, count)) for count in counts]
        return importance_bound(torch.cat([fit - ratio for fit, ratio in parts]))

    # ---------------------------------------------------------------- the model

    @property
    def q(self) -> NormalPosterior:
        """How z is drawn from what the encoder says."""
        if self.posterior == "iaf":
            return FlowPosterior(self.latent_dim, self.flow)
        return NormalPosterior(self.latent_dim)

    def _read(self, x: Tensor) -> Code:
        """Encodes images."""
        return self.q.read(self.encoder(x).to(x.dtype))  # autocast may have halved it

    def _log_parts(self, x: Tensor, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log p(x | z) and log q(z | x) - log p(z) of samples drawn by noise, (k, B)."""
        z, log_ratio = self.q.draw(code, noise)
        return self.log_likelihood(x, z)[0], log_ratio

    def _at_once(self, images: int) -> int:
        """Says how many samples of each of so many images pass the decoder at once."""
        latents = AT_ONCE[self.network] if self.device.type == "cpu" else ON_A_GPU
        return max(1, latents // max(1, images))

    def _noise(self, code: Code, samples: int) -> Tensor:
        mean = code.mean
        return torch.randn(samples, *mean.shape, dtype=mean.dtype, device=mean.device)

    # ---------------------------------------------------------------- learning

    def elbo_terms(self, x: Tensor, code: Code, noise: Tensor) -> dict[str, Tensor]:
        """Computes distortion and rate with one sample per image, noise of shape (1, B, latent).

        Returns:
            Means over the batch, in nats; with a feature network, ``feature_distance`` besides.
        """
        z, rate = self.q.draw_with_rate(code, noise)
        log_likelihood, logits = self.log_likelihood(x, z)
        terms = {"distortion_nats": -log_likelihood.mean(), "rate_nats": rate.mean()}
        if self.feature_network is not None:
            terms["feature_distance"] = self.feature_loss(x, self._mean(logits[0]))
        return terms

    def importance_terms(
        self, x: Tensor, code: Code, noise: Tensor, weight: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Computes the importance-weighted bound and a loss whose gradient is minus the bound's.

        Args:
            x: Images, shape (B, C, H, W).
            code: What the encoder says about them.
            noise: Standard normal, shape (samples, B, latent).
            weight: Weight of log q(z | x) - log p(z) in the loss, in [0, 1]; at 1 it is the
                bound's.

        Returns:
            The bound's mean over the batch, in nats, and the loss, both scalars.
        """

        def log_parts(noise: Tensor) -> tuple[Tensor, Tensor]:
            return self._log_parts(x, code, noise)

        if not 0 < self.resampled < len(noise):
            return importance_objective(log_parts, noise, weight)
        start = torch.rand(len(x), dtype=x.dtype, device=x.device)
        count, at_once = self.resampled, self._at_once(len(x))
        return resampled_objective(
            log_parts, noise, start, count=count, at_once=at_once, weight=weight
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns minus the bound; logs its terms unweighted."""
        x = batch.image
        code = self._read(x)
        if batch_idx % MEASURE_EVERY == 0:
            with torch.no_grad():
                self.note_codes(self.q.centre(code))
        samples = round(self.samples ** risen(self, self.growth))
        noise = self._noise(code, samples)
        weight = risen(self, self.warmup)
        if self.samples > 1:
            bound, loss = self.importance_terms(x, code, noise, weight)
            record(self, {"nelbo_is_nats": -bound, "samples": bound.new_tensor(samples)})
            return loss
        terms = self.elbo_terms(x, code, noise)
        nelbo = terms["distortion_nats"] + terms["rate_nats"]
        record(self, {"nelbo_nats": nelbo, **terms})
        loss = terms["distortion_nats"] + weight * terms["rate_nats"]
        if "feature_distance" in terms:
            loss = loss + self.feature_weight * terms["feature_distance"]
        return loss

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate fall along a cosine to zero."""
        follow_cosine(self, self.lr)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, self.betas)

    def use_feature_network(self, network: Any) -> None:
        """Takes the classifier that `feature_network` names; the engine brings it."""
        self.feature_loss.take(network)
