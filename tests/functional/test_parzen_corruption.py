"""Parzen estimates against single bumps and a mixture of torch's; salt and pepper by counting."""

import math

import pytest
import torch

from zoo.functional.corruption import salt_and_pepper
from zoo.functional.parzen import parzen_log_density, parzen_width


def test_one_bump_is_a_normal_law():
    """Rejects a constant without the dimensions, or with the variance in place of the deviation."""
    g = torch.Generator().manual_seed(0)
    x, s = torch.randn(5, 3, generator=g), torch.randn(1, 3, generator=g)
    law = torch.distributions.Normal(s.double(), 0.3)
    wanted = law.log_prob(x.double()).sum(1)
    torch.testing.assert_close(parzen_log_density(x, s, 0.3), wanted, rtol=1e-6, atol=1e-5)


def test_many_bumps_are_their_mixture():
    g = torch.Generator().manual_seed(0)
    x, s = torch.randn(601, 2, generator=g).double(), torch.randn(7, 2, generator=g).double()
    each = torch.distributions.Independent(torch.distributions.Normal(s, 0.5), 1)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(7).double()), each
    )
    torch.testing.assert_close(parzen_log_density(x, s, 0.5), mixture.log_prob(x))


def test_the_width_is_the_likeliest_and_copies_of_the_data_beat_the_truth():
    """The estimate's famous weakness: it prefers a copy of the data to the law they come of."""
    g = torch.Generator().manual_seed(0)
    train, unseen, fair = (torch.randn(500, 20, generator=g) for _ in range(3))
    width = parzen_width(unseen, fair)
    best = parzen_log_density(unseen, fair, width).mean()
    assert all(parzen_log_density(unseen, fair, width * by).mean() < best for by in (0.7, 1.4))
    copied = parzen_log_density(train, train, parzen_width(train, train)).mean()
    true = -10 * (1 + math.log(2 * math.pi))
    assert best < true - 0.5 and copied > true + 10


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_half_of_the_share_becomes_black_and_half_white(share):
    """Rejects the whole share for each, and bits that are turned instead of replaced."""
    x = torch.full((100_000,), 0.5)
    told = salt_and_pepper(x, share, torch.Generator().manual_seed(0))
    for value, wanted in ((0.0, share / 2), (1.0, share / 2), (0.5, 1 - share)):
        assert abs(float((told == value).float().mean()) - wanted) < 0.006
