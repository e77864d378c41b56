"""What is shown of a model is what its card and its recipe say."""

import re
from dataclasses import replace

import pytest

from zoo.core.errors import UserError
from zoo.models import MODELS
from zoo.recipe.paper import Paper
from zoo.recipe.reading import recipe_folder
from zoo.show.gallery import exhibits, families, markdown, with_table
from zoo.show.gallery.prose import about, header, without_header
from zoo.show.gallery.table import BEGIN, END, FAMILIES

ERROR = "code_error[one-to-one,train->test]"  # the figure of recipes/infogan_mnist.yaml


@pytest.fixture
def shown(shelf):
    return {exhibit.name: exhibit for exhibit in exhibits(shelf)}


def test_families_in_order_and_networks_that_make_nothing_last(shown):
    assert list(shown) == ["cloud", "codes", "eyes"]
    assert [e.generative for e in shown.values()] == [True, True, False]
    assert [e.of_points for e in shown.values()] == [True, False, False]


def test_the_papers_figure_is_compared_with_the_same_score_and_no_other(shown):
    found, cloud, eyes = shown["codes"], shown["cloud"], shown["eyes"]
    assert found.headline["name"] == ERROR and (found.ours, found.theirs) == ("3.62 %", "5 %")
    assert claiming(found).earned  # lower is better
    assert (cloud.ours, cloud.theirs) == ("23 modes", "23.8 \N{PLUS-MINUS SIGN} 0.7 modes")
    assert not claiming(cloud).earned  # higher is better
    assert eyes.comparison is None and eyes.ours == "1.94 %" and eyes.theirs == ""
    assert not eyes.earned


def claiming(found, objective="same", **more):
    """Returns the exhibit with another paper than its recipe has; None for no claim at all."""
    return replace(found, paper=replace(found.paper, objective=objective, **more))


@pytest.mark.parametrize("objective", ["extended", "other"])
def test_bold_is_for_the_same_objective_alone(shown, objective):
    """Red where a recipe says that something was added, and the table shows bold."""
    same, not_same = claiming(shown["codes"]), claiming(shown["codes"], objective)
    assert "**3.62" in markdown([same]) and "| same" in markdown([same])
    assert "**" not in markdown([not_same]) and f"| {objective}" in markdown([not_same])
    assert not not_same.earned and same.judged == not_same.judged


def test_an_old_record_that_says_nothing_claims_nothing():
    assert Paper(ERROR, 0.5, "somebody 2016").objective == "other"


@pytest.mark.parametrize(
    ("values", "earned"),
    # The paper has 5 %. Means and standard errors: 4 and .5, 4.9 and .5, 5.5 and 2.5, 5 and 0 %.
    [((0.035, 0.045), True), ((0.044, 0.054), False), ((0.03, 0.08), False), ((0.05, 0.05), True)],
)
def test_a_mean_over_seeds_must_lead_by_its_standard_error(shelf, codes, score, values, earned):
    """The published seed alone would always earn it here: it has 1 %."""
    runs = [{"seed": i, "scores": {ERROR: value}} for i, value in enumerate(values)]
    codes([score(ERROR, 0.01, "share")], seeds=runs)
    found = claiming(only_codes(shelf))
    assert found.earned == earned == ("**" in markdown([found]))
    mean, error = sum(values) / 2, abs(values[0] - values[1]) / 2  # of two: half their distance
    assert (found.standings[0].value, found.standings[0].error) == pytest.approx((mean, error))


def test_one_run_is_not_set_above_a_mean_over_trials(shelf, codes, score):
    codes([score(ERROR, 0.01, "share")])
    found = only_codes(shelf)
    assert claiming(found).earned and not claiming(found, standard_error=0.2).earned


def test_what_a_figure_hides_stands_beside_it_and_can_take_its_bold(shelf, codes, score):
    recall = score("recall[x,10k,test]", 0.02, "share", "higher")
    codes([score(ERROR, 0.01, "share"), recall])
    found = only_codes(shelf)
    assert "`recall[x,10k,test]` 2 %" in markdown([found]).replace("\N{NO-BREAK SPACE}", " ")
    assert claiming(found).earned  # the paper says nothing of it
    worse = claiming(found, beside={"recall[x,10k,test]": 0.5})
    assert not worse.earned and "(paper 50 %)" in markdown([worse]).replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert claiming(found, beside={"recall[x,10k,test]": 0.01}).earned


def test_a_likelihood_stands_with_its_error_over_images_which_decides_nothing(shelf, codes, score):
    """Ours and the paper's are of the same test images, so that their error is shared."""
    nll = {**score("nll[static,10k,test]", 86.15), "details": {"standard_error": 0.22}}
    codes([{**nll, "unit": "nats"}])
    found = only_codes(shelf)
    assert found.judged == "86.15 \N{PLUS-MINUS SIGN} 0.22 nats" and found.ours == "86.15 nats"
    paper = Paper("nll[static,10k,test]", 86.2, "x", objective="same")
    assert replace(found, paper=paper).earned
    assert not replace(found, paper=replace(paper, value=86.1)).earned


def test_a_figure_that_was_not_read_in_the_paper_says_by_whom_it_is_quoted(shown):
    quoted = claiming(shown["codes"], source="A 2016, arXiv:1606.03657, quoted by B, README")
    assert "<sub>quoted by B, README</sub>" in markdown([quoted])
    assert "quoted" not in markdown([shown["codes"]])


@pytest.mark.parametrize(
    ("value", "better", "good"),
    [(0.05, "lower", True), (0.051, "lower", False), (0.051, "higher", True),
     (0.049, "higher", False), (0.01, "", False)],
)  # fmt: skip
def test_what_is_good_follows_the_direction(shelf, codes, score, value, better, good):
    codes([score(ERROR, value, "share", better)])
    assert claiming(only_codes(shelf)).earned == good


def only_codes(shelf):
    return next(e for e in exhibits(shelf) if e.name == "codes")


def test_the_mean_over_seeds_is_that_of_the_same_score(shelf, codes, score):
    runs = [
        {"seed": i, "scores": {ERROR: value, "nmi": 0.9}} for i, value in enumerate((0.03, 0.06))
    ]
    codes([score(ERROR, 0.031, "share")], seeds=runs)
    assert only_codes(shelf).judged == "4.5 \N{PLUS-MINUS SIGN} 1.5 %"
    assert only_codes(shelf).over_seeds == "mean of 2 seeds; these weights 3.1 %"
    table = markdown(exhibits(shelf)).replace("\N{NO-BREAK SPACE}", " ")
    assert "4.5 \N{PLUS-MINUS SIGN} 1.5 %" in table and "mean of 2 seeds" in table
    codes([score("fid[x,10k,test]", 3.8)], seeds=runs)  # the runs did not score this
    assert only_codes(shelf).over_seeds == ""
    codes([score(ERROR, 0.031, "share")], seeds=runs[:1])
    assert only_codes(shelf).over_seeds == ""


def test_without_the_papers_score_the_paper_is_not_shown(shelf, codes, score):
    codes([score("fid[x,10k,test]", 3.8), score(ERROR, None, "share")])
    found = only_codes(shelf)
    assert found.headline["name"] == "fid[x,10k,test]" and found.theirs == ""


@pytest.mark.parametrize("change", ["data", "model", "path", "unknown"])
def test_a_recipe_of_another_model_or_other_data_is_not_its_recipe(shelf, codes, score, change):
    name = {"data": "infogan_digits", "model": "vae_mnist", "path": "../recipes/infogan_mnist",
            "unknown": "nothing"}[change]  # fmt: skip
    codes([score(ERROR, 0.04, "share")], made_by=name)
    found = only_codes(shelf)
    assert found.recipe is None and found.paper is None


def test_training_and_sizes_in_short_words(shelf, shown, codes):
    assert shown["codes"].training == "1,317 s, 1 thread"
    assert shown["cloud"].parameters == "102" and shown["cloud"].size.endswith(" kB")
    gpu = {"training_seconds": 60.2, "device": "cuda:0", "gpu": "Some GPU", "processes": 4}
    codes([], training=gpu)
    found = only_codes(shelf)
    assert found.training == "60 s, Some GPU, 4 processes" and found.headline is None
    worked = {"training_seconds": 90.0, "processor_seconds": 100.0, "threads": 2, "device": "cpu"}
    codes([], training=worked)  # beside other programs, two threads waited 40 seconds
    assert only_codes(shelf).training == "50 s of processor time, 2 threads"
    codes([], training={**worked, "training_seconds": 60.0})
    assert only_codes(shelf).training == "60 s, 2 threads"
    codes([], training={})
    found = only_codes(shelf)
    assert found.training == "unknown" and found.ours == ""


# ------------------------------------------------------------------------- the table


def test_the_table_has_a_row_for_each_model(shelf):
    rows = markdown(exhibits(shelf)).splitlines()
    assert len(rows) == 2 + 3 and all(row.count(" | ") == 5 for row in rows)
    (row,) = [row for row in rows if "codes" in row]
    assert "[`codes`](../recipes/infogan_mnist.yaml)" in row
    assert "[5\N{NO-BREAK SPACE}%](https://arxiv.org/abs/1606.03657)" in row
    assert "3.62\N{NO-BREAK SPACE}%" in row and f"<br><sub>`{ERROR}`</sub>" in row


def test_the_table_of_families_has_a_row_for_each(shelf):
    rows = families(exhibits(shelf)).splitlines()
    assert len(rows) == 2 + 3
    assert "[InfoGAN](zoo/models/adversarial/infogan.py)" in "".join(rows) and "`codes`" in rows[3]
    assert with_table(f"{FAMILIES}\n{END}\n", "new", "x", FAMILIES) == f"{FAMILIES}\nnew\n{END}\n"


def test_a_name_can_neither_leave_its_cell_nor_become_markup(evil):
    (row,) = [row for row in markdown(exhibits(evil)).splitlines() if "evil" in row]
    # Bars and backticks are what ends cells and code; all the rest of the name stays in code.
    assert row.replace(r"\|", "").count("|") == 7 and row.count("`") == 4
    outside = "".join(row.split("`")[::2])
    assert "<script" not in outside and "](" not in outside


def test_only_the_text_between_the_comments_changes():
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n{END}\n"
    assert with_table(document, "new", "x") == f"before\n{BEGIN}\nnew\n{END}\nafter\n{END}\n"


@pytest.mark.parametrize(
    "name", [END, BEGIN, f"x\n{END}\n", f"\u2028{BEGIN}\r{END}", "<!--", "-->"]
)
def test_no_name_of_a_score_ends_the_table(shelf, codes, score, name):
    codes([score(f"fid[{name}]", 1.0)])
    table = markdown(exhibits(shelf))
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = with_table(document, table, "x")
    assert once == f"before\n{BEGIN}\n{table}\n{END}\nafter\n"
    assert with_table(once, table, "x") == once
    assert all(line.startswith("| ") for line in table.split("\n"))


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("`x`", r"\`x\`"), ("_x_ ~~y~~ *z*", r"\_x\_ \~\~y\~\~ \*z\*"), ("[a](b)", r"\[a\](b)"),
        ("<b>&", "&lt;b&gt;&amp;"), ("https://evil.example", "https&#58;//evil.example"),
        ("www.evil.example", "&#119;ww.evil.example"), ("a|b", r"a\|b"), ("a\nb", "a b"),
    ],
)  # fmt: skip
def test_no_unit_becomes_markup(shelf, codes, score, unit, written):
    codes([score("own[x]", 1.0, unit)])  # one that the catalogue does not know
    assert f"1 {written}<br>" in markdown(exhibits(shelf)).replace("\xa0", " ")


@pytest.mark.parametrize("document", ["none", f"{BEGIN}\n", f"{END}\n{BEGIN}\n",
                                      f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"])  # fmt: skip
def test_a_document_without_one_place_for_the_table_is_refused(document):
    with pytest.raises(UserError, match=r"README\.md needs one line"):
        with_table(document, "new", "README.md")


# ------------------------------------------------------------------------- heads of files


@pytest.mark.parametrize("family", MODELS)
def test_every_family_says_what_it_is_and_how_it_differs(family):
    found = about(family)
    assert 20 < len(found.summary) < 90 and found.summary.endswith(".")
    assert found.summary[0].islower() and "summary" in vars(MODELS[family])  # not an ancestor's
    if "sample" in dir(MODELS[family]):
        # Papers before arXiv have their year alone.
        assert re.search(r"arXiv:\d|\b(19|20)\d\d\b", found.references) and found.deviations
    assert not any(":math:" in item or item.startswith("-") for item in found.deviations)


@pytest.mark.parametrize("path", sorted(recipe_folder().glob("*.yaml")), ids=lambda p: p.stem)
def test_nothing_of_a_recipe_is_lost_when_it_is_taken_apart(path):
    text = path.read_text()
    said = " ".join(f"{label} {words}" for label, words in header(path) if label != "code")
    code = [line for label, words in header(path) if label == "code" for line in words.splitlines()]
    head = text.removesuffix(without_header(path))
    assert all(line.startswith("#") for line in head.splitlines())
    for line in head.splitlines():
        if line.startswith("#  "):
            assert line[4:] in code
        else:
            assert set(line[1:].replace(":", "").split()) <= set(said.replace(":", "").split())
    assert without_header(path).startswith(("paper:", "model:"))
