"""The figure of a paper: checked where a recipe is read, kept by a run, and named as cards do."""

import re

import pytest
import yaml

from zoo.core.errors import UserError
from zoo.fit import run
from zoo.recipe.checking import check_arguments
from zoo.recipe.paper import Paper, read_paper
from zoo.recipe.reading import read_recipe, recipe_folder

GOOD = {"figure": "nll[static,10k,test]", "value": 86.64, "source": "Germain et al. 2015"}
RECIPES = sorted(recipe_folder().glob("*.yaml"))
RECIPE = {"model": {"class_path": "MADE", "init_args": {"hidden": [8]}}, "data": "Digits"}


def refusal(call, *arguments):
    with pytest.raises(UserError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_figure_is_read_with_its_number_as_a_float():
    read = read_paper({**GOOD, "value": 86, "source": "Germain\n  et al."}, "r")
    assert read == Paper("nll[static,10k,test]", 86.0, "Germain et al.")
    assert isinstance(read.value, float)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("86.64", "paper must be a mapping with figure, value and source, got '86.64'"),
        ([GOOD], "paper must be a mapping"),
        ({k: GOOD[k] for k in ("figure", "value")}, "paper has no source"),
        ({k: GOOD[k] for k in ("value", "source")}, "paper has no figure"),
        ({**GOOD, "valu": 3}, "paper has an unknown key 'valu'. Did you mean value?"),
        ({**GOOD, "value": "86.64"}, "paper.value must be a number, got '86.64'"),
        ({**GOOD, "value": True}, "paper.value must be a number, got True"),
        ({**GOOD, "value": float("nan")}, "paper.value must be a number, got nan"),
        ({**GOOD, "figure": 3}, "paper.figure must be the name of a score"),
        ({**GOOD, "figure": "test NLL"}, "paper.figure must be the name of a score"),
        ({**GOOD, "figure": "nll[static"}, "paper.figure must be the name of a score"),
        ({**GOOD, "source": " "}, "paper.source must say where the figure stands"),
        ({**GOOD, "source": 2015}, "paper.source must say where the figure stands"),
    ],
)
def test_a_wrong_figure_is_refused_in_one_sentence(wrong, words, tmp_path):
    assert words in refusal(read_paper, wrong, "recipe r.yaml")
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "paper": wrong}))
    message = refusal(read_recipe, path)
    assert words in message and str(path) in message


@pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")
@pytest.mark.parametrize("paper", [GOOD, None])
def test_the_whole_recipe_keeps_the_figure_and_can_be_read_again(paper, tmp_path, capsys):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **({"paper": paper} if paper else {})}))
    with pytest.raises(SystemExit):
        run([str(path), "--print_config"])
    path.write_text(capsys.readouterr().out)
    assert read_recipe(path)["paper"] == paper


def test_the_line_cannot_override_what_a_paper_says():
    assert "unknown option --paper.value" in refusal(
        check_arguments, ["--paper.value", "3"], {**RECIPE, "paper": GOOD}
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_figures_of_the_zoos_recipes_say_where_they_stand(path):
    section = read_recipe(path).get("paper")
    if section is None:
        return
    paper = read_paper(section, path.stem)
    assert re.search(r"\d{4}( \(\w+\))?, arXiv:\d{4}\.\d{4}", paper.source)
    assert "[" in paper.figure, "a figure without its protocol compares with nothing"


def test_some_recipes_have_figures():
    known = {p.stem: read_recipe(p).get("paper") for p in RECIPES}
    assert known["made_mnist"]["value"] == 86.64
    assert sum(paper is not None for paper in known.values()) >= 15
