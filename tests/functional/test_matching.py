"""Losses of matching-aware discriminators and joint embeddings, against closed forms."""

import math

import pytest
import torch

from zoo.functional.matching import (
    alike,
    contrastive_loss,
    matching_aware_loss,
    matching_aware_terms,
)


def logits(seed):
    return torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_terms_are_the_three_log_likelihoods():
    real, wrong, fake = logits(0), logits(1), logits(2)
    terms = matching_aware_terms(real, wrong, fake)
    wanted = (
        -real.sigmoid().log().mean(),
        -(1 - wrong.sigmoid()).log().mean(),
        -(1 - fake.sigmoid()).log().mean(),
    )
    for term, value in zip(terms, wanted, strict=True):
        torch.testing.assert_close(term, value)
    loss = matching_aware_loss(*terms)
    torch.testing.assert_close(loss, wanted[0] + (wanted[1] + wanted[2]) / 2)


def test_the_best_discriminator_of_two_laws_reaches_the_divergence():
    """Mismatched and generated pairs of one law: a GAN's optimum, 2 log 2 - 2 JSD."""
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    mix = (p + q) / 2
    jsd = ((p * (p / mix).log()).sum() + (q * (q / mix).log()).sum()) / 2
    best = (p / q).log()

    def loss(d):  # the expectation, by repeating logits in proportion to their masses
        rows = [d.repeat_interleave((law * 10).round().long()) for law in (p, q, q)]
        return matching_aware_loss(*matching_aware_terms(*rows))

    assert abs(float(loss(best)) - float(2 * math.log(2) - 2 * jsd)) < 1e-12
    for shift in (-0.1, 0.1):
        assert loss(best + shift) > loss(best)


def test_permuting_mismatched_captions_moves_only_their_term():
    real, fake = logits(0), logits(2)
    first = matching_aware_terms(real, logits(1), fake)
    other = matching_aware_terms(real, logits(3), fake)
    assert first[0] == other[0] and first[2] == other[2] and first[1] != other[1]


def test_captions_that_are_right_after_all_are_left_out():
    real, wrong, fake = logits(0), logits(1), logits(2)
    differs = torch.arange(50) % 3 > 0
    terms = matching_aware_terms(real, wrong, fake, differs)
    assert terms == matching_aware_terms(real, wrong[differs], fake)
    assert matching_aware_terms(real, wrong, fake, torch.zeros(50, dtype=bool))[1] == 0


@pytest.mark.parametrize("count", [10, 14])
def test_contrastive_loss_against_its_definition(count):
    v, t = logits(0).view(10, 5), torch.cat([logits(1), logits(2)]).view(20, 5)[:count]
    total = 0.0
    for i in range(10):
        cosine = [float(torch.cosine_similarity(v[i], t[j], dim=0)) / 0.2 for j in range(count)]
        across = [float(torch.cosine_similarity(v[j], t[i], dim=0)) / 0.2 for j in range(10)]
        for row in (cosine, across):
            total -= row[i] - math.log(sum(map(math.exp, row)))
    assert abs(float(contrastive_loss(v, t, temperature=0.2)) - total / 20) < 1e-12


def test_further_texts_that_are_equal_do_not_count():
    v, t = logits(0).view(10, 5)[:1], logits(1).view(10, 5)[:1]
    assert contrastive_loss(v, t.expand(3, 5), torch.ones(1, 3, dtype=torch.bool)) == 0


def test_a_text_that_is_alike_is_drawn_by_its_softmax():
    t = logits(3).view(10, 5)[:4]
    t[3] = t[0]
    same = (t[:, None] == t[None]).all(2)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([alike(t, same, 0.5, generator) for _ in range(20_000)])
    for i in range(4):
        cosine = torch.cosine_similarity(t[i], t, dim=1) / 0.5
        law = torch.where(same[i], torch.zeros(4).double(), cosine.exp())
        found = torch.bincount(drawn[:, i], minlength=4) / len(drawn)
        assert float((found - law / law.sum()).abs().max()) < 0.015
        assert found[i] == 0


def test_without_a_temperature_every_other_text_is_as_likely():
    t = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.3], [1.0, 0.0]])
    same = (t[:, None] == t[None]).all(2)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([alike(t, same, math.inf, generator) for _ in range(10_000)])
    shares = torch.bincount(drawn[:, 0], minlength=4) / 10_000
    torch.testing.assert_close(shares, torch.tensor([0, 0.5, 0.5, 0]), rtol=0, atol=0.02)


def test_texts_that_are_all_the_same_are_drawn_all_the_same():
    same = torch.ones(3, 3, dtype=torch.bool)
    assert alike(torch.ones(3, 2), same).shape == (3,)


def test_bad_embeddings_are_left_for_the_losses_to_report():
    assert alike(torch.full((3, 2), torch.nan), torch.eye(3, dtype=torch.bool)).shape == (3,)


def test_equal_texts_are_no_mistakes():
    v = torch.eye(4, dtype=torch.float64)
    t = v[[0, 0, 2, 3]]
    same = (t[:, None] == t[None]).all(2)
    v = v[[0, 0, 2, 3]]
    assert contrastive_loss(v, t, same) < 0.001 < 0.3 < contrastive_loss(v, t)


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_lengths_of_embeddings_do_not_matter(scale):
    v, t = logits(0).view(10, 5), logits(1).view(10, 5)
    torch.testing.assert_close(contrastive_loss(scale * v, t), contrastive_loss(v, t))
