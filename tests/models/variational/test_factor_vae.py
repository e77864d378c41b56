"""FactorVAE: gamma weighs the total correlation, and neither player moves the other."""

import warnings

import lightning as L
import pytest
import torch
from torch import nn

from zoo.core.errors import UserError
from zoo.data import Digits, ImageSpec
from zoo.models import FactorVAE

SPEC = ImageSpec(1, 8, 8, 10)


def make(**options):
    torch.manual_seed(0)
    return FactorVAE(SPEC, latent_dim=3, width=4, discriminator=(16, 16), **options)


def test_gamma_weighs_the_total_correlation_only():
    x, losses = torch.rand(16, 1, 8, 8), {}
    for gamma in (0.0, 5.0):
        model = make(gamma=gamma)
        torch.manual_seed(1)
        terms, _, z = model.terms(x)
        losses[gamma] = model.objective(terms)
    logits = model.discriminator(z)[:, 0]
    torch.testing.assert_close(losses[5.0] - losses[0.0], 5 * logits.mean())
    torch.testing.assert_close(
        losses[0.0], terms["distortion_nats"] + terms["rate_nats"], rtol=1e-6, atol=0
    )


def test_the_distortion_can_weigh_more_and_nothing_else_does():
    x, losses = torch.rand(16, 1, 8, 8), {}
    for weight in (1.0, 4.0):
        model = make(distortion_weight=weight)
        torch.manual_seed(1)
        terms, _, _ = model.terms(x)
        losses[weight] = model.objective(terms)
    torch.testing.assert_close(losses[4.0] - losses[1.0], 3 * terms["distortion_nats"])
    rising = [model.objective(terms, risen) for risen in (0.0, 0.5)]
    torch.testing.assert_close(rising[0], losses[1.0])
    torch.testing.assert_close(rising[1] - rising[0], 1.5 * terms["distortion_nats"])


def test_terms_are_those_of_its_laws():
    model, x = make(), (torch.rand(16, 1, 8, 8) > 0.5).float()
    terms, rates, z = model.terms(x)
    mean, log_var = model._read(x)
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    exact = torch.distributions.kl_divergence(q, p).mean(0)
    torch.testing.assert_close(rates, exact, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["rate_nats"], rates.sum())
    law = torch.distributions.Bernoulli(logits=model.decoder(z))
    known = -law.log_prob(x).flatten(1).sum(1).mean()
    torch.testing.assert_close(terms["distortion_nats"], known)


def test_the_discriminator_learns_that_codes_are_true():
    """log 2 where D says nothing; low where codes get high logits and permuted ones low."""
    model = make()
    z, permuted = torch.ones(4, 3), -torch.ones(4, 3)
    model.discriminator = nn.Sequential(nn.Linear(3, 1))
    nn.init.zeros_(model.discriminator[0].weight), nn.init.zeros_(model.discriminator[0].bias)
    loss = model.discriminator_terms(z, permuted)["discriminator_loss"]
    torch.testing.assert_close(loss, torch.tensor(2.0).log())
    nn.init.constant_(model.discriminator[0].weight, 5.0)
    assert model.discriminator_terms(z, permuted)["discriminator_loss"] < 1e-5
    assert model.discriminator_terms(permuted, z)["discriminator_loss"] > 10


class Moves(L.Callback):
    """Notes which players' weights have gradients at each step."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        networks = ("encoder", "decoder", "discriminator")
        self.seen.append(
            tuple(
                any(p.grad is not None for p in getattr(pl_module, name).parameters())
                for name in networks
            )
        )


def fit(model, data, tmp_path, callbacks=()):
    trainer = L.Trainer(
        max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=tmp_path,
        callbacks=list(callbacks), use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data)


def test_each_player_learns_in_its_own_step_and_the_vae_from_half_the_batch(tmp_path):
    model, moves, asked = make(), Moves(), []
    inner, judged = model.terms, model.discriminator_terms
    model.terms = lambda x: asked.append(len(x)) or inner(x)

    def judge(z, permuted):
        asked.append((len(z), len(permuted)))
        assert not z.requires_grad and not permuted.requires_grad
        for p in (*model.encoder.parameters(), *model.decoder.parameters()):
            p.grad = None
        return judged(z, permuted)

    model.discriminator_terms = judge
    fit(model, Digits(batch_size=64), tmp_path, [moves])
    assert asked == [32, (32, 32)]
    assert moves.seen == [(True, True, False), (False, False, True)]


def test_a_batch_without_two_codes_to_permute_is_refused(tmp_path):
    with pytest.raises(UserError, match="batch_size"):
        fit(make(), Digits(batch_size=3), tmp_path)


@pytest.mark.parametrize(
    "options", [{"gamma": -1.0}, {"lr_discriminator": -1.0}, {"network": "cnv"}]
)
def test_senseless_values_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        make(**options)
