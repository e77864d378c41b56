"""The project's own papers agree with one another."""

import json
import re
from pathlib import Path

import pytest
import yaml

import zoo
from zoo.__main__ import VERBS
from zoo.faults import markdown as faults_markdown
from zoo.judge.catalogue import meaning
from zoo.show.comparison import markdown as comparison_markdown
from zoo.show.comparison import read_reports
from zoo.show.gallery import (
    contents,
    exhibits,
    families,
    markdown,
    with_table,
    written_contents,
)
from zoo.show.gallery.table import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("tool", ["ruff", "pyright"])
def test_tools_are_pinned_to_one_version(tool):
    (wanted,) = re.findall(rf'"{tool}==([\d.]+)"', PROJECT)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (found,) = (hook["rev"] for hook in hooks if tool in hook["repo"])
    assert found == f"v{wanted}"


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f'version = "{zoo.__version__}"' in PROJECT
    assert citation["version"] == zoo.__version__


def test_withdrawn_releases_are_never_installed():
    assert "!=2.6.2" in PROJECT and "!=2.6.3" in PROJECT


def test_every_verb_is_a_module_and_named_in_the_readme_or_the_overview():
    for verb in VERBS:
        assert (ROOT / "zoo" / f"{verb}.py").is_file()


def test_weights_keep_to_the_budget():
    sizes = [path.stat().st_size for path in (ROOT / "checkpoints").rglob("*") if path.is_file()]
    assert sum(sizes) <= 120 * 2**20
    weights = (ROOT / "checkpoints").rglob("*.safetensors")
    assert all(path.stat().st_size <= 8 * 2**20 for path in weights)


def test_the_table_of_faults_is_the_commands_own():
    file = ROOT / "checkpoints" / "features_mnist" / "faults.json"
    report = json.loads(file.read_text())
    command = "<!-- python -m zoo.faults --table checkpoints/features_mnist/faults.json -->\n"
    _, _, rest = (ROOT / "README.md").read_text().partition(command)
    shown, end, _ = rest.partition("<!-- end of table -->")
    assert end and shown.strip() == faults_markdown(report)
    card = json.loads((file.parent / "card.json").read_text())
    assert report["features"]["sha256"] == card["weights"]["sha256"]  # else it is out of date


def test_the_table_of_priors_is_the_commands_own():
    file = ROOT / "checkpoints" / "gan_prior_mnist" / "priors.json"
    name = file.relative_to(ROOT)
    command = f"<!-- python -m zoo.compare --table {name} --scores fid_ -->\n"
    _, _, rest = (ROOT / "README.md").read_text().partition(command)
    shown, end, _ = rest.partition("<!-- end of table -->")
    reports = read_reports(file)
    assert end and shown.strip() == comparison_markdown(reports, ["fid_"])
    card = json.loads((file.parent / "card.json").read_text())
    ours, cards = (
        {s["name"]: s["value"] for s in report["scores"] if s["name"].startswith("fid_")}
        for report in (reports["gan_prior_mnist"], card)
    )
    assert len(ours) == 4 and ours == pytest.approx(cards, rel=1e-4)  # else it is out of date


def test_kernel_gel_names_exactly_what_was_planted():
    report = json.loads((ROOT / "checkpoints" / "features_mnist" / "faults.json").read_text())
    nothing = {"dropped": [], "rare": [], "collapsed": []}
    named = report["named"]
    assert named["none"] == named["memorised"] == nothing
    assert named["dropped"] == {**nothing, "dropped": [3, 7]}
    assert named["rare"] == {**nothing, "rare": [1]}
    assert named["collapsed"] == {**nothing, "collapsed": [5]}


# After a model was published, these turn green again by
# python -m zoo.gallery --readme README.md checkpoints/README.md


@pytest.fixture(scope="module")
def shown():
    return exhibits(ROOT / "checkpoints")


def test_the_tables_of_models_and_families_are_the_commands_own(shown):
    page = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    assert with_table(page, markdown(shown), "the page") == page
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(readme, families(shown), "README.md", FAMILIES) == readme
    assert "](checkpoints/README.md)" in readme


def test_the_first_screen_says_what_it_is_shows_the_wall_and_gives_two_commands():
    screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:15]
    assert screen[0] == "# zoo" and "generative models" in screen[2]
    (wall,) = (number for number, line in enumerate(screen) if "checkpoints/wall.png" in line)
    first, last = (number for number, line in enumerate(screen) if line.startswith("```"))
    assert wall < first and last == first + 3  # two lines of commands


def test_bold_is_earned_and_nothing_is_hidden():
    """Reads recipes and cards by itself: an expert with the paper in hand would sign each row."""
    page = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) > 20
    for row in rows:
        name = re.match(r"\| \[`(\w+)`\]", row)[1]
        card = json.loads((ROOT / "checkpoints" / name / "card.json").read_text())
        recipe = yaml.safe_load((ROOT / "recipes" / f"{card['recipe_name']}.yaml").read_text())
        paper, ours = recipe.get("paper") or {}, row.split(" | ")[2]
        shown = {score["name"]: score for score in card["scores"] if f"`{score['name']}`" in ours}
        for hidden in flattered_by(next(iter(shown))):
            there = [s for s in card["scores"] if s["name"].startswith(f"{hidden}[")]
            assert {s["name"] for s in there} <= shown.keys(), f"{name} hides {hidden}"
        if paper:
            assert f"{paper['objective']}<br>" in row and row.count("**") in (0, 2), name
        if "**" in row:
            assert paper["objective"] == "same", f"{name}: bold, but {paper['objective']}"
            known = {paper["figure"]: paper["value"], **(paper.get("beside") or {})}
            for figure, theirs in known.items():
                runs = [run["scores"][figure] for run in card["seeds"]] or [shown[figure]["value"]]
                gain = sum(runs) / len(runs) - theirs
                assert (gain if shown[figure]["better"] == "higher" else -gain) >= 0, name


WITHOUT_ERRORS = {  # of the full protocol, which takes long, until they are scored again
    "conv_vae_mnist", "iaf_vae_mnist", "iwae_plus_mnist", "vae_plus_mnist",
}  # fmt: skip


def test_every_likelihood_on_the_shelf_has_its_standard_error(shown):
    for exhibit in shown:
        for preset, report in exhibit.card["evaluations"].items():
            if preset == "full" and exhibit.name in WITHOUT_ERRORS:
                continue
            for score in report["scores"]:
                if score["name"].partition("[")[0] in ("nll", "log_density", "bpd", "elbo"):
                    where = f"{exhibit.name}: {score['name']}"
                    assert 0 < score["details"]["standard_error"] < abs(score["value"]), where


def flattered_by(figure):
    """Names the scores that show what a figure hides, which a row may not leave out."""
    hidden = {
        "modes": ["high_quality", "mode_spread"], "code_error": ["recall"],
        "captions_shown": ["captions_shown", "position_spread"],
        "mig": ["factor_vae_score", "live_units"],
    }  # fmt: skip
    return hidden.get(figure.partition("[")[0], [])


def test_the_wall_shows_the_models_of_the_shelf(shown):
    wall = ROOT / "checkpoints" / "wall.png"
    assert written_contents(wall) == contents(shown)
    assert wall.stat().st_size < 1_500_000
    assert "](checkpoints/wall.png)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_papers_figure_is_a_score_of_the_card(shown):
    for exhibit in shown:
        assert exhibit.recipe is not None, f"{exhibit.name} has no recipe"
        if exhibit.paper is not None:
            assert exhibit.comparison, f"{exhibit.name} has no score {exhibit.paper.figure}"


def test_every_score_on_the_shelf_has_a_meaning(shown):
    names = {score["name"] for exhibit in shown for score in exhibit.scores}
    assert names and all(meaning(name) for name in names)


def requirements(text):
    """Each package of a project file or a constraint file with what follows its name."""
    return dict(re.findall(r'^\s*"?([\w-]+)(?:\[\w+\])?((?:[<>=!]=|<|>)[^"#\n]*)', text, re.M))


def test_the_oldest_releases_are_those_that_the_project_admits():
    """`bash tests/constraints/run.sh oldest` tries the claims of pyproject.toml, and no others."""
    pinned = requirements((ROOT / "tests" / "constraints" / "oldest.txt").read_text())
    wanted = requirements(
        PROJECT.partition("dependencies = [")[2].partition("[project.scripts]")[0]
    )
    linting = {"ruff", "pyright", "pre-commit"}
    assert {"torch", "jsonargparse", "wandb", "prdc", "torch-fidelity"} <= wanted.keys()
    for package, versions in wanted.items():
        bounds = re.findall(r">=([\d.]+)", versions)
        if package not in linting:
            pin = pinned[package].strip().removeprefix("==")
            assert bounds and f"{pin}.".startswith(f"{bounds[0]}."), f"{package} {versions} {pin}"


def test_the_newest_releases_are_pinned_for_the_same_packages():
    oldest, newest = (
        requirements((ROOT / "tests" / "constraints" / f"{which}.txt").read_text())
        for which in ("oldest", "newest")
    )
    assert oldest.keys() - newest.keys() <= {"pyparsing"} and newest.keys() <= oldest.keys()
    for package, pin in newest.items():
        low, high = (
            [int(part) for part in re.findall(r"\d+", each)] for each in (oldest[package], pin)
        )
        assert low <= high, package
