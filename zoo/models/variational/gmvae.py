r"""GMVAE: a VAE whose prior is a mixture, so that it sorts images into clusters by itself.

.. math:: p(w) = N(0, I), \quad p(y) = 1/K, \quad
          p(z \mid w, y) = N(\mu_y(w), \sigma_y^2(w)), \quad p(x \mid z)

.. math:: \log p(x) \ge E_q\Big[\log p(x \mid z)
          - \sum_y p(y \mid z, w) KL(q(z \mid x) \| p(z \mid w, y))\Big]
          - KL(q(w \mid x) \| p(w)) - E_q[KL(p(y \mid z, w) \| p(y))]

The four terms are the paper's reconstruction, conditional prior, w-prior and y-prior. No network
guesses y: its posterior given z and w follows from Bayes' rule,

.. math:: p(y \mid z, w) \propto p(y)\, p(z \mid w, y).

Reference: Dilokthanakul, Mediano, Garnelo, Lee, Salimbeni, Arulkumaran, Shanahan 2016,
arXiv:1611.02648, Eqs. 2 to 5; the paper's x is our z, its z our y, its y our image x.

Of the y-prior, a batch's mean is free up to lambda (`free_nats`), the paper's remedy against
components that stay alike (its Section 3.3); 0.5 nats is the default of the authors' code,
github.com/Nat-D/GMVAE, where its older weights of this term (``cvWeight``, ``zPriorWeight``) are 1.
Above lambda that code also turns the sign of one gradient, of the conditional prior with respect
to p(y | z, w); here all gradients are those of the bound.

Deviations:
- Leaner networks than the paper's convolutions, with SiLU and without batch normalisation.

Beyond the paper, off by default and in the last part of this file, which makes it long; the recipes
gmvae_plus_* turn it on:
- With two `views`, a training image is seen through two random small affine maps (`jitter`) that
  share y but neither z nor w: p(x, x') = sum_y p(y) p(x | y) p(x' | y). A cluster then cannot
  stand for the slant or the position of a digit, which two views do not share.
- The average of p(y | z, w) over a batch is drawn to p(y), with the weight `balance`.
- With `free_nats` from log K on, the y-prior is free altogether, and only `balance` is left of it.
- The components' means begin `apart`, the w-prior comes in slowly (`warmup`), and Adam's rate
  falls along a cosine to zero (`cosine`).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from zoo.contract.answering import answers, between, generator_for, in_chunks, own_format
from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_choice
from zoo.functional.augmentation import random_affine
from zoo.functional.bounds import importance_bound
from zoo.functional.divergence import categorical_kl, gaussian_kl, standard_normal_kl
from zoo.functional.draws import integers, normal
from zoo.functional.likelihood import bernoulli_log_prob, gaussian_log_prob
from zoo.functional.paths import line, other_classes
from zoo.models.registry import MODELS
from zoo.nets.mlp import MLP
from zoo.nets.residual import ResidualDecoder, ResidualEncoder
from zoo.optim.schedules import follow_cosine, risen
from zoo.optim.steps import adam, record

__all__ = ["GMVAE"]

Network = Literal["mlp", "conv"]

AT_ONCE = 1000  # latents that pass the decoder at once in a bound


class Code(NamedTuple):
    """What the encoder says about images: two normal laws, each of shape (B, dimensions)."""

    z_mean: Tensor
    z_log_var: Tensor
    w_mean: Tensor
    w_log_var: Tensor


@MODELS.register
class GMVAE(Model):
    """Gaussian mixture VAE for images of any size of the zoo.

    Args:
        spec: Shape of the images; their likelihood is Bernoulli, grey values being expected bits.
        components: Number K of components of the mixture.
        latent_dim: Length of z (200 in the paper's MNIST model).
        style_dim: Length of w (150 in the paper's MNIST model).
        network: ``mlp``: fully connected; ``conv``: residual convolutions.
        hidden: Units of the encoder's hidden layers, and in reverse of the decoder's (``mlp``).
        width: Channels of the finest feature map (``conv``).
        prior_hidden: Units of the hidden layer between w and the components.
        free_nats: Nats of the y-prior, on average over a batch, that cost nothing; the paper's
            lambda.
        samples: Number M of samples of z and w for each image (1 and 10 in the paper).
        lr: Adam's rate.
        betas: Adam's decay rates.
        views: Beyond the paper, as all that follow: views of each training image that share y.
        jitter: Standard deviation of the entries of the affine maps of the views, 0 for none.
        balance: Weight of the distance between the average of p(y | z, w) and p(y).
        apart: Standard deviation of the components' means at the start; 0 for torch's own start.
        warmup: Share of the training over which the weight of the w-prior rises from 0 to 1.
        cosine: Whether the rate falls along a cosine to zero.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "a VAE that sorts images into clusters without being told any class."
    expects_bits = True

    def __init__(
        self,
        spec: ImageSpec,
        components: int = 10,
        latent_dim: int = 24,
        style_dim: int = 16,
        network: Network = "mlp",
        hidden: tuple[int, ...] = (500, 500),
        width: int = 32,
        prior_hidden: int = 200,
        free_nats: float = 0.5,
        samples: int = 1,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        # beyond the paper
        views: int = 1,
        jitter: float = 0.0,
        balance: float = 0.0,
        apart: float = 0.0,
        warmup: float = 0.0,
        cosine: bool = False,
    ) -> None:
        super().__init__()
        check_arguments(
            components=(components, "[2, inf)"),
            latent_dim=(latent_dim, "[1, inf)"),
            style_dim=(style_dim, "[1, inf)"),
            hidden=(hidden, "[1, inf)"),
            width=(width, "[1, inf)"),
            prior_hidden=(prior_hidden, "[1, inf)"),
            free_nats=(free_nats, "[0, inf)"),
            samples=(samples, "[1, inf)"),
            lr=(lr, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            views=(views, "[1, inf)"),
            jitter=(jitter, "[0, inf)"),
            balance=(balance, "[0, inf)"),
            apart=(apart, "[0, inf)"),
            warmup=(warmup, "[0, 1]"),
        )
        check_choice("--model.network", network, get_args(Network))
        self.save_hyperparameters(ignore=["spec"])
        self.spec, self.num_codes = spec, components
        self.latent_dim, self.style_dim = latent_dim, style_dim
        self.free_nats, self.samples, self.lr, self.betas = free_nats, samples, lr, betas
        self.prefers_bf16 = network == "conv"

        said = 2 * latent_dim + 2 * style_dim
        if network == "mlp":
            self.encoder: nn.Module = MLP(spec.size, hidden, said, nn.SiLU)
            self.decoder: nn.Module = MLP(latent_dim, hidden[::-1], spec.shape, nn.SiLU)
        else:
            self.encoder = ResidualEncoder(*spec.shape, width, said)
            self.decoder = ResidualDecoder(latent_dim, *spec.shape, width)
        self.components = MLP(style_dim, (prior_hidden,), (components, 2, latent_dim), nn.Tanh)

        self.views, self.jitter, self.balance = views, jitter, balance
        self.warmup, self.cosine = warmup, cosine
        if balance or free_nats:
            self.over_batches = "the balance of its components" if balance else "its free nats"
        if apart:
            last = next(m for m in reversed(self.components.layers) if isinstance(m, nn.Linear))
            with torch.no_grad():
                last.bias.zero_().view(components, 2, latent_dim)[:, 0].normal_(0, apart)

    # ---------------------------------------------------------------- what a user calls

    @answers
    def sample(self, n: int, *, seed: int | None = None, label: int | None = None) -> Tensor:
        """Draws n images in [0, 1], shape (n, C, H, W), the same for the same seed.

        Each is the mean of p(x | z), for a z of component ``label``, or of components drawn
        uniformly. They are numbered as training found them, not as digits.
        """
        if label is not None and not 0 <= label < self.num_codes:
            raise UserError(f"--label must lie in 0..{self.num_codes - 1}, got {label}.")
        w, noise, y = self._latents(n, seed)
        return self._generate(w, noise, y if label is None else torch.full_like(y, label))

    @answers
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents, shape (B, latent_dim), to the means of their images, (B, C, H, W)."""
        return in_chunks(lambda part: self.decoder(part).sigmoid(), z)

    @answers
    def encode(self, x: Tensor) -> Tensor:
        """Infers the means of q(z | x), (B, latent_dim), for images in [0, 1], (B, C, H, W)."""
        return in_chunks(lambda part: self._read(part).z_mean, x)

    @answers
    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the means of p(x | z) at z = encode(x), for images in [0, 1], (B, C, H, W)."""
        return self.decode(self.encode(x))

    @answers
    def probabilities_of_codes(self, x: Tensor) -> Tensor:
        """Infers p(y | z, w) at the means of z and w, for images in [0, 1], shape (B, C, H, W).

        Returns:
            Probabilities of the components, shape (B, K).
        """

        def infer(part: Tensor) -> Tensor:
            code = self._read(part)
            return self._log_components(code.z_mean, code.w_mean).softmax(dim=1)

        return in_chunks(infer, x)

    @answers
    def classify(self, x: Tensor) -> Tensor:
        """Infers the component of images in [0, 1], shape (B, C, H, W).

        Returns:
            Components in [0, num_codes), shape (B,), int64, numbered as training found them.
        """
        return self.probabilities_of_codes(x).argmax(dim=1)

    @answers
    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """Bounds log p(x) from below with importance samples of z and w; y is summed over.

        Args:
            x: Images in [0, 1], shape (B, C, H, W), binary for this to be a likelihood.
            samples: Number of samples; the bound rises with it, towards log p(x).

        Returns:
            Nats per example, shape (B,), counting measure on binary images.
        """
        code = self._read(x)
        at_once = max(1, AT_ONCE // max(1, len(x)))
        counts = [min(at_once, samples - done) for done in range(0, samples, at_once)]
        return importance_bound(torch.cat([self._log_weights(x, code, k) for k in counts]))

    def codes(self) -> tuple[str, ...]:
        """Names the code that `traverse` can vary."""
        return ("component",)

    @answers
    def traverse(self, code: str, *, rows: int = 8, steps: int = 10, seed: int = 0) -> Tensor:
        """Shows every component: along a row only y changes, not w nor the noise of z.

        Args:
            code: ``component``.
            rows: Number of rows, each with its own w and noise.
            steps: Ignored: there are as many images along a row as components.
            seed: Decides the rows.

        Returns:
            Images in [0, 1], shape (rows, K, C, H, W).

        Raises:
            UserError: if there is no such code, or rows or steps are not positive.
        """
        check_choice("code", code, self.codes())
        w, noise, _ = self._latents(rows, seed)
        w, noise = (part.repeat_interleave(self.num_codes, dim=0) for part in (w, noise))
        y = torch.arange(self.num_codes, device=w.device).repeat(rows)
        return self._generate(w, noise, y).unflatten(0, (rows, self.num_codes))

    def values_of(self, code: str, steps: int) -> list[float]:
        """Lists the components along a traversal."""
        return [float(component) for component in range(self.num_codes)]

    @answers
    def interpolate(
        self,
        a: Tensor | None = None,
        b: Tensor | None = None,
        *,
        rows: int = 8,
        steps: int = 10,
        seed: int = 0,
    ) -> Tensor:
        """Walks straight between samples of two components, or from images a of one's own to b.

        Images in [0, 1], shape (rows, steps, C, H, W).
        """
        if a is not None and b is not None:
            return between(self, a, b, line, steps)
        w, noise, y = self._latents(2 * rows, seed)
        if self.num_codes > 1:
            y = torch.cat([y[:rows], other_classes(y[:rows], y[rows:], self.num_codes)])
        z = self._drawn(w, noise, y)
        walk = line(z[:rows], z[rows:], steps)
        return self.decode(walk.flatten(0, 1)).unflatten(0, (rows, steps))

    # ---------------------------------------------------------------- the model

    def _read(self, x: Tensor) -> Code:
        """Encodes images."""
        said = self.encoder(x).to(x.dtype)  # autocast may have halved it
        sizes = [self.latent_dim, self.latent_dim, self.style_dim, self.style_dim]
        return Code(*said.split(sizes, dim=1))

    def _prior(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Returns means and log variances of p(z | w, y), each of shape (B, K, latent_dim)."""
        mean, log_var = self.components(w).to(w.dtype).unbind(dim=2)
        return mean, log_var

    def _log_components(self, z: Tensor, w: Tensor) -> Tensor:
        """Computes log p(z, y | w) in nats, shape (B, K)."""
        mean, log_var = self._prior(w)
        log_z = gaussian_log_prob(z[:, None], mean, log_var / 2).sum(dim=2)
        return log_z - math.log(self.num_codes)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Computes log p(x | z) in nats, shape (B,)."""
        logits = self.decoder(z).to(z.dtype)
        return bernoulli_log_prob(x, logits).flatten(1).sum(dim=1)

    def _log_weights(self, x: Tensor, code: Code, samples: int) -> Tensor:
        """Draws log p(x, z, w) - log q(z, w | x), shape (samples, B), in nats."""
        x, code = (
            x.repeat(samples, 1, 1, 1),
            Code(*(part.repeat(samples, 1) for part in code)),
        )
        z, w = self._draw(code)
        log_q = gaussian_log_prob(z, code.z_mean, code.z_log_var / 2).sum(dim=1)
        log_q = log_q + gaussian_log_prob(w, code.w_mean, code.w_log_var / 2).sum(dim=1)
        log_w = gaussian_log_prob(w, torch.zeros_like(w), torch.zeros_like(w)).sum(dim=1)
        log_z = self._log_components(z, w).logsumexp(dim=1)
        return (self._log_likelihood(x, z) + log_z + log_w - log_q).view(samples, -1)

    def _draw(self, code: Code) -> tuple[Tensor, Tensor]:
        """Draws z and w from their posteriors."""
        z = code.z_mean + (code.z_log_var / 2).exp() * torch.randn_like(code.z_mean)
        w = code.w_mean + (code.w_log_var / 2).exp() * torch.randn_like(code.w_mean)
        return z, w

    # ---------------------------------------------------------------- learning

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns minus the bound, lambda of the y-prior free; logs its terms unweighted."""
        if self.goes_beyond:
            return self._loss_beyond(batch.image)
        means = {name: term.mean() for name, term in self.terms(batch.image, self.samples).items()}
        record(self, {"nelbo_nats": torch.stack([*means.values()]).sum(), **means})
        costly = means["y_rate_nats"].clamp(min=self.free_nats)
        return means["distortion_nats"] + means["z_rate_nats"] + means["w_rate_nats"] + costly

    def terms(self, x: Tensor, samples: int = 1) -> dict[str, Tensor]:
        """Computes the four terms of the bound.

        Args:
            x: Images in [0, 1], shape (B, C, H, W).
            samples: Number of samples of z and w; the terms are averaged over them.

        Returns:
            Nats per example, of shape (B,): ``distortion_nats``, ``z_rate_nats``,
            ``w_rate_nats`` and ``y_rate_nats``, the last before any of it is free.
        """
        distortion, log_z, rates, w_rate = self._parts(x, samples)
        posterior = log_z.softmax(dim=2)  # p(y | z, w), the prior of y being uniform
        return {
            "distortion_nats": distortion.mean(dim=0),
            "z_rate_nats": (posterior * rates).sum(dim=2).mean(dim=0),
            "w_rate_nats": w_rate,
            "y_rate_nats": categorical_kl(log_z).mean(dim=0),
        }

    def _parts(self, x: Tensor, samples: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Computes what the terms are made of, with S samples of z and w.

        Returns:
            Nats: -log p(x | z), (S, B); log p(z | w, y), (S, B, K); the distances of q(z | x)
            from p(z | w, y), (S, B, K), and of q(w | x) from p(w), (B,).
        """
        code = self._read(x)
        many = Code(*(part.repeat(samples, 1) for part in code))
        z, w = self._draw(many)
        mean, log_var = self._prior(w)
        log_z = gaussian_log_prob(z[:, None], mean, log_var / 2).sum(dim=2)
        rates = gaussian_kl(many.z_mean[:, None], many.z_log_var[:, None], mean, log_var).sum(dim=2)
        distortion = -self._log_likelihood(x.repeat(samples, 1, 1, 1), z)
        w_rate = standard_normal_kl(code.w_mean, code.w_log_var).sum(dim=1)
        shape = (samples, len(x))
        return distortion.view(shape), log_z.unflatten(0, shape), rates.unflatten(0, shape), w_rate

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return adam(self, self.lr, self.betas)

    # ---------------------------------------------------------------- latents

    def _latents(self, n: int, seed: int | None) -> tuple[Tensor, Tensor, Tensor]:
        """Draws w (n, style_dim), noise of z (n, latent_dim) and components (n,)."""
        generator = generator_for(seed)
        w = normal(n, self.style_dim, generator=generator)
        noise = normal(n, self.latent_dim, generator=generator)
        return w, noise, integers(self.num_codes, n, generator=generator)

    def _generate(self, w: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        """Makes images of w, noise and components."""
        return self.decode(self._drawn(w, noise, y))

    def _drawn(self, w: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        """Returns z, (B, latent_dim), of w, noise and components."""
        like = own_format(self)
        w, noise, y = w.to(like), noise.to(like), y.to(like.device)
        mean, log_var = self._prior(w)
        row = torch.arange(len(y), device=y.device)
        return mean[row, y] + (log_var[row, y] / 2).exp() * noise

    # ---------------------------------------------------------------- beyond the paper

    @property
    def goes_beyond(self) -> bool:
        """Whether an argument asks for another loss than the paper's."""
        return bool(self.views > 1 or self.jitter or self.balance or self.warmup)

    def view_terms(self, x: Tensor, views: int, samples: int = 1) -> dict[str, Tensor]:
        """Computes the terms where images share their component.

        Args:
            x: Images in [0, 1]; views of one image follow one another, shape (B * views, C, H, W).
            views: Number of views that share y.
            samples: Number of samples of z and w; the terms are averaged over them.

        Returns:
            The names of `terms`, in nats per view, of shape (B,); besides, a scalar
            ``imbalance_nats``, the distance of the average p(y | z, w) from p(y).
        """
        distortion, log_z, rates, w_rate = self._parts(x, samples)
        logits = log_z.unflatten(1, (-1, views)).sum(dim=2)  # (S, B, K)
        posterior = logits.softmax(dim=2)
        rates = rates.unflatten(1, (-1, views)).mean(dim=2)
        return {
            "distortion_nats": distortion.unflatten(1, (-1, views)).mean(dim=(0, 2)),
            "z_rate_nats": (posterior * rates).sum(dim=2).mean(dim=0),
            "w_rate_nats": w_rate.unflatten(0, (-1, views)).mean(dim=1),
            "y_rate_nats": categorical_kl(logits).mean(dim=0) / views,
            "imbalance_nats": categorical_kl(posterior.mean(dim=(0, 1)).log()),
        }

    def _loss_beyond(self, x: Tensor) -> Tensor:
        """Returns minus the bound for views of images, weighted as the arguments say."""
        x = random_affine(x.repeat_interleave(self.views, dim=0), self.jitter)
        terms = self.view_terms(x, self.views, self.samples)
        means = {name: term.mean() for name, term in terms.items()}
        bound = [term for name, term in means.items() if name != "imbalance_nats"]
        record(self, {"nelbo_nats": torch.stack(bound).sum(), **means})
        costly = means["y_rate_nats"].clamp(min=self.free_nats / self.views)
        weight = risen(self, self.warmup)
        loss = means["distortion_nats"] + means["z_rate_nats"] + weight * means["w_rate_nats"]
        return loss + costly + self.balance * means["imbalance_nats"]

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Lets the rate fall along a cosine to zero, if asked to."""
        if self.cosine:
            follow_cosine(self, self.lr)
