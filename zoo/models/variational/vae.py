r"""VAE: a latent variable model trained by a bound on its likelihood.

.. math:: \log p(x) \ge E_{q(z \mid x)}\Big[\log \frac1k \sum_{i=1}^k
          \frac{p(x \mid z_i)\, p(z_i)}{q(z_i \mid x)}\Big], \quad p(z) = N(0, I)

With k = 1 this is the evidence lower bound, -(distortion + rate), whose rate KL(q(z|x) || p(z)) has
a closed form. Larger k is the importance-weighted autoencoder. Without noise in q, and without
rate, it is a plain autoencoder. All of them stand in this one long file, since they differ in no
more than how the same few terms are put together.

References: Kingma & Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082.
Importance weights: Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519. Inverse autoregressive
posterior: Kingma et al. 2016, arXiv:1606.04934. Feature loss: Hou et al. 2017, arXiv:1610.00291.

Deviations:
- Adam's rate falls along a cosine to zero; the papers train several times longer instead.
- With `resampled`, the gradient of the importance-weighted bound goes through a few samples drawn
  by their weights instead of all k. Its expectation is the same (Burda et al., Section 3).
- With `growth`, k grows in training: early on few samples teach almost as much, many times faster.
- The feature loss is added to the distortion with a weight, on features of the zoo's classifiers.
- The plain autoencoder draws samples from a normal law fitted to its codes, unit by unit.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contract.answering import answers, in_chunks
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.bounds import importance_bound, resample
from zoo.functional.divergence import standard_normal_kl
from zoo.functional.likelihood import (
    bernoulli_log_prob,
    gaussian_log_prob,
    logistic_bin_log_prob,
)
from zoo.functional.paths import arc
from zoo.models.registry import MODELS
from zoo.models.variational.base import LatentUnits
from zoo.nets.iaf import InverseAutoregressiveFlow
from zoo.nets.mlp import MLP
from zoo.nets.residual import ResidualDecoder, ResidualEncoder
from zoo.optim.schedules import follow_cosine, risen
from zoo.optim.steps import adam, record

__all__ = ["VAE"]

Activation = Literal["tanh", "relu", "silu"]
Likelihood = Literal["bernoulli", "gaussian", "logistic"]
Network = Literal["mlp", "conv"]
Posterior = Literal["gaussian", "iaf", "none"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}
CONTEXT = 100  # length of what the encoder tells the flow of the posterior
MEASURE_EVERY = 10  # batches between measurements of the codes' moments
AT_ONCE = {"mlp": 1000, "conv": 100}  # latents that pass a decoder at once and fit a CPU's cache
ON_A_GPU = 10_000
SHOWN = 10  # units that pictures show, those that images move most


class Code(NamedTuple):
    """What the encoder says about images.

    Args:
        mean: Means of q(z_0 | x), shape (B, latent).
        log_var: Its log variances.
        context: What the flow of the posterior gets to know, shape (B, CONTEXT); empty without.
    """

    mean: Tensor
    log_var: Tensor
    context: Tensor


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
            inverse autoregressive flow; ``none``, a plain autoencoder without noise and rate.
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
        check_choice("--model.posterior", posterior, get_args(Posterior))
        if samples > 1 and (posterior == "none" or feature_network):
            raise UserError(
                "--model.samples above 1 goes with a posterior, and without feature_network."
            )
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.latent_dim, self.network = spec, latent_dim, network
        self.likelihood, self.posterior = likelihood, posterior
        self.expects_bits = likelihood == "bernoulli"
        self.needs_float32 = posterior == "iaf"  # a flow, like the others
        self.samples, self.resampled = samples, resampled
        self.growth, self.warmup = growth, warmup
        self.feature_network, self.feature_weight = feature_network, feature_weight
        self.lr, self.betas = lr, betas
        self.prefers_bf16 = network == "conv"

        said = latent_dim * (1 if posterior == "none" else 2)
        said += CONTEXT if posterior == "iaf" else 0
        if network == "mlp":
            nonlinearity = ACTIVATIONS[activation]
            self.encoder: nn.Module = MLP(spec.size, hidden, said, nonlinearity)
            self.decoder: nn.Module = MLP(latent_dim, hidden[::-1], spec.shape, nonlinearity)
        else:
            self.encoder = ResidualEncoder(*spec.shape, width, said, depth)
            self.decoder = ResidualDecoder(latent_dim, *spec.shape, width, depth)
        if posterior == "iaf":
            self.flow = InverseAutoregressiveFlow(latent_dim, flow_hidden, CONTEXT, flow_steps)
        if likelihood != "bernoulli":
            self.log_scale = nn.Parameter(torch.full((spec.channels, 1, 1), -2.0))
        self.code_mean: Tensor  # running moments of encode(x) over training images
        self.code_var: Tensor
        self.register_buffer("code_mean", torch.zeros(latent_dim))
        self.register_buffer("code_var", torch.ones(latent_dim))
        self.borrowed: tuple[Any, ...] = ()  # in a tuple, so that its weights are none of ours
        if posterior == "none":
            self.lacks = ("elbo",)  # there is no bound to tell

    # ---------------------------------------------------------------- what a user calls

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Infers latents of images in [0, 1], shape (B, C, H, W).

        Returns:
            Means of q(z | x), shape (B, latent_dim); with a flow, where it moves the mean of
            q(z_0 | x) to.
        """
        return in_chunks(lambda part: self._centre(self._read(part)), x)

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

    def codes(self) -> tuple[str, ...]:
        """Names the latent units that images move most, at most ten, the liveliest first."""
        liveliest = self.code_var.argsort(descending=True, stable=True)[:SHOWN]
        return tuple(f"z{int(unit) + 1}" for unit in liveliest)

    @answers
    def interpolate(self, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Walks from one sample to another on an arc, which keeps the length of z typical.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        mean, std = self._prior_moments()
        a, b = ((self._prior(2 * rows, seed) - mean) / std).split(rows)
        walk = mean + std * arc(a, b, steps)
        return self.decode(walk.flatten(0, 1)).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- the model

    def _read(self, x: Tensor) -> Code:
        """Encodes images."""
        said = self.encoder(x).to(x.dtype)  # autocast may have halved it
        mean = said[:, : self.latent_dim]
        if self.posterior == "none":
            return Code(mean, torch.zeros_like(mean), mean[:, :0])
        log_var, context = said[:, self.latent_dim :].tensor_split([self.latent_dim], dim=1)
        return Code(mean, log_var, context)

    def _centre(self, code: Code) -> Tensor:
        return self.flow(code.mean, code.context)[0] if self.posterior == "iaf" else code.mean

    def _log_likelihood(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log p(x | z) of images (B, C, H, W) for latents (k, B, latent).

        Returns:
            Nats, shape (k, B), and the decoder's logits, shape (k, B, C, H, W).
        """
        logits = self.decoder(z.flatten(0, 1)).to(z.dtype).unflatten(0, z.shape[:2])
        if self.likelihood == "bernoulli":
            values = bernoulli_log_prob(x, logits)
        elif self.likelihood == "gaussian":
            values = gaussian_log_prob(x, self._mean(logits), self.log_scale)
        else:
            values = logistic_bin_log_prob(x, self._mean(logits), self.log_scale)
        return values.flatten(2).sum(dim=2), logits

    def _draw(self, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z from q(z | x) by noise (k, B, latent) of the standard normal law.

        Returns:
            Latents, shape (k, B, latent), and log q(z | x) - log p(z) in nats, shape (k, B).
        """
        z = code.mean + (code.log_var / 2).exp() * noise
        # The constants of the two normal laws cancel.
        log_ratio = -0.5 * (noise.square() + code.log_var).sum(dim=2)
        if self.posterior == "iaf":
            context = code.context.expand(len(noise), -1, -1).flatten(0, 1)
            moved, log_det = self.flow(z.flatten(0, 1), context)
            z = moved.unflatten(0, noise.shape[:2])
            log_ratio = log_ratio - log_det.unflatten(0, noise.shape[:2])
        return z, log_ratio + 0.5 * z.square().sum(dim=2)

    def _log_parts(self, x: Tensor, code: Code, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Computes log p(x | z) and log q(z | x) - log p(z) of samples drawn by noise, (k, B)."""
        z, log_ratio = self._draw(code, noise)
        return self._log_likelihood(x, z)[0], log_ratio

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
        if self.posterior == "none":
            z, rate = code.mean[None], torch.zeros_like(code.mean[:, 0])
        elif self.posterior == "gaussian":
            z = code.mean + (code.log_var / 2).exp() * noise
            rate = standard_normal_kl(code.mean, code.log_var).sum(dim=1)
        else:
            z, log_ratio = self._draw(code, noise)
            rate = log_ratio[0]
        log_likelihood, logits = self._log_likelihood(x, z)
        terms = {"distortion_nats": -log_likelihood.mean(), "rate_nats": rate.mean()}
        if self.feature_network is not None:
            terms["feature_distance"] = self._feature_distance(x, self._mean(logits[0]))
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
        if not 0 < self.resampled < len(noise):
            fit, ratio = self._log_parts(x, code, noise)
            bound = importance_bound((fit - ratio).detach())
            return bound.mean(), -importance_bound(fit - weight * ratio).mean()
        with torch.no_grad():
            parts = noise.split(self._at_once(len(x)))
            each = [self._log_parts(x, code, part) for part in parts]
            fit, ratio = (torch.cat(values) for values in zip(*each, strict=True))  # (k, B)
        start = torch.rand(len(x), dtype=x.dtype, device=x.device)
        chances = (fit - weight * ratio).softmax(dim=0)
        chosen = resample(chances, self.resampled, start)  # (R, B)
        kept = noise.gather(0, chosen[:, :, None].expand(-1, -1, self.latent_dim))
        kept_fit, kept_ratio = self._log_parts(x, code, kept)
        return importance_bound(fit - ratio).mean(), -(kept_fit - weight * kept_ratio).mean()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns minus the bound; logs its terms unweighted."""
        x = batch.image
        code = self._read(x)
        if batch_idx % MEASURE_EVERY == 0:
            self._measure(code)
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

    # ---------------------------------------------------------------- features and latents

    def use_feature_network(self, network: Any) -> None:
        """Takes the classifier that `feature_network` names; the engine brings it.

        Raises:
            UserError: if it was made for images of another shape, or has no feature maps.
        """
        if not hasattr(network, "feature_maps"):
            raise UserError(f"{self.feature_network} has no feature maps; try features_mnist.")
        if network.spec.shape != self.spec.shape:
            raise UserError(
                f"{self.feature_network} sees images of shape {network.spec.shape}, the data are "
                f"of shape {self.spec.shape}: choose another --model.feature_network."
            )
        self.borrowed = (network.requires_grad_(False).eval(),)

    def _feature_distance(self, x: Tensor, mean: Tensor) -> Tensor:
        """Computes the distance of feature maps, Hou et al.'s Eq. 3: half a mean square each."""
        if not self.borrowed:
            raise UserError(
                f"--model.feature_network {self.feature_network} was not brought: call "
                f"model.use_feature_network(zoo.load({self.feature_network!r})) first."
            )
        (network,) = self.borrowed
        network.to(x)
        with torch.no_grad():
            wanted = network.feature_maps(x)
        pairs = zip(network.feature_maps(mean), wanted, strict=True)
        return sum(
            (0.5 * F.mse_loss(a.to(x.dtype), b.to(x.dtype)) for a, b in pairs), x.new_zeros(())
        )

    @torch.no_grad()
    def _measure(self, code: Code) -> None:
        """Follows the moments of the codes over the last hundred measurements or so."""
        mean = self._centre(code)
        self.code_mean.lerp_(mean.mean(dim=0), 0.01)
        self.code_var.lerp_((mean - self.code_mean).square().mean(dim=0), 0.01)

    def _prior_moments(self) -> tuple[Tensor, Tensor]:
        """Returns means and standard deviations of the law that `sample` draws z from."""
        if self.posterior == "none":
            return self.code_mean, self.code_var.sqrt()
        return super()._prior_moments()
