"""What the source says of a class is what the imported class says."""

import inspect

import lightning as L
import pytest

from zoo.core.outline import Made, _of_class, _of_source, trainer_arguments
from zoo.data.registry import DATASETS
from zoo.models.registry import MODELS

NAMES = [(registry, name) for registry in (MODELS, DATASETS) for name in registry.homes]


@pytest.mark.parametrize(("registry", "name"), NAMES, ids=[name for _, name in NAMES])
def test_source_and_class_say_the_same(registry, name):
    source, imported = _of_source(registry.homes[name], name), _of_class(registry[name])
    assert source.name == imported.name
    assert source.summary == imported.summary != ""
    assert source.arguments == imported.arguments
    assert list(source.arguments) == list(inspect.signature(registry[name]).parameters)
    assert source.texts == imported.texts and source.texts
    assert source.about == imported.about
    assert all(imported.methods[name] == keywords for name, keywords in source.methods.items())
    for fact, value in source.facts.items():
        if isinstance(value, Made):
            there = getattr(registry[name], fact)
            assert type(there).__name__ == value.name
            again = type(there)(*value.positional, **value.named)
            assert (again.shape, again.classes) == (there.shape, there.classes)
        else:
            assert value == getattr(registry[name], fact)


def test_the_trainers_arguments():
    assert trainer_arguments() == tuple(inspect.signature(L.Trainer).parameters)


def test_a_home_is_where_the_class_stands():
    for registry, name in NAMES:
        assert registry[name].__module__ == registry.homes[name]
