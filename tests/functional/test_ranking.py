"""The area under the ROC curve against its definition."""

import math

import pytest
import torch

from zoo.functional.ranking import auroc


def test_it_is_the_share_of_pairs_that_are_ranked_rightly():
    """Ties count half; counting them whole or not at all differs by several percent here."""
    generator = torch.Generator().manual_seed(0)
    high = torch.randint(1, 8, (40,), generator=generator).double()
    low = torch.randint(0, 6, (30,), generator=generator).double()
    pairs = (high[:, None] > low).double() + 0.5 * (high[:, None] == low).double()
    assert float(auroc(high, low)) == pytest.approx(float(pairs.mean()), abs=1e-12)
    assert float(auroc(low, high)) == pytest.approx(1 - float(pairs.mean()), abs=1e-12)


def test_ends_and_middle():
    x = torch.arange(5.0)
    assert float(auroc(x + 10, x)) == 1 and float(auroc(x, x + 10)) == 0
    assert float(auroc(x, x)) == 0.5
    assert math.isnan(float(auroc(x, x[:0])))
