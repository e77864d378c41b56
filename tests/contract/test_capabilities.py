"""Capabilities are found by method, on classes and on objects alike."""

from typing import Any

import pytest
import torch

from zoo.contract.capabilities import (
    CAPABILITIES,
    Samples,
    Traverses,
    can,
    capabilities,
    conditions,
)


class Everything:
    num_codes = 3
    ensemble_size = 2
    words, known_captions = (), torch.zeros(0, 1)

    def sample(self, n, *, seed=None, label=None, caption=None): ...
    def codes(self): ...


for name in CAPABILITIES:
    if not hasattr(Everything, name):
        setattr(Everything, name, lambda self, *_: None)
Everything.probabilities = lambda self, x: None
Everything.log_unnormalised = lambda self, x: None


class Coin:
    encode = None  # a switched-off method is not a capability

    def sample(self, n, *, seed=None): ...


def test_capabilities_are_listed_in_the_order_of_the_contract():
    assert capabilities(Everything()) == capabilities(Everything) == tuple(CAPABILITIES)
    assert capabilities(Coin()) == capabilities(Coin) == ("sample",)
    assert capabilities(object()) == ()


@pytest.mark.parametrize("name", CAPABILITIES)
def test_the_protocols_agree_with_the_list(name):
    protocol: Any = CAPABILITIES[name]
    assert isinstance(Everything(), protocol)
    assert isinstance(Coin(), protocol) == (name == "sample")
    assert hasattr(protocol, name) and getattr(protocol, name).__doc__


@pytest.mark.parametrize("name", CAPABILITIES)
def test_the_question_agrees_with_the_protocols_and_hears_a_denial(name):
    assert can(Everything(), name) and can(Everything, name)
    assert can(Coin(), name) == can(Coin, name) == (name == "sample")
    silent = Everything()
    silent.lacks = (name,)
    assert not can(silent, name) and name not in capabilities(silent)
    assert len(capabilities(silent)) == len(CAPABILITIES) - 1


def test_an_object_needs_the_numbers_that_belong_to_a_method():
    class Numberless:
        def classify(self, x): ...

    assert not can(Numberless(), "classify") and can(Numberless, "classify")


def test_a_protocol_needs_all_its_methods():
    class Half:
        def traverse(self, code): ...

    assert not isinstance(Half(), Traverses) and not isinstance(Half(), Samples)


def test_conditions_are_the_keywords_of_sample_but_the_seed():
    assert conditions(Everything()) == ("label", "caption")
    assert conditions(Coin()) == ()
