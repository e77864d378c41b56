"""NADE: what it refuses; what it answers stands in tests/test_answers.py."""

import pytest

from zoo.core.errors import UserError
from zoo.data import ImageSpec
from zoo.models import NADE

TINY = ImageSpec(1, 2, 3, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"hidden": 0}, {"orders": 0}, {"activation": "relo"}, {"augment": 2}, {"lr": -1.0}],
)
def test_values_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        NADE(TINY, **wrong)
