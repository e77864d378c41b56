r"""StackGAN: text to image in two stages, a sketch at half of the size and its refinement.

.. math:: \hat c = \mu(t) + \sigma(t) \odot \epsilon, \quad \epsilon \sim N(0, I)

.. math:: L_D = E[-\log D(x, t)]
          + \tfrac12 \big(E[-\log(1 - D(x, \hat t))] + E[-\log(1 - D(G, t))]\big)

.. math:: L_G = E[-\log D(G, t)] + \lambda\, KL\big(N(\mu(t), \sigma(t)^2) \,\|\, N(0, I)\big)

with t the embedding of an image's caption and t^ that of another image's. Stage I is
G_1(z, c^_1) at half of the height and width; Stage II, G_2(G_1, c^_2), reads that sketch and the
caption once more. Training has three phases, one after the other in one run: the joint embedding
of texts and images, Stage I, and Stage II with Stage I fixed. What a batch trains depends on the
share of the run that has passed alone, so a run can be stopped and continued in any of them. The
three phases make the file long; apart they could not be read as one method.

Reference: Zhang, Xu, Li, Zhang, Wang, Huang, Metaxas 2017, arXiv:1612.03242; the matching-aware
discriminator is Reed et al. 2016, arXiv:1605.05396.

Deviations:
- The text encoder is small and learns in the first phase here, by a contrastive loss against an
  image encoder, instead of being the char-CNN-RNN of Reed et al., trained for weeks elsewhere. A
  trained one can be plugged in: see `text_weights`.
- The augmentation's divergence weighs as in the authors' code, see `kl_weight`.
- Transposed convolutions instead of enlargement and convolution, two residual blocks instead of
  four, and a narrower discriminator without batch normalisation where text meets image.
- Rates fall linearly to zero in the second half of each phase (halved every 100 epochs there).
- `sample` uses exponential moving averages of the generators.

Beyond the paper, each off by default and marked where it acts:
- `matching_weight`: the image encoder of the first phase is the trunk of Stage I's discriminator,
  and all players minimise the contrastive loss, too, discriminators on real images, generators on
  theirs, as in XMC-GAN (Zhang et al. 2021, arXiv:2101.04702). Captions are obeyed much sooner, and
  the noise is not heard any more: images of a caption are all but the same. Against an encoder that
  is fixed, generators find textures that mean a shape to it alone.
- `near_mismatches`: a mismatched caption is drawn the more often, the nearer it is to the right
  one, instead of evenly; some of them are true, in other words.
- `corrects`: Stage II corrects the enlarged sketch instead of drawing it anew, and its augmentation
  begins as that of Stage I; begun at random, it forgets the caption, which the sketch mostly tells.

A data set without captions is taken at its labels: the caption of a seven is "class 7".
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import safetensors.torch as safetensors
import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from safetensors import SafetensorError
from torch import Tensor, nn

from zoo.contract.answering import CHUNK, answering, answers, generator_for, own_format
from zoo.contract.model import Model
from zoo.contract.spec import Batch, ImageSpec
from zoo.core.errors import UserError, check_arguments, check_interval
from zoo.core.files import open_regular
from zoo.data.captions import tokens_of
from zoo.functional.adversarial import generator_loss
from zoo.functional.divergence import standard_normal_kl
from zoo.functional.draws import integers, normal
from zoo.functional.matching import (
    alike,
    contrastive_loss,
    matching_aware_loss,
    matching_aware_terms,
)
from zoo.models.registry import MODELS
from zoo.nets.conv import halvings
from zoo.nets.stack import (
    Augmentation,
    JointDiscriminator,
    Stage,
    StageOne,
    StageTwo,
    TextEncoder,
    Trunk,
    embedding,
)
from zoo.optim.ema import ema_of, update_ema
from zoo.optim.schedules import fade, progress
from zoo.optim.steps import adam, frozen, minimise, record

__all__ = ["StackGAN"]

KNOWN_CAPTIONS = 256  # captions of the data that the model remembers, to sample without being told
TEMPERATURE = 0.05  # of the joint embedding; at 0.1 it tells fewer shapes
NEAR = 0.1  # temperature of mismatched captions that are near the right ones
RECENT = 2048  # captions of past batches that an image is told from, beside those of its own batch


@MODELS.register
class StackGAN(Model):
    """StackGAN for images of any size of the zoo, with captions, or with labels in their place.

    Args:
        spec: Shape of the images, and the vocabulary of the captions.
        noise_dim: Length of the noise z (100 in the paper).
        text_features: Length of a caption's embedding (1024 in the paper).
        condition: Length of the condition drawn from it (128 in the paper).
        caption_length: Words that the text encoder reads at most.
        width: Channels of the finest feature maps of Stage I and of the discriminators.
        width2: Channels of Stage II's finest feature map.
        kl_weight: Weight lambda of the augmentation's divergence, summed over dimensions. The
            authors' code has 2 for the mean over 128 dimensions, 0.016 for the sum; at 1 the
            condition forgets the caption.
        matching_weight: Beyond the paper: weight of the contrastive loss of all players.
        near_mismatches: Beyond the paper: whether mismatched captions are near the right ones.
        corrects: Beyond the paper: whether Stage II corrects the sketch instead of drawing anew.
        text_share: Share of the training in which texts and images are embedded.
        stage1_share: Share of the training that Stage I gets; Stage II has the rest.
        text_weights: Safetensors file with the weights of a trained text encoder of this shape,
            which then stays as it is.
        lr_text: Adam's rate for the joint embedding.
        lr_discriminator: Adam's rate for the discriminators (2e-4 in the paper).
        lr_generator: Adam's rate for the generators (2e-4 in the paper).
        betas: Adam's decay rates.
        ema_decay: Decay of the generators' moving averages.

    Raises:
        UserError: on values that make no sense, or an image size that does not fit.
    """

    summary = "draws what a caption says, first a sketch and then its refinement."
    needs = (("image",), ("caption", "label"))
    over_batches = "the mismatched captions"
    prefers_bf16 = True
    not_published = ("generator1.", "generator2.", "discriminator1.", "discriminator2.",
                     "image_encoder.", "recent_")  # fmt: skip

    def __init__(
        self,
        spec: ImageSpec,
        noise_dim: int = 100,
        text_features: int = 1024,
        condition: int = 128,
        caption_length: int = 24,
        width: int = 32,
        width2: int = 32,
        kl_weight: float = 0.016,
        matching_weight: float = 0.0,
        near_mismatches: bool = False,
        corrects: bool = False,
        text_share: float = 0.1,
        stage1_share: float = 0.35,
        text_weights: str | None = None,
        lr_text: float = 1e-3,
        lr_discriminator: float = 2e-4,
        lr_generator: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        ema_decay: float = 0.999,
    ) -> None:
        super().__init__()
        check_arguments(
            noise_dim=(noise_dim, "[1, inf)"),
            text_features=(text_features, "[2, inf)"),
            condition=(condition, "[1, inf)"),
            caption_length=(caption_length, "[2, inf)"),
            width=(width, "[1, inf)"),
            width2=(width2, "[1, inf)"),
            kl_weight=(kl_weight, "[0, inf)"),
            matching_weight=(matching_weight, "[0, inf)"),
            text_share=(text_share, "(0, 1)"),
            stage1_share=(stage1_share, "(0, 1)"),
            lr_text=(lr_text, "[0, inf)"),
            lr_discriminator=(lr_discriminator, "[0, inf)"),
            lr_generator=(lr_generator, "[0, inf)"),
            betas=(betas, "[0, 1)"),
            ema_decay=(ema_decay, "[0, 1)"),
        )
        check_interval("--model.text_share + stage1_share", text_share + stage1_share, "(0, 1)")
        if spec.height % 4 or spec.width % 4:
            raise UserError(
                f"StackGAN halves images twice: {spec.height}x{spec.width} does not go, since both "
                "sides must be multiples of 4."
            )
        self.save_hyperparameters(ignore=["spec"])
        self.automatic_optimization = False
        self.spec, self.noise_dim, self.condition = spec, noise_dim, condition
        self.kl_weight, self.matching_weight = kl_weight, matching_weight
        self.nearness, self.corrects = NEAR if near_mismatches else math.inf, corrects
        self.phases = (text_share, text_share + stage1_share)
        self.reached = 0  # how many of these phases have ended
        self.text_weights, self.betas = text_weights, betas
        self.lr_text, self.lr_discriminator = lr_text, lr_discriminator
        self.lr_generator = lr_generator
        if spec.words:
            self.needs = (("image",), ("caption",))
        self.words = spec.words or ("class", *map(str, range(max(spec.classes, 1))))

        channels, height, width_px = spec.shape
        times = halvings(height, width_px)
        small = (channels, height // 2, width_px // 2)
        self.text_encoder = TextEncoder(len(self.words), text_features)
        latent = noise_dim + condition
        stage1 = StageOne(latent, channels, height, width_px, width)
        self.generator1 = Stage(Augmentation(text_features, condition), stage1)
        stage2 = StageTwo(channels, condition, width2, corrects=corrects)
        self.generator2 = Stage(Augmentation(text_features, condition), stage2)
        matches = matching_weight > 0
        trunk1 = Trunk(*small, base=width, times=times - 1)
        self.discriminator1 = JointDiscriminator(trunk1, text_features, condition, matches)
        trunk2 = Trunk(*spec.shape, base=width, times=times)
        self.discriminator2 = JointDiscriminator(trunk2, text_features, condition, matches)
        self.image_encoder: nn.Module = nn.Identity()
        if not matches:
            seen = Trunk(*small, base=width, times=times - 1)
            self.image_encoder = nn.Sequential(seen, embedding(seen.shape, text_features))
        self.generator1_ema = ema_of(self.generator1, ema_decay)
        self.generator2_ema = ema_of(self.generator2, ema_decay)
        known = torch.zeros(KNOWN_CAPTIONS, caption_length, dtype=torch.int64)
        if not spec.words:
            known[:, 0] = 1
            known[:, 1] = torch.arange(KNOWN_CAPTIONS) % max(spec.classes, 1) + 2
        self.known_captions: Tensor
        self.register_buffer("known_captions", known)
        self.recent_captions: Tensor
        self.recent_texts: Tensor
        recent = RECENT if matches else 0
        self.register_buffer("recent_captions", known.new_zeros(recent, caption_length))
        self.register_buffer("recent_texts", torch.zeros(recent, text_features))

    # ---------------------------------------------------------------- what a user calls

    @answers
    def sample(self, n: int, *, seed: int | None = None, caption: str | None = None) -> Tensor:
        """Draws images.

        Args:
            n: Number of images.
            seed: Makes the draw repeatable; None draws anew.
            caption: What all images are to show, in the words of the data's captions; None takes
                captions that training has seen.

        Returns:
            Images in [0, 1], shape (n, C, H, W).

        Raises:
            UserError: if n is negative, or the caption has words that the model does not know.
        """
        if caption is None:
            chosen = integers(KNOWN_CAPTIONS, n, generator=generator_for(seed))
            tokens = self.known_captions.cpu()[chosen]
        else:
            length = self.known_captions.shape[1]
            tokens = tokens_of(caption, self.words, length).expand(n, -1)
        return self.illustrate(tokens, seed=seed)

    @answers
    def illustrate(self, captions: Tensor, *, seed: int | None = None, stage: int = 2) -> Tensor:
        """Draws one image for each caption.

        Args:
            captions: Tokens of the model's words, shape (B, T), 0 for padding.
            seed: Makes the draw repeatable; None draws anew.
            stage: 2, or 1 for the sketches, enlarged.

        Returns:
            Images in [0, 1], shape (B, C, H, W); with the same seed, both stages share the sketch.

        Raises:
            UserError: if there is no such stage.
        """
        if stage not in (1, 2):
            raise UserError(f"there are the stages 1 and 2, got {stage}.")
        generator, n = generator_for(seed), len(captions)
        sizes = self.noise_dim, self.condition, self.condition
        given = [normal(n, size, generator=generator).to(own_format(self)) for size in sizes]
        parts = [own_format(self).new_zeros(0, *self.spec.shape)]
        for rows, z, noise1, noise2 in zip(
            captions.split(CHUNK), *(part.split(CHUNK) for part in given), strict=True
        ):
            text = self.text_encoder(rows)
            sketch = self.generator1_ema(z, text, noise1)[0]
            if stage == 2:
                parts.append(self.generator2_ema(sketch, text, noise2)[0])
            else:
                parts.append(F.interpolate(sketch, scale_factor=2.0, mode="bilinear"))
        return torch.cat(parts)

    # ---------------------------------------------------------------- the players' losses

    def discriminator_terms(
        self,
        discriminator: nn.Module,
        x: Tensor,
        fake: Tensor,
        text: Tensor,
        tokens: Tensor,
        wrong: Tensor,
        differs: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Computes the discriminator's terms in nats for images, right and mismatched captions.

        `differs` says of which images the mismatched caption is not the right one after all.
        """
        embedded, real, mismatched = discriminator(x, text, wrong)
        _, generated = discriminator(fake, text)
        names = ("real_nats", "mismatched_nats", "generated_nats")
        terms = matching_aware_terms(real, mismatched, generated, differs)
        found: dict[str, Tensor] = dict(zip(names, terms, strict=True))
        if self.matching_weight:  # beyond the paper
            found["real_matching_nats"] = self.matching(embedded, text, tokens)
        return found

    def generator_terms(
        self, discriminator: nn.Module, fake: Tensor, text: Tensor, kl: Tensor, tokens: Tensor
    ) -> dict[str, Tensor]:
        """Computes the generator's terms."""
        embedded, logits = discriminator(fake, text)
        terms = {"generator_loss": generator_loss(logits), "augmentation_nats": kl.mean()}
        if self.matching_weight:  # beyond the paper
            terms["matching_nats"] = self.matching(embedded, text, tokens)
        return terms

    def matching(self, images: Tensor, text: Tensor, tokens: Tensor) -> Tensor:
        """Computes how badly embedded images find their captions, among recent ones as well.

        In a batch most captions differ by colour or layout; only among many is there one that
        differs by nothing but, say, a shape, and has to be told apart by it. Some of them say the
        same in other words, so the least possible loss lies above 0.
        """
        texts = torch.cat([text, self.recent_texts])
        captions = torch.cat([tokens, self.recent_captions])
        same = _same(tokens, captions) | (captions[:, 0] == 0)
        return contrastive_loss(images, texts, same, TEMPERATURE)

    # ---------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Trains what the present phase trains: the embedding, Stage I or Stage II."""
        before, done = self.reached, self._done()
        if self.corrects and before < self.reached == len(self.phases):  # beyond the paper
            known = cast(Stage, self.generator1_ema.module).augment
            self.generator2.augment.load_state_dict(known.state_dict())
        text_end, stage1_end = self.phases
        text, d1, g1, d2, g2 = self.optimizers()  # type: ignore[misc]
        tokens = self.tokens(batch)
        if done < text_end:
            fade(text, self.lr_text, done / text_end, 0.5)
            self._text_step(text, batch, tokens, batch_idx)
            return
        with torch.no_grad():
            embedded = self.text_encoder(tokens)
        noise = torch.randn(len(tokens), self.condition, dtype=embedded.dtype, device=self.device)
        z = torch.randn(len(tokens), self.noise_dim, dtype=embedded.dtype, device=self.device)
        if done < stage1_end:
            passed = (done - text_end) / (stage1_end - text_end)
            x, players = F.avg_pool2d(batch.image, 2), (self.discriminator1, self.generator1)
            given, optimizers, average = z, (d1, g1), self.generator1_ema
        else:
            passed = (done - stage1_end) / (1 - stage1_end)
            with answering(self.generator1_ema):
                given = self.generator1_ema(z, embedded, torch.randn_like(noise))[0]
            x, players = batch.image, (self.discriminator2, self.generator2)
            optimizers, average = (d2, g2), self.generator2_ema
        fade(optimizers[0], self.lr_discriminator, passed, 0.5)
        fade(optimizers[1], self.lr_generator, passed, 0.5)
        self._adversarial_step(players, optimizers, x, given, embedded, noise, tokens)
        update_ema(average, players[1])
        if self.matching_weight:  # beyond the paper
            self._remember(tokens, embedded, batch_idx)

    def _text_step(
        self, optimizer: LightningOptimizer, batch: Batch, tokens: Tensor, number: int
    ) -> None:
        places = _places(tokens, KNOWN_CAPTIONS, number)
        self.known_captions[places] = tokens[:KNOWN_CAPTIONS]
        small = F.avg_pool2d(batch.image, 2)
        if self.matching_weight:  # beyond the paper
            (images,) = self.discriminator1(small)
        else:
            images = self.image_encoder(small).to(small.dtype)
        # Without the memory: texts that were embedded before would be told by their age.
        text = self.text_encoder(tokens)
        loss = contrastive_loss(images, text, _same(tokens, tokens), TEMPERATURE)
        record(self, {"matching_nats": loss})
        minimise(self, optimizer, loss)

    def _remember(self, tokens: Tensor, text: Tensor, number: int) -> None:
        """Writes a batch's captions over older ones; all processes go on with the first one's."""
        places = _places(tokens, RECENT, number)
        self.recent_captions[places] = tokens[:RECENT]
        self.recent_texts[places] = text.detach()[:RECENT]

    def _adversarial_step(
        self,
        players: tuple[nn.Module, nn.Module],
        optimizers: tuple[LightningOptimizer, LightningOptimizer],
        x: Tensor,
        given: Tensor,
        text: Tensor,
        noise: Tensor,
        tokens: Tensor,
    ) -> None:
        discriminator, generator = players
        fake, mean, log_var = generator(given, text, noise)
        kl = standard_normal_kl(mean, log_var).sum(dim=1)
        chosen = alike(text, _same(tokens, tokens), self.nearness)
        wrong, differs = text[chosen], (tokens != tokens[chosen]).any(dim=1)
        terms = self.discriminator_terms(
            discriminator, x, fake.detach(), text, tokens, wrong, differs
        )
        record(self, terms)
        loss = matching_aware_loss(
            terms["real_nats"], terms["mismatched_nats"], terms["generated_nats"]
        )
        loss = loss + self.matching_weight * terms.get("real_matching_nats", 0.0)
        minimise(self, optimizers[0], loss, counted=False)

        with frozen(discriminator):
            terms = self.generator_terms(discriminator, fake, text, kl, tokens)
            record(self, terms)
            loss = terms["generator_loss"] + self.kl_weight * terms["augmentation_nats"]
            loss = loss + self.matching_weight * terms.get("matching_nats", 0.0)
            minimise(self, optimizers[1], loss)

    def _done(self) -> float:
        """Returns the share of the training that has passed, never again in an earlier phase.

        A run that is continued with more epochs than it was begun with would go back otherwise,
        and train the text encoder anew below finished generators.
        """
        done = progress(self)
        self.reached = max(self.reached, sum(done >= end for end in self.phases))
        return max((0.0, *self.phases)[self.reached], done)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes the phase."""
        checkpoint["phase"] = self.reached

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remembers the phase."""
        self.reached = checkpoint.get("phase", 0)

    def tokens(self, batch: Batch) -> Tensor:
        """Returns a batch's captions, or its labels as captions of two words, shape (B, T)."""
        length = self.known_captions.shape[1]
        if batch.caption is not None and self.spec.words:
            longest = batch.caption.shape[1]
            if longest > length:
                raise UserError(
                    f"captions of this data set have up to {longest} words: raise "
                    f"--model.caption_length, which is {length}."
                )
            return F.pad(batch.caption, (0, length - longest))
        return F.pad(
            torch.stack([torch.ones_like(batch.label), batch.label + 2], 1), (0, length - 2)
        )

    def on_fit_start(self) -> None:
        """Reads the weights of a trained text encoder, if one is plugged in."""
        super().on_fit_start()
        if self.text_weights is None:
            return
        path = Path(self.text_weights).expanduser()
        try:
            with open_regular(path) as file:
                self.text_encoder.load_state_dict(safetensors.load(file.read()))
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"--model.text_weights {path} cannot be read: {reason}.") from None
        except (SafetensorError, RuntimeError, ValueError, KeyError):
            raise UserError(
                f"--model.text_weights {path} holds no weights of a text encoder with "
                f"{len(self.words)} words and this model's text_features."
            ) from None

    def on_train_start(self) -> None:
        """Asks for a training that has an end."""
        if self.trainer.max_epochs == -1 and self.trainer.max_steps == -1:
            raise UserError(
                "StackGAN shares out its training among three phases: say how long it is, by "
                "--trainer.max_epochs or --trainer.max_steps."
            )

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        """Returns Adam for the joint embedding, and both stages' players."""
        plugged = self.text_weights is not None
        shared = [self.discriminator1.trunk, self.discriminator1.embed]
        joint = nn.ModuleList(shared if self.matching_weight else [self.image_encoder])
        if not plugged:
            joint.append(self.text_encoder)
        return tuple(
            adam(network, lr, self.betas)
            for network, lr in (
                (joint, self.lr_text),
                (self.discriminator1, self.lr_discriminator),
                (self.generator1, self.lr_generator),
                (self.discriminator2, self.lr_discriminator),
                (self.generator2, self.lr_generator),
            )
        )


def _same(tokens: Tensor, others: Tensor) -> Tensor:
    """Says which captions are word for word which others, shape (B, N)."""
    return (tokens[:, None] == others[None]).all(dim=2)


def _places(batch: Tensor, size: int, number: int) -> Tensor:
    """Returns where the batch of this number goes in a memory that is written round and round."""
    return (torch.arange(len(batch), device=batch.device) + number * len(batch))[:size] % size
