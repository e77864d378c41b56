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


def test_what_is_compared_is_read_too_and_claims_nothing_where_it_is_not_said():
    more = {
        "method": "MADE,\n one mask", "objective": "same", "differences": "none",
        "standard_error": 1, "beside": {"recall[x]": 1},
    }  # fmt: skip
    read = read_paper({**GOOD, **more}, "r")
    assert (read.method, read.objective, read.differences) == ("MADE, one mask", "same", "none")
    assert (read.standard_error, read.beside) == (1.0, {"recall[x]": 1.0})
    old = read_paper({**GOOD, "method": None}, "r")  # as in the record of an older run
    assert (old.method, old.objective, old.standard_error) == ("", "other", None)


def test_a_figure_says_from_where_it_was_quoted():
    source = "Dinh et al. 2017, arXiv:1605.08803, quoted by Grathwohl et al. 2019, arXiv:1810.01367"
    assert read_paper({**GOOD, "source": source}, "r").quoted_by.startswith("Grathwohl")
    assert read_paper(GOOD, "r").quoted_by == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("86.64", "paper must be a mapping with figure, value and source, got '86.64'"),
        ([GOOD], "paper must be a mapping"),
        ({k: GOOD[k] for k in ("figure", "value")}, "paper has no source"),
        ({k: GOOD[k] for k in ("value", "source")}, "paper has no figure"),
        ({**GOOD, "valu": 3}, "paper has an unknown key 'valu'. Did you mean value?"),
        ({**GOOD, "value": "86.64"}, "paper.value must be a number, got '86.64'"),
        ({**GOOD, "value": True}, "paper.value must be a number, got true"),
        ({**GOOD, "value": 10**400}, "paper.value must be a number, got 1000"),
        ({**GOOD, "value": float("nan")}, "paper.value must be a number, got nan"),
        ({**GOOD, "figure": 3}, "paper.figure must be the name of a score"),
        ({**GOOD, "figure": "test NLL"}, "paper.figure must be the name of a score"),
        ({**GOOD, "figure": "nll[static"}, "paper.figure must be the name of a score"),
        ({**GOOD, "source": " "}, "paper.source must say where the figure stands"),
        ({**GOOD, "source": 2015}, "paper.source must say where the figure stands"),
        ({**GOOD, "source": None}, "paper.source must say where the figure stands"),
        ({**GOOD, "method": ""}, "paper.method must say whose figure it is, got ''"),
        ({**GOOD, "differences": 3}, "paper.differences must say what differs, got 3"),
        (
            {**GOOD, "objective": "equal"},
            "paper.objective must be one of same, extended, other, got 'equal'",
        ),
        ({**GOOD, "objective": True}, "paper.objective must be one of same, extended, other"),
        ({**GOOD, "standard_error": -1}, "paper.standard_error must not be negative, got -1"),
        ({**GOOD, "beside": [1]}, "paper.beside must be a mapping from scores to values"),
        ({**GOOD, "beside": {"a b": 1}}, "paper.beside must be the name of a score"),
        ({**GOOD, "beside": {"recall": "x"}}, "paper.beside.recall must be a number, got 'x'"),
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
    # Papers before arXiv have the conference in its place.
    assert re.search(r"\d{4}( \(\w+\))?, arXiv:\d{4}\.\d{4}|(19|20)\d{2} \(\w+\)", paper.source)
    assert "[" in paper.figure, "a figure without its protocol compares with nothing"
    assert paper.method, "say whose figure it is: paper.method"
    assert "objective" in section, "say whether the objective is the paper's: paper.objective"
    assert paper.differences, "say what differs, or none: paper.differences"


def test_some_recipes_have_figures():
    known = {p.stem: read_recipe(p).get("paper") for p in RECIPES}
    assert known["made_mnist"]["value"] == 88.04
    assert sum(paper is not None for paper in known.values()) >= 15
