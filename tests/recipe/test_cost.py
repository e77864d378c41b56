"""What a recipe's training costs is a key of the recipe, and checked."""

from pathlib import Path

import pytest

from zoo.core.errors import UserError
from zoo.recipe.cost import Cost, read_cost
from zoo.recipe.reading import read_recipe

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
GOOD = {"seconds": 62.3, "on": "one x86-64 core", "threads": 2, "memory_gb": 1.5}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_says_what_it_costs(path):
    cost = read_cost(read_recipe(path)["cost"], path.name)
    assert cost.seconds <= 7600 and cost.threads in (1, 2)
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert not any(" minute" in line and "core" in line for line in head), "one fact, one home"
    if path.stem.endswith("_digits"):
        assert cost.seconds <= 120


def test_all_keys_are_read():
    assert read_cost(GOOD, "r") == Cost(62.3, "one x86-64 core", 2, 1.5)


WRONG = {
    "text": ("fast", "cost must be a mapping"),
    "unknown": ({**GOOD, "memory": 3}, "cost has an unknown key 'memory'. Did you mean memory_gb"),
    "no seconds": ({"on": "x"}, "cost has no seconds"),
    "no place": ({"seconds": 3}, "cost has no on"),
    "words": ({**GOOD, "seconds": "a minute"}, "cost.seconds must be a number of seconds"),
    "zero": ({**GOOD, "seconds": 0}, "cost.seconds must be a number of seconds"),
    "true": ({**GOOD, "threads": True}, "cost.threads must be a number of threads"),
    "beyond floats": ({**GOOD, "seconds": 10**400}, "cost.seconds must be a number of seconds"),
    "more digits than are written": ({**GOOD, "seconds": 10**5000}, "cost.seconds must be a"),
    "endless": ({**GOOD, "memory_gb": float("inf")}, "cost.memory_gb must be a number of GB"),
    "empty": ({**GOOD, "on": " "}, "cost.on must say what it was measured on"),
}


@pytest.mark.parametrize(("section", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_cost_is_refused(section, words):
    with pytest.raises(UserError, match=f"recipe r: {words}"):
        read_cost(section, "recipe r")
