"""Recipes are read strictly, and reading one never runs foreign code."""

import sys
from pathlib import Path

import pytest

from zoo.core.errors import UserError
from zoo.data import DATASETS, ImageSpec
from zoo.models import MODELS
from zoo.recipe.building import build
from zoo.recipe.checking import check_arguments, class_name
from zoo.recipe.reading import find_recipe, read_recipe, recipe_folder

GOOD = "model: {class_path: InfoGAN, init_args: {width: 4}}\ndata: {class_path: Digits}\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="r.yaml"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def refusal(call, *arguments):
    with pytest.raises(UserError) as refused:
        call(*arguments)
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)
    return str(refused.value)


# ------------------------------------------------------------------------- finding and reading


def test_a_recipe_is_found_by_path_and_by_name(write):
    path = write(GOOD)
    assert find_recipe(str(path)) == path
    assert find_recipe("infogan_digits") == recipe_folder() / "infogan_digits.yaml"
    assert "Did you mean infogan_digits" in refusal(find_recipe, "infogan_digit")
    assert "Did you mean infogan_digits" in refusal(find_recipe, "recipes/infogan_digist.yaml")
    assert "is a folder" in refusal(find_recipe, str(path.parent))


@pytest.mark.parametrize("path", sorted(recipe_folder().glob("*.yaml")), ids=lambda p: p.stem)
def test_the_zoos_own_recipes_pass(path):
    recipe = read_recipe(path)
    assert class_name("model", recipe["model"]) in MODELS
    assert class_name("data", recipe["data"]) in DATASETS


def test_a_short_name_stands_for_a_class_without_arguments(write):
    recipe = read_recipe(write("model: InfoGAN\ndata: Digits\n"))
    assert class_name("model", recipe["model"]) == "InfoGAN"


def test_exponents_are_numbers_as_they_are_for_the_parser(write):
    text = GOOD.replace("width: 4", "lr_generator: 1e-4, lr_discriminator: 2E+1, jitter: .5e-1")
    arguments = read_recipe(write(text))["model"]["init_args"]
    assert arguments == {"lr_generator": 1e-4, "lr_discriminator": 20.0, "jitter": 0.05}


BROKEN = {
    "binary": (b"\xff\xfe\x00", "not a text file"),
    "control characters": (b"model: \x01", "not valid YAML"),
    "syntax": ("model: [\ndata: 3\n", "is not valid YAML"),
    "tab": ("model:\n\tclass_path: InfoGAN\n", "is not valid YAML"),
    "tag": ("model: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    "twice": (GOOD + "data: {class_path: MNIST}\n", "line 3 is not valid YAML: the key 'data'"),
    "twice inside": (GOOD.replace("width: 4", "width: 4, width: 5"), "'width' is given twice"),
    "deep": ("a: " + "[" * 1200, "not valid YAML"),
    "odd key": ("? [1]\n: 2\n" + GOOD, "recipe"),
    "empty": ("", "must be a mapping"),
    "list": ("- model\n", "must be a mapping"),
    "number as key": (GOOD + "3: 4\n", "unknown key 3"),
    "unknown key": (GOOD + "trianer: {}\n", "unknown key 'trianer'. Did you mean trainer?"),
    "no model": ("data: Digits\n", "has no model"),
    "no data": ("model: InfoGAN\n", "has no data"),
    "model a number": ("model: 3\ndata: Digits\n", "model must name a class"),
    "model unknown": ("model: InfoGEN\ndata: Digits\n", "Did you mean InfoGAN?"),
    "data unknown": ("model: InfoGAN\ndata: Digitz\n", "Did you mean Digits?"),
    "argument outside": (
        "model: {class_path: InfoGAN, width: 4}\ndata: Digits\n",
        "arguments belong under init_args",
    ),
    "argument unknown": (GOOD.replace("width", "widht"), "Did you mean width?"),
    "arguments a list": (GOOD.replace("{width: 4}", "[4]"), "init_args must be a mapping"),
    "filled in": (GOOD.replace("width: 4", "spec: 4"), "no argument 'spec'"),
    "trainer a list": (GOOD + "trainer: [1]\n", "trainer must be a mapping"),
    "trainer key": (GOOD + "trainer: {max_epoch: 3}\n", "Did you mean max_epochs?"),
    "seed negative": (GOOD + "seed_everything: -1\n", "seed_everything must lie in"),
    "seed text": (GOOD + "seed_everything: abc\n", "seed_everything must be a whole number"),
    "foreign model": (
        GOOD.replace("InfoGAN", "evil_module.Evil"),
        "unknown model 'evil_module.Evil'",
    ),
    "foreign home": (
        GOOD.replace("InfoGAN", "zoo.evil.InfoGAN"),
        "unknown model 'zoo.evil.InfoGAN'",
    ),
    "foreign callback": (
        GOOD + "trainer: {callbacks: [{class_path: evil_module.Evil}]}\n",
        "the class 'evil_module.Evil' is refused",
    ),
    "foreign strategy": (
        GOOD + "trainer: {strategy: {class_path: subprocess.Popen}}\n",
        "the class 'subprocess.Popen' is refused",
    ),
}  # fmt: skip


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported."""
    marker = tmp_path / "imported"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert not marker.exists() and "evil_module" not in sys.modules


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_recipe_is_refused(case, write, evil):
    text, words = BROKEN[case]
    path = write(text)
    message = refusal(read_recipe, path)
    assert words in message and str(path) in message


def test_a_recipe_that_disappears_is_a_wrong_request(tmp_path):
    assert "cannot be read" in refusal(read_recipe, tmp_path / "gone.yaml")


# ------------------------------------------------------------------------- overrides

RECIPE = {"model": {"class_path": "InfoGAN"}, "data": "Digits"}


def split(line):
    """Splits at spaces; ~ stands for a space inside an argument."""
    return [word.replace("~", " ") for word in line.split()]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("", []),
        ("--model.width 64", ["--model.width=64"]),
        ("--model.init_args.width=64", ["--model.init_args.width=64"]),
        ("--model.jitter -1e-3", ["--model.jitter=-1e-3"]),
        ("--data.val_size -5", ["--data.val_size=-5"]),
        ("--print_config --wandb off", ["--print_config", "--wandb=off"]),
        ("--print_config=skip_null", ["--print_config=skip_null"]),
        ("-h", ["--help"]),
        ("--model InfoGAN --data MNIST", ["--model=InfoGAN", "--data=MNIST"]),
        ("--trainer.callbacks+=EarlyStopping", ["--trainer.callbacks+=EarlyStopping"]),
        ("--model {class_path:~InfoGAN}", ["--model={class_path: InfoGAN}"]),
    ],
)
def test_overrides_become_one_piece_each(line, read):
    assert check_arguments(split(line), RECIPE) == read


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("foo", "unexpected argument 'foo'"),
        ("-x", "unexpected argument '-x'"),
        ("--model.width", "--model.width needs a value"),
        ("--model.width --wandb off", "--model.width needs a value"),
        ("--wandbb off", "unknown option --wandbb. Did you mean wandb?"),
        ("--wandb.mode off", "unknown option --wandb.mode"),
        ("--config other.yaml", "unknown option --config"),
        ("--model.widht 3", "InfoGAN has no argument 'widht'. Did you mean width?"),
        ("--model.spec 3", "no argument 'spec'"),
        ("--data.seed 3", "no argument 'seed'"),
        ("--data.batch 3", "Did you mean batch_size?"),
        ("--data ImageFolder --data.val_sizes 3", "ImageFolder has no argument 'val_sizes'"),
        ("--trainer.max_epoch 3", "Did you mean max_epochs?"),
        ("--trainer 3", "trainer must be a mapping"),
        ("--trainer {max_epoch:~3}", "Did you mean max_epochs?"),
        ("--model InfoGEN", "Did you mean InfoGAN?"),
        ("--model other.yaml", "unknown model 'other.yaml'"),
        ("--model evil_module.Evil", "unknown model"),
        ("--model.class_path evil_module.Evil", "unknown model"),
        ("--trainer.callbacks.class_path evil_module.Evil", "'evil_module.Evil' is refused"),
        ("--trainer.callbacks [{class_path:~evil_module.Evil}]", "'evil_module.Evil' is refused"),
        ("--seed_everything -1", "--seed_everything must lie in"),
        ("--seed_everything x", "--seed_everything must be a whole number"),
    ],
)
def test_wrong_overrides_are_refused(line, words, evil):
    assert words in refusal(check_arguments, split(line), RECIPE)


# ------------------------------------------------------------------------- building


def test_a_section_is_built_with_what_the_zoo_fills_in():
    spec = ImageSpec(1, 8, 8, 10)
    section = {"class_path": "zoo.models.InfoGAN", "init_args": {"width": 4, "betas": [0.1, 0.2]}}
    model = build("model", section, spec=spec)
    assert model.spec == spec and model.betas == (0.1, 0.2)
    data = build("data", {"class_path": "zoo.data.digits.Digits", "init_args": {"batch_size": 3}})
    assert isinstance(data, DATASETS["Digits"]) and data.batch_size == 3
    assert Path(data.root).name


def test_what_the_zoo_fills_in_cannot_be_overridden_by_a_section():
    spec = ImageSpec(1, 8, 8, 10)
    section = {"class_path": "InfoGAN", "init_args": {"width": 4, "spec": "another"}}
    assert build("model", section, spec=spec).spec == spec


@pytest.mark.parametrize("section", [None, 3, {}, {"class_path": 3}, {"class_path": "Unknown"}])
def test_a_section_that_names_nothing_is_refused(section):
    refusal(build, "model", section)


def test_a_pair_of_which_one_lacks_what_the_other_needs_is_refused_in_a_sentence():
    recipe = {"model": "Classifier", "data": "Digits"}
    assert check_arguments([], recipe) == []
    with pytest.raises(UserError, match=r"^Classifier needs labels, which CaptionedShapes does not "
                                        r"have: choose Digits, MNIST, .* or \w+\.$"):  # fmt: skip
        check_arguments(["--data", "CaptionedShapes"], recipe)
    with pytest.raises(UserError, match="PixelCNN needs images, which TwoMoons does not have"):
        check_arguments(["--data=TwoMoons", "--model", "PixelCNN"], recipe)
